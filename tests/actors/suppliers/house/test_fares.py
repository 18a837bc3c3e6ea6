"""Fares of the embedded inventory are a function of the question, and their flights connect."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import airportsdata
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyagent.actors.domain.money import totals
from voyagent.actors.domain.settings import currencies, timezones
from voyagent.actors.domain.travel import FlightQuestion, Party, zone
from voyagent.actors.suppliers.house.fares import Itinerary, again, itineraries
from voyagent.actors.suppliers.house.places import airlines, airports, distance, hotels, per_usd, served
from voyagent.actors.suppliers.house.timetable import LAYOVER, flying_time, ways

AIRPORTS = st.sampled_from(sorted(airports()))
DAYS = st.dates(date(2026, 1, 1), date(2028, 12, 31))
PARTIES = st.builds(
    Party, adult=st.integers(1, 4), child=st.integers(0, 2), infant=st.integers(0, 1), senior=st.integers(0, 2)
)
CABINS = st.sampled_from(["economy", "premium_economy", "business", "first"])


@st.composite
def questions(draw: Any, *, both_ways: bool | None = None) -> FlightQuestion:
    origin = draw(AIRPORTS)
    destination = draw(AIRPORTS.filter(lambda code: code != origin))
    there = draw(DAYS)
    returns = draw(st.booleans()) if both_ways is None else both_ways
    return FlightQuestion(
        origin=origin,
        destination=destination,
        outbound_date=there,
        return_date=there + timedelta(days=draw(st.integers(0, 30))) if returns else None,
        party=draw(PARTIES),
        cabin=draw(CABINS),
        direct_only=draw(st.booleans()),
        currency=draw(st.sampled_from(["INR", "USD", "JPY", "KWD", "XAF"])),
    )


@st.composite
def aged(draw: Any) -> FlightQuestion:
    """A question with the ages of all children and infants."""
    question = draw(questions())
    infants = draw(st.lists(st.integers(0, 1), min_size=question.party.infant, max_size=question.party.infant))
    children = draw(st.lists(st.integers(2, 17), min_size=question.party.child, max_size=question.party.child))
    return FlightQuestion.model_validate(question.model_dump() | {"ages": (*children, *infants)})


def asked(**parts: Any) -> FlightQuestion:
    usual: dict[str, Any] = {
        "origin": "BOM",
        "destination": "DXB",
        "outbound_date": date(2026, 12, 5),
        "currency": "INR",
    }
    return FlightQuestion(**usual | {"party": Party(adult=1)} | parts)


def flights(found: Itinerary) -> list[Any]:
    return [*found.out.flights, *(found.back.flights if found.back else ())]


@given(questions())
@settings(deadline=None)
def test_the_same_question_has_the_same_answer(question: FlightQuestion) -> None:
    first = itineraries(question)
    ways.cache_clear()
    distance.cache_clear()
    assert itineraries(question) == first


def test_another_process_gives_the_same_answer() -> None:
    """Python's own hashes differ between runs; nothing may lean on them."""
    program = """
from datetime import date
from voyagent.actors.domain.travel import FlightQuestion, Party, zone
from voyagent.actors.suppliers.house.fares import itineraries
question = FlightQuestion(origin="BOM", destination="LON", outbound_date=date(2026, 12, 5),
                          return_date=date(2026, 12, 19), party=Party(adult=2, child=1), currency="INR")
print([(found.ref, found.price.text, str(found.out.flights[0].departs_at)) for found in itineraries(question)])
"""
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "TZ": place}, capture_output=True, check=True
        ).stdout
        for seed, place in (("1", "UTC"), ("2", "America/New_York"))
    ]
    assert runs[0] == runs[1]
    assert b"BOM/LON" in runs[0]


@given(questions())
@settings(deadline=None)
def test_every_flight_arrives_after_it_departs_and_can_be_reached(question: FlightQuestion) -> None:
    for found in itineraries(question):
        for flight in flights(found):
            assert flight.arrives_at > flight.departs_at
        for way in (found.out, found.back):
            for first, then in zip(way.flights, way.flights[1:], strict=False) if way else ():
                assert first.destination == then.origin
                assert then.departs_at - first.arrives_at >= LAYOVER


@given(questions(both_ways=True))
@settings(deadline=None)
def test_nobody_returns_before_they_have_arrived(question: FlightQuestion) -> None:
    for found in itineraries(question):
        assert found.back is not None
        assert found.back.flights[0].departs_at >= found.out.flights[-1].arrives_at + LAYOVER


@given(questions())
@settings(deadline=None)
def test_an_itinerary_goes_where_was_asked_on_the_day_that_was_asked(question: FlightQuestion) -> None:
    for found in itineraries(question):
        out = found.out.flights
        assert (out[0].origin, out[-1].destination) == (question.origin, question.destination)
        if found.back is not None:
            assert (found.back.flights[0].origin, found.back.flights[-1].destination) == (
                out[-1].destination,
                out[0].origin,
            )
        if question.direct_only:
            assert len(out) == 1
            assert found.back is None or len(found.back.flights) == 1


@given(questions())
@settings(deadline=None)
def test_a_price_is_positive_in_one_currency_and_in_its_minor_units(question: FlightQuestion) -> None:
    found = itineraries(question)
    assert [each.price.amount for each in found] == sorted(each.price.amount for each in found)
    assert len(totals(each.price for each in found)) <= 1
    for each in found:
        assert each.price.currency == (question.currency if question.currency != "XAF" else "USD")
        assert each.price.amount > 0
        assert each.price.in_minor_units


@given(questions())
@settings(deadline=None)
def test_a_reference_leads_back_to_its_itinerary_and_to_no_other(question: FlightQuestion) -> None:
    found = itineraries(question)
    assert len({each.ref for each in found}) == len(found)
    for each in found[:3]:
        assert again(each.ref) == each


@pytest.mark.parametrize(
    "ref", ["", "nonsense", "BOM/DXB", "a/b/c/d/e/f/g/h/i", "BOM/DXB/2026-13-05/-/economy/1.0.0.0/INR/any/x"]
)
def test_a_reference_of_somebody_else_leads_nowhere(ref: str) -> None:
    assert again(ref) is None


@given(questions(), st.sampled_from(["adult", "child", "infant", "senior"]))
@settings(deadline=None)
def test_one_person_more_costs_more(question: FlightQuestion, kind: str) -> None:
    counts = question.party.model_dump()
    larger = question.model_copy(update={"party": Party(**counts | {kind: counts[kind] + 1})})
    dearer = {each.ref.rsplit("/", 1)[-1]: each.price.amount for each in itineraries(larger)}
    for each in itineraries(question):
        assert dearer[each.ref.rsplit("/", 1)[-1]] > each.price.amount


@given(question=aged())
def test_k5_what_was_searched_by_ages_is_what_is_priced(question: FlightQuestion) -> None:
    found = itineraries(question)[:3]
    for itinerary in found:
        assert again(itinerary.ref) == itinerary
    grown = sum(age >= 12 for age in question.ages)
    party = question.party.model_copy(
        update={"adult": question.party.adult + grown, "child": question.party.child - grown}
    )
    plain = question.model_copy(update={"party": party, "ages": ()})
    assert [each.price for each in itineraries(plain)[:3]] == [each.price for each in found]


def test_the_main_route_is_flown_straight_and_over_a_hub() -> None:
    stops = {len(each.out.flights) - 1 for each in itineraries(asked())}
    assert stops == {0, 1}
    assert {len(each.out.flights) for each in itineraries(asked(direct_only=True))} == {1}


def test_dates_and_cabins_have_fares_of_their_own() -> None:
    by_day = {itineraries(asked(outbound_date=date(2026, 12, day)))[0].price.amount for day in range(1, 15)}
    assert len(by_day) > 7
    economy, business = itineraries(asked()), itineraries(asked(cabin="business"))
    assert business[0].price.amount > economy[0].price.amount
    assert not any(flight.airline.low_cost for each in business for flight in flights(each))


def test_a_city_code_stands_for_all_its_airports() -> None:
    assert {airport.code for airport in served("LON")} == {"LHR", "LGW"}
    ends = {each.out.flights[-1].destination for each in itineraries(asked(destination="LON"))}
    assert ends == {"LHR", "LGW"}
    assert served("ZZZ") == ()


def test_nobody_flies_from_a_city_to_itself() -> None:
    assert itineraries(asked(destination="BOM")) == []


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25), date(2026, 3, 8), date(2026, 11, 1)])
def test_flights_last_as_long_when_the_clocks_change(day: date) -> None:
    for origin, destination in (("LHR", "JFK"), ("JFK", "LHR"), ("CAI", "BEY"), ("SCL", "SYD")):
        found = ways(origin, destination, day, direct_only=True)
        assert found, (origin, destination)
        for way in found:
            [flight] = way.flights
            assert flight.arrives_at - flight.departs_at == flying_time(distance(origin, destination))


def test_the_embedded_places_are_sound() -> None:
    assert len(airports()) >= 150
    assert len(airlines()) >= 30
    assert len(hotels()) >= 60
    assert {airport.zone for airport in airports().values()} <= timezones()
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in airports())
    assert all(hub in airports() for airline in airlines() for hub in airline.hubs)
    assert len({airline.code for airline in airlines()}) == len(airlines())
    assert set(per_usd()) <= currencies()
    assert len({hotel.id for hotel in hotels()}) == len(hotels())
    assert all(1 <= hotel.stars <= 5 and hotel.usd > 0 for hotel in hotels())
    assert distance("BOM", "DXB") == distance("DXB", "BOM") == pytest.approx(1940, abs=60)


def test_the_embedded_airports_are_where_public_data_has_them() -> None:
    """By country and clock; of the few codes that the package lacks nothing is compared."""
    public = airportsdata.load("IATA")
    compared = [airport for code, airport in airports().items() if code in public]
    assert len(compared) > len(airports()) - 3
    for airport in compared:
        there = public[airport.code]
        assert there["country"] == airport.country, airport
        for month in range(1, 13):
            noon = datetime(2027, month, 15, 12, tzinfo=UTC)
            assert noon.astimezone(zone(there["tz"])).utcoffset() == noon.astimezone(zone(airport.zone)).utcoffset()
