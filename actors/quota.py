"""An agency's quota: turns per minute and hour, tokens per day. Kept by TenantActor, shared with its sessions."""

from __future__ import annotations

from collections import deque
from datetime import date

from .domain.settings import TenantSettings
from .domain.turns import TurnError
from .foundation.clock import Clock

MINUTE = 60.0
HOUR = 3600.0


class Quota:
    """Sliding windows of admitted turns, and the day's tokens, settled and reserved.

    One object per agency. Each method checks and counts without an ``await``, so parallel turns cannot exceed it.
    """

    def __init__(self, settings: TenantSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._turns: deque[float] = deque()
        self._day: date = clock.now().date()
        self._settled = 0
        self._reserved = 0

    def restore(self, turn_ages: list[float], settled_today: int) -> None:
        """Restore from storage: ages in seconds of the last hour's turns, oldest first, and today's tokens."""
        now = self._clock.monotonic()
        self._turns = deque(now - age for age in turn_ages)
        self._settled = settled_today

    def admit(self) -> TurnError | None:
        """Count a turn, or return why it is refused: by hour, minute or tokens. A refused one is not counted."""
        now = self._clock.monotonic()
        while self._turns and self._turns[0] <= now - HOUR:
            self._turns.popleft()
        if len(self._turns) >= self.settings.rate_limit_per_hour:
            return TurnError("rate_limited", "hour")
        if sum(1 for moment in self._turns if moment > now - MINUTE) >= self.settings.rate_limit_per_minute:
            return TurnError("rate_limited", "minute")
        refused = self._over(1)
        if refused is None:
            self._turns.append(now)
        return refused

    def uncount(self) -> None:
        """Uncount an admitted turn that was not started."""
        if self._turns:
            self._turns.pop()

    @property
    def used(self) -> int:
        """Tokens of today (UTC), settled and reserved."""
        today = self._clock.now().date()
        if today != self._day:
            self._day, self._settled = today, 0
        return self._settled + self._reserved

    @property
    def settled(self) -> int:
        """Tokens of today's finished model calls."""
        return self.used - self._reserved

    @property
    def reserved(self) -> int:
        return self._reserved

    def reserve(self, tokens: int) -> TurnError | None:
        """Reserve ``tokens`` for a model call, or return why it is refused."""
        refused = self._over(tokens)
        if refused is None:
            self._reserved += tokens
        return refused

    def settle(self, reserved: int, used: int) -> None:
        """Replace a finished model call's reservation by its usage."""
        _ = self.used
        self._reserved -= reserved
        self._settled += used

    def _over(self, tokens: int) -> TurnError | None:
        limit = self.settings.daily_token_budget
        if limit is None or self.used + tokens <= limit:
            return None
        return TurnError("daily_budget_exceeded", f"limit={limit} used={self.used}")
