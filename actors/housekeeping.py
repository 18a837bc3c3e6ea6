"""Wakes what is due although nobody asks, and removes what is kept for a time only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, assert_never

from ..storage.conversation import approvals, pruning, tool_calls, turns, usage
from . import tenant
from .accounts.retention import AccountRetention
from .conversation import session
from .conversation.turn import TurnActor
from .foundation import gc_policy, log, metrics
from .foundation.clock import Clock
from .foundation.metrics import ActorMeter
from .runtime.actor import Actor, MailboxFull, Message, Recipient
from .runtime.periodic import Items, PeriodicTasks

_log = log.get(__name__)

ROUND_SECONDS = 60.0
PRUNE_SECONDS = 3600.0
PRUNE_GRACE = 900.0
"""Of an hourly job that has much to remove."""
LAG_SECONDS = 0.1
RETRY_SECONDS = 1.0
"""After a round that storage did not answer: turns should not wait a minute for a database that is back."""
PRUNE_RETRY = 60.0
WAKES_IN_A_ROW = 50
"""Sessions woken before the root gets its turn: its mailbox is bounded, and more than it holds may be due."""
FULL_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class StorageLost(Message[None]):
    """Event: storage's absence has ended something that was at work; it is due when storage is back."""


class HousekeepingActor(Actor):
    """The owner of wake-ups. The first round, at start, is the recovery of whatever was cut off."""

    def __init__(
        self,
        *,
        store: Recipient,
        root: Recipient,
        clock: Clock,
        is_leader: Callable[[], bool],
        upkeep: AccountRetention | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        super().__init__()
        self.store = store
        self.root = root
        self.clock = clock
        self.is_leader = is_leader
        self.upkeep = upkeep
        self.settled = False
        tasks = tasks or PeriodicTasks(clock)
        self.rounds = tasks.task("housekeeping", self._round, every=ROUND_SECONDS, retry=RETRY_SECONDS)
        self.pruning = tasks.task("pruning", self._prune, every=PRUNE_SECONDS, retry=PRUNE_RETRY, grace=PRUNE_GRACE)
        self.lag = tasks.task("loop_lag", self._feel_lag, every=LAG_SECONDS, clock=Clock())

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        self.spawn(self.lag.run(), name="lag")
        self.spawn(self.rounds.run(), name="rounds")
        self.spawn(self.pruning.run(), name="prune")

    async def receive(self, message: Any) -> Any:
        match message:
            case StorageLost():
                return self.rounds.call(RETRY_SECONDS)
            case _:
                assert_never(message)

    async def _round(self) -> float | None:
        try:
            if not self.is_leader():
                return RETRY_SECONDS
            await self._look()
            return None
        finally:
            if not ActorMeter.of(TurnActor.__name__).mailboxes:
                gc_policy.collect_if_idle()

    async def _look(self) -> None:
        await self.store.ask(usage.SettleAbandoned(tenant_id=None, at_start=not self.settled))
        self.settled = True
        due = await self.store.ask(turns.Unfinished(tenant_id=None, now=self.clock.now()))
        metrics.APPROVALS_PENDING.set(await self.store.ask(approvals.Pending(tenant_id=None)))
        await self._tell(session.Wake(tenant_id=tenant_id, session_id=session_id) for tenant_id, session_id in due)
        lost = await self.store.ask(tool_calls.WithLost(tenant_id=None, now=self.clock.now()))
        await self._tell(tenant.SettleWrites(tenant_id=tenant_id) for tenant_id in lost)

    async def _tell(self, messages: Iterable[Message[None]]) -> None:
        """Tell the root all of them, in its own time."""
        for place, message in enumerate(messages, start=1):
            while True:
                try:
                    self.root.tell(message)
                except MailboxFull:
                    await asyncio.sleep(FULL_PAUSE)
                else:
                    break
            if place % WAKES_IN_A_ROW == 0:
                await asyncio.sleep(0)

    async def _prune(self) -> float | None:
        """Hourly, piece by piece; what storage's absence left over is taken up a little later.

        A piece that fails is its own affair: the others are removed all the same, and the failure is raised at the end.
        """
        if not self.is_leader():
            return RETRY_SECONDS
        items = Items("pruning")
        with items.one(piece="keys"):
            await self.store.ask(pruning.PruneKeys(now=self.clock.now()), within=60.0)
        with items.one(piece="deltas"):
            await self._prune_deltas()
        if self.upkeep is not None:
            await self.upkeep.run(items)
        items.settle()
        return None

    async def _prune_deltas(self) -> None:
        prune = pruning.PruneDeltas(now=self.clock.now())
        events = prune.limit
        while events >= prune.limit:
            gone = await self.store.ask(prune, within=60.0)
            await self._tell(
                session.Pruned(tenant_id=each.tenant_id, session_id=each.session_id, through=each.through)
                for each in gone
            )
            events = sum(each.events for each in gone)

    async def _feel_lag(self) -> float:
        """How late the loop is, ten times a second: what every stream and timer feels."""
        loop = asyncio.get_running_loop()
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        metrics.LOOP_LAG_SECONDS.observe(max(loop.time() - due, 0.0))
        return 0.0
