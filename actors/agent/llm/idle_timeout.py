"""The idle timeout of a stream: one timer, looked at again when it is due.

The client's own read timeout sets a new timer for every chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from ...foundation.clock import Clock
from .errors import API_ERRORS


class IdleTimeout:
    """Calls ``close`` after ``seconds`` without `touch`: the reader then finds the connection closed."""

    def __init__(self, close: Callable[[], Coroutine[Any, Any, None]], seconds: float, clock: Clock) -> None:
        self._close = close
        self._seconds = seconds
        self._clock = clock
        self._last_received = clock.monotonic()
        self._timer = clock.call_later(seconds, self._look)
        self._closing: asyncio.Task[None] | None = None

    def touch(self) -> None:
        """Restart the timeout: data has arrived."""
        self._last_received = self._clock.monotonic()

    def end(self) -> None:
        """Stop the timeout."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._last_received + self._seconds - self._clock.monotonic()
        if left > 0:
            self._timer = self._clock.call_later(left, self._look)
        else:
            self._closing = asyncio.get_running_loop().create_task(self._closed(), name="model.silence")

    async def _closed(self) -> None:
        with suppress(*API_ERRORS):
            await self._close()
