"""What an agency may use: turns per minute and hour, tokens per day. Its actor keeps it and lends it to sessions."""

from __future__ import annotations

from collections import deque
from datetime import date

from .domain.settings import TenantSettings
from .foundation.clock import Clock

MINUTE = 60.0
HOUR = 3600.0


class Quota:
    """Sliding windows of admitted turns and the day's tokens, settled and reserved.

    One object per agency, changed on the loop's thread in one go: parallel turns cannot all pass on the same remainder.
    """

    def __init__(self, settings: TenantSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._turns: deque[float] = deque()
        self._day: date = clock.now().date()
        self._settled = 0
        self._reserved = 0

    def restore(self, turn_ages: list[float], settled_today: int) -> None:
        """Take up what storage remembers: ages in seconds of the last hour's turns, oldest first, today's tokens."""
        now = self._clock.monotonic()
        self._turns = deque(now - age for age in turn_ages)
        self._settled = settled_today

    def admit(self) -> str | None:
        """Count a turn, or say why it may not start: by hour, minute or tokens. A refused one is not counted."""
        now = self._clock.monotonic()
        while self._turns and self._turns[0] <= now - HOUR:
            self._turns.popleft()
        if len(self._turns) >= self.settings.rate_limit_per_hour:
            return "rate_limited: hour"
        if sum(1 for moment in self._turns if moment > now - MINUTE) >= self.settings.rate_limit_per_minute:
            return "rate_limited: minute"
        refused = self._over(1)
        if refused is None:
            self._turns.append(now)
        return refused

    def give_back(self) -> None:
        """A turn that was counted did not come to be."""
        if self._turns:
            self._turns.pop()

    @property
    def used(self) -> int:
        """Tokens of today, settled and reserved. The day is UTC's."""
        today = self._clock.now().date()
        if today != self._day:
            self._day, self._settled = today, 0
        return self._settled + self._reserved

    @property
    def settled(self) -> int:
        """Tokens of today's calls that are over."""
        return self.used - self._reserved

    @property
    def reserved(self) -> int:
        return self._reserved

    def reserve(self, tokens: int) -> str | None:
        """Set ``tokens`` aside for a model call, or say why it may not be made."""
        refused = self._over(tokens)
        if refused is None:
            self._reserved += tokens
        return refused

    def settle(self, reserved: int, used: int) -> None:
        """A model call is over: what it took counts instead of what was set aside."""
        _ = self.used
        self._reserved -= reserved
        self._settled += used

    def _over(self, tokens: int) -> str | None:
        limit = self.settings.daily_token_budget
        if limit is None or self.used + tokens <= limit:
            return None
        return f"daily_budget_exceeded: limit={limit} used={self.used}"
