"""Orders of the embedded inventory are rows, one per key, and only on the terms that were offered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Protocol

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.travel import FlightOffer, FlightQuestion, Party, Passenger
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
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


def question(**parts: Any) -> FlightQuestion:
    usual: dict[str, Any] = {
        "origin": "BOM",
        "destination": "DXB",
        "outbound_date": date(2026, 12, 5),
        "currency": "INR",
    }
    return FlightQuestion(**usual | {"party": Party(adult=1)} | parts)


async def holdable(house: EmbeddedInventory) -> FlightOffer:
    return next(offer for offer in await house.search(question()) if offer.hold_possible)


def refused(code: str) -> Any:
    return pytest.raises(SupplierError, match=rf"^{code}$")


async def orders(agency: AgencyLike) -> int:
    return int(await agency.db.fetchval("SELECT count(*) FROM house_orders WHERE tenant_id = $1", agency.tenant_id))


async def test_offers_live_twenty_minutes_and_have_names_of_their_own(
    house: EmbeddedInventory, clock: ManualClock
) -> None:
    first, second = await house.search(question()), await house.search(question())
    assert [offer.supplier_ref for offer in first] == [offer.supplier_ref for offer in second]
    assert [offer.price for offer in first] == [offer.price for offer in second]
    assert not {offer.id for offer in first} & {offer.id for offer in second}
    assert {offer.expires_at for offer in first} == {clock.now() + timedelta(minutes=20)}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"outbound_date": date(2026, 11, 22)}, "outbound_date 2026-11-22 is past"),
        ({"outbound_date": date(2020, 1, 1)}, "outbound_date 2020-01-01 is past"),
        ({"outbound_date": date.min}, "outbound_date 0001-01-01 is past"),
        ({"outbound_date": date.min, "return_date": date.min}, "outbound_date 0001-01-01 is past"),
        ({"outbound_date": date(2027, 12, 5)}, "outbound_date 2027-12-05 is sold from 2026-12-15 on"),
        ({"outbound_date": date.max}, "outbound_date 9999-12-31 is sold from 9999-01-10 on"),
        ({"return_date": date(2027, 12, 5)}, "return_date 2027-12-05 is sold from 2026-12-15 on"),
        (
            {"return_date": date(2026, 12, 4)},
            "return_date 2026-12-04 is before anybody who leaves on 2026-12-05 is there",
        ),
        ({"destination": "BOM"}, "origin and destination are the same"),
        ({"origin": "LON", "destination": "LHR"}, "origin and destination are the same"),
        ({"origin": "LHR", "destination": "LON"}, "origin and destination are the same"),
        ({"origin": "LHR", "destination": "LGW"}, "origin and destination are the same"),
        ({"origin": "LON", "destination": "LON"}, "origin and destination are the same"),
        ({"party": Party(child=1)}, "children travel with an adult"),
        ({"party": Party(infant=1)}, "each infant travels with an adult of their own"),
    ],
)
async def test_what_cannot_be_sold_is_told_instead_of_nothing(
    house: EmbeddedInventory, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(SupplierError) as caught:
        await house.search(question(**asked))
    assert caught.value.line == f"validation_failed: {told}"


@pytest.mark.parametrize(
    ("at", "past"),
    [("2026-11-23T18:29:00+00:00", date(2026, 11, 22)), ("2026-11-23T18:31:00+00:00", date(2026, 11, 23))],
)
async def test_today_is_that_of_the_origin_s_clock(
    house: EmbeddedInventory, clock: ManualClock, at: str, past: date
) -> None:
    await clock.advance((datetime.fromisoformat(at) - clock.now()).total_seconds())
    with pytest.raises(SupplierError) as caught:
        await house.search(question(outbound_date=past))
    assert caught.value.text == f"outbound_date {past} is past"
    assert await house.search(question(outbound_date=past + timedelta(days=2)))


async def test_across_the_date_line_one_may_come_back_on_the_day_before(house: EmbeddedInventory) -> None:
    across = question(origin="NRT", destination="HNL", outbound_date=date(2027, 3, 12), return_date=date(2027, 3, 11))
    found = await house.search(across)
    assert found
    for offer in found:
        assert offer.inbound[0].departs_at > offer.outbound[-1].arrives_at
        assert offer.inbound[0].departs_local.date() < offer.outbound[0].departs_local.date()
    with pytest.raises(SupplierError) as caught:  # who lands in the evening finds no flight back that day
        await house.search(across.model_copy(update={"origin": "AKL", "destination": "LAX"}))
    assert caught.value.line == "validation_failed: nothing flies back on 2027-03-11 for who leaves on 2027-03-12"


async def test_the_last_day_on_sale_is_sold(house: EmbeddedInventory, clock: ManualClock) -> None:
    last = (clock.now() + timedelta(days=355)).date()
    assert await house.search(question(outbound_date=last))


async def test_today_only_what_leaves_in_time_is_sold(house: EmbeddedInventory, clock: ManualClock) -> None:
    offers = await house.search(question(outbound_date=clock.now().date()))
    assert offers
    for offer in offers:
        assert offer.segments[0].departs_at > clock.now() + timedelta(hours=2)


@pytest.mark.parametrize(
    "parts",
    [
        {"destination": "ZZZ"},
        {"origin": "QQ"},
        {"party": Party(adult=10)},
        {"party": Party(adult=10**30)},
        {"party": Party(adult=1, infant=2)},
        {"party": Party(child=1, infant=1)},
    ],
)
async def test_a_question_nobody_can_answer_is_refused(house: EmbeddedInventory, parts: dict[str, Any]) -> None:
    with refused("validation_failed"):
        await house.search(question(**parts))


async def test_prices_come_in_the_agencys_currency_or_in_dollars(house: EmbeddedInventory) -> None:
    assert {offer.price.currency for offer in await house.search(question(currency="AED"))} == {"AED"}
    assert {offer.price.currency for offer in await house.search(question(currency="XAF"))} == {"USD"}


async def test_a_booking_is_confirmed_with_a_locator_and_can_be_read(house: EmbeddedInventory) -> None:
    [offer, *_] = await house.search(question())
    order = await house.book(offer, [ASHA], ids.uuid7())
    assert order.status == "confirmed"
    assert order.price == offer.price
    assert order.segments == offer.segments
    assert order.locator is not None
    assert len(order.locator) == 6
    assert await house.read(order.supplier_ref) == order


async def test_sixteen_calls_with_one_key_make_one_order(house: EmbeddedInventory, agency: AgencyLike) -> None:
    [offer, *_] = await house.search(question())
    key = ids.uuid7()
    made = await asyncio.gather(*(house.book(offer, [ASHA], key) for _ in range(16)))
    assert len({order.supplier_ref for order in made}) == 1
    assert len({order.locator for order in made}) == 1
    assert await orders(agency) == 1
    assert await house.find(key) == made[0]


async def test_two_keys_make_two_orders(house: EmbeddedInventory, agency: AgencyLike) -> None:
    [offer, *_] = await house.search(question())
    first, second = await house.book(offer, [ASHA], ids.uuid7()), await house.book(offer, [ASHA], ids.uuid7())
    assert first.supplier_ref != second.supplier_ref
    assert first.locator != second.locator
    assert await orders(agency) == 2


async def test_a_key_answers_with_its_order_even_when_the_offer_is_gone(
    house: EmbeddedInventory, clock: ManualClock
) -> None:
    [offer, *_] = await house.search(question())
    key = ids.uuid7()
    order = await house.book(offer, [ASHA], key)
    await clock.advance(3600)
    assert await house.book(offer, [ASHA], key) == order


async def test_a_key_is_not_taken_for_another_order(house: EmbeddedInventory) -> None:
    offers = await house.search(question())
    key = ids.uuid7()
    await house.book(offers[0], [ASHA], key)
    for other, person in ((offers[1], ASHA), (offers[0], RAVI)):
        with refused("conflict"):
            await house.book(other, [person], key)


async def test_a_key_nobody_used_leads_to_nothing(house: EmbeddedInventory) -> None:
    assert await house.find(ids.uuid7()) is None


async def test_another_agency_knows_neither_order_nor_key(
    house: EmbeddedInventory, other_agency: AgencyLike, clock: ManualClock
) -> None:
    [offer, *_] = await house.search(question())
    key = ids.uuid7()
    order = await house.book(offer, [ASHA], key)
    elsewhere = EmbeddedInventory(other_agency.tenant_id, other_agency.store, clock)
    assert await elsewhere.find(key) is None
    with refused("not_found"):
        await elsewhere.read(order.supplier_ref)


@pytest.mark.parametrize("ref", ["", "nonsense", "../../etc", "0" * 200])
async def test_an_order_nobody_made_is_not_found(house: EmbeddedInventory, ref: str) -> None:
    with refused("not_found"):
        await house.read(ref)


async def test_an_expired_offer_is_neither_priced_nor_booked_nor_held(
    house: EmbeddedInventory, clock: ManualClock
) -> None:
    offer = await holdable(house)
    await clock.advance(20 * 60)
    for act in (house.price(offer), house.book(offer, [ASHA], ids.uuid7()), house.hold(offer, [ASHA], ids.uuid7())):
        with refused("not_found"):
            await act


def cheaper(offer: FlightOffer) -> FlightOffer:
    return offer.model_copy(update={"price": Money.of(1, "INR")})


def elsewhere(offer: FlightOffer) -> FlightOffer:
    return offer.model_copy(update={"supplier_ref": offer.supplier_ref.replace("DXB", "LHR")})


@pytest.mark.parametrize(("change", "code"), [(cheaper, "conflict"), (elsewhere, "not_found")])
async def test_nobody_writes_their_own_offer(
    house: EmbeddedInventory, agency: AgencyLike, change: Callable[[FlightOffer], FlightOffer], code: str
) -> None:
    [offer, *_] = await house.search(question())
    with refused(code):
        await house.book(change(offer), [ASHA], ids.uuid7())
    assert (await house.price(cheaper(offer))).price == offer.price
    assert await orders(agency) == 0


async def test_a_fare_is_for_the_persons_it_was_found_for(house: EmbeddedInventory, agency: AgencyLike) -> None:
    [offer, *_] = await house.search(question())
    child = ASHA.model_copy(update={"type": "child", "date_of_birth": date(2020, 1, 1)})
    nameless = ASHA.model_copy(update={"given_name": ""})
    for persons in ([], [ASHA, RAVI], [child], [nameless]):
        with refused("validation_failed"):
            await house.book(offer, persons, ids.uuid7())
    assert await orders(agency) == 0


async def test_a_hold_lives_twenty_four_hours_and_expires_by_itself(
    house: EmbeddedInventory, clock: ManualClock
) -> None:
    offer = await holdable(house)
    held = await house.hold(offer, [ASHA], ids.uuid7())
    assert (held.status, held.hold_expires_at) == ("tentative", clock.now() + timedelta(hours=24))
    await clock.advance(24 * 3600 - 1)
    assert (await house.read(held.supplier_ref)).status == "tentative"
    await clock.advance(1)
    assert (await house.read(held.supplier_ref)).status == "cancelled"


async def test_a_low_cost_fare_cannot_be_held(house: EmbeddedInventory) -> None:
    offer = next(offer for offer in await house.search(question()) if not offer.hold_possible)
    assert offer.hold_until is None
    with refused("capability_not_supported"):
        await house.hold(offer, [ASHA], ids.uuid7())


async def test_a_hold_is_bought_at_its_price_long_after_the_offer_is_gone(
    house: EmbeddedInventory, clock: ManualClock
) -> None:
    offer = await holdable(house)
    held = await house.hold(offer, [ASHA], ids.uuid7())
    await clock.advance(3 * 3600)
    key = ids.uuid7()
    bought = await house.book(offer, [ASHA], key, held.supplier_ref)
    assert (bought.status, bought.price, bought.locator) == ("confirmed", held.price, held.locator)
    assert bought.hold_expires_at is None
    assert await house.book(offer, [ASHA], key, held.supplier_ref) == bought


async def test_a_hold_is_bought_once(house: EmbeddedInventory, agency: AgencyLike) -> None:
    offer = await holdable(house)
    held = await house.hold(offer, [ASHA], ids.uuid7())
    buying = (house.book(offer, [ASHA], ids.uuid7(), held.supplier_ref) for _ in range(8))
    outcomes = await asyncio.gather(*buying, return_exceptions=True)
    bought = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(bought) == 1
    assert {str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} == {"conflict"}
    assert await orders(agency) == 2


async def test_an_expired_hold_is_not_bought(house: EmbeddedInventory, clock: ManualClock, agency: AgencyLike) -> None:
    offer = await holdable(house)
    held = await house.hold(offer, [ASHA], ids.uuid7())
    await clock.advance(24 * 3600)
    with refused("conflict"):
        await house.book(offer, [ASHA], ids.uuid7(), held.supplier_ref)
    assert await orders(agency) == 1


async def test_a_hold_ends_before_its_flight(agency: AgencyLike, clock: ManualClock) -> None:
    house = EmbeddedInventory(agency.tenant_id, agency.store, clock)
    soon: datetime = clock.now() + timedelta(days=1)
    offers = await house.search(question(outbound_date=soon.date()))
    holds = [(offer.hold_until, offer.segments[0].departs_at) for offer in offers if offer.hold_until is not None]
    assert holds
    for until, departs_at in holds:
        assert until <= departs_at - timedelta(hours=2)


async def test_k5_a_fare_searched_by_ages_is_booked_for_those_ages(house: EmbeddedInventory) -> None:
    party = Party(adult=1, child=2)
    offers = await house.search(question(party=party, ages=(15, 4)))
    plain = await house.search(question(party=party))
    assert {offer.ages for offer in offers} == {(4, 15)}
    assert min(offer.price.amount for offer in offers) > min(offer.price.amount for offer in plain)
    child = RAVI.model_copy(update={"type": "child", "date_of_birth": date(2022, 1, 1)})
    teenager = child.model_copy(update={"id": ids.uuid7(), "date_of_birth": date(2011, 1, 1)})
    order = await house.book(offers[0], [ASHA, child, teenager], "a key")
    assert order.price == offers[0].price


async def test_a_fare_tells_baggage_and_what_is_refunded(house: EmbeddedInventory) -> None:
    found = await house.search(question())
    flexible = next(offer for offer in found if offer.hold_possible)
    strict = next(offer for offer in found if not offer.hold_possible)
    assert (flexible.baggage, flexible.refundable) == ("1 cabin bag of 7 kg, 1 checked bag of 23 kg", True)
    assert flexible.conditions is not None
    assert flexible.conditions.startswith("refundable: 25 % is kept until 7 days before departure")
    assert (strict.baggage, strict.refundable) == ("1 cabin bag of 7 kg", False)
    assert strict.conditions == "not refundable; not changeable"
    assert {strict.changeable, flexible.changeable} == {False}
