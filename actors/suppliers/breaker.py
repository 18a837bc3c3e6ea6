"""Circuit breaker and rate limit for requests to a supplier."""

from __future__ import annotations

from collections import Counter, deque

from ..foundation import metrics
from ..foundation.clock import Clock
from .protocols import SupplierError

FAILURES = 5
WINDOW = 30.0
"""Seconds within which the failures have to occur to open a breaker."""
OPEN_FOR = 30.0
"""Seconds a breaker stays open before one trial request is admitted."""

_open: Counter[str] = Counter()
"""Open breakers by supplier, over all agencies: each agency has its own."""


class Breaker:
    """Refuses at once while a supplier fails: five failures in 30 s open it for 30 s, then a single trial decides."""

    def __init__(self, supplier: str, clock: Clock) -> None:
        self._supplier = supplier
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._opened_at: float | None = None
        self._trial = False

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    def admit(self) -> bool:
        """Admit a request. Returns whether it is the trial, to be passed on to ``passed``, ``failed`` or ``abandoned``.

        ``breaker_open`` if it may not be made.
        """
        if self._opened_at is None:
            return False
        left = self._opened_at + OPEN_FOR - self._clock.monotonic()
        if left > 0 or self._trial:
            raise SupplierError(
                "breaker_open", "the supplier is failing and left alone for now", retry_after=max(left, 1)
            )
        self._trial = True
        return True

    def passed(self, *, trial: bool) -> None:
        """The supplier answered, even with a refusal."""
        if trial:
            self.close()

    def failed(self, *, trial: bool) -> None:
        """The request failed."""
        now = self._clock.monotonic()
        if trial:
            self._trial = False
            self._opened_at = now
            return
        self._failures.append(now)
        if self._opened_at is None and len(self._failures) == FAILURES and now - self._failures[0] <= WINDOW:
            self._opened_at = now
            self._count(1)

    def abandoned(self, *, trial: bool) -> None:
        """The request was cancelled without a result; another trial may be made."""
        if trial:
            self._trial = False

    def close(self) -> None:
        """Forget all failures."""
        if self._opened_at is not None:
            self._count(-1)
        self._opened_at = None
        self._trial = False
        self._failures.clear()

    def _count(self, by: int) -> None:
        _open[self._supplier] += by
        metrics.SUPPLIER_BREAKER_OPEN.labels(self._supplier).set(min(_open[self._supplier], 1))


class RateLimit:
    """Spaces requests: a burst at once, then so many a second. A request that would wait too long is refused."""

    def __init__(self, clock: Clock, *, per_second: float = 20.0, burst: int = 40, longest: float = 5.0) -> None:
        self._clock = clock
        self._per_second = per_second
        self._burst = float(burst)
        self._longest = longest
        self._left = self._burst
        self._counted_at = clock.monotonic()

    async def acquire(self) -> None:
        """Wait until a request may be sent. Raises ``rate_limited`` if that is more than ``longest`` seconds away."""
        now = self._clock.monotonic()
        self._left = min(self._left + (now - self._counted_at) * self._per_second, self._burst)
        self._counted_at = now
        wait = (1 - self._left) / self._per_second
        if wait > self._longest:
            raise SupplierError("rate_limited", "too many requests to the supplier at once", retry_after=wait)
        self._left -= 1
        if wait > 0:
            await self._clock.sleep(wait)
