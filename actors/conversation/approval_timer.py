"""Expiry of a session's pending approvals: one timer, set for the next deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from ..foundation.clock import Clock, Timer

MARGIN = 0.001
"""Seconds after a deadline: ``expires_at <= now`` is expired, and timers may fire slightly early."""


class ApprovalTimer:
    """The deadlines of one session's approvals; ``on_due`` is called when one may have passed."""

    def __init__(self, clock: Clock, on_due: Callable[[], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._moments: list[datetime] = []
        self._timer: Timer | None = None

    @property
    def any(self) -> bool:
        """Whether any deadline is pending."""
        return bool(self._moments)

    def set(self, moments: Iterable[datetime]) -> None:
        """Replace all deadlines."""
        self._moments = list(moments)
        self._arm()

    def passed(self) -> bool:
        """Whether a deadline passed since the last call. Sets the timer for the next one."""
        now = self._clock.now()
        left = [moment for moment in self._moments if moment > now]
        passed = len(left) < len(self._moments)
        self._moments = left
        self._arm()
        return passed

    def forget(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.forget()
        if self._moments:
            left = (min(self._moments) - self._clock.now()).total_seconds()
            self._timer = self._clock.call_later(max(left, 0.0) + MARGIN, self._on_due)
