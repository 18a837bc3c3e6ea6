"""The travel shapes refuse what cannot be flown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from voyagent.actors.domain.money import Money
from voyagent.actors.domain.travel import (
    FlightOffer,
    FlightQuestion,
    Party,
    Passenger,
    Segment,
    split_name,
    tidy_name,
    zone,
)

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def segment(**parts: Any) -> Segment:
    usual = {
        "marketing_carrier": "EK",
        "flight_number": "501",
        "origin": "BOM",
        "destination": "DXB",
        "departs_at": NOON,
        "arrives_at": NOON + timedelta(hours=3),
        "origin_zone": "Asia/Kolkata",
        "destination_zone": "Asia/Dubai",
        "cabin": "economy",
    }
    return Segment(**usual | parts)


def offer(*segments: Segment, **parts: Any) -> FlightOffer:
    usual = {
        "id": "o-1",
        "supplier": "house",
        "supplier_ref": "r",
        "segments": segments,
        "price": Money.of(100, "INR"),
        "expires_at": NOON,
        "hold_possible": False,
        "party": Party(adult=1),
        "cabin": "economy",
    }
    return FlightOffer(**usual | parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"arrives_at": NOON},
        {"arrives_at": NOON - timedelta(hours=1)},
        {"flight_number": "12345"},
        {"flight_number": ""},
        {"flight_number": "5A1"},
        {"marketing_carrier": "ek"},
        {"origin": "B"},
        {"departs_at": NOON.replace(tzinfo=None)},
        {"meal": "yes"},
        {"cabin": "deck"},
    ],
)
def test_a_segment_refuses(parts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        segment(**parts)


def test_a_zone_nobody_knows_is_refused() -> None:
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises((KeyError, ValidationError)):
            segment(origin_zone=name)


def test_times_are_kept_in_utc_and_told_by_the_airports_clocks() -> None:
    kolkata = timezone(timedelta(hours=5, minutes=30))
    flight = segment(departs_at=datetime(2026, 11, 23, 17, 30, tzinfo=kolkata))
    assert flight.departs_at == NOON
    assert flight.departs_at.tzinfo is UTC
    assert f"{flight.departs_local:%H:%M}" == "17:30"
    assert f"{flight.arrives_local:%H:%M}" == "19:00"


def test_wall_times_come_from_the_packaged_zones() -> None:
    assert zone("Asia/Kolkata") is zone("Asia/Kolkata")
    assert datetime(2026, 7, 1, tzinfo=zone("America/New_York")).utcoffset() == timedelta(hours=-4)


def test_an_offer_goes_forward_in_time() -> None:
    first = segment()
    onward = segment(
        origin="DXB", destination="LHR", departs_at=NOON + timedelta(hours=5), arrives_at=NOON + timedelta(hours=9)
    )
    assert offer(first, onward).stops == 1
    with pytest.raises(ValidationError):
        offer(onward, first)
    with pytest.raises(ValidationError):
        offer()


def test_the_way_back_begins_behind_the_first_segment() -> None:
    out = segment()
    home = segment(departs_at=NOON + timedelta(days=3), arrives_at=NOON + timedelta(days=3, hours=3))
    both = offer(out, home, back_from=1)
    assert (both.outbound, both.inbound, both.stops) == ((out,), (home,), 0)
    for wrong in (0, 2, -1):
        with pytest.raises(ValidationError):
            offer(out, home, back_from=wrong)


def test_an_offer_is_expired_at_the_moment_it_expires() -> None:
    fare = offer(segment())
    assert fare.alive(NOON - timedelta(microseconds=1))
    assert not fare.alive(NOON)


def test_an_offer_reads_back_as_it_was_written() -> None:
    fare = offer(segment())
    assert FlightOffer.model_validate_json(fare.model_dump_json()) == fare
    assert FlightOffer.model_validate(fare.model_dump(mode="json")) == fare


def test_nobody_comes_back_before_they_left_and_somebody_travels() -> None:
    asked: dict[str, Any] = {"origin": "BOM", "destination": "DXB", "currency": "INR"}
    asked |= {"outbound_date": date(2026, 12, 5), "party": Party(adult=1)}
    for day in (5, 4):  # who flies east across the date line lands on the day before
        assert FlightQuestion(**asked, return_date=date(2026, 12, day))
    with pytest.raises(ValidationError):
        FlightQuestion(**asked, return_date=date(2026, 12, 3))
    with pytest.raises(ValidationError):
        FlightQuestion(**asked | {"party": Party()})


@given(st.lists(st.sampled_from(["adult", "child", "infant", "senior"]), min_size=1, max_size=9))
def test_a_party_counts_its_persons(types: list[Any]) -> None:
    persons = tuple(
        Passenger(id=str(n), full_name="A B", given_name="A", family_name="B", type=kind)
        for n, kind in enumerate(types)
    )
    party = Party.of(persons)
    assert party.total == len(persons)
    assert all(party.counts[kind] == types.count(kind) for kind in set(types))


def test_a_party_is_told_in_words() -> None:
    assert Party(adult=2, child=1, infant=1).text == "2 adults, 1 child, 1 infant"
    assert Party(adult=1, child=2, senior=2).text == "1 adult, 2 children, 2 seniors"


@pytest.mark.parametrize(
    ("full", "parts"),
    [("Asha Rao", ("Asha", "Rao")), ("Asha Devi Rao", ("Asha Devi", "Rao")), ("Suharto", ("", "Suharto"))],
)
def test_a_full_name_is_split_at_its_last_blank(full: str, parts: tuple[str, str]) -> None:
    assert split_name(full) == parts


def test_a_name_keeps_nothing_invisible() -> None:
    assert tidy_name("  Asha\n\tRao ") == "Asha Rao"
    assert tidy_name("As\u202eha\u200b Rao\x00") == "Asha Rao"
    assert tidy_name("Rene\u0301") == "René"
    assert tidy_name("\u200b\u202e") == ""


def test_a_child_lacks_its_date_of_birth_and_an_adult_may() -> None:
    named: dict[str, Any] = {"id": "1", "full_name": "A B", "given_name": "A", "family_name": "B"}
    assert Passenger(**named).missing == ()
    assert Passenger(**named | {"type": "infant"}).missing == ("date_of_birth",)
    assert Passenger(**named | {"given_name": ""}).missing == ("given_name",)


def test_a_persons_fingerprint_moves_with_every_detail() -> None:
    person = Passenger(id="1", full_name="A B", given_name="A", family_name="B")
    changes: list[dict[str, Any]] = [
        {"given_name": "C"},
        {"title": "dr"},
        {"type": "senior"},
        {"date_of_birth": date(1990, 1, 1)},
        {"nationality": "IN"},
        {"email": "a@example.com"},
    ]
    prints = {person.model_copy(update=change).fingerprint for change in changes}
    assert len(prints | {person.fingerprint}) == len(changes) + 1
