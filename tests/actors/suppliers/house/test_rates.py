"""Hotels of the embedded inventory: rates that never differ for the same question, and one order per key."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.actors.domain.hotels import HotelOffer, HotelQuestion, Stay
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.travel import Passenger
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
from voyagent.actors.suppliers.house.places import hotels, per_usd
from voyagent.actors.suppliers.house.rates import ROOMS, Rate, again, fits, rates
from voyagent.actors.suppliers.house.stays import HouseHotels
from voyagent.actors.suppliers.protocols import SupplierError

ASHA = Passenger(id=ids.uuid7(), full_name="Asha Rao", given_name="Asha", family_name="Rao")
RAVI = Passenger(id=ids.uuid7(), full_name="Ravi Rao", given_name="Ravi", family_name="Rao")
FIRST = date(2026, 12, 5)


class AgencyLike(Protocol):
    tenant_id: str
    store: Any
    db: Any


@pytest.fixture
def house(agency: AgencyLike, clock: ManualClock) -> HouseHotels:
    return HouseHotels(agency.tenant_id, agency.store, clock)


def question(**parts: Any) -> HotelQuestion:
    stay = Stay(
        check_in=parts.pop("check_in", FIRST),
        check_out=parts.pop("check_out", FIRST + timedelta(days=2)),
        guests=parts.pop("guests", 1),
    )
    return HotelQuestion(**{"country": "IN", "city": "Mumbai", "stay": stay, "currency": "INR"} | parts)


def refused(code: str) -> Any:
    return pytest.raises(SupplierError, match=rf"^{code}$")


@given(
    hotel=st.sampled_from(hotels()),
    first=st.dates(date(2026, 1, 1), date(2030, 1, 1)),
    nights=st.integers(1, 30),
    guests=st.integers(1, 18),
    currency=st.sampled_from([*per_usd(), "XAU"]),
)
def test_a_rate_read_again_from_its_reference_is_the_same(
    hotel: Any, first: date, nights: int, guests: int, currency: str
) -> None:
    stay = Stay(check_in=first, check_out=first + timedelta(days=nights), guests=guests)
    found = rates(HotelQuestion(country=hotel.country, city=hotel.city, stay=stay, currency=currency))
    assert hotel in {rate.hotel for rate in found}
    for rate in found:
        assert again(rate.ref) == rate
        assert rate.price.amount > 0
        assert rate.price.in_minor_units
        assert rate.price.currency == (currency if currency in per_usd() else "USD")


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "nowhere/2026-12-05/2026-12-07/2/INR/saver",
        "bom-01/2026-12-05/2026-12-05/2/INR/saver",
        "bom-01/2026-12-05/2026-12-07/0/INR/saver",
        "bom-01/2026-12-05/2026-12-07/2/INR/cellar",
        "bom-01/2026-12-05/2026-12-07/2/XAU/saver",
        "bom-03/2026-12-05/2026-12-07/2/INR/suite",
        "bom-01/20261205/2026-12-07/2/INR/saver",
    ],
)
def test_a_reference_that_is_none_stands_for_nothing(ref: str) -> None:
    assert again(ref) is None


async def test_more_nights_more_guests_and_better_rooms_cost_more(house: HouseHotels) -> None:
    async def cheapest(**parts: Any) -> Money:
        return min((offer.price for offer in await house.search(question(**parts))), key=lambda price: price.amount)

    usual = await cheapest()
    assert (await cheapest(check_out=FIRST + timedelta(days=3))).amount > usual.amount
    assert (await cheapest(guests=2)).amount == usual.amount
    assert (await cheapest(guests=3)).amount == 2 * usual.amount


def priced(adults: int, ages: tuple[int, ...], rooms: int | None = None) -> int | None:
    """Cents of one rate for a party; None if the rooms are too small for it."""
    stay = Stay(
        check_in=date(2026, 12, 5),
        check_out=date(2026, 12, 8),
        guests=adults + len(ages),
        rooms=rooms,
        children_ages=ages,
    )
    if not fits(stay):
        return None
    return int(Rate.of(hotels()[0], ROOMS[1], stay, "USD").price.amount * 100)


PARTY = {
    "adults": st.integers(1, 6),
    "ages": st.lists(st.integers(0, 17), max_size=6).map(tuple),
    "age": st.integers(0, 17),
    "rooms": st.none() | st.integers(1, 4),
}


@given(**PARTY)
def test_t27_a_price_never_falls_when_a_person_is_added(
    adults: int, ages: tuple[int, ...], age: int, rooms: int | None
) -> None:
    rooms = None if rooms is None else min(rooms, adults)
    before = priced(adults, ages, rooms)
    for after in (priced(adults + 1, ages, rooms), priced(adults, (*ages, age), rooms)):
        assert before is None or after is None or after >= before
    if rooms is None:
        assert before is not None


@given(**PARTY)
def test_t27_a_child_never_costs_more_than_an_adult(
    adults: int, ages: tuple[int, ...], age: int, rooms: int | None
) -> None:
    rooms = None if rooms is None else min(rooms, adults)
    child, adult = priced(adults, (*ages, age), rooms), priced(adults + 1, ages, rooms)
    assert child is None or adult is None or child <= adult


@given(**PARTY)
def test_t27_a_reference_keeps_rooms_and_ages_in_their_order(
    adults: int, ages: tuple[int, ...], age: int, rooms: int | None
) -> None:
    stay = Stay(
        check_in=date(2026, 12, 5),
        check_out=date(2026, 12, 8),
        guests=adults + len(ages) + 1,
        rooms=None if rooms is None else min(rooms, adults),
        children_ages=(*ages, age),
    )
    rate = Rate.of(hotels()[0], ROOMS[1], stay, "USD")
    assert again(rate.ref) == rate


async def test_rooms_too_small_for_a_party_are_refused(house: HouseHotels) -> None:
    tight = Stay(check_in=date(2026, 12, 5), check_out=date(2026, 12, 8), guests=5, rooms=1, children_ages=(1, 2, 3))
    with refused("validation_failed"):
        await house.search(question(stay=tight))


async def test_rooms_are_sold_from_today_wherever_today_still_is(house: HouseHotels) -> None:
    today = date(2026, 11, 23)
    assert await house.search(question(check_in=today))
    reply_later = today + timedelta(days=400)
    cases = {
        "check_in 2026-11-22 is past": {"check_in": today - timedelta(days=1)},
        "check_in 0001-01-01 is past": {"check_in": date.min, "check_out": date.min + timedelta(days=1)},
        f"check_in {reply_later} is sold from {reply_later - timedelta(days=355)} on": {
            "check_in": reply_later,
            "check_out": reply_later + timedelta(days=1),
        },
        "no hotel is sold in Atlantis (IN)": {"city": "Atlantis"},
    }
    for told, asked in cases.items():
        with pytest.raises(SupplierError) as caught:
            await house.search(question(**asked))
        assert caught.value.line == f"validation_failed: {told}"


@pytest.mark.parametrize("parts", [{"guests": 19}, {"check_out": FIRST + timedelta(days=31)}])
async def test_groups_and_long_stays_are_refused(house: HouseHotels, parts: dict[str, Any]) -> None:
    with refused("validation_failed"):
        await house.search(question(**parts))


async def test_what_cannot_be_cancelled_in_time_is_not_called_refundable(house: HouseHotels) -> None:
    near = await house.search(question(check_in=date(2026, 11, 24), check_out=date(2026, 11, 25)))
    assert not any(offer.is_refundable for offer in near)
    assert {offer.is_refundable for offer in await house.search(question())} == {True, False}


async def offer_of(house: HouseHotels, **parts: Any) -> HotelOffer:
    return (await house.search(question(**parts)))[0]


async def test_an_order_is_made_once_for_a_key_and_found_by_it(house: HouseHotels, agency: AgencyLike) -> None:
    offer = await offer_of(house)
    order = await house.book(offer, [ASHA], "k-1")
    assert (order.status, order.price) == ("confirmed", offer.price)
    assert await house.book(offer, [ASHA], "k-1") == order
    assert await house.find("k-1") == order
    assert await house.read(order.supplier_ref) == order
    assert await house.find("k-2") is None
    assert await agency.db.fetchval("SELECT count(*) FROM house_orders") == 1


async def test_a_key_is_good_for_exactly_its_order(house: HouseHotels) -> None:
    offer = await offer_of(house, guests=2)
    await house.book(offer, [ASHA], "k-1")
    with refused("conflict"):
        await house.book(offer, [ASHA, RAVI], "k-1")


async def test_flights_and_rooms_do_not_read_each_others_orders(
    house: HouseHotels, agency: AgencyLike, clock: ManualClock
) -> None:
    order = await house.book(await offer_of(house), [ASHA], "k-1")
    flights = EmbeddedInventory(agency.tenant_id, agency.store, clock)
    assert await flights.find("k-1") is None
    with refused("not_found"):
        await flights.read(order.supplier_ref)


async def test_nothing_is_booked_on_other_terms_than_were_offered(house: HouseHotels, clock: ManualClock) -> None:
    offer = await offer_of(house)
    with refused("conflict"):
        await house.book(offer.model_copy(update={"price": Money.of(1, "INR")}), [ASHA], "k-1")
    for guests in ([], [ASHA, RAVI]):
        with refused("validation_failed"):
            await house.book(offer, guests, "k-2")
    await clock.advance(20 * 60)
    with refused("not_found"):
        await house.book(offer, [ASHA], "k-3")
    with refused("not_found"):
        await house.read("not-an-id")
