"""How the rehearsal reads plain English."""

from __future__ import annotations

from datetime import date

import pytest

from voyagent.actors.agent.rehearsed.places import route
from voyagent.actors.agent.rehearsed.words import ages, agrees, chosen, counted, dates, money, persons, wants_booking

TUESDAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 2026-12-12", ["2026-12-12"]),
        ("on 12 December 2026 and book it", ["2026-12-12"]),
        ("on the 12th of December", ["2026-12-12"]),
        ("12 Dec.", ["2026-12-12"]),
        ("December 12, 2026", ["2026-12-12"]),
        ("Dec 1st", ["2026-12-01"]),
        ("on 3 January", ["2027-01-03"]),
        ("12/01/2027", ["2027-01-12"]),
        ("12.01.2027", ["2027-01-12"]),
        ("today", ["2026-11-24"]),
        ("Tomorrow morning", ["2026-11-25"]),
        ("the day after tomorrow", ["2026-11-26"]),
        ("in 3 days", ["2026-11-27"]),
        ("in two weeks", ["2026-12-08"]),
        ("next week", ["2026-12-01"]),
        ("on Friday", ["2026-11-27"]),
        ("next Tuesday", ["2026-12-01"]),
        ("from 12 to 15 December", ["2026-12-12", "2026-12-15"]),
        ("12-15 Dec 2026", ["2026-12-12", "2026-12-15"]),
        ("out 2026-12-12, back 20 December", ["2026-12-12", "2026-12-20"]),
        ("31 February 2027", []),
        ("in December 2026", []),
        ("I may fly", []),
        ("flight 214", []),
    ],
)
def test_dates_are_read_in_many_forms(text: str, expected: list[str]) -> None:
    assert [day.isoformat() for day in dates(text, TUESDAY)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Find me a flight from Mumbai to Dubai on 12 December", ("BOM", "DXB")),
        ("to Dubai from Mumbai", ("BOM", "DXB")),
        ("Mumbai to Dubai", ("BOM", "DXB")),
        ("Mumbai-Dubai", ("BOM", "DXB")),
        ("bombay → new delhi", ("BOM", "DEL")),
        ("BOM-DXB please", ("BOM", "DXB")),
        ("XQZ to ZQX", ("XQZ", "ZQX")),
        ("London New York", ("LHR", "JFK")),
        ("from Ho Chi Minh City to Kuala Lumpur", ("SGN", "KUL")),
        ("a flight to Dubai", (None, "DXB")),
        ("we start from Goa", ("GOI", None)),
        ("a PNR in INR", (None, None)),
        ("मुंबई दुबई", ("BOM", "DXB")),
    ],
)
def test_routes_are_read_by_prepositions_and_else_by_order(text: str, expected: tuple[str | None, str | None]) -> None:
    origin, destination = route(text)
    assert (origin and origin.code, destination and destination.code) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("book it for Asha Rao", [{"full_name": "Asha Rao"}]),
        ("for Asha Rao and Dev Rao on 12 December", [{"full_name": "Asha Rao"}, {"full_name": "Dev Rao"}]),
        (
            "for Mrs. Asha Rao, Dr Dev Rao",
            [{"full_name": "Asha Rao", "title": "mrs"}, {"full_name": "Dev Rao", "title": "dr"}],
        ),
        ("Passenger: José Ñandú-O'Brien", [{"full_name": "José Ñandú-O'Brien"}]),
        ("for Asha Rao from Mumbai to Dubai", [{"full_name": "Asha Rao"}]),
        ("for Dubai", []),
        ("for Monday", []),
        ("for me", []),
        ("for INR 500", []),
        ("Find me a flight from Mumbai to Dubai and book it", []),
    ],
)
def test_persons_are_those_a_booking_is_for(text: str, expected: list[dict[str, str]]) -> None:
    assert persons(text) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Find me a flight and book it"], True),
        (["Reserve the second one"], True),
        (["Find me a flight"], False),
        (["Find me a flight but do not book it"], False),
        (["just look, don't book"], False),
        (["12 December", "find a flight and book it"], True),
        (["don't book yet", "find a flight and book it"], False),
        ([], False),
    ],
)
def test_the_newest_words_on_booking_count(texts: list[str], expected: bool) -> None:
    assert wants_booking(texts) is expected


def test_counts_choices_sums_and_a_yes_are_read() -> None:
    assert counted("two adults and 3 children", "adults?") == 2
    assert counted("two adults and 3 children", "child(?:ren)?") == 3
    assert counted("some adults", "adults?") is None
    assert (chosen("the second one"), chosen("option 3"), chosen("in first class"), chosen("any")) == (2, 3, None, None)
    assert money("over INR 45,200.00 please") == ("INR", "45200.00")
    assert money("500 USD") == ("USD", "500")
    assert money("for nothing") is None
    assert agrees("Yes, please")
    assert not agrees("Yesterday")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two children aged 5 and 10", [5, 10]),
        ("aged 5, 10 and 12, on 12 December", [5, 10, 12]),
        ("a child aged 8 and 12 December", [8]),
        ("age 1", [1]),
        ("an 8-year-old and one 11 years old", [8, 11]),
        ("a baby, 6 months old", [0]),
        ("2 children", []),
        ("on page 5", []),
    ],
)
def test_ages_are_read_as_they_are_told(text: str, expected: list[int]) -> None:
    assert ages(text) == expected
