"""A fair queue for password hashing: networks take turns, so that no one network can starve the others."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from ..domain.audit import Origin
from ..domain.errors import Throttled, Unavailable
from ..domain.identity import network_of, site_of
from ..foundation import metrics

MAX_WAITING: Final = 64
"""Hashes queued behind the running ones. More would only finish after their clients have timed out."""

PER_ACCOUNT, PER_NETWORK = 8, 8
"""Limits: hashes of one account that run or wait, and hashes of one network that wait."""

RETRY_AFTER: Final = 1.0
"""Seconds for ``Retry-After``: a hash takes a tenth of one."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a hash: the account, where one is named, and the network."""

    account: str | None = None
    network: str | None = None

    @classmethod
    def of(cls, origin: Origin, account: str | None = None) -> Asker:
        """All networks of an IPv6 /48 have one owner and share one turn."""
        return cls(account, site_of(origin.ip) or network_of(origin.ip))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of the queue for an account and a network; ``None`` is unlimited."""

    account: int | None = None
    network: int | None = None


class HashQueue:
    """``places`` run at once. First come, first served within a network; round-robin between networks."""

    def __init__(self, places: int, bounds: Bounds) -> None:
        self._free = places
        self._bounds = bounds
        self._queues: OrderedDict[str | None, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0
        self._held: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, asker: Asker) -> AsyncIterator[None]:
        """Hold a place while hashing. Throttled ``too_many_attempts`` beyond a bound; Unavailable ``overloaded``."""
        self._refuse(asker)
        if asker.account is not None:
            self._held[asker.account] += 1
        try:
            await self._enter(asker.network)
            try:
                yield
            finally:
                self._leave()
        finally:
            if asker.account is not None:
                self._held[asker.account] -= 1
                self._held += Counter()  # forgets who holds nothing

    def _refuse(self, asker: Asker) -> None:
        account, network = self._bounds.account, self._bounds.network
        if account is not None and asker.account is not None and self._held[asker.account] >= account:
            raise _throttled("account")
        if self._free:
            return
        if network is not None and len(self._queues.get(asker.network, ())) >= network:
            raise _throttled("network")
        if self._waiting >= MAX_WAITING:
            raise Unavailable("overloaded")

    async def _enter(self, network: str | None) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(network, deque()).append(turn)
        self._count(1)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was handed the place as it left
                self._leave()
            else:
                self._drop(network, turn)
            raise

    def _leave(self) -> None:
        """Pass the place to the first who still waits in the next network's queue."""
        while self._queues:
            network, queue = next(iter(self._queues.items()))
            turn = queue[0]
            self._queues.move_to_end(network)
            self._drop(network, turn)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _drop(self, network: str | None, turn: asyncio.Future[None]) -> None:
        """Take a turn out of its queue, unless ``_leave`` has: it was cancelled then, and its task not resumed yet."""
        queue = self._queues.get(network, deque())
        if turn not in queue:
            return
        queue.remove(turn)
        if not queue:
            del self._queues[network]
        self._count(-1)

    def _count(self, more: int) -> None:
        self._waiting += more
        metrics.PASSWORD_HASHES_WAITING.inc(more)


def _throttled(bucket: str) -> Throttled:
    metrics.AUTH_THROTTLED_TOTAL.labels("password_hash", bucket).inc()
    return Throttled("too_many_attempts", retry_after=RETRY_AFTER)
