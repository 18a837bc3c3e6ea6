"""The travel tools on real storage and the house: what is shown is what is bound, and what is bound is what runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol, cast

import pytest

from voyagent.actors import ids
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.tool import Gate, Order, Placed, Plan, Reading, ToolContext
from voyagent.actors.clock import ManualClock
from voyagent.actors.domain.audit import canonical
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.domain.travel import FlightOffer, FlightOrder
from voyagent.actors.domain.turns import Call
from voyagent.actors.supplier import AgencySuppliers, SupplierActor
from voyagent.actors.suppliers.house.driver import House
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.storage.ledger import verdict
from voyagent.storage.offer_cache import OfferCache

SEARCH = {"origin": "BOM", "destination": "DXB", "outbound_date": "2026-12-05"}


class AgencyLike(Protocol):
    tenant_id: str
    user_id: str
    session_id: str
    turn_id: str
    store: Any
    db: Any

    async def call(self, tool: str) -> str: ...


class Moody(House):
    """The house, with a price and a temper that tests set."""

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


@dataclass
class Desk:
    """A desk with tools in its hands."""

    agency: AgencyLike
    house: Moody
    context: ToolContext
    clock: ManualClock

    async def read(self, name: str, **given: Any) -> dict[str, Any]:
        tool = cast("Reading[Any]", CATALOGUE[name])
        return await tool.read(tool.parse(given), self.context)

    async def plan(self, name: str, **given: Any) -> dict[str, Any]:
        tool = cast("Plan[Any]", CATALOGUE[name])
        return cast("dict[str, Any]", await self.agency.store.ask(tool.plan(tool.parse(given), self.context)))

    async def check(self, **given: Any) -> Gate | dict[str, Any]:
        tool = cast("Order[Any]", CATALOGUE["book_flight"])
        return await tool.check(tool.parse(given), self.context)

    async def gate(self, **given: Any) -> Gate:
        gate = await self.check(**given)
        assert isinstance(gate, Gate), gate
        return gate

    async def place(
        self, name: str = "book_flight", *, bound: dict[str, Any] | None = None, key: str | None = None, **given: Any
    ) -> dict[str, Any]:
        """Place an order and write it down, as a turn does; answers the output."""
        tool = cast("Order[Any]", CATALOGUE[name])
        parsed, key = tool.parse(given), key or await self.agency.call(name)
        placed = await tool.place(parsed, _stored(bound or {}), key, self.context)
        if not isinstance(placed, Placed):
            return placed
        record = tool.record(parsed, placed, self.row(name, key, given), self.context)
        return cast("dict[str, Any]", await self.agency.store.ask(record))

    def row(self, name: str, key: str, given: dict[str, Any]) -> Call:
        return Call(
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


def _stored(bound: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from the database."""
    return cast("dict[str, Any]", json.loads(canonical(bound)))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def desk(agency: AgencyLike, clock: ManualClock, redis_url: str) -> AsyncIterator[Desk]:
    house = Moody(agency.tenant_id, agency.store, clock)
    ref = SupplierActor.start(driver=house, clock=HurriedClock(clock))
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
    )
    yield Desk(agency, house, context, clock)
    await offers.close()
    await ref.stop_and_wait(5.0)


class HurriedClock(ManualClock):
    """The desk's time, in which nobody waits between two attempts."""

    def __init__(self, desk: ManualClock) -> None:
        super().__init__(desk.now())

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)


def reason(output: Any) -> str:
    assert isinstance(output, dict), output
    assert verdict(output) == "failed"
    assert output["detail"]
    return cast("str", output["reason"])


async def test_a_search_tells_at_most_twenty_fares_cheapest_first_and_counts_all(desk: Desk) -> None:
    found = await desk.read("search_flights", origin="BOM", destination="BJS", outbound_date="2026-12-05")
    assert found["count"] > 20
    assert len(found["fares"]) == 20
    prices = [Money.read(fare["price"]).amount for fare in found["fares"]]
    assert prices == sorted(prices)
    fare = found["fares"][0]
    assert list(fare) == [
        "fare_id",
        "source",
        "source_ref",
        "price",
        "valid_until",
        "carrier",
        "stops",
        "departs_at",
        "arrives_at",
        "cabin",
        "hold_possible",
    ]
    assert fare["source"] == "house"
    assert fare["price"].startswith("INR ")
    assert fare["valid_until"] == f"{desk.clock.now() + timedelta(minutes=20):%Y-%m-%dT%H:%M:%S.%fZ}"
    assert fare["departs_at"] < fare["arrives_at"]


async def test_b56_the_price_is_in_the_agencys_currency(desk: Desk) -> None:
    desk.context = replace(desk.context, settings=replace(desk.context.settings, default_currency="AED"))
    assert (await desk.fare())["price"].startswith("AED ")


async def test_a_supplier_that_cannot_search_says_why(desk: Desk) -> None:
    refused = await desk.read("search_flights", **SEARCH | {"destination": "ZZZ"})
    assert refused == {"error": "validation_failed: ZZZ is not an airport or city that is served"}
    desk.context = replace(desk.context, suppliers=AgencySuppliers(desk.agency.tenant_id, [], desk.agency.store))
    refused = await desk.read("search_flights", **SEARCH)
    assert refused["error"].startswith("capability_not_supported: ")


async def test_a_search_without_result_is_a_result(desk: Desk) -> None:
    assert await desk.read("search_flights", **SEARCH | {"outbound_date": "2020-01-01"}) == {"count": 0, "fares": []}


async def test_a_person_is_saved_and_looked_up(desk: Desk) -> None:
    saved = await desk.plan(
        "upsert_passenger", full_name=" Asha\u202e  Rao ", email="Asha <ASHA@example.com>", date_of_birth="1990-02-28"
    )
    assert saved == {"saved": True, "passenger_id": saved["passenger_id"], "created": True}
    again = await desk.plan("upsert_passenger", full_name="Asha Rao", email="asha@example.com", phone="+919820012345")
    assert again == saved | {"created": False}
    assert await desk.read("lookup_passenger", query="asha") == {
        "count": 1,
        "passengers": [
            {
                "passenger_id": saved["passenger_id"],
                "full_name": "Asha Rao",
                "email": "asha@example.com",
                "phone": "+919820012345",
                "date_of_birth": "1990-02-28",
                "nationality": None,
                "passport_last4": None,
                "passport_expiry": None,
            }
        ],
    }


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"phone": "9820012345"}, "invalid_phone"),
        ({"phone": "+0123456789"}, "invalid_phone"),
        ({"phone": "+91982001234512345"}, "invalid_phone"),
        ({"email": "nobody"}, "invalid_email"),
        ({"email": "a@b@c.com"}, "invalid_email"),
        ({"passenger_id": "nobody"}, "not_found"),
        ({"passenger_id": "01a20b55-82b8-7224-a4f3-8780048d6e87"}, "not_found"),
    ],
)
async def test_a_person_is_not_saved_with_wrong_details(desk: Desk, given: dict[str, Any], why: str) -> None:
    assert reason(await desk.plan("upsert_passenger", full_name="Asha Rao", **given)) == why
    assert await desk.count("passengers") == 0


async def test_two_people_on_file_are_not_made_one(desk: Desk) -> None:
    asha, ravi = (
        await desk.person("Asha Rao", email="rao@example.com"),
        await desk.person("Ravi Rao", email="rao@example.com"),
    )
    refused = await desk.plan("upsert_passenger", full_name="Asha Rao", passenger_id=ravi)
    assert reason(refused) == "already_on_file"
    assert asha in refused["detail"]


async def test_a_booking_is_put_to_a_human_with_all_that_matters_on_one_line(desk: Desk) -> None:
    fare = await desk.fare(
        origin="BOM", destination="LHR", return_date="2026-12-19", passengers={"adult": 2}, direct_only=True
    )
    people = [await desk.person("Asha Rao"), await desk.person("Ravi Rao")]
    gate = await desk.gate(fare_id=fare["fare_id"], passenger_ids=people, buyer_reference="PO-7")
    out, back = gate.bound["segments"]
    assert "\n" not in gate.summary
    for part in (
        "Asha Rao, Ravi Rao",
        "2 adults",
        fare["price"],
        "supplier house",
        "reference PO-7",
        f"{out['flight']} BOM-LHR 2026-12-05",
        f"back {back['flight']} LHR-BOM 2026-12-19",
        f"ends {gate.expires_at:%Y-%m-%d %H:%M} UTC",
    ):
        assert part in gate.summary
    assert gate.expires_at == desk.clock.now() + timedelta(minutes=20)


async def test_what_is_bound_is_all_that_is_shown_and_plain_json(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given, buyer_reference="PO-7")
    bound = gate.bound
    assert _stored(bound) == bound
    assert (bound["supplier"], bound["offer_id"], bound["buyer_reference"]) == ("house", given["fare_id"], "PO-7")
    assert [(person["passenger_id"], person["name"]) for person in bound["persons"]] == [
        (given["passenger_ids"][0], "Asha Rao")
    ]
    assert Money.of(bound["price"]["amount"], bound["price"]["currency"]).text in gate.summary
    assert (await desk.gate(**given, buyer_reference="PO-7")).bound == bound, "asked twice it is the same"


async def test_the_longest_summary_still_fits(desk: Desk) -> None:
    fare = await desk.fare(destination="LHR", return_date="2026-12-19", passengers={"adult": 9})
    people = [await desk.person(f"{'Wolfeschlegelstein' * 12} {'Hausenbergerdorff' * 2}{place}") for place in range(9)]
    gate = await desk.gate(fare_id=fare["fare_id"], passenger_ids=people, buyer_reference="x" * 128)
    assert len(gate.summary) <= 1024
    assert "supplier house" in gate.summary


async def test_an_approved_booking_is_made_and_written_down(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    key = await desk.agency.call("book_flight")
    booked = await desk.place(bound=gate.bound, key=key, **given)
    assert list(booked) == ["booked", "booking_id", "locator", "supplier", "supplier_ref", "status", "price"]
    assert (booked["booked"], booked["status"], booked["supplier"]) == (True, "confirmed", "house")
    assert booked["price"] in gate.summary
    assert verdict(booked) == "succeeded"
    row = await desk.agency.db.fetchrow("SELECT * FROM bookings")
    assert (str(row["id"]), str(row["tool_call_id"]), str(row["session_id"])) == (
        booked["booking_id"],
        key,
        desk.agency.session_id,
    )
    assert (
        str(await desk.agency.db.fetchval("SELECT passenger_id FROM booking_passengers")) == given["passenger_ids"][0]
    )


async def test_b17_the_same_call_placed_many_times_books_once(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    key = await desk.agency.call("book_flight")
    outputs = await asyncio.gather(*(desk.place(bound=gate.bound, key=key, **given) for _ in range(16)))
    assert all(output == outputs[0] for output in outputs)
    assert await desk.count("house_orders") == 1
    assert await desk.count("bookings") == 1


async def test_a_booking_is_read_by_its_locator(desk: Desk) -> None:
    given = await desk.ready()
    booked = await desk.place(bound=(await desk.gate(**given)).bound, **given)
    pnr = await desk.read("read_pnr", locator=f" {booked['locator'].lower()} ")
    assert pnr["pnr_id"] == booked["booking_id"]
    assert (pnr["status"], pnr["passenger_count"], pnr["fare_count"], pnr["tickets"]) == ("confirmed", 1, 1, [])
    assert (pnr["price"], pnr["hold_expires_at"]) == (booked["price"], None)
    assert pnr["segment_count"] == len(pnr["segments"])
    assert pnr["segments"][0]["origin"] == "BOM"
    assert pnr["segments"][-1]["destination"] == "DXB"
    assert await desk.read("read_pnr", locator="NOBODY") == {
        "error": "not_found: no booking of this agency has this locator"
    }


async def test_b45_an_approval_outlives_the_cache(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.context = replace(desk.context, offers=OfferCache(None, desk.clock))
    assert (await desk.place(bound=gate.bound, **given))["booked"] is True


async def test_b45_a_fare_of_another_agency_is_unknown(desk: Desk, other_agency: AgencyLike) -> None:
    given = await desk.ready()
    await desk.gate(**given)
    desk.context = replace(desk.context, tenant_id=other_agency.tenant_id)
    assert reason(await desk.check(**given)) == "offer_not_found"


async def test_no_human_is_asked_for_what_cannot_be_booked(desk: Desk) -> None:
    given = await desk.ready()
    child = await desk.person("Mira Rao", type="child")
    mononym = await desk.person("Suharto")
    cases = {
        "offer_not_found": {"fare_id": "nobody"},
        "passenger_not_found": {"passenger_ids": [ids.uuid7()]},
        "passenger_incomplete": {"passenger_ids": [child]},
    }
    for why, change in cases.items():
        assert reason(await desk.check(**given | change)) == why
    assert reason(await desk.check(**given | {"passenger_ids": ["not-an-id"]})) == "passenger_not_found"
    assert "given_name" in cast("dict[str, Any]", await desk.check(**given | {"passenger_ids": [mononym]}))["detail"]
    two = [*given["passenger_ids"], await desk.person("Ravi Rao")]
    refused = cast("dict[str, Any]", await desk.check(**given | {"passenger_ids": two}))
    assert refused["detail"] == "The fare is for 1 adult; those named are 2 adults."
    assert await desk.count("offers") == 0


async def test_an_expired_fare_is_neither_asked_about_nor_booked(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    await desk.clock.advance(20 * 60)
    assert reason(await desk.check(**given)) == "offer_expired"
    assert reason(await desk.place(bound=gate.bound, **given)) == "offer_expired"
    assert await desk.count("house_orders") == 0


async def test_a_price_that_moved_before_the_question_is_told(desk: Desk) -> None:
    given = await desk.ready()
    desk.house.surcharge = 100
    assert reason(await desk.check(**given)) == "price_changed"


async def test_b3_a_price_that_moved_after_the_approval_is_asked_for_anew(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.surcharge = 100
    assert reason(await desk.place(bound=gate.bound, **given)) == "changed_since_approval"
    assert desk.house.bookings == 0


@pytest.mark.parametrize(
    "change",
    [
        {"full_name": "Ravi Rao"},
        {"full_name": "Asha Rao", "date_of_birth": "1990-01-01"},
        {"full_name": "Asha Rao", "title": "dr"},
    ],
)
async def test_b3_a_person_who_changed_after_the_approval_is_asked_about_anew(
    desk: Desk, change: dict[str, Any]
) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    await desk.plan("upsert_passenger", passenger_id=given["passenger_ids"][0], **change)
    assert reason(await desk.place(bound=gate.bound, **given)) == "changed_since_approval"
    assert desk.house.bookings == 0


async def test_b3_an_approval_is_good_for_exactly_its_input(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    other = {"passenger_ids": [await desk.person("Ravi Rao")]}
    for change in (other, {"buyer_reference": "PO-8"}, {"fare_id": (await desk.fare())["fare_id"]}):
        assert reason(await desk.place(bound=gate.bound, **given | change)) == "changed_since_approval"
    assert desk.house.bookings == 0


async def test_a_call_cut_short_after_the_supplier_acted_is_found_again(desk: Desk) -> None:
    """The service died between the booking and its record; meanwhile the offer has expired."""
    given = await desk.ready()
    gate = await desk.gate(**given)
    key = await desk.agency.call("book_flight")
    tool = cast("Order[Any]", CATALOGUE["book_flight"])
    assert isinstance(await tool.place(tool.parse(given), gate.bound, key, desk.context), Placed)
    assert await desk.count("bookings") == 0
    await desk.clock.advance(3600)
    assert await tool.repeatable(tool.parse(given), gate.bound, desk.context)
    assert (await desk.place(bound=gate.bound, key=key, **given))["booked"] is True
    assert (await desk.count("house_orders"), await desk.count("bookings")) == (1, 1)


async def test_b53_an_answer_that_is_lost_is_looked_up(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.silent = True
    assert (await desk.place(bound=gate.bound, **given))["booked"] is True
    assert await desk.count("house_orders") == 1


async def test_b53_an_outcome_nobody_knows_is_called_unknown(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.temper = SupplierError("transient", "the line went dead")
    output = await desk.place(bound=gate.bound, **given)
    assert output["error"].startswith("outcome_unknown: ")
    assert verdict(output) == "unknown"


async def test_a_refusal_is_not_told_while_an_earlier_attempt_may_have_succeeded(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    await desk.clock.advance(3600)
    desk.house.temper = SupplierError("permanent", "out of order")
    assert verdict(await desk.place(bound=gate.bound, **given)) == "unknown"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("conflict", "supplier_refused"),
        ("permanent", "supplier_refused"),
        ("validation_failed", "supplier_refused"),
        ("capability_not_supported", "capability_not_supported"),
    ],
)
async def test_a_suppliers_no_is_told_as_such(desk: Desk, code: Any, expected: str) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.temper = SupplierError(code, "No seats.")
    assert await desk.place(bound=gate.bound, **given) == {"booked": False, "reason": expected, "detail": "No seats."}


async def test_a_suppliers_failure_is_told_by_its_code(desk: Desk) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.temper = SupplierError("authentication", "The key is not accepted.")
    assert await desk.place(bound=gate.bound, **given) == {"error": "authentication: The key is not accepted."}


async def test_a_hold_keeps_seats_and_is_bought_later(desk: Desk) -> None:
    fare = await desk.fare(hold=True)
    held = await desk.place("hold_flight", fare_id=fare["fare_id"], passenger_ids=[await desk.person()])
    assert list(held) == ["held", "booking_id", "locator", "status", "price", "hold_expires_at"]
    assert (held["held"], held["status"], held["price"]) == (True, "tentative", fare["price"])
    await desk.clock.advance(3 * 3600)
    gate = await desk.gate(booking_id=held["booking_id"])
    assert f"hold {held['locator']} ends" in gate.summary
    assert gate.expires_at == desk.clock.now() + timedelta(hours=21)
    booked = await desk.place(bound=gate.bound, booking_id=held["booking_id"].upper())
    assert (booked["booking_id"], booked["locator"], booked["status"]) == (
        held["booking_id"],
        held["locator"],
        "confirmed",
    )
    pnr = await desk.read("read_pnr", locator=held["locator"])
    assert (pnr["status"], pnr["hold_expires_at"], pnr["passenger_count"]) == ("confirmed", None, 1)
    assert await desk.count("bookings") == 1
    assert reason(await desk.check(booking_id=held["booking_id"])) == "invalid_status"


async def test_a_hold_that_cannot_be_bought_says_why(desk: Desk) -> None:
    fare = await desk.fare(hold=True)
    held = await desk.place("hold_flight", fare_id=fare["fare_id"], passenger_ids=[await desk.person()])
    gate = await desk.gate(booking_id=held["booking_id"])
    assert reason(await desk.check(booking_id=ids.uuid7())) == "not_found"
    assert reason(await desk.check(booking_id="nobody")) == "not_found"
    desk.house.surcharge = 5
    assert reason(await desk.check(booking_id=held["booking_id"])) == "price_changed"
    assert reason(await desk.place(bound=gate.bound, booking_id=held["booking_id"])) == "changed_since_approval"
    desk.house.surcharge = 0
    await desk.clock.advance(24 * 3600)
    assert reason(await desk.check(booking_id=held["booking_id"])) == "hold_expired"
    assert reason(await desk.place(bound=gate.bound, booking_id=held["booking_id"])) == "hold_expired"


async def test_a_hold_refuses_what_it_cannot_hold(desk: Desk) -> None:
    found = await desk.read("search_flights", **SEARCH)
    cheap = next(fare for fare in found["fares"] if not fare["hold_possible"])
    person = await desk.person()
    assert (
        reason(await desk.place("hold_flight", fare_id=cheap["fare_id"], passenger_ids=[person]))
        == "hold_not_supported"
    )
    assert reason(await desk.place("hold_flight", fare_id="nobody", passenger_ids=[person])) == "offer_not_found"
    desk.house.surcharge = 5
    fare = (await desk.fare(hold=True))["fare_id"]
    assert reason(await desk.place("hold_flight", fare_id=fare, passenger_ids=[person])) == "price_changed"
    assert await desk.count("house_orders") == 0


async def test_b39_ledger_and_audit_learn_which_supplier_acts(desk: Desk) -> None:
    book, hold = (cast("Order[Any]", CATALOGUE[name]) for name in ("book_flight", "hold_flight"))
    given = await desk.ready()
    gate = await desk.gate(**given)
    assert await book.driver(book.parse(given), gate.bound, desk.context) == "house"
    assert await hold.driver(hold.parse(given), {}, desk.context) == "house"
    assert await hold.driver(hold.parse(given | {"fare_id": "nobody"}), {}, desk.context) == "none"
