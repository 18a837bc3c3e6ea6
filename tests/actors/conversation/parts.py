"""A session's parts over fakes, put together as ``SessionActor`` does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.fakes.owner import FakeOwner
from tests.fakes.services import FakeServices
from tests.fakes.store import FakeStore
from tests.manual_clock import ManualClock
from voyagent.actors.conversation.approval_timer import ApprovalTimer
from voyagent.actors.conversation.decisions import Decisions
from voyagent.actors.conversation.event_log import EventLog, SseFrame
from voyagent.actors.conversation.expiry import ApprovalExpiry
from voyagent.actors.conversation.intake import MessageIntake
from voyagent.actors.conversation.log_writer import LogWriter
from voyagent.actors.conversation.passes import PassRunner
from voyagent.actors.conversation.scheduler import Turn, TurnScheduler
from voyagent.actors.conversation.subscriptions import Subscriptions
from voyagent.actors.domain.audit import Author, Origin
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.quota import Quota
from voyagent.storage.conversation import approvals, turns
from voyagent.storage.conversation.steps import Written

TENANT, SESSION = "a-1", "s-1"
LAST = 10
"""The newest event's id at the start."""
ASHA = Author("asha", "agent", Origin("r-1"))
RAVI = Author("ravi", "agent", Origin("r-2"))


class Parts:
    """All parts of one session. Its store accepts every step; a test changes what it answers."""

    def __init__(self, owner: FakeOwner) -> None:
        self.owner = owner
        self.clock = ManualClock()
        self.store = FakeStore()
        self.shared = FakeServices(self.store, self.clock)
        self.pass_log = self.shared.pass_log
        self.due: list[str] = []
        self.settings = TenantSettings(tenant_id=TENANT)
        self.quota = Quota(self.settings, self.clock)
        services = self.shared.made()
        self.log = EventLog(LAST, 0, self._older, gap=lambda _: b"")
        self.scheduler = TurnScheduler()
        self.timer = ApprovalTimer(self.clock, lambda: self.due.append("due"))
        self.writer = LogWriter(
            owner,
            tenant_id=TENANT,
            session_id=SESSION,
            last=LAST,
            store=self.store,
            clock=self.clock,
            publish=self.log.publish,
        )
        common: dict[str, Any] = {
            "tenant_id": TENANT,
            "session_id": SESSION,
            "scheduler": self.scheduler,
            "writer": self.writer,
        }
        shared: dict[str, Any] = {"quota": self.quota, "services": services}
        self.expiry = ApprovalExpiry(owner, **common, store=self.store, timer=self.timer)
        self.subscriptions = Subscriptions(SESSION, self.log, self.scheduler, self.clock)
        self.passes = PassRunner(owner, **common, **shared)
        self.decisions = Decisions(owner, **common, clock=self.clock)
        self.intake = MessageIntake(
            owner,
            passes=self.passes,
            decisions=self.decisions,
            subscriptions=self.subscriptions,
            **common,
            **shared,
        )
        self.store.on(turns.Accept, lambda _: Written(reply=True, rows=()))
        self.store.on(turns.Start, lambda _: Written(None, ()))
        self.store.on(turns.LookUp, lambda _: turns.LookedUp(None, None, decidable=False))
        self.store.on(turns.AbandonStart, lambda _: Written("failed", ()))
        self.store.on(approvals.Expire, lambda _: Written((), ()))
        self.store.on(approvals.Expiries, lambda _: ())

    async def _older(self, after: int, through: int) -> Sequence[SseFrame]:
        raise AssertionError(after, through)

    def waiting(self, turn_id: str) -> Turn:
        """A turn that waits for approvals."""
        turn = Turn(id=turn_id, user_id="asha", state="waiting")
        self.scheduler.add(turn)
        return turn

    def queued(self, turn_id: str, text: str = "hello") -> Turn:
        """A turn that is queued."""
        turn = Turn(id=turn_id, user_id="asha", state="queued", text=text)
        self.scheduler.enqueue(turn, first=False)
        return turn


@asynccontextmanager
async def parts() -> AsyncIterator[Parts]:
    """The parts of a session, whose children are stopped afterwards."""
    async with FakeOwner() as owner:
        yield Parts(owner)
