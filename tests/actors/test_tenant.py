"""An agency's actor: what it starts from, whom it routes to, and that it stays active while something needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fakes.owner import Inbox
from tests.fakes.services import FakeServices
from tests.fakes.store import FakeStore
from tests.manual_clock import ManualClock
from tests.running import run_actor
from tests.waiting import until
from voyagent.actors.conversation import session, session_messages
from voyagent.actors.domain.approvals import Approval, Decision
from voyagent.actors.domain.audit import Author, Origin
from voyagent.actors.domain.errors import Conflict, NotFound, Unavailable
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.domain.turns import ToolCall, TurnError
from voyagent.actors.foundation.metrics import ActorMeter
from voyagent.actors.quota import Quota
from voyagent.actors.runtime.actor import Actor, Ref
from voyagent.actors.runtime.supervisor import Child, Restart, Supervisor
from voyagent.actors.suppliers import drivers, supplier
from voyagent.actors.tenant import (
    ACTIVE_SESSIONS,
    DELETED_SESSION,
    IDLE_SECONDS,
    PASSIVATION_BATCH,
    Budget,
    Change,
    ReadBudget,
    Resolve,
    SettleWrites,
    TenantActor,
)
from voyagent.storage.accounts import settings as stored
from voyagent.storage.conversation import approvals, unsettled_writes, usage
from voyagent.storage.engine.idempotency import IdempotencyKey

AGENCY = "0193f5a0-0000-7000-8000-00000000000a"
ASHA = Author("asha", "agent", Origin("r-1"))
MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
READ = ReadBudget(tenant_id=AGENCY)


def raises(error: Exception) -> Any:
    raise error


class Children:
    """Sessions and suppliers that keep what they are sent."""

    def __init__(self) -> None:
        self.received: dict[str, list[Any]] = {}
        self.quotas: dict[str, Quota] = {}
        self.refs: dict[str, Ref] = {}

    def start(self, *, tenant_id: str, session_id: str, quota: Quota, services: Any) -> Ref:
        """As ``SessionActor.start``."""
        assert (tenant_id, services.clock.now().tzinfo) == (AGENCY, UTC)
        self.quotas[session_id] = quota
        return self._inbox(session_id)

    def supplier(self, name: str, agency: drivers.Agency) -> Child:
        """As ``drivers.child``."""
        assert agency.tenant_id == AGENCY
        return Child(name, lambda: self._inbox(name), restart=Restart.TRANSIENT)

    def _inbox(self, name: str) -> Ref:
        self.refs[name] = Inbox.start(self.received.setdefault(name, []))
        return self.refs[name]


class Root(Supervisor[Any]):
    """The parent of one agency."""

    def __init__(self, services: FakeServices, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.services = services
        self.actors: list[TenantActor] = []

    def make(self) -> Ref:
        actor = TenantActor(tenant_id=AGENCY, services=self.services.made())
        run_actor(actor)
        self.actors.append(actor)
        return actor.ref

    async def receive(self, message: Any) -> Any:
        return self.route(Child(AGENCY, self.make, restart=Restart.TRANSIENT), message)


class Agency:
    """An agency below its root, with its store."""

    def __init__(self, children: Children) -> None:
        self.children = children
        self.clock = ManualClock()
        self.store = FakeStore()
        self.settings = TenantSettings(tenant_id=AGENCY)
        self.used = usage.Used([], 0)
        self.store.on(stored.Load, lambda _: self.settings)
        self.store.on(usage.Read, lambda _: self.used)
        self.services = FakeServices(self.store, self.clock)
        self.root = Root(self.services, self.clock)

    async def ask(self, message: Any) -> Any:
        return await self.root.ref.ask(message)

    @property
    def actor(self) -> TenantActor:
        return self.root.actors[-1]

    def active(self) -> bool:
        return bool(ActorMeter.of("TenantActor").mailboxes)

    async def child(self) -> None:
        await self.actor.start_child(Child("session", Idle.start, restart=Restart.TEMPORARY))

    async def child_ends(self) -> None:
        await self.actor.stop_child("session")

    async def child_fails(self) -> None:
        child = self.actor.child("session")
        assert child is not None
        child.tell(READ)
        await child.ended()

    async def reserve(self) -> None:
        assert self.actor.quota.reserve(100) is None

    async def settle(self) -> None:
        self.actor.quota.settle(100, 0)

    async def settle_writes(self) -> None:
        self.store.hold(unsettled_writes.Unsettled)
        await self.ask(SettleWrites(tenant_id=AGENCY))
        await until(lambda: self.store.held)

    async def writes_settled(self) -> None:
        self.store.held.pop().reply.set_result([])


class Idle(Actor[Any]):
    """A child that does nothing."""


@pytest.fixture
async def agency(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agency]:
    children = Children()
    monkeypatch.setattr(session, "SessionActor", children)
    monkeypatch.setattr(drivers, "child", children.supplier)
    made = Agency(children)
    run_actor(made.root)
    yield made
    await made.root.ref.stop_and_wait(5.0)


Act = Callable[[Agency], Any]
WAYS: dict[str, tuple[Act, Act]] = {
    "a session that passivates": (Agency.child, Agency.child_ends),
    "a session that fails": (Agency.child, Agency.child_fails),
    "reserved tokens": (Agency.reserve, Agency.settle),
    "writes being settled": (Agency.settle_writes, Agency.writes_settled),
}


@pytest.mark.parametrize("way", WAYS)
async def test_an_agency_is_active_while_something_needs_it_and_passivates_afterwards(way: str, agency: Agency) -> None:
    way_in, way_out = WAYS[way]
    await agency.ask(READ)
    await way_in(agency)
    await agency.clock.advance(3 * IDLE_SECONDS)
    assert agency.active()
    await way_out(agency)
    await agency.clock.advance(IDLE_SECONDS)
    await agency.clock.advance(1.0)
    assert not agency.active()
    await agency.ask(READ)
    assert agency.active()


async def test_an_agency_that_nothing_needs_passivates(agency: Agency) -> None:
    await agency.ask(READ)
    await agency.clock.advance(IDLE_SECONDS + 1.0)
    assert not agency.active()


async def test_no_incarnation_of_an_agency_starts_in_a_process_that_has_lost_its_lead(agency: Agency) -> None:
    await agency.ask(READ)
    failed = agency.actor.ref
    agency.services.leads = False
    failed.signal(fail)
    await failed.ended()
    held = asyncio.ensure_future(agency.ask(READ))
    await agency.clock.advance(1.0)
    with pytest.raises(Unavailable, match="not_ready"):
        await held
    assert not agency.active()
    agency.services.leads = True
    await agency.ask(READ)
    assert agency.active()


async def fail() -> None:
    raise ValueError


async def test_an_agency_starts_from_what_it_used_before(agency: Agency) -> None:
    agency.settings = replace(agency.settings, daily_token_budget=1000, rate_limit_per_minute=2)
    agency.used = usage.Used([3000.0, 59.0, 1.0], 400)
    assert await agency.ask(READ) == Budget(limit=1000, used_today=400, reserved=0)
    [load], [read] = agency.store.of(stored.Load), agency.store.of(usage.Read)
    assert {(each.tenant_id, each.now) for each in (load, read)} == {(AGENCY, MORNING)}
    assert agency.actor.quota.admit() == TurnError("rate_limited", "minute")


async def test_a_budget_tells_what_is_reserved_apart_from_what_was_used(agency: Agency) -> None:
    assert await agency.ask(READ) == Budget(limit=agency.settings.daily_token_budget, used_today=0, reserved=0)
    agency.actor.quota.reserve(300)
    agency.actor.quota.settle(200, 50)
    assert await agency.ask(READ) == Budget(limit=agency.settings.daily_token_budget, used_today=50, reserved=100)


@pytest.mark.parametrize(
    ("failure", "lost"), [(Unavailable("storage_unavailable"), 1), (ValueError("a defect"), 0), (None, 0)]
)
async def test_an_agency_that_unavailable_storage_ends_says_so(
    failure: Exception | None, lost: int, agency: Agency
) -> None:
    await agency.ask(READ)
    ended = agency.actor.ref
    if failure is None:
        ended.stop_soon()
    else:
        agency.actor.run_soon(lambda: raises(failure))
    await ended.ended()
    assert agency.services.storage_lost == lost


async def test_messages_reach_their_session_which_shares_the_agency_s_quota(agency: Agency) -> None:
    wakes = [session_messages.Wake(tenant_id=AGENCY, session_id=name) for name in ("s-1", "s-2", "s-1")]
    assert [await agency.ask(wake) for wake in wakes] == [True] * 3
    assert agency.children.received == {"s-1": [wakes[0], wakes[2]], "s-2": [wakes[1]]}
    assert set(agency.children.quotas.values()) == {agency.actor.quota}


async def test_messages_reach_their_supplier(agency: Agency) -> None:
    read = supplier.Read(tenant_id=AGENCY, supplier="house", supplier_ref="X7KQ2P")
    assert await agency.ask(read)
    assert agency.children.received == {"house": [read]}


async def test_what_was_pruned_starts_no_session(agency: Agency) -> None:
    pruned = [session_messages.Pruned(tenant_id=AGENCY, session_id=name, through=7) for name in ("s-1", "s-2")]
    await agency.ask(session_messages.Wake(tenant_id=AGENCY, session_id="s-1"))
    for each in pruned:
        await agency.ask(each)
    await until(lambda: pruned[0] in agency.children.received["s-1"])
    assert list(agency.children.received) == ["s-1"]


async def activate(agency: Agency, names: list[str]) -> None:
    for name in names:
        await agency.ask(session_messages.Wake(tenant_id=AGENCY, session_id=name))


def asked_to_passivate(agency: Agency) -> set[str]:
    return {name for name, sent in agency.children.received.items() if any(map(asks_to_passivate, sent))}


def asks_to_passivate(message: Any) -> bool:
    return isinstance(message, session_messages.PassivateIfIdle)


async def test_beyond_its_limit_the_agency_asks_the_least_recently_used_sessions_to_passivate(agency: Agency) -> None:
    names = [f"s-{number}" for number in range(ACTIVE_SESSIONS)]
    await activate(agency, [*names, "s-0", "s-1"])
    assert asked_to_passivate(agency) == set()
    await activate(agency, ["one more"])
    oldest = {f"s-{number}" for number in range(2, 2 + PASSIVATION_BATCH)}
    await until(lambda: asked_to_passivate(agency) == oldest)
    await activate(agency, ["one more", "s-7"])
    assert asked_to_passivate(agency) == oldest, "nothing was activated"
    await activate(agency, ["yet another"])
    await until(lambda: len(asked_to_passivate(agency)) == 2 * PASSIVATION_BATCH)
    sent = [sum(map(asks_to_passivate, each)) for each in agency.children.received.values()]
    assert max(sent) == 1, "those that were asked come last"


async def test_a_session_that_has_ended_makes_way_without_being_asked(agency: Agency) -> None:
    names = [f"s-{number}" for number in range(ACTIVE_SESSIONS)]
    await activate(agency, names)
    agency.children.refs["s-9"].stop_soon()
    await until(lambda: agency.actor.child("s-9") is None)
    await activate(agency, ["one more"])
    assert asked_to_passivate(agency) == set()


def approval(session_id: str) -> Approval:
    return Approval(
        id="ap-1",
        session_id=session_id,
        turn_id="t-1",
        tool_call_id="toolu_1",
        tool_name="book_flight",
        summary="Book it",
        requested_at=MORNING,
        expires_at=MORNING,
        status="pending",
        payload={},
        resolved_at=None,
        resolved_by_user_id=None,
        reason=None,
        approver_roles=(),
    )


async def test_a_decision_goes_to_the_session_of_its_approval(agency: Agency) -> None:
    agency.store.on(approvals.Get, lambda _: approval("s-2"))
    decision = Decision("ap-1", granted=True)
    key = IdempotencyKey(tenant_id=AGENCY, user_id="asha", route="r", key="k", body_hash=b"")
    assert await agency.ask(Resolve(tenant_id=AGENCY, who=ASHA, decision=decision, key=key))
    [get] = agency.store.of(approvals.Get)
    assert (get.tenant_id, get.approval_id, get.now) == (AGENCY, "ap-1", MORNING)
    assert agency.children.received == {
        "s-2": [session_messages.Resolve(tenant_id=AGENCY, session_id="s-2", who=ASHA, decision=decision, key=key)]
    }


async def test_a_decision_on_an_approval_that_is_not_there_is_refused(agency: Agency) -> None:
    agency.store.on(approvals.Get, lambda _: raises(NotFound("approval_not_found")))
    with pytest.raises(NotFound, match="approval_not_found"):
        await agency.ask(Resolve(tenant_id=AGENCY, who=ASHA, decision=Decision("ap-1", granted=True)))
    assert agency.children.received == {}


def change(**changes: Any) -> Change:
    return Change(tenant_id=AGENCY, changes=changes, by="asha", origin=Origin("r-1"))


async def test_changed_settings_apply_to_sessions_that_run_as_soon_as_they_are_answered(agency: Agency) -> None:
    agency.store.on(stored.Change, lambda asked: replace(agency.settings, **asked.changes))
    await activate(agency, ["s-1"])
    answered = await agency.ask(change(rate_limit_per_minute=1))
    assert answered == replace(agency.settings, rate_limit_per_minute=1)
    quota = agency.children.quotas["s-1"]
    assert [quota.admit(), quota.admit()] == [None, TurnError("rate_limited", "minute")]
    [asked] = agency.store.of(stored.Change)
    assert (asked.tenant_id, asked.by, asked.origin, asked.now) == (AGENCY, "asha", Origin("r-1"), MORNING)


async def test_settings_that_could_not_be_stored_do_not_apply(agency: Agency) -> None:
    agency.store.on(stored.Change, lambda _: raises(Conflict("no")))
    with pytest.raises(Conflict, match="no"):
        await agency.ask(change(rate_limit_per_minute=1))
    assert agency.actor.quota.settings == agency.settings


async def test_the_agency_handles_other_messages_while_settings_are_stored(agency: Agency) -> None:
    agency.store.hold(stored.Change)
    changing = asyncio.ensure_future(agency.ask(change(rate_limit_per_minute=1)))
    await until(lambda: agency.store.held)
    assert (await agency.ask(READ)).reserved == 0
    agency.store.held.pop().reply.set_result(agency.settings)
    assert await changing == agency.settings


async def test_writes_are_settled_by_one_task_at_a_time(agency: Agency) -> None:
    await agency.settle_writes()
    await agency.ask(SettleWrites(tenant_id=AGENCY))
    await agency.ask(READ)
    assert len(agency.store.of(unsettled_writes.Unsettled)) == 1
    await agency.writes_settled()
    settling = agency.actor.settling
    assert settling is not None
    await settling
    await agency.settle_writes()
    assert len(agency.store.of(unsettled_writes.Unsettled)) == 2


@pytest.mark.parametrize(("session_id", "expected"), [("s-1", "s-1"), (None, DELETED_SESSION)])
async def test_writes_are_settled_in_the_name_of_their_user_and_session(
    session_id: str | None, expected: str, agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    async def settle_writes(tenant_id: str, store: Any, clock: Any, tools: Any) -> None:
        assert (tenant_id, store, clock) == (AGENCY, agency.store, agency.clock)
        made.append(tools(CALL, session_id))

    monkeypatch.setattr("voyagent.actors.tenant.settling.settle_writes", settle_writes)
    await agency.ask(SettleWrites(tenant_id=AGENCY))
    await until(lambda: made)
    [context] = made
    assert (context.tenant_id, context.session_id, context.turn_id) == (AGENCY, expected, "t-1")
    assert (context.user_id, context.settings) == ("asha", agency.settings)


CALL = ToolCall(
    id="c-1",
    turn_id="t-1",
    call_id="toolu_1",
    tool="book_flight",
    desk="ticketing_visa",
    input={},
    effect="irreversible",
    user_id="asha",
    position=0,
)
