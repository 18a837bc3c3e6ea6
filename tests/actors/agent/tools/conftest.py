"""A desk with its tools: real storage, real Redis, and the embedded inventory with faults that tests set."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, cast

import pytest

from tests.actors.agent.tools.office import Office, open_office
from tests.manual_clock import ManualClock
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.supplier_tool import Executed, GatedSupplierTool, SupplierTool
from voyagent.actors.agent.tools.tool import ApprovalProposal, DatabaseTool, GatedDatabaseTool, ReadTool, ToolContext
from voyagent.actors.domain import ids
from voyagent.actors.domain.audit import canonical
from voyagent.actors.domain.hotels import HotelOffer, HotelOrder
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.outcomes import Outcome
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.domain.travel import FlightOffer, FlightOrder
from voyagent.actors.domain.turns import ToolCall
from voyagent.actors.suppliers.clients import AgencySuppliers
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
from voyagent.actors.suppliers.house.stays import HouseHotels
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.actors.suppliers.supplier import SupplierActor
from voyagent.storage.engine.sealing import Sealing
from voyagent.storage.travel.offer_cache import OfferCache

RING = Sealing({"one": bytes(range(32))})
SEARCH = {"origin": "BOM", "destination": "DXB", "outbound_date": "2026-12-05"}


class Output(dict[str, Any]):
    """An outcome's JSON, and the state it leaves its call in."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.to_output())
        self.state = outcome.state


class AgencyLike(Protocol):
    tenant_id: str
    user_id: str
    session_id: str
    turn_id: str
    store: Any
    db: Any

    async def call(self, tool: str) -> str: ...


class Moody(EmbeddedInventory):
    """The embedded inventory of flights, with prices and failures that tests set."""

    surcharge = 0
    temper: SupplierError | None = None
    silent = False
    bookings = 0

    async def price(self, offer: FlightOffer) -> FlightOffer:
        found = await super().price(offer)
        return found.model_copy(update={"price": found.price + Money.of(self.surcharge, found.price.currency)})

    async def read(self, supplier_ref: str) -> FlightOrder:
        order = await super().read(supplier_ref)
        return order.model_copy(update={"price": order.price + Money.of(self.surcharge, order.price.currency)})

    async def book(self, offer: FlightOffer, passengers: Any, key: str, held: str | None = None) -> FlightOrder:
        self.bookings += 1
        if self.temper is not None:
            raise self.temper
        order = await super().book(offer, passengers, key, held)
        if self.silent:
            raise SupplierError("transient", "the line went dead")
        return order

    async def find(self, key: str) -> FlightOrder | None:
        if self.temper is not None:
            raise self.temper
        return await super().find(key)


class MoodyHotels(HouseHotels):
    """The embedded inventory of hotels, with prices, conditions and failures that tests set."""

    surcharge = Decimal(0)
    conditions: str | None = None
    temper: SupplierError | None = None
    bookings = 0

    async def check_rate(self, offer: HotelOffer) -> HotelOffer:
        found = await super().check_rate(offer)
        moved = {"price": found.price + Money.of(self.surcharge, found.price.currency)}
        return found.model_copy(update=moved | {"cancellation": self.conditions or found.cancellation})

    async def book(self, offer: HotelOffer, guests: Any, key: str) -> HotelOrder:
        self.bookings += 1
        if self.temper is not None:
            raise self.temper
        return await super().book(offer, guests, key)


@dataclass
class Desk:
    """A desk with tools in its hands."""

    agency: AgencyLike
    house: Moody
    hotels: MoodyHotels
    context: ToolContext
    clock: ManualClock

    async def read(self, name: str, **given: Any) -> Output:
        tool = cast("ReadTool[Any]", CATALOGUE[name])
        return Output(await tool.read(tool.parse(given), self.context))

    async def plan(self, name: str, *, key: str | None = None, **given: Any) -> Output:
        tool = cast("DatabaseTool[Any]", CATALOGUE[name])
        plan = tool.plan(tool.parse(given), self.context, key or ids.uuid7())
        return Output(await self.agency.store.ask(plan))

    async def bind(self, name: str, **given: Any) -> ApprovalProposal | Output:
        """What a human is asked about a plan, or why it cannot be done."""
        tool = cast("GatedDatabaseTool[Any]", CATALOGUE[name])
        return _shown(await self.agency.store.ask(tool.gate(tool.parse(given), self.context)))

    async def check(self, name: str = "book_flight", **given: Any) -> ApprovalProposal | Output:
        tool = cast("GatedSupplierTool[Any]", CATALOGUE[name])
        return _shown(await tool.check(tool.parse(given), self.context))

    async def gate(self, name: str = "book_flight", **given: Any) -> ApprovalProposal:
        gate = await self.check(name, **given)
        assert isinstance(gate, ApprovalProposal), gate
        return gate

    async def place(
        self,
        name: str = "book_flight",
        *,
        bound: dict[str, Any] | None = None,
        key: str | None = None,
        again: bool = False,
        **given: Any,
    ) -> Output:
        """Place an order and write it down, as a turn does; answers the output."""
        tool = cast("SupplierTool[Any]", CATALOGUE[name])
        parsed, key = tool.parse(given), key or await self.agency.call(name)
        placed = await tool.place(parsed, _stored(bound or {}), key, self.context, again=again)
        if not isinstance(placed, Executed):
            return Output(placed)
        record = tool.record(parsed, placed, self.row(name, key, given), self.context)
        return Output(await self.agency.store.ask(record))

    def row(self, name: str, key: str, given: dict[str, Any]) -> ToolCall:
        return ToolCall(
            id=key,
            turn_id=self.agency.turn_id,
            call_id=key,
            tool=name,
            desk="ticketing_visa",
            input=given,
            effect="irreversible",
            user_id=self.agency.user_id,
            position=0,
        )

    async def person(self, full_name: str = "Asha Rao", **given: Any) -> str:
        saved = await self.plan("upsert_passenger", full_name=full_name, **given)
        return cast("str", saved["passenger_id"])

    async def fare(self, *, hold: bool = False, **given: Any) -> dict[str, Any]:
        found = await self.read("search_flights", **SEARCH | given)
        return next(fare for fare in found["fares"] if fare["hold_possible"] or not hold)

    async def ready(self, **given: Any) -> dict[str, Any]:
        """The input of a booking that could be made."""
        return {"fare_id": (await self.fare(**given))["fare_id"], "passenger_ids": [await self.person()]}

    async def count(self, table: str) -> int:
        return cast("int", await self.agency.db.fetchval(f"SELECT count(*) FROM {table}"))


def _shown(gate: ApprovalProposal | Outcome) -> ApprovalProposal | Output:
    """What is bound is equal to itself after it was stored: else no approval of it could ever be used."""
    if not isinstance(gate, ApprovalProposal):
        return Output(gate)
    assert gate.bound == _stored(gate.bound)
    return gate


def _stored(bound: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from the database."""
    return cast("dict[str, Any]", json.loads(canonical(bound)))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def desk(agency: AgencyLike, clock: ManualClock, redis_url: str) -> AsyncIterator[Desk]:
    house = Moody(agency.tenant_id, agency.store, clock)
    hotels = MoodyHotels(agency.tenant_id, agency.store, clock)
    ref = SupplierActor.start(name="house", flights=house, hotels=hotels, clock=HurriedClock(clock))
    offers = OfferCache.open(redis_url, clock)
    context = ToolContext(
        tenant_id=agency.tenant_id,
        session_id=agency.session_id,
        turn_id=agency.turn_id,
        user_id=agency.user_id,
        settings=TenantSettings(tenant_id=agency.tenant_id),
        clock=clock,
        store=agency.store,
        offers=offers,
        suppliers=AgencySuppliers(agency.tenant_id, ["house"], ref),
        sealing=RING,
    )
    yield Desk(agency, house, hotels, context, clock)
    await offers.close()
    await ref.stop_and_wait(5.0)


@pytest.fixture
async def office(agency: AgencyLike, clock: ManualClock, desk: Desk) -> AsyncIterator[Office]:
    async with open_office(agency, clock, desk) as opened:
        yield opened


class HurriedClock(ManualClock):
    """The desk's time, in which nobody waits between two attempts."""

    def __init__(self, desk: ManualClock) -> None:
        super().__init__(desk.now())

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)
