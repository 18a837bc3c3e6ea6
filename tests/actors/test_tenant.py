"""An agency's actor stays active exactly while something needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.manual_clock import ManualClock
from tests.waiting import Event
from voyagent.actors import tenant
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.foundation.metrics import ActorMeter
from voyagent.actors.runtime.actor import Actor
from voyagent.actors.runtime.supervisor import Child, Restart, Supervisor
from voyagent.actors.tenant import IDLE_SECONDS, ReadBudget, TenantActor
from voyagent.storage.accounts import settings as stored
from voyagent.storage.conversation import usage

AGENCY = "0193f5a0-0000-7000-8000-00000000000a"


class Store:
    """Answers what an agency reads at its start."""

    async def ask(self, message: Any, within: float = 10.0) -> Any:  # noqa: ARG002
        if isinstance(message, stored.Load):
            return TenantSettings(tenant_id=AGENCY)
        assert isinstance(message, usage.Read)
        return usage.Used([], 0)


class World:
    def __init__(self, clock: ManualClock) -> None:
        self.store = Store()
        self.clock = clock
        self.leads = True

    def is_leader(self) -> bool:
        return self.leads

    def on_storage_lost(self) -> None: ...


class Idle(Actor):
    """A child that does nothing."""


class Root(Supervisor):
    """The parent of one agency."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.world = World(clock)
        self.actors: list[TenantActor] = []

    def make(self) -> Any:
        actor = TenantActor(tenant_id=AGENCY, services=self.world)  # type: ignore[arg-type]
        actor._start_actor_loop()
        self.actors.append(actor)
        return actor.ref

    async def receive(self, message: Any) -> Any:
        return self.route(Child(AGENCY, self.make, restart=Restart.TRANSIENT), message)


class Agency:
    def __init__(self, root: Root, clock: ManualClock) -> None:
        self.root = root
        self.clock = clock
        self.gate = Event()

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
        child.tell(ReadBudget(tenant_id=AGENCY))
        await child.ended()

    async def reserve(self) -> None:
        assert self.actor.quota.reserve(100) is None

    async def settle(self) -> None:
        self.actor.quota.settle(100, 0)

    async def settle_writes(self) -> None:
        self.actor.settling = self.actor.spawn(self._wait(), name="settling")

    async def _wait(self) -> None:
        await self.gate.wait()

    async def writes_settled(self) -> None:
        self.gate.set()

    async def nothing(self) -> None: ...


@pytest.fixture
async def agency() -> AsyncIterator[Agency]:
    clock = ManualClock()
    root = Root(clock)
    root._start_actor_loop()
    await root.ref.ask(ReadBudget(tenant_id=AGENCY))
    yield Agency(root, clock)
    await root.ref.stop_and_wait(5.0)


Act = Callable[[Agency], Any]
WAYS: dict[str, tuple[Act, Act]] = {
    "a session that passivates": (Agency.child, Agency.child_ends),
    "a session that fails": (Agency.child, Agency.child_fails),
    "tokens set aside": (Agency.reserve, Agency.settle),
    "writes being settled": (Agency.settle_writes, Agency.writes_settled),
}


@pytest.mark.parametrize("way", WAYS)
async def test_an_agency_is_active_while_something_needs_it_and_passivates_afterwards(way: str, agency: Agency) -> None:
    way_in, way_out = WAYS[way]
    await way_in(agency)
    await agency.clock.advance(3 * IDLE_SECONDS)
    assert agency.active()
    await way_out(agency)
    await agency.clock.advance(IDLE_SECONDS)
    await agency.clock.advance(1.0)
    assert not agency.active()
    await agency.root.ref.ask(ReadBudget(tenant_id=AGENCY))
    assert agency.active()


async def test_an_agency_that_nothing_needs_passivates(agency: Agency) -> None:
    await agency.clock.advance(IDLE_SECONDS + 1.0)
    assert not agency.active()
    assert tenant.ACTIVE_SESSIONS > tenant.PASSIVATION_BATCH


async def test_no_incarnation_of_an_agency_starts_in_a_process_that_has_lost_its_lead(agency: Agency) -> None:
    failed = agency.actor.ref
    agency.root.world.leads = False
    failed.signal(raise_it)
    await failed.ended()
    held = asyncio.ensure_future(agency.root.ref.ask(ReadBudget(tenant_id=AGENCY)))
    await agency.clock.advance(1.0)
    with pytest.raises(Unavailable, match="not_ready"):
        await held
    assert not agency.active()
    agency.root.world.leads = True
    await agency.root.ref.ask(ReadBudget(tenant_id=AGENCY))
    assert agency.active()


async def raise_it() -> None:
    raise ValueError
