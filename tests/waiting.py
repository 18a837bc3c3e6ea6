"""Waiting for what happens in its own time, never longer than a deadline."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Literal

PATIENCE = 20.0
"""Seconds: far more than anything here takes on a busy machine, far less than the time limit of a test."""


class Event(asyncio.Event):
    """An event nobody waits for longer than that: a test whose event never comes fails where it waits."""

    async def wait(self) -> Literal[True]:
        async with asyncio.timeout(PATIENCE):
            return await super().wait()


async def until(look: Callable[[], Any], pause: float = 0.01, within: float = PATIENCE) -> Any:
    """What a look finds, once there is something: for what tells nobody. A look may be a coroutine."""
    async with asyncio.timeout(within):
        while True:
            found = look()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(pause)
