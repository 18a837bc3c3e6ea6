"""What this node owns: its leases, as the database last confirmed them, and for how long it may rely on that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final
from uuid import uuid4

from ...actors.domain.errors import Unavailable
from ...actors.domain.placement import Lease, shard_of
from ...actors.foundation.clock import Clock

IN_DOUBT: Final = 5.0
"""Seconds a request waits for a heartbeat that is late."""
NEVER: Final = float("-inf")


_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds that go on while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


class Ownership:
    """The shards of one node, from the start of its process to its end.

    Written by the coordinator alone and read by whoever accepts work. Without ``coordinated`` there is no other node
    to tell apart: it owns everything and has no lease.
    """

    def __init__(
        self, *, coordinated: bool = True, clock: Clock | None = None, now: Callable[[], float] = boottime
    ) -> None:
        self.node = str(uuid4())
        self.coordinated = coordinated
        self.now = now
        self.trusted_until = NEVER
        """Until then no other node may own the shards; by ``now``."""
        self.lost_at = NEVER
        """When it last ceased to own any; by the ``clock``."""
        self._clock = clock or Clock()
        self._leases: dict[int, Lease] = {}
        self._confirmed: Collection[Lease] = ()
        """What the database had at last: the leases, and those of agencies that have yet to stop."""
        self._confirmed_at = NEVER
        self._dropped: set[int] = set()
        self._answered = asyncio.Event()
        """Set with the next heartbeat, or loss of the connection."""

    def owns(self, tenant_id: str) -> bool:
        """Whether this node serves the agency."""
        return not self.coordinated or self.lease(tenant_id) is not None

    def lease(self, tenant_id: str) -> Lease | None:
        """The lease to write for the agency under."""
        return self.lease_of(shard_of(tenant_id))

    def grant(self, tenant_id: str) -> Lease | None:
        """The lease for whoever begins to work for the agency; None where nodes are not told apart.

        Refusal: ``not_ready``, if another node owns it.
        """
        lease = self.lease(tenant_id)
        if lease is None and self.coordinated:
            raise Unavailable("not_ready")
        return lease

    async def settled(self) -> None:
        """If a heartbeat is late, wait for it: a loop or a database that stood still is no loss of the shards."""
        if self._is_in_doubt:
            with suppress(TimeoutError):
                async with asyncio.timeout(IN_DOUBT):
                    while self._is_in_doubt:  # an answer may itself have come too late to be relied on
                        await self._answered.wait()

    @property
    def _is_in_doubt(self) -> bool:
        return bool(self._leases) and self.now() >= self.trusted_until

    def lease_of(self, shard: int) -> Lease | None:
        """The lease of a shard."""
        return self._leases.get(shard) if self.now() < self.trusted_until else None

    def holds(self, shard: int) -> bool:
        """Whether the duties of a shard are this node's."""
        return not self.coordinated or self.lease_of(shard) is not None

    @property
    def leases(self) -> Collection[Lease]:
        """All leases that may be relied on."""
        return self._leases.values() if self.now() < self.trusted_until else ()

    @property
    def serves(self) -> bool:
        """Whether it owns any agency's shard."""
        return not self.coordinated or bool(self.leases)

    def described(self) -> dict[str, object]:
        """As operators see it."""
        return {
            "node": self.node,
            "shards": len(self.leases),
            "epochs": sorted({lease.epoch for lease in self.leases}),
            "heartbeat_age_seconds": round(self.age, 3),
        }

    @property
    def age(self) -> float:
        """Seconds since the database confirmed the leases; 0 without any."""
        return self.now() - self._confirmed_at if self._leases else 0.0

    @property
    def dropped(self) -> frozenset[int]:
        """Shards that were lost, whose agencies may still run here."""
        return frozenset(self._dropped)

    def confirm(self, leases: Collection[Lease], sent_at: float, trusted_until: float) -> None:
        """The database, asked at ``sent_at``, has these leases for this node. Those it does not have are dropped.

        A shard that was dropped is not owned again before its agencies have stopped.
        """
        if leases != self._confirmed or len(leases) != len(self._leases):
            self._own(leases)
        self._confirmed_at, self.trusted_until = sent_at, trusted_until
        self._answered.set()
        self._answered = asyncio.Event()

    def _own(self, leases: Collection[Lease]) -> None:
        confirmed = {lease.shard: lease for lease in leases}
        self._dropped.update(shard for shard, lease in self._leases.items() if confirmed.get(shard) != lease)
        had = bool(self._leases)
        self._confirmed = leases
        self._leases = {shard: lease for shard, lease in confirmed.items() if shard not in self._dropped}
        if had and not self._leases:
            self.lost_at = self._clock.monotonic()

    def drop(self) -> bool:
        """Nothing is owned from now on; whether anything was."""
        had = bool(self._leases)
        self.confirm((), NEVER, NEVER)
        return had

    def stopped(self, shards: Collection[int]) -> None:
        """The agencies of dropped shards were stopped."""
        self._dropped.difference_update(shards)
