"""When a session's undecided approvals expire: one timer, for the next of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from ..foundation.clock import Clock, Timer

MARGIN = 0.001
"""Seconds behind a deadline: ``expires_at <= now`` is expired, and timers may be early by a rounding."""


class ApprovalTimer:
    """The deadlines of one session's approvals; ``ring`` is called when one may have passed."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._moments: list[datetime] = []
        self._timer: Timer | None = None

    @property
    def any(self) -> bool:
        """Something is still to expire or to be decided."""
        return bool(self._moments)

    def set(self, moments: Iterable[datetime]) -> None:
        """These and no others are waited for."""
        self._moments = list(moments)
        self._arm()

    def passed(self) -> bool:
        """Whether any has come since this was asked last. The alarm is set for the next."""
        now = self._clock.now()
        left = [moment for moment in self._moments if moment > now]
        come = len(left) < len(self._moments)
        self._moments = left
        self._arm()
        return come

    def forget(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.forget()
        if self._moments:
            left = (min(self._moments) - self._clock.now()).total_seconds()
            self._timer = self._clock.call_later(max(left, 0.0) + MARGIN, self._ring)
