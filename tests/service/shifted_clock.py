"""The real clock, which a test may set forward."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from voyagent.actors.foundation.clock import Clock, Timer


class ShiftedClock(Clock):
    """The real clock and what a test has added to it; timers that fall due by that are called."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.timers: set[_Timer] = set()

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        timer = _Timer(self, self.monotonic() + seconds, callback)
        self.timers.add(timer)
        timer.arm()
        return timer

    def shift(self, seconds: float) -> None:
        """Let time jump."""
        self.ahead += seconds
        for timer in list(self.timers):
            timer.arm()


class _Timer:
    def __init__(self, clock: ShiftedClock, due: float, callback: Callable[[], object]) -> None:
        self.clock = clock
        self.due = due
        self.callback = callback
        self.handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        if self.handle is not None:
            self.handle.cancel()
        left = max(self.due - self.clock.monotonic(), 0.0)
        self.handle = asyncio.get_running_loop().call_later(left, self._ring)

    def _ring(self) -> None:
        self.clock.timers.discard(self)
        self.callback()

    def cancel(self) -> None:
        self.clock.timers.discard(self)
        if self.handle is not None:
            self.handle.cancel()
