"""Periodic jobs: wakes what has due work, prunes expired data, signs the audit heads, measures loop lag."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from ..storage.conversation import approvals, pruning, turns, unsettled_writes, usage
from ..storage.engine.sealing import Sealing
from ..storage.travel import expired_holds, passports
from . import tenant
from .accounts.retention import AccountRetention
from .conversation import session
from .conversation.turn import TurnActor
from .domain.errors import Refusal
from .foundation import gc_policy, log, metrics
from .foundation.clock import Clock
from .foundation.metrics import ActorMeter
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
        is_leader: Callable[[], bool],
        retention: AccountRetention | None = None,
        heads: HeadSigner | None = None,
        sealing: Sealing | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        super().__init__()
        self.store = store
        self.root = root
        self.clock = clock
        self.is_leader = is_leader
        self.retention = retention
        self.heads = heads
        self.sealing = sealing
        self.settled = False
        tasks = tasks or PeriodicTasks(clock)
        self.rounds = tasks.task("housekeeping", self._round, every=ROUND_SECONDS, retry=RETRY_SECONDS)
        self.pruning = tasks.task("pruning", self._prune, every=PRUNE_SECONDS, retry=PRUNE_RETRY, grace=PRUNE_GRACE)
        self.signing = None
        if heads is not None:
            sign = partial(self._sign, heads)
            self.signing = tasks.task("audit_heads", sign, every=SIGN_SECONDS, retry=SIGN_RETRY, grace=SIGN_GRACE)
        self.lag = tasks.task("loop_lag", self._measure_lag, every=LAG_SECONDS, clock=Clock())

    async def initialise(self) -> None:
        self.spawn(self.lag.run(), name="lag")
        self.spawn(self.rounds.run(), name="rounds")
        self.spawn(self.pruning.run(), name="prune")
        if self.signing is not None:
            self.spawn(self.signing.run(), name="signing")

    async def receive(self, message: StorageLost) -> None:
        match message:
            case StorageLost():
                return self.rounds.call(RETRY_SECONDS)
            case _:
                assert_never(message)

    async def terminate(self, _failure: BaseException | None) -> None:
        """Sign the audit heads once more. A database or file that fails now is logged: the stop goes on."""
        if self.heads is None or not self.is_leader():
            return
        try:
            await self.heads.sign(SIGN_AT_STOP)
        except (Refusal, TimeoutError, OSError, NotSigned) as error:
            _log.warning("audit_heads_not_signed", reason=f"{type(error).__name__}: {error}")

    async def _sign(self, heads: HeadSigner) -> float | None:
        if not self.is_leader():
            return RETRY_SECONDS
        await heads.sign(SIGN_WITHIN)
        return None

    async def _round(self) -> float | None:
        try:
            if not self.is_leader():
                return RETRY_SECONDS
            await self._wake_due()
            return None
        finally:
            if not ActorMeter.of(TurnActor.__name__).mailboxes:
                gc_policy.collect_if_idle()

    async def _wake_due(self) -> None:
        await self.store.ask(usage.SettleAbandoned(tenant_id=None, at_start=not self.settled))
        if not self.settled:
            self.run_soon(self._settled_at_start)
        due = await self.store.ask(turns.Unfinished(tenant_id=None, now=self.clock.now()))
        metrics.APPROVALS_PENDING.set(await self.store.ask(approvals.Pending(tenant_id=None)))
        await self._tell(session.Wake(tenant_id=tenant_id, session_id=session_id) for tenant_id, session_id in due)
        agencies = await self.store.ask(unsettled_writes.AgenciesWithUnsettled(tenant_id=None, now=self.clock.now()))
        await self._tell(tenant.SettleWrites(tenant_id=tenant_id) for tenant_id in agencies)
        for tenant_id in await self.store.ask(expired_holds.AgenciesWithExpired(now=self.clock.now())):
            await self.store.ask(expired_holds.Expire(tenant_id=tenant_id, now=self.clock.now()))

    def _settled_at_start(self) -> None:
        self.settled = True

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
        if not self.is_leader():
            return RETRY_SECONDS
        items = Items("pruning")
        with items.one(piece="keys"):
            await self.store.ask(pruning.PruneKeys(now=self.clock.now()), within=60.0)
        with items.one(piece="deltas"):
            await self._prune_deltas()
        if self.sealing is not None and self.sealing.ids:
            with items.one(piece="passports"):
                await self._reseal(self.sealing)
        if self.retention is not None:
            await self.retention.run(items)
        items.settle()
        return None

    async def _reseal(self, sealing: Sealing) -> None:
        """Bring passport numbers under the key that seals, so that a key which has sealed before can be removed."""
        for tenant_id in await self.store.ask(passports.AgenciesToReseal(key_id=sealing.ids[0])):
            after: str | None = passports.FIRST
            done = not_opened = 0
            while after is not None:
                reseal = passports.Reseal(tenant_id=tenant_id, sealing=sealing, after=after)
                batch = await self.store.ask(reseal, within=60.0)
                after, done, not_opened = batch.last, done + batch.done, not_opened + batch.not_opened
            _log.info("passports_resealed", tenant_id=tenant_id, resealed=done)
            if not_opened:
                _log.error("passports_not_opened", tenant_id=tenant_id, passports=not_opened)

    async def _prune_deltas(self) -> None:
        prune = pruning.PruneDeltas(now=self.clock.now())
        events = prune.limit
        while events >= prune.limit:
            pruned = await self.store.ask(prune, within=60.0)
            await self._tell(
                session.Pruned(tenant_id=row.tenant_id, session_id=row.session_id, through=row.through)
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
