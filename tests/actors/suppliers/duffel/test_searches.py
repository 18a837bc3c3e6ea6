"""Searches: ages and infants (T22), strange and broken offers, limits of the supplier, answers that break."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tests.actors.suppliers.duffel import inventory
from tests.actors.suppliers.duffel.conftest import person
from tests.figures import counted
from voyagent.actors.domain import ids
from voyagent.actors.domain.persons import Misfit, typed
from voyagent.actors.domain.travel import FlightOffer, Party
from voyagent.actors.foundation import metrics
from voyagent.actors.suppliers.duffel import offers, wire
from voyagent.actors.suppliers.duffel.failures import retry_after
from voyagent.actors.suppliers.protocols import SupplierError


def skipped(reason: str) -> float:
    return counted(metrics.SUPPLIER_ITEMS_SKIPPED_TOTAL, "duffel", reason)


async def test_fares_are_found_cheapest_first_with_exact_prices_and_instants(counter: Any) -> None:
    found = await counter.found("DXB")
    assert [offer.price.text for offer in found] == ["GBP 100.00", "GBP 125.00", "GBP 150.00"]
    assert [offer.hold_possible for offer in found] == [True, True, False]
    first = found[0]
    assert (first.supplier, first.supplier_ref[:4], first.back_from) == ("duffel", "off_", None)
    (flight,) = first.segments
    assert (flight.flight, flight.origin_zone, flight.destination_zone) == ("ZZ 4010", "Asia/Kolkata", "Asia/Dubai")
    assert flight.departs_at == datetime(2026, 12, 5, 4, 30, tzinfo=UTC)
    assert flight.arrives_at - flight.departs_at == timedelta(hours=2)
    assert first.expires_at - counter.clock.now() <= timedelta(minutes=30)
    assert first.hold_until is not None
    assert FlightOffer.model_validate_json(first.model_dump_json()) == first


async def test_a_return_and_a_change_of_planes_are_told_apart(counter: Any) -> None:
    found = await counter.found("AMS", "DXB", return_date=datetime(2026, 12, 9, tzinfo=UTC).date())
    first = found[0]
    assert [(each.origin, each.destination) for each in first.outbound] == [("DXB", "FRA"), ("FRA", "AMS")]
    assert [(each.origin, each.destination) for each in first.inbound] == [("AMS", "FRA"), ("FRA", "DXB")]
    assert first.stops == 1
    direct = await counter.found("AMS", "DXB", direct_only=True)
    assert direct[0].stops == 0


async def test_a_route_nobody_flies_has_no_offers(counter: Any) -> None:
    assert await counter.found("RAI", "PVD") == []


async def test_t22_children_and_infants_are_asked_for_by_age_and_sent_with_an_adult(counter: Any) -> None:
    party = Party(adult=2, child=1, infant=1)
    question = counter.question(party=party, ages=(9, 1))
    assert offers.request(question)["passengers"] == [{"type": "adult"}, {"type": "adult"}, {"age": 9}, {"age": 1}]
    offer = await counter.fare("DXB", party=party, ages=(9, 1))
    assert offer.ages == (1, 9)
    family = [
        person("Asha Rao"),
        person("Ravi Rao", gender="M", title="mr"),
        person("Anu Rao", date_of_birth=datetime(2017, 3, 1, tzinfo=UTC).date()),
        person("Om Rao", gender="M", title="mr", date_of_birth=datetime(2025, 5, 1, tzinfo=UTC).date()),
    ]
    sent = typed(family, offer.segments, offer.party, offer.ages)
    assert [each.type for each in sent] == ["adult", "adult", "child", "infant"]
    order = await counter.done(counter.client.book(offer, sent, ids.uuid7()))
    (stored,) = counter.account.orders.values()
    infant = next(each["id"] for each in stored["passengers"] if each["given_name"] == "Om")
    assert [each.get("infant_passenger_id") for each in stored["passengers"]] == [infant, None, None, None]
    assert [ticket.passenger_ids for ticket in order.tickets] == [(each.id,) for each in family]


async def test_t22_a_child_who_has_a_birthday_on_the_way_is_asked_for_at_the_age_of_the_return(counter: Any) -> None:
    back = datetime(2026, 12, 20, tzinfo=UTC).date()
    offer = await counter.fare("DXB", party=Party(adult=1, child=1), ages=(12,), return_date=back)
    anu = person("Anu Rao", date_of_birth=datetime(2014, 12, 10, tzinfo=UTC).date())
    asha = person()
    assert [each.type for each in typed((asha, anu), offer.segments, offer.party, offer.ages)] == ["adult", "child"]
    younger = await counter.fare("DXB", party=Party(adult=1, child=1), ages=(11,), return_date=back)
    with pytest.raises(Misfit, match="ages 11 on"):
        typed((asha, anu), younger.segments, younger.party, younger.ages)


@pytest.mark.parametrize(
    ("party", "ages", "word"),
    [
        (Party(adult=1, child=1), (), "ages"),
        (Party(adult=1, infant=2), (0, 1), "infant"),
        (Party(adult=10), (), "at most 9"),
    ],
)
async def test_t22_a_party_that_cannot_travel_is_refused_before_anything_is_sent(
    counter: Any, party: Party, ages: tuple[int, ...], word: str
) -> None:
    error = await counter.refused(counter.client.search(counter.question(party=party, ages=ages)))
    assert error.supplier_code == "validation_failed"
    assert word in error.text
    assert counter.standin.log == []


async def test_offers_that_cannot_be_read_are_counted_and_strange_ones_are_sold(counter: Any) -> None:
    reasons = ("unreadable", "partial", "expired", "departed", "no_time_zone")
    before = {reason: skipped(reason) for reason in reasons}
    found = await counter.found("Q24")
    assert len(found) == 6
    told = {reason: skipped(reason) - before[reason] for reason in reasons}
    assert told == {"unreadable": 10, "partial": 1, "expired": 1, "departed": 1, "no_time_zone": 2}


async def test_a_cabin_nobody_knows_is_the_one_asked_for(counter: Any) -> None:
    found = await counter.found("Q24", cabin="business")
    assert {offer.segments[0].cabin for offer in found} == {"business"}


async def test_a_429_is_waited_for_until_its_date_and_then_asked_again(counter: Any) -> None:
    began = counter.clock.monotonic()
    assert len(await counter.found("Q25")) == 3
    assert 6 <= counter.clock.monotonic() - began < 20
    assert counter.sent("POST", "/air/offer_requests") == 2


async def test_a_503_is_asked_again_and_a_500_is_not(counter: Any) -> None:
    assert len(await counter.found("Q27")) == 3
    error = await counter.refused(counter.found("Q26"))
    assert error.supplier_code == "transient"
    assert counter.sent("POST", "/air/offer_requests") == 3


@pytest.mark.parametrize("row", ["Q28", "Q29"])
async def test_an_answer_that_is_too_long_or_no_json_is_a_clear_error(counter: Any, row: str) -> None:
    error = await counter.refused(counter.found(row))
    assert (error.supplier_code, error.text) == ("transient", "the supplier's answer cannot be read")


@pytest.mark.parametrize(("destination", "origin"), [("LHR", "STN"), ("Q36", "BOM")])
async def test_a_search_that_does_not_end_is_ended_after_30_s(counter: Any, destination: str, origin: str) -> None:
    began = counter.clock.monotonic()
    error = await counter.refused(counter.found(destination, origin))
    assert error.supplier_code == "timeout"
    assert counter.clock.monotonic() - began <= 40


async def test_a_price_that_rose_and_an_offer_that_went_are_told(counter: Any) -> None:
    found = (await counter.found("Q14"))[0]
    assert (await counter.done(counter.client.price(found))).price.text == "GBP 119.00"
    await counter.clock.advance(1900)
    error = await counter.refused(counter.client.price(found))
    assert (error.supplier_code, error.reason) == ("not_found", "offer_expired")


async def test_no_token_is_in_an_error_or_a_log(counter: Any, caplog: Any, capsys: Any) -> None:
    async def wrong() -> str:
        return "duffel_live_5ecret"

    counter.driver._api._token = wrong
    error = await counter.refused(counter.found("DXB"))
    assert (error.supplier_code, error.text) == ("authentication", "the supplier does not accept the agency's token")
    printed = capsys.readouterr()
    assert "5ecret" not in f"{error!r}{error.text}{caplog.text}{printed.out}{printed.err}"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit-reset": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"ratelimit-reset": "7"}, 7.0),
        ({"ratelimit-reset": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"ratelimit-reset": "soon", "retry-after": "5"}, 5.0),
        ({"ratelimit-reset": "9" * 40}, None),
        ({"ratelimit-reset": "Mon, 01 Jan 99999999999999 00:00:00 GMT", "retry-after": "5"}, 5.0),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_k11_a_limits_end_is_a_date_or_a_number_of_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, datetime(2026, 11, 23, 12, tzinfo=UTC)) == seconds


async def test_the_ages_of_a_question_are_those_of_its_party(counter: Any) -> None:
    with pytest.raises(ValueError, match="infants"):
        counter.question(party=Party(adult=1, child=1), ages=(1,))
    with pytest.raises(ValueError, match="as many ages"):
        counter.question(party=Party(adult=1, child=2), ages=(9,))


def test_an_error_says_whether_it_was_sent() -> None:
    assert SupplierError("transient", "no").sent


async def test_b56_an_offer_with_gaps_is_given_no_currency_and_no_zone_of_its_own(counter: Any) -> None:
    found = await counter.found("Q24", currency="INR")
    assert {offer.price.currency for offer in found} == {"GBP"}, "what the supplier states, and not what was asked for"
    zones = {each.origin: each.origin_zone for offer in found for each in offer.segments}
    assert zones == {"BOM": "Asia/Kolkata", "COK": "Asia/Kolkata"}, "of the airport where the supplier is silent"


@pytest.mark.parametrize("name", ["total_currency", "total_amount", "expires_at"])
def test_b56_an_offer_without_price_currency_or_end_is_none(name: str) -> None:
    whole = stated([], None).model_dump(mode="json")
    assert wire.Offer.model_validate(whole)
    with pytest.raises(ValidationError, match=name):
        wire.Offer.model_validate(whole | {name: None})


def stated(bags: Any, terms: Any, others: Any = "as the first") -> wire.Offer:
    """An offer with these baggages of two persons and these conditions."""
    travellers = [{"id": "pas_1"}, {"id": "pas_2"}]
    flight = inventory.segment("LHR", "DXB", date(2026, 12, 5), 9, 420, travellers, "economy")
    seats = flight["passengers"]
    seats[0]["baggages"], seats[1]["baggages"] = bags, bags if others == "as the first" else others
    return wire.Offer.model_validate(
        {
            "id": "off_1",
            "expires_at": "2026-12-01T00:00:00Z",
            "total_amount": "1.00",
            "total_currency": "GBP",
            "slices": [{"segments": [flight]}],
            "passengers": travellers,
            "conditions": terms,
        }
    )


@pytest.mark.parametrize(
    ("bags", "others", "told"),
    [
        (
            [{"type": "carry_on", "quantity": 1}, {"type": "checked", "quantity": 2}],
            "as the first",
            "1 cabin bag, 2 checked bags",
        ),
        ([{"type": "checked", "quantity": 0}], "as the first", "no bags"),
        ([], [{"type": "checked", "quantity": 1}], None),
        (None, "as the first", None),
        ("as much as you like", "as the first", None),
    ],
)
def test_baggage_is_told_where_it_is_stated_and_the_same_for_all(bags: Any, others: Any, told: str | None) -> None:
    assert offers.baggage(stated(bags, None, others)) == told


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (None, None),
        ({"refund_before_departure": None}, None),
        ({"refund_before_departure": {"allowed": False}}, "not refundable"),
        ({"refund_before_departure": "ask the airline"}, None),
        (
            {"refund_before_departure": {"allowed": True, "penalty_amount": "40.00", "penalty_currency": "GBP"}},
            "refundable before departure, GBP 40.00 is kept",
        ),
        (
            {"refund_before_departure": {"allowed": True, "penalty_amount": None}},
            "refundable before departure, what is kept is not stated",
        ),
        (
            {
                "refund_before_departure": {"allowed": False},
                "change_before_departure": {"allowed": True, "penalty_amount": "9.00", "penalty_currency": "EUR"},
            },
            "not refundable; changeable before departure, EUR 9.00 is charged",
        ),
        (
            {"refund_before_departure": {"allowed": True, "penalty_amount": "40.00", "penalty_currency": None}},
            "refundable before departure, what is kept is not stated",
        ),
        ({"change_before_departure": {"allowed": False}}, "not changeable"),
    ],
)
def test_k10_conditions_nobody_states_are_unknown_and_not_free(terms: Any, told: str | None) -> None:
    found = offers.conditions(stated([], terms).conditions)
    assert found.text == told
    assert (found.refundable is None) == (told is None or "refundable" not in told)
    assert (found.changeable is None) == (told is None or "changeable" not in told)
