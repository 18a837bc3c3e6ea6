"""Cancellations and tickets of the embedded inventory: quoted, confirmed once, by the conditions of fare and rate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.actors.domain.hotels import HotelOffer, HotelQuestion, Stay
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.travel import FlightOffer, FlightQuestion, Party, Passenger
from voyagent.actors.suppliers.house.conditions import (
    FLEXIBLE,
    LEISURE,
    LOW_COST,
    Tier,
    fare_rule,
    refund,
    stay_schedule,
    stay_terms,
)
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
from voyagent.actors.suppliers.house.places import airline, airlines, hotels
from voyagent.actors.suppliers.house.stays import HouseHotels
from voyagent.actors.suppliers.protocols import SupplierError

ASHA = Passenger(id=ids.uuid7(), full_name="Asha Rao", given_name="Asha", family_name="Rao")
RAVI = Passenger(id=ids.uuid7(), full_name="Ravi Rao", given_name="Ravi", family_name="Rao")


class AgencyLike(Protocol):
    tenant_id: str
    store: Any
    db: Any


@pytest.fixture
def house(agency: AgencyLike, clock: ManualClock) -> EmbeddedInventory:
    return EmbeddedInventory(agency.tenant_id, agency.store, clock)


@pytest.fixture
def rooms(agency: AgencyLike, clock: ManualClock) -> HouseHotels:
    return HouseHotels(agency.tenant_id, agency.store, clock)


async def fare(house: EmbeddedInventory, *, low_cost: bool = False, **parts: Any) -> FlightOffer:
    asked: dict[str, Any] = {"origin": "BOM", "destination": "DXB", "outbound_date": date(2026, 12, 20)}
    question = FlightQuestion(**asked | {"party": Party(adult=1), "currency": "INR"} | parts)
    return next(
        offer
        for offer in await house.search(question)
        if any(airline(each.marketing_carrier).low_cost for each in offer.segments) == low_cost
    )


async def rate(rooms: HouseHotels, *, refundable: bool = True) -> HotelOffer:
    stay = Stay(check_in=date(2026, 12, 20), check_out=date(2026, 12, 23), guests=2)
    question = HotelQuestion(country="AE", city="Dubai", stay=stay, currency="INR")
    return next(offer for offer in await rooms.search(question) if offer.is_refundable == refundable)


def part(price: Money, percent: int) -> Money:
    return price - Money.of(price.times(percent).amount.scaleb(-2), price.currency).rounded()


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(SupplierError) as caught:
        yield
    assert caught.value.reason == reason


async def test_a_cancelled_booking_returns_what_was_quoted_to_the_balance(house: EmbeddedInventory) -> None:
    order = await house.book(await fare(house), [ASHA], "a key")
    quote = await house.quote_cancel(order.supplier_ref)
    assert (quote.order_ref, quote.refund_to, quote.confirmed) == (order.supplier_ref, "balance", False)
    assert quote.refund == part(order.price, LEISURE.week)
    assert await house.read_cancel(quote.ref) == quote
    done = await house.confirm_cancel(quote.ref, "another key")
    assert done == quote.model_copy(update={"confirmed": True})
    assert (await house.read(order.supplier_ref)).status == "cancelled"
    found = await house.find("a key")
    assert found is not None
    assert found.status == "cancelled"


async def test_sixteen_confirmations_with_one_key_cancel_once(house: EmbeddedInventory, agency: AgencyLike) -> None:
    order = await house.book(await fare(house), [ASHA], "a key")
    quote = await house.quote_cancel(order.supplier_ref)
    done = await asyncio.gather(*(house.confirm_cancel(quote.ref, "one") for _ in range(16)))
    assert {each.confirmed for each in done} == {True}
    with refused("quote_expired"):
        await house.confirm_cancel(quote.ref, "two")
    with refused("not_cancellable"):
        await house.quote_cancel(order.supplier_ref)
    assert await agency.db.fetchval("SELECT count(*) FROM house_orders WHERE state = 'cancelled'") == 1


async def test_only_the_newest_quote_is_confirmed_and_only_while_it_holds(
    house: EmbeddedInventory, clock: ManualClock
) -> None:
    order = await house.book(await fare(house), [ASHA], "a key")
    first, second = [await house.quote_cancel(order.supplier_ref) for _ in range(2)]
    for attempt in (house.confirm_cancel(first.ref, "k"), house.read_cancel(first.ref)):
        with refused("quote_expired"):
            await attempt
    await clock.advance(20 * 60)
    with refused("quote_expired"):
        await house.confirm_cancel(second.ref, "k")
    assert (await house.read(order.supplier_ref)).status == "confirmed"


async def test_a_quote_never_outlives_its_step_of_the_conditions(house: EmbeddedInventory, clock: ManualClock) -> None:
    order = await house.book(await fare(house), [ASHA], "a key")
    departs_at = order.segments[0].departs_at
    seen = []
    for left in (timedelta(days=7, minutes=5), timedelta(days=1, minutes=5), timedelta(minutes=5)):
        await clock.advance((departs_at - left - clock.now()).total_seconds())
        quote = await house.quote_cancel(order.supplier_ref)
        assert quote.expires_at == clock.now() + timedelta(minutes=5)
        seen.append(quote.refund)
    assert seen == [part(order.price, kept) for kept in (LEISURE.week, LEISURE.day, LEISURE.last)]
    await clock.advance(5 * 60)
    with refused("not_cancellable"):
        await house.quote_cancel(order.supplier_ref)


async def test_a_fare_with_a_low_cost_airline_returns_nothing(house: EmbeddedInventory) -> None:
    order = await house.book(await fare(house, low_cost=True), [ASHA], "a key")
    quote = await house.quote_cancel(order.supplier_ref)
    assert quote.refund == Money.of(0, order.price.currency)


async def test_a_hold_is_cancelled_without_a_refund_and_not_booked_afterwards(
    house: EmbeddedInventory, clock: ManualClock
) -> None:
    offer = await fare(house)
    held = await house.hold(offer, [ASHA], "hold")
    quote = await house.quote_cancel(held.supplier_ref)
    assert (quote.refund, quote.refund_to) == (Money.of(0, "INR"), "awaiting_payment")
    await house.confirm_cancel(quote.ref, "cancel")
    with pytest.raises(SupplierError, match=r"^conflict$"):
        await house.book(offer, [ASHA], "book", held.supplier_ref)
    other = await house.hold(offer, [ASHA], "other")
    await clock.advance(24 * 3600)
    with refused("not_cancellable"):
        await house.quote_cancel(other.supplier_ref)


async def test_a_hold_that_was_booked_is_cancelled_by_its_booking_alone(house: EmbeddedInventory) -> None:
    offer = await fare(house)
    held = await house.hold(offer, [ASHA], "hold")
    await house.book(offer, [ASHA], "book", held.supplier_ref)
    with refused("not_cancellable"):
        await house.quote_cancel(held.supplier_ref)


async def test_every_person_gets_a_ticket_once(house: EmbeddedInventory, agency: AgencyLike) -> None:
    order = await house.book(await fare(house, party=Party(adult=2)), [ASHA, RAVI], "a key")
    issued = await asyncio.gather(*(house.issue(order.supplier_ref, f"key {turn}") for turn in range(16)))
    assert len({each.tickets for each in issued}) == 1
    first, second = issued[0].tickets
    assert (first.passenger_ids, second.passenger_ids) == ((ASHA.id,), (RAVI.id,))
    digits = airline(order.segments[0].marketing_carrier).accounting
    assert (first.number, second.number) == (f"{digits}2400000001", f"{digits}2400000002")
    assert all(ticket.is_storable for ticket in issued[0].tickets)
    assert (await house.read(order.supplier_ref)).status == "ticketed"
    other = await house.book(await fare(house), [ASHA], "other")
    assert (await house.issue(other.supplier_ref, "k")).tickets[0].number.endswith("2400000003")
    assert await agency.db.fetchval("SELECT tickets FROM house_counters") == 3


async def test_parallel_orders_share_no_ticket_number(house: EmbeddedInventory) -> None:
    offer = await fare(house)
    orders = [await house.book(offer, [ASHA], f"key {place}") for place in range(12)]
    issued = await asyncio.gather(*(house.issue(order.supplier_ref, "k") for order in orders))
    assert len({ticket.number for order in issued for ticket in order.tickets}) == 12


async def test_only_what_is_booked_is_ticketed(house: EmbeddedInventory) -> None:
    held = await house.hold(await fare(house), [ASHA], "hold")
    order = await house.book(await fare(house), [ASHA], "book")
    await house.confirm_cancel((await house.quote_cancel(order.supplier_ref)).ref, "cancel")
    for ref in (held.supplier_ref, order.supplier_ref):
        with pytest.raises(SupplierError, match=r"^conflict$"):
            await house.issue(ref, "k")
    with pytest.raises(SupplierError, match=r"^not_found$"):
        await house.issue("nobody", "k")


async def test_a_ticketed_booking_is_cancelled_like_another(house: EmbeddedInventory) -> None:
    order = await house.book(await fare(house), [ASHA], "a key")
    await house.issue(order.supplier_ref, "issue")
    quote = await house.quote_cancel(order.supplier_ref)
    assert quote.refund == part(order.price, LEISURE.week)
    await house.confirm_cancel(quote.ref, "cancel")
    cancelled = await house.read(order.supplier_ref)
    assert (cancelled.status, len(cancelled.tickets)) == ("cancelled", 1)


async def test_a_refundable_stay_is_free_until_its_deadline_at_the_hotel(
    rooms: HouseHotels, clock: ManualClock
) -> None:
    offer = await rate(rooms)
    assert offer.cancellation == stay_terms(date(2026, 12, 20), refundable=True)
    order = await rooms.book(offer, [ASHA], "a key")
    for until, kept in (
        (datetime(2026, 12, 17, 20, 0, tzinfo=UTC), 0),  # midnight in Dubai is four hours before that in UTC
        (datetime(2026, 12, 19, 20, 0, tzinfo=UTC), 50),
        (datetime(2026, 12, 22, 20, 0, tzinfo=UTC), 100),
    ):
        await clock.advance((until - timedelta(seconds=1) - clock.now()).total_seconds())
        quote = await rooms.quote_cancel(order.supplier_ref)
        assert (quote.refund, quote.expires_at) == (part(order.price, kept), until)
    await clock.advance(1)
    with refused("not_cancellable"):
        await rooms.quote_cancel(order.supplier_ref)


async def test_a_stay_is_cancelled_once(rooms: HouseHotels) -> None:
    order = await rooms.book(await rate(rooms), [ASHA], "a key")
    quote = await rooms.quote_cancel(order.supplier_ref)
    assert (quote.refund, quote.refund_to) == (order.price, "balance")
    done = await asyncio.gather(*(rooms.confirm_cancel(quote.ref, "one") for _ in range(8)))
    assert {each.confirmed for each in done} == {True}
    assert (await rooms.read(order.supplier_ref)).status == "cancelled"
    strict = await rooms.book(await rate(rooms, refundable=False), [ASHA], "strict")
    assert (await rooms.quote_cancel(strict.supplier_ref)).refund == Money.of(0, "INR")


async def test_flights_and_stays_do_not_cancel_each_other(house: EmbeddedInventory, rooms: HouseHotels) -> None:
    flight = await house.book(await fare(house), [ASHA], "flight")
    stay = await rooms.book(await rate(rooms), [ASHA], "stay")
    quote = await house.quote_cancel(flight.supplier_ref)
    for attempt in (house.quote_cancel(stay.supplier_ref), rooms.quote_cancel(flight.supplier_ref)):
        with pytest.raises(SupplierError, match=r"^not_found$"):
            await attempt
    with refused("quote_expired"):
        await rooms.confirm_cancel(quote.ref, "k")


async def test_b61_another_agency_neither_reads_nor_confirms_a_quote(
    house: EmbeddedInventory, other_agency: AgencyLike, clock: ManualClock
) -> None:
    theirs = EmbeddedInventory(other_agency.tenant_id, other_agency.store, clock)
    order = await house.book(await fare(house), [ASHA], "a key")
    quote = await house.quote_cancel(order.supplier_ref)
    for attempt in (
        theirs.read_cancel(quote.ref),
        theirs.quote_cancel(order.supplier_ref),
        theirs.issue(quote.ref, "k"),
    ):
        with pytest.raises(SupplierError, match=r"^not_found$"):
            await attempt
    with refused("quote_expired"):
        await theirs.confirm_cancel(quote.ref, "k")


@given(
    amount=st.decimals(min_value=0, max_value=Decimal(10) ** 9, places=2),
    kept=st.integers(0, 100),
    currency=st.sampled_from(["INR", "JPY", "KWD", "USD"]),
)
def test_a_refund_lies_between_nothing_and_the_price_in_minor_units(amount: Decimal, kept: int, currency: str) -> None:
    paid = Money.of(amount, currency).rounded()
    returned = refund(paid, Tier(datetime.now(UTC), kept))
    assert 0 <= returned.amount <= paid.amount
    assert returned.in_minor_units
    assert refund(paid, Tier(datetime.now(UTC), 0)) == paid
    assert refund(paid, Tier(datetime.now(UTC), 100)).amount == 0


@given(minutes=st.lists(st.integers(-20_000, 20_000), min_size=2, max_size=8))
def test_waiting_never_raises_a_refund(minutes: list[int]) -> None:
    departs_at = datetime(2026, 12, 20, 6, 30, tzinfo=UTC)
    moments = [departs_at + timedelta(minutes=each) for each in sorted(minutes)]
    for rule in (LOW_COST, LEISURE, FLEXIBLE):
        kept = [101 if tier is None else tier.kept for tier in map(rule.schedule(departs_at).at, moments)]
        assert kept == sorted(kept)
    schedule = stay_schedule(date(2026, 12, 18), date(2026, 12, 20), "Asia/Dubai", refundable=True)
    kept = [101 if tier is None else tier.kept for tier in map(schedule.at, moments)]
    assert kept == sorted(kept)


def test_the_conditions_are_told_as_they_are() -> None:
    assert fare_rule("economy", low_cost=True).text == "not refundable"
    assert fare_rule("economy", low_cost=False) == LEISURE
    assert LEISURE.text == (
        "refundable: 25 % is kept until 7 days before departure, 50 % until 24 hours before it, "
        "after that nothing is refunded"
    )
    assert fare_rule("first", low_cost=False).text.endswith("10 % until 24 hours before it, after that 25 % is kept")
    assert stay_terms(date(2026, 12, 20), refundable=False) == "not refundable"


def test_every_airline_has_three_digits_and_every_hotel_a_time_zone() -> None:
    assert all(len(each.accounting) == 3 and each.accounting.isdigit() for each in airlines())
    known = [each.accounting for each in airlines() if each.accounting != "000"]
    assert len(known) == len(set(known))
    assert all("/" in hotel.zone for hotel in hotels())


async def test_every_ticket_has_its_airlines_three_digits_and_ten_of_its_own(house: EmbeddedInventory) -> None:
    digits = [each.accounting for each in airlines()]
    known = [each for each in digits if each != "000"]
    assert all(len(each) == 3 and each.isdigit() for each in digits)
    assert len(set(known)) == len(known)
    numbers = set()
    for low_cost in (False, True):
        order = await house.book(await fare(house, low_cost=low_cost), [ASHA], ids.uuid7())
        (ticket,) = (await house.issue(order.supplier_ref, ids.uuid7())).tickets
        assert ticket.is_storable
        assert ticket.number[:3] == airline(order.segments[0].marketing_carrier).accounting
        numbers.add(ticket.number[3:])
    assert len(numbers) == 2


@pytest.mark.parametrize(
    ("code", "accounting"), [("AI", "098"), ("6E", "312"), ("EK", "176"), ("BA", "125"), ("LH", "220"), ("SQ", "618")]
)
def test_an_airlines_three_digits_are_those_of_iata(code: str, accounting: str) -> None:
    assert airline(code).accounting == accounting
