"""Bookings are entered once per tool call, with their persons, and found by their locator."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.actors.domain.money import Money
from voyagent.storage.travel import bookings, passengers
from voyagent.storage.travel.tickets import IssuedTicket


class AgencyLike(Protocol):
    tenant_id: str
    session_id: str
    store: Any
    db: Any

    async def call(self, tool: str) -> str: ...


@pytest.fixture
async def persons(agency: AgencyLike, clock: ManualClock) -> list[str]:
    saved = [
        await agency.store.ask(
            passengers.Upsert(
                tenant_id=agency.tenant_id,
                new_id=ids.uuid7(),
                passenger_id=None,
                full_name=name,
                given={},
                now=clock.now(),
            )
        )
        for name in ("Ravi Rao", "Asha Rao")
    ]
    return [each.passenger_id for each in saved]


def record(agency: AgencyLike, call: str, persons: list[str], clock: ManualClock, **parts: Any) -> bookings.Record:
    usual: dict[str, Any] = {
        "tenant_id": agency.tenant_id,
        "id": ids.uuid7(),
        "session_id": agency.session_id,
        "tool_call_id": call,
        "kind": "flight",
        "supplier": "house",
        "supplier_ref": "x-1",
        "locator": "ABC234",
        "status": "confirmed",
        "offer_id": "o-1",
        "cost": Decimal("45200.5"),
        "currency": "INR",
        "hold_expires_at": None,
        "data": {"segments": []},
        "passengers": persons,
        "now": clock.now(),
    }
    return bookings.Record(**usual | parts)


async def test_a_booking_is_kept_with_its_persons_in_order(
    agency: AgencyLike, persons: list[str], clock: ManualClock
) -> None:
    booking = await agency.store.ask(record(agency, await agency.call("book_flight"), persons, clock))
    assert booking.passengers == tuple(persons)
    assert booking.cost == Money.of("45200.50", "INR")
    assert await agency.store.ask(bookings.Load(tenant_id=agency.tenant_id, id=booking.id)) == booking


async def test_one_call_makes_one_booking_however_often_it_is_written(
    agency: AgencyLike, persons: list[str], clock: ManualClock
) -> None:
    call = await agency.call("book_flight")
    writing = (agency.store.ask(record(agency, call, persons, clock)) for _ in range(16))
    made = await asyncio.gather(*writing)
    assert len({booking.id for booking in made}) == 1
    assert await agency.db.fetchval("SELECT count(*) FROM bookings") == 1
    assert await agency.db.fetchval("SELECT count(*) FROM booking_passengers") == 2


async def test_a_booking_outlives_its_conversation(agency: AgencyLike, persons: list[str], clock: ManualClock) -> None:
    call = await agency.call("book_flight")
    gone = record(agency, call, persons, clock, session_id=ids.uuid7())
    booking = await agency.store.ask(gone)
    assert await agency.db.fetchval("SELECT session_id FROM bookings WHERE id = $1", booking.id) is None


async def test_the_newest_booking_of_a_locator_is_found_with_its_tickets(
    agency: AgencyLike, persons: list[str], clock: ManualClock
) -> None:
    await agency.store.ask(record(agency, await agency.call("book_flight"), persons, clock))
    await clock.advance(60)
    newer = await agency.store.ask(record(agency, await agency.call("book_flight"), persons, clock))
    await agency.db.execute(
        """INSERT INTO tickets (id, tenant_id, booking_id, passenger_id, number, issued_at, total, currency, created_at)
           VALUES ($1, $2, $3, $4, '176-1234567890', $5, 100, 'INR', $5)""",
        ids.uuid7(),
        agency.tenant_id,
        newer.id,
        persons[0],
        clock.now(),
    )
    found, tickets = await agency.store.ask(bookings.ByLocator(tenant_id=agency.tenant_id, locator="ABC234"))
    assert found == newer
    assert [(ticket.number, ticket.status) for ticket in tickets] == [("176-1234567890", "open")]
    assert await agency.store.ask(bookings.ByLocator(tenant_id=agency.tenant_id, locator="ZZZZZZ")) is None


async def test_tickets_of_an_order_that_is_found_cancelled_are_void(
    agency: AgencyLike, persons: list[str], clock: ManualClock
) -> None:
    """What was sent had no answer, and the order was cancelled before it was looked up."""

    def ticket(number: int) -> IssuedTicket:
        return IssuedTicket(id=ids.uuid7(), number=f"176{number:010}", passenger_id=persons[0])

    async def statuses(locator: str) -> list[str]:
        found = await agency.store.ask(bookings.ByLocator(tenant_id=agency.tenant_id, locator=locator))
        return [each.status for each in found[1]]

    call = await agency.call("book_flight")
    await agency.store.ask(record(agency, call, persons, clock, status="cancelled", tickets=[ticket(1)]))
    assert await statuses("ABC234") == ["void"]
    call = await agency.call("hold_flight")
    hold = await agency.store.ask(record(agency, call, persons, clock, status="tentative", locator="HLD234"))
    for status, ref, number, expected in (
        ("ticketed", "x-2", 2, ["open"]),
        ("cancelled", "x-2", 3, ["void", "void"]),
        ("cancelled", "x-3", 4, ["void"]),
    ):
        await agency.store.ask(
            bookings.Confirm(
                tenant_id=agency.tenant_id,
                id=hold.id,
                new_id=ids.uuid7(),
                tool_call_id=await agency.call("book_flight"),
                now=clock.now(),
                status=status,
                supplier_ref=ref,
                locator=f"HLD23{number}",
                cost=Decimal(45000),
                currency="INR",
                data={},
                tickets=[ticket(number)],
            )
        )
        assert await statuses(f"HLD23{number}") == expected


async def test_a_hold_becomes_a_booking_once(agency: AgencyLike, persons: list[str], clock: ManualClock) -> None:
    until = clock.now() + timedelta(hours=24)
    call = await agency.call("hold_flight")
    held = await agency.store.ask(record(agency, call, persons, clock, status="tentative", hold_expires_at=until))

    async def confirm(ref: str, by: str) -> bookings.Booking:
        wanted = bookings.Confirm(
            tenant_id=agency.tenant_id,
            id=held.id,
            new_id=ids.uuid7(),
            tool_call_id=by,
            now=clock.now(),
            status="confirmed",
            supplier_ref=ref,
            locator="ABC234",
            cost=Decimal(45000),
            currency="INR",
            data={"buyer_reference": "PO-1"},
        )
        return await agency.store.ask(wanted)  # type: ignore[no-any-return]

    call, other = await agency.call("book_flight"), await agency.call("book_flight")
    bought = await confirm("x-2", call)
    assert (bought.id, bought.status, bought.supplier_ref, bought.hold_expires_at) == (
        held.id,
        "confirmed",
        "x-2",
        None,
    )
    assert bought.data == {"segments": [], "buyer_reference": "PO-1"}
    assert await confirm("x-2", call) == bought
    twice = await confirm("x-3", other)
    assert (twice.supplier_ref, twice.passengers, twice.data) == ("x-3", bought.passengers, bought.data)
    assert twice.id != bought.id, "a supplier that sold a hold twice has sold two bookings"
    assert await confirm("x-3", other) == twice


@pytest.mark.parametrize(
    "parts",
    [
        {"passengers": "twice"},
        {"passengers": "unknown"},
        {"cost": Decimal(10) ** 17},
        {"cost": Decimal("1.00005")},
        {"cost": Decimal(-5)},
        {"session_id": "01a2283b-0a23-76ea-8973-ded2ffff2b3a"},
        {"offer_id": None, "locator": None},
        {"status": "schedule_change"},
    ],
    ids=str,
)
async def test_nothing_a_supplier_confirmed_is_too_odd_to_be_entered(
    parts: dict[str, Any], agency: AgencyLike, persons: list[str], clock: ManualClock
) -> None:
    named = {"twice": [persons[0], persons[0].upper(), persons[1]], "unknown": [*persons, ids.uuid7()]}
    parts = {name: named.get(value, value) if name == "passengers" else value for name, value in parts.items()}
    booking = await agency.store.ask(record(agency, await agency.call("book_flight"), persons, clock, **parts))
    assert booking.passengers == tuple(persons)
    if "cost" in parts:
        said = Money.of(parts["cost"], "INR")
        assert booking.cost == said or booking.data["supplier_price"] == said.text


async def test_b61_another_agencys_bookings_are_invisible(
    agency: AgencyLike, other_agency: AgencyLike, persons: list[str], clock: ManualClock
) -> None:
    booking = await agency.store.ask(record(agency, await agency.call("book_flight"), persons, clock))
    assert await other_agency.store.ask(bookings.Load(tenant_id=other_agency.tenant_id, id=booking.id)) is None
    assert await other_agency.store.ask(bookings.ByLocator(tenant_id=other_agency.tenant_id, locator="ABC234")) is None
