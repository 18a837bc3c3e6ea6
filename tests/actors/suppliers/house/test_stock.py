"""Seats and rooms run out: nothing is sold twice, and what is cancelled or expires can be sold again."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.actors.domain.hotels import HotelOffer, HotelQuestion, Stay
from voyagent.actors.domain.travel import FlightOffer, FlightQuestion, Party, Passenger
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
from voyagent.actors.suppliers.house.stays import HouseHotels
from voyagent.actors.suppliers.house.stock import ROOMS, SEATS, rooms, seats
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.storage.travel import house_orders

DAY = date(2026, 12, 20)


def persons(count: int, **parts: Any) -> list[Passenger]:
    return [Passenger(id=ids.uuid7(), full_name="Asha Rao", given_name="Asha", family_name="Rao", **parts)] * count


class Cabin:
    """The first class of one flight, of which an agency sells the last seats."""

    def __init__(self, house: EmbeddedInventory, name: str) -> None:
        self.house, self.name = house, name

    async def offer(self, adults: int = 1, **party: int) -> FlightOffer | None:
        question = FlightQuestion(
            origin="LHR",
            destination="JFK",
            outbound_date=DAY,
            party=Party(adult=adults, **party),
            cabin="first",
            direct_only=True,
            currency="GBP",
        )
        try:
            found = await self.house.search(question)
        except SupplierError as none:
            if "sold out" not in none.text:
                raise
            return None
        return next((offer for offer in found if offer.segments[0].flight == self.name), None)

    async def sell(self, adults: int) -> Any:
        offer = await self.offer(adults)
        assert offer is not None
        return await self.house.book(offer, persons(adults), ids.uuid7())

    async def sell_but(self, left: int) -> None:
        """Sell so many that ``left`` seats are left."""
        offer = await self.offer()
        assert offer is not None
        assert offer.seats_left is not None
        while (count := min(9, offer.seats_left - left)) > 0:
            await self.sell(count)
            offer = await self.offer()
            assert offer is not None
            assert offer.seats_left is not None

    async def left(self) -> int:
        offer = await self.offer()
        return 0 if offer is None else offer.seats_left or 0


@pytest.fixture
def house(agency: Any, clock: ManualClock) -> EmbeddedInventory:
    return EmbeddedInventory(agency.tenant_id, agency.store, clock)


@pytest.fixture
async def cabin(house: EmbeddedInventory) -> Cabin:
    question = FlightQuestion(
        origin="LHR", destination="JFK", outbound_date=DAY, party=Party(adult=1), cabin="first", currency="GBP"
    )
    direct = next(offer for offer in await house.search(question) if offer.stops == 0 and offer.hold_possible)
    return Cabin(house, direct.segments[0].flight)


def refused_as_sold_out() -> Any:
    return pytest.raises(SupplierError, match=r"^conflict$")


async def test_of_64_bookings_of_the_last_nine_seats_at_once_nine_are_made(cabin: Cabin, agency: Any) -> None:
    await cabin.sell_but(9)
    before = await agency.db.fetchval("SELECT count(*) FROM house_orders")
    offer = await cabin.offer()
    assert offer is not None
    one = persons(1)
    done = await asyncio.gather(*(cabin.house.book(offer, one, ids.uuid7()) for _ in range(64)), return_exceptions=True)
    refusals = [each for each in done if isinstance(each, SupplierError)]
    assert (len(done) - len(refusals), {each.reason for each in refusals}) == (9, {"sold_out"})
    assert (
        refusals[0].text == f"none of the first seats on {cabin.name} of {DAY} are left, and 1 are needed: search again"
    )
    assert await agency.db.fetchval("SELECT count(*) FROM house_orders") == before + 9
    assert await cabin.offer() is None
    with refused_as_sold_out():
        await cabin.house.price(offer)


async def test_a_party_needs_a_seat_for_each_but_infants(cabin: Cabin) -> None:
    await cabin.sell_but(2)
    assert await cabin.offer(3) is None
    offer = await cabin.offer(2, infant=1)
    assert offer is not None
    infant = persons(1, type="infant", date_of_birth=date(2026, 6, 1))
    await cabin.house.book(offer, [*persons(2), *infant], ids.uuid7())
    assert await cabin.left() == 0


async def test_a_key_that_is_repeated_takes_its_seats_once(cabin: Cabin) -> None:
    before, offer, key, one = await cabin.left(), await cabin.offer(), ids.uuid7(), persons(1)
    assert offer is not None
    await asyncio.gather(*(cabin.house.book(offer, one, key) for _ in range(8)))
    assert await cabin.left() == before - 1


async def test_what_is_cancelled_can_be_sold_again_once(cabin: Cabin) -> None:
    before, order = await cabin.left(), await cabin.sell(2)
    quote = await cabin.house.quote_cancel(order.supplier_ref)
    assert await cabin.left() == before - 2
    await asyncio.gather(*(cabin.house.confirm_cancel(quote.ref, "a key") for _ in range(4)))
    assert await cabin.left() == before


async def test_a_hold_takes_its_seats_until_it_expires_or_is_cancelled(cabin: Cabin, clock: ManualClock) -> None:
    before, offer = await cabin.left(), await cabin.offer(2)
    assert offer is not None
    held = await cabin.house.hold(offer, persons(2), ids.uuid7())
    assert await cabin.left() == before - 2
    await clock.advance(24 * 3600 - 1)
    assert await cabin.left() == before - 2
    await clock.advance(1)
    assert await cabin.left() == before
    again = await cabin.offer(2)
    assert again is not None
    held = await cabin.house.hold(again, persons(2), ids.uuid7())
    quote = await cabin.house.quote_cancel(held.supplier_ref)
    await cabin.house.confirm_cancel(quote.ref, "a key")
    assert await cabin.left() == before


async def test_a_hold_is_bought_with_its_own_seats_though_none_is_left(cabin: Cabin, clock: ManualClock) -> None:
    await cabin.sell_but(2)
    offer, two = await cabin.offer(2), persons(2)
    assert offer is not None
    held = await cabin.house.hold(offer, two, ids.uuid7())
    assert await cabin.left() == 0
    bought = await cabin.house.book(offer, two, ids.uuid7(), held.supplier_ref)
    await clock.advance(25 * 3600)
    assert (bought.status, await cabin.left()) == ("confirmed", 0)


class LateStore:
    """An agency's store that is asked for an order no sooner than it is let go on."""

    def __init__(self, store: Any) -> None:
        self.store, self.asked, self.goes_on = store, asyncio.Event(), asyncio.Event()

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        if isinstance(message, house_orders.Place):
            self.asked.set()
            await self.goes_on.wait()
        return await self.store.ask(message, within)


async def test_a_hold_that_expires_while_its_order_waits_is_not_sold_twice(
    cabin: Cabin, agency: Any, clock: ManualClock
) -> None:
    await cabin.sell_but(2)
    offer, two = await cabin.offer(2), persons(2)
    assert offer is not None
    held = await cabin.house.hold(offer, two, ids.uuid7())
    late: Any = LateStore(agency.store)
    house = EmbeddedInventory(agency.tenant_id, late, clock)
    buying = asyncio.create_task(house.book(offer, two, ids.uuid7(), held.supplier_ref))
    await late.asked.wait()
    await clock.advance(24 * 3600)
    await cabin.sell(2)
    late.goes_on.set()
    with refused_as_sold_out():
        await buying


async def test_another_agency_has_a_stock_of_its_own(cabin: Cabin, other_agency: Any, clock: ManualClock) -> None:
    before = await cabin.left()
    await cabin.sell(3)
    elsewhere = Cabin(EmbeddedInventory(other_agency.tenant_id, other_agency.store, clock), cabin.name)
    assert (await cabin.left(), await elsewhere.left()) == (before - 3, before)


async def test_other_days_cabins_and_directions_are_other_seats(house: EmbeddedInventory) -> None:
    question = FlightQuestion(
        origin="BOM", destination="DXB", outbound_date=DAY, return_date=DAY, party=Party(adult=1), currency="INR"
    )
    [offer, *_] = await house.search(question.model_copy(update={"return_date": date(2026, 12, 27)}))
    items = [need.item for need in seats(offer.segments, offer.party)]
    assert len(set(items)) == len(items) == len(offer.segments)
    assert items[0].endswith(f"/{offer.segments[0].departs_local.date()}/economy")


class Hotel:
    """The suites of one property, of which an agency sells the last."""

    def __init__(self, house: HouseHotels) -> None:
        self.house = house

    async def offer(self, rooms_asked: int = 1, first: int = 20, last: int = 22) -> HotelOffer | None:
        stay = Stay(
            check_in=date(2026, 12, first), check_out=date(2026, 12, last), guests=rooms_asked, rooms=rooms_asked
        )
        found = await self.house.search(HotelQuestion(country="AE", city="Dubai", stay=stay, currency="AED"))
        return next((offer for offer in found if offer.room.startswith("Suite")), None)

    async def book(self, rooms_asked: int, first: int = 20, last: int = 22) -> Any:
        offer = await self.offer(rooms_asked, first, last)
        assert offer is not None
        return await self.house.book(offer, persons(1), ids.uuid7())


@pytest.fixture
def hotel(agency: Any, clock: ManualClock) -> Hotel:
    return Hotel(HouseHotels(agency.tenant_id, agency.store, clock))


async def test_rooms_run_out_night_by_night_and_come_back(hotel: Hotel) -> None:
    offer = await hotel.offer()
    assert offer is not None
    assert offer.rooms_left is not None
    most = min(9, offer.rooms_left - 1)
    first = await hotel.book(most)
    left = offer.rooms_left - most
    for last, expected in ((22, left), (23, left)):
        found = await hotel.offer(first=21, last=last)
        assert found is not None
        assert found.rooms_left == expected
    free = await hotel.offer(first=22, last=24)
    assert free is not None
    assert free.rooms_left == offer.rooms_left
    other = await hotel.offer(min(9, left + 1), first=21, last=23)
    assert other is None or other.property.id != offer.property.id
    quote = await hotel.house.quote_cancel(first.supplier_ref)
    await hotel.house.confirm_cancel(quote.ref, "a key")
    again = await hotel.offer()
    assert again is not None
    assert again.rooms_left == offer.rooms_left


async def test_of_16_bookings_of_the_last_two_suites_at_once_two_are_made(hotel: Hotel) -> None:
    offer = await hotel.offer()
    assert offer is not None
    left = offer.rooms_left or 0
    while left > 2:
        count = min(9, left - 2)
        found = await hotel.offer(count)
        assert found is not None
        await hotel.house.book(found, persons(1), ids.uuid7())
        left -= count
    guest = persons(1)
    done = await asyncio.gather(
        *(hotel.house.book(offer, guest, ids.uuid7()) for _ in range(16)), return_exceptions=True
    )
    refusals = [each for each in done if isinstance(each, SupplierError)]
    assert (len(done) - len(refusals), {each.reason for each in refusals}) == (2, {"sold_out"})
    with refused_as_sold_out():
        await hotel.house.check_rate(offer)


def test_the_stock_is_always_more_than_one_order_takes() -> None:
    assert min(fewest for fewest, _ in SEATS.values()) > 9
    assert min(fewest for fewest, _ in ROOMS.values()) > 9
    stay = Stay(check_in=DAY, check_out=date(2026, 12, 23), guests=4)
    needs = rooms("h-1", "double", stay)
    assert [(need.item, need.units) for need in needs] == [(f"h-1/double/2026-12-{day}", 2) for day in (20, 21, 22)]
    assert rooms("h-1", "double", stay) == needs
