"""Limits on requests to one supplier: rate, time, retries where they are safe, and a circuit breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..domain.errors import Unavailable
from ..foundation import metrics
from ..foundation.backoff import Backoff
from ..foundation.clock import Clock
from .breaker import Breaker, RateLimit
from .protocols import FAILURES, SupplierError

R = TypeVar("R")

RETRIES = 2
LONGEST_RETRY_AFTER = 10.0
BACKOFF = Backoff(first=0.3, longest=LONGEST_RETRY_AFTER, jitter=2 / 3)


class Limits:
    """A supplier's breaker, rate limit, time limits and retries."""

    def __init__(self, supplier: str, clock: Clock) -> None:
        self._supplier = supplier
        self._clock = clock
        self._rate = RateLimit(clock)
        self.breaker = Breaker(supplier, clock)

    async def attempts(
        self, work: Callable[[], Awaitable[R]], seconds: float, *, repeat: bool, exempt: bool = False
    ) -> R:
        """Do ``work`` within ``seconds`` in all, with retries after failures if ``repeat`` allows it.

        ``exempt`` is a look-up of a write with unknown outcome: breaker and rate limit do not apply to it.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:
                timer = self._clock.call_later(seconds, lambda: limit.reschedule(loop.time()))
                try:
                    return await self._with_retries(work, RETRIES if repeat else 0, exempt=exempt)
                finally:
                    timer.cancel()
        except TimeoutError as late:
            raise SupplierError("timeout", f"no answer within {seconds:.0f} s") from late

    async def _with_retries(self, work: Callable[[], Awaitable[R]], retries: int, *, exempt: bool) -> R:
        for attempt in range(1, retries + 1):
            try:
                return await self._attempt(work, exempt=exempt)
            except SupplierError as failure:
                if failure.supplier_code not in FAILURES or not failure.repeatable:
                    raise
                pause = failure.retry_after or BACKOFF.pause(attempt)
                await self._clock.sleep(min(pause, LONGEST_RETRY_AFTER))
        return await self._attempt(work, exempt=exempt)

    async def _attempt(self, work: Callable[[], Awaitable[R]], *, exempt: bool) -> R:
        if not exempt:
            await self._rate.acquire()
        trial = not exempt and self.breaker.admit()
        outcome, judge = "permanent", self.breaker.abandoned
        try:
            done = await work()
            outcome, judge = "ok", self.breaker.passed
        except SupplierError as failure:
            outcome = failure.supplier_code
            judge = self.breaker.failed if outcome in FAILURES else self.breaker.passed
            raise
        except Unavailable as unavailable:  # our own storage, not the supplier
            outcome = "transient"
            raise SupplierError("transient", "the supplier cannot be reached") from unavailable
        except asyncio.CancelledError:  # the time limit
            outcome, judge = "timeout", self.breaker.failed
            raise
        finally:
            metrics.SUPPLIER_REQUESTS_TOTAL.labels(self._supplier, outcome).inc()
            judge(trial=trial)
        return done
