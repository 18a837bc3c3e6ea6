"""The clock as a dependency, so that tests advance it instead of waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Protocol

from . import log


class Timer(Protocol):
    """A callback that is due later."""

    def cancel(self) -> None:
        """Never call it; harmless when it has been called or cancelled already."""


class Clock:
    """The real one: the system's time and the running loop's timers."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``, at least one turn of the loop later."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` on the loop after ``seconds``, in nobody's log scope: what is due then is no request's."""
        context = copy_context()
        context.run(log.SCOPE.set, log.NOBODY)
        return asyncio.get_running_loop().call_later(seconds, callback, context=context)
