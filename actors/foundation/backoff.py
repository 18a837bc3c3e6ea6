"""Pauses between attempts at what fails: each twice the last, up to a limit, or until the date a server has named."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_DOUBLINGS = 30
"""Doublings after which a pause no longer grows, whatever its limit: the power must not overflow."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling pauses, in seconds. ``jitter`` is the share of a pause that is random, so that attempts spread out."""

    first: float
    longest: float
    jitter: float = 0.0
    random: Callable[[], float] = random.random

    def pause(self, failures: int) -> float:
        """The pause after so many failures in a row, at least one."""
        full = min(self.longest, self.first * 2.0 ** min(failures - 1, MAX_DOUBLINGS))
        return full * (1 - self.jitter * self.random()) if self.jitter else full


def seconds_until(date: str, now: datetime) -> float | None:
    """Seconds until a date of HTTP (RFC 9110, 5.6.7), 0 for a past one; None if it is no date of the calendar."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    due = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((due - now).total_seconds(), 0.0)
