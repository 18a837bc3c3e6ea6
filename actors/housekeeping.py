"""Wakes what is due although nobody asks, and removes what is kept for a time only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, assert_never

from ..storage import approvals, ledger, pruning, turns, usage
from . import garbage, log, metrics, session, tenant
from .clock import Clock, Timer
from .domain.errors import Refusal, Unavailable
from .metrics import ActorMeter
from .runtime import Actor, Asks, Message
from .turn import TurnActor
from .upkeep import Upkeep

_log = log.get(__name__)

ROUND_SECONDS = 60.0
PRUNE_SECONDS = 3600.0
LAG_SECONDS = 0.1
RETRY_SECONDS = 1.0
"""After a round that storage did not answer: turns should not wait a minute for a database that is back."""


@dataclass(frozen=True, slots=True)
class Round(Message[None]):
    """Look for what is due now."""


@dataclass(frozen=True, slots=True)
class CutOff(Message[None]):
    """Event: storage's absence has ended something that was at work; it is due when storage is back."""


class HousekeepingActor(Actor):
    """The owner of wake-ups. The first round, at start, is the recovery of whatever was cut off."""

    def __init__(
        self, *, store: Asks, root: Asks, clock: Clock, leading: Callable[[], bool], upkeep: Upkeep | None = None
    ) -> None:
        super().__init__()
        self.store = store
        self.root = root
        self.clock = clock
        self.leading = leading
        self.upkeep = upkeep
        self.timer: Timer | None = None
        self.due = 0.0
        self.settled = False
        self.looking = False
        self.prune_at = 0.0
        self.pruning: asyncio.Task[Any] | None = None

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        self.spawn(self._feel_lag(), name="lag")
        self.ref.tell(Round())

    async def receive(self, message: Any) -> Any:
        match message:
            case Round():
                return self.later(self._round())
            case CutOff():
                return self._look_in(RETRY_SECONDS)
            case _:
                assert_never(message)

    async def _round(self) -> None:
        if self.looking:
            return
        self.looking, pause = True, ROUND_SECONDS
        try:
            if self.leading():
                await self._look()
            else:
                pause = RETRY_SECONDS
        except Unavailable as away:
            _log.warning("housekeeping_postponed", refusal=away.code)
            pause = RETRY_SECONDS
        except Refusal as broken:  # the next round is due all the same
            _log.error("housekeeping_failed", refusal=broken.code)
        finally:
            self.looking = False
        if not ActorMeter.of(TurnActor.__name__).mailboxes:
            garbage.sweep()
        self._look_in(pause)

    def _look_in(self, seconds: float) -> None:
        """Have the next round begin in so many seconds, or sooner if it was to."""
        due = self.clock.monotonic() + seconds
        if self.timer is not None:
            if self.clock.monotonic() < self.due < due:
                return
            self.timer.cancel()
        self.due = due
        self.timer = self.clock.call_later(seconds, self._again)

    async def _look(self) -> None:
        await self.store.ask(usage.SettleAbandoned(tenant_id=None, at_start=not self.settled))
        self.settled = True
        due = await self.store.ask(turns.Unfinished(tenant_id=None, now=self.clock.now()))
        metrics.APPROVALS_PENDING.set(await self.store.ask(approvals.Pending(tenant_id=None)))
        for tenant_id, session_id in due:
            self.root.tell(session.Wake(tenant_id=tenant_id, session_id=session_id))
        for tenant_id in await self.store.ask(ledger.WithLost(tenant_id=None, now=self.clock.now())):
            self.root.tell(tenant.SettleWrites(tenant_id=tenant_id))
        over = self.pruning is None or self.pruning.done()
        if over and self.clock.monotonic() >= self.prune_at:
            self.pruning = self.spawn(self._prune(), name="prune")

    async def _prune(self) -> None:
        """Hourly, piece by piece; what storage's absence left over is taken up a round later."""
        pieces = [self._prune_keys, self._prune_deltas, *([] if self.upkeep is None else [self.upkeep.run])]
        try:
            for piece in pieces:
                await self._do(piece)
        except Unavailable as away:
            _log.warning("pruning_postponed", refusal=away.code)
        else:
            self.prune_at = self.clock.monotonic() + PRUNE_SECONDS

    async def _do(self, piece: Callable[[], Awaitable[None]]) -> None:
        """A piece with a defect is left for an hour; the others are not its affair."""
        try:
            await piece()
        except Unavailable:
            raise
        except Refusal as broken:
            _log.error("pruning_failed", piece=piece.__name__, refusal=broken.code)

    async def _prune_keys(self) -> None:
        await self.store.ask(pruning.PruneKeys(now=self.clock.now()), within=60.0)

    async def _prune_deltas(self) -> None:
        prune = pruning.PruneDeltas(now=self.clock.now())
        events = prune.limit
        while events >= prune.limit:
            gone = await self.store.ask(prune, within=60.0)
            for each in gone:
                self.root.tell(
                    session.Pruned(tenant_id=each.tenant_id, session_id=each.session_id, through=each.through)
                )
            events = sum(each.events for each in gone)

    async def _feel_lag(self) -> None:
        """How late the loop is, ten times a second: what every stream and timer feels."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            metrics.LOOP_LAG_SECONDS.observe(max(loop.time() - due, 0.0))

    def _again(self) -> None:
        if self.ref.is_alive():
            self.ref.tell(Round())

    async def on_end(self, failure: BaseException | None) -> None:  # noqa: ARG002 -- the hook's own
        if self.timer is not None:
            self.timer.cancel()
