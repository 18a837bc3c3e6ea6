"""Periodic jobs: wakes what has due work, prunes, signs audit heads, seals again after a rotation, measures loop lag.

A round wakes the agencies of the shards this node owns. A job about all agencies at once is the duty of the owner of
one shard, and writes under its lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from ..storage.conversation import approvals, pruning, turns, unsettled_writes, usage
from ..storage.engine import sealed_columns
from ..storage.engine.ownership import Ownership
from ..storage.engine.resealing import SHOWN, KeyUsage, reseal
from ..storage.engine.sealing import Sealing
from ..storage.travel import expired_holds
from . import tenant
from .accounts.retention import AccountRetention
from .conversation import session_messages
from .conversation.turn import TurnActor
from .domain.errors import Refusal
from .domain.placement import Lease
from .foundation import gc_policy, log, metrics
from .foundation.clock import Clock
from .foundation.metrics import ActorMeter
from .leased_store import leased, leased_for
from .runtime.actor import Actor, MailboxFull, Message, Recipient
from .runtime.periodic import Items, PeriodicTasks
from .signed_heads import HeadSigner, NotSigned

_log = log.get(__name__)

ROUND_SECONDS = 60.0
PRUNE_SECONDS = 3600.0
PRUNE_GRACE = 900.0
"""Seconds the hourly job may be late: it may have much to remove."""
SIGN_SECONDS = 3600.0
SIGN_RETRY = 60.0
SIGN_GRACE = 900.0
SIGN_WITHIN = 30.0
SIGN_AT_STOP = 2.0
"""Seconds for signing the audit heads at a stop, which others wait for."""
LAG_SECONDS = 0.1
RETRY_SECONDS = 1.0
"""After a failed round: turns should not wait a minute for a database that is available again."""
PRUNE_RETRY = 60.0
TELL_BATCH = 50
"""Messages sent before yielding to the root, whose mailbox is bounded."""
MAILBOX_FULL_BACKOFF = 0.05
UPKEEP_SHARD = 1
"""Its owner prunes, seals again, and signs the audit heads."""
GAUGES_SHARD = 2
"""Its owner measures what is about all agencies."""


@dataclass(frozen=True, slots=True)
class StorageLost(Message[None]):
    """Event: unavailable storage ended an actor with work; that work is due when storage is available again."""


class HousekeepingActor(Actor[StorageLost]):
    """Runs the periodic jobs. Its first round, at start, recovers interrupted work."""

    def __init__(
        self,
        *,
        store: Recipient,
        root: Recipient,
        clock: Clock,
        ownership: Ownership,
        retention: AccountRetention | None = None,
        heads: HeadSigner | None = None,
        sealing: Sealing | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        super().__init__()
        self.store = store
        self.root = root
        self.clock = clock
        self.ownership = ownership
        self.retention = retention
        self.heads = heads
        self.sealing = sealing
        self.settled: frozenset[Lease | None] = frozenset()
        """The leases under which the model calls of earlier owners have been settled."""
        tasks = tasks or PeriodicTasks(clock)
        self.rounds = tasks.task("housekeeping", self._round, every=ROUND_SECONDS, retry=RETRY_SECONDS)
        self.pruning = tasks.task("pruning", self._prune, every=PRUNE_SECONDS, retry=PRUNE_RETRY, grace=PRUNE_GRACE)
        self.signing = None
        if heads is not None:
            sign = partial(self._sign, heads)
            self.signing = tasks.task("audit_heads", sign, every=SIGN_SECONDS, retry=SIGN_RETRY, grace=SIGN_GRACE)
        self.resealing = None
        if sealing is not None and sealing.ids:
            run = partial(self._reseal, sealing)
            self.resealing = tasks.task("resealing", run, every=PRUNE_SECONDS, retry=PRUNE_RETRY, grace=PRUNE_GRACE)
        self.lag = tasks.task("loop_lag", self._measure_lag, every=LAG_SECONDS, clock=Clock())

    async def initialise(self) -> None:
        self.spawn(self.lag.run(), name="lag")
        self.spawn(self.rounds.run(), name="rounds")
        self.spawn(self.pruning.run(), name="prune")
        if self.signing is not None:
            self.spawn(self.signing.run(), name="signing")
        if self.resealing is not None:
            self.spawn(self.resealing.run(), name="resealing")

    async def receive(self, message: StorageLost) -> None:
        match message:
            case StorageLost():
                return self.rounds.call(RETRY_SECONDS)
            case _:
                assert_never(message)

    async def terminate(self, _failure: BaseException | None) -> None:
        """Sign the audit heads once more. A database or file that fails now is logged: the stop goes on."""
        if self.heads is None or not self.ownership.holds(UPKEEP_SHARD):
            return
        try:
            await self.heads.sign(SIGN_AT_STOP)
        except (Refusal, TimeoutError, OSError, NotSigned) as error:
            _log.warning("audit_heads_not_signed", reason=f"{type(error).__name__}: {error}")

    async def _sign(self, heads: HeadSigner) -> float | None:
        if not self.ownership.holds(UPKEEP_SHARD):
            return RETRY_SECONDS
        await heads.sign(SIGN_WITHIN)
        return None

    async def _round(self) -> float | None:
        try:
            if not self.ownership.serves:
                return RETRY_SECONDS
            await self._wake_due()
            return None
        finally:
            gc_policy.collect_if_due(idle=not ActorMeter.of(TurnActor.__name__).mailboxes)

    async def _wake_due(self) -> None:
        """Do what is due, agency by agency: one whose part fails does not stop the others."""
        items = Items("housekeeping")
        await self._settle_abandoned(items)
        owns, now = self.ownership.owns, self.clock.now()
        due = await self.store.ask(turns.Unfinished(tenant_id=None, now=now))
        if self.ownership.holds(GAUGES_SHARD):
            metrics.APPROVALS_PENDING.set(await self.store.ask(approvals.Pending(tenant_id=None)))
        own = [(agency, session_id) for agency, session_id in due if owns(agency)]
        await self._tell(session_messages.Wake(tenant_id=agency, session_id=session_id) for agency, session_id in own)
        agencies = await self.store.ask(unsettled_writes.AgenciesWithUnsettled(tenant_id=None, now=now))
        await self._tell(tenant.SettleWrites(tenant_id=agency) for agency in agencies if owns(agency))
        for agency in await self.store.ask(expired_holds.AgenciesWithExpired(now=now)):
            if owns(agency):
                with items.one(piece="holds", tenant_id=agency):
                    store = leased_for(self.store, self.ownership, agency)
                    await store.ask(expired_holds.Expire(tenant_id=agency, now=self.clock.now()))
        items.settle()

    async def _settle_abandoned(self, items: Items) -> None:
        """Settle model calls that nobody will: of shards just claimed all, else those without a running turn."""
        leases: Collection[Lease | None] = self.ownership.leases if self.ownership.coordinated else (None,)
        current = frozenset(leases)
        left: list[Lease | None] = []
        for agency, abandoned in await self.store.ask(usage.AgenciesWithStarted()):
            lease = self.ownership.lease(agency)
            claimed = lease in current and lease not in self.settled
            if lease in current and (claimed or abandoned):
                left.append(lease)
                with items.one(piece="model_calls", tenant_id=agency):
                    await leased(self.store, lease).ask(usage.SettleAbandoned(tenant_id=agency, every=claimed))
                    left.pop()
        self.run_soon(partial(self._settled_under, current.difference(left) | current & self.settled))

    def _settled_under(self, leases: frozenset[Lease | None]) -> None:
        self.settled = leases

    async def _tell(self, messages: Iterable[Message[None]]) -> None:
        """Tell the root all messages, waiting while its mailbox is full."""
        for count, message in enumerate(messages, start=1):
            while True:
                try:
                    self.root.tell(message)
                except MailboxFull:
                    await self.clock.sleep(MAILBOX_FULL_BACKOFF)
                else:
                    break
            if count % TELL_BATCH == 0:
                await asyncio.sleep(0)

    async def _prune(self) -> float | None:
        """Prune hourly, item by item; retried soon when storage was unavailable.

        A failed item does not stop the others; the first failure is raised at the end.
        """
        if not self.ownership.holds(UPKEEP_SHARD):
            return RETRY_SECONDS
        store = leased(self.store, self.ownership.lease_of(UPKEEP_SHARD))
        items = Items("pruning")
        with items.one(piece="keys"):
            await store.ask(pruning.PruneKeys(now=self.clock.now()), within=60.0)
        with items.one(piece="deltas"):
            await self._prune_deltas(store)
        if self.retention is not None:
            await self.retention.run(items, store)
        items.settle()
        return None

    async def _reseal(self, sealing: Sealing) -> float | None:
        """Bring every sealed value under the key that seals, so that a key which has sealed before can be removed."""
        if not self.ownership.holds(UPKEEP_SHARD):
            return RETRY_SECONDS
        if len(sealing.ids) == 1:  # a start with a key missing is refused: nothing is sealed with another
            metrics.SEALED_VALUES_OUTDATED.set(0)
            return None
        store = leased(self.store, self.ownership.lease_of(UPKEEP_SHARD))
        items = Items("resealing")
        for column in sealed_columns.COLUMNS:
            with items.one(column=column.name):
                await self._reseal_column(sealing, column.name, store)
        usage = await store.ask(KeyUsage(), within=60.0)
        metrics.SEALED_VALUES_OUTDATED.set(sum(sealed_columns.outdated(usage, sealing.ids[0]).values()))
        items.settle()
        return None

    async def _reseal_column(self, sealing: Sealing, column: str, store: Recipient) -> None:
        resealed = await reseal(partial(store.ask, within=60.0), column, sealing)
        if resealed.done:
            _log.info("values_resealed", column=column, values=resealed.done, key_id=sealing.ids[0])
        if lost := resealed.not_opened:
            _log.error("values_not_opened", column=column, values=len(lost), rows=lost[:SHOWN])

    async def _prune_deltas(self, store: Recipient) -> None:
        prune = pruning.PruneDeltas(now=self.clock.now())
        events = prune.limit
        while events >= prune.limit:
            pruned = await store.ask(prune, within=60.0)
            await self._tell(
                session_messages.Pruned(tenant_id=row.tenant_id, session_id=row.session_id, through=row.through)
                for row in pruned
            )
            events = sum(row.events for row in pruned)

    async def _measure_lag(self) -> float:
        """Measure the lag of the event loop ten times a second."""
        loop = asyncio.get_running_loop()
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        metrics.LOOP_LAG_SECONDS.observe(max(loop.time() - due, 0.0))
        return 0.0
