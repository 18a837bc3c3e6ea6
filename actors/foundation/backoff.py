"""Pauses between attempts at what fails: each twice the last, up to a limit."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

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
