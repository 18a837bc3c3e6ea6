"""A clock that tests advance."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from voyagent.actors.foundation.clock import Clock, Timer


class _ManualTimer:
    """A callback waiting for its clock to be advanced."""

    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock(Clock):
    """A clock that stands still until a test advances it."""

    _SETTLING = 32
    """Event-loop iterations after each wake-up before time moves on: enough for a chain of a dozen asks."""

    def __init__(self, start: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self._due: list[tuple[float, int, _ManualTimer]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        woken = asyncio.Event()
        timer = self.call_later(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        timer = _ManualTimer(callback)
        heapq.heappush(self._due, (self._passed + max(seconds, 0.0), next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        """Number of pending timers and sleeps; a test may wait for one to appear before it advances."""
        return sum(not timer.cancelled for _, _, timer in self._due)

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: everything due on the way runs in order, at its own time, and may set new timers."""
        await self._settle()
        until = self._passed + seconds
        while self._due and self._due[0][0] <= until:
            moment, _, timer = heapq.heappop(self._due)
            if timer.cancelled:
                continue
            self._passed = max(self._passed, moment)
            timer.callback()
            await self._settle()
        self._passed = until

    def skip(self, seconds: float) -> None:
        """Let ``seconds`` pass without running what is due: the next ``advance`` does."""
        self._passed += seconds

    async def _settle(self) -> None:
        for _ in range(self._SETTLING):
            await asyncio.sleep(0)
