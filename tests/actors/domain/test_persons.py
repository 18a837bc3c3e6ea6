"""Who may travel together, and how old somebody is."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from voyagent.actors.domain import ids
from voyagent.actors.domain.persons import Misfit, age_on, ends_too_soon, type_on, typed
from voyagent.actors.domain.travel import Party, Passenger, PassengerType, Segment

FLIGHT = Segment(
    origin="BOM",
    origin_zone="Asia/Kolkata",
    destination="DXB",
    destination_zone="Asia/Dubai",
    departs_at=datetime(2026, 12, 5, 6, tzinfo=UTC),
    arrives_at=datetime(2026, 12, 5, 9, tzinfo=UTC),
    marketing_carrier="AI",
    flight_number="995",
    cabin="economy",
)


def person(birth: str | None, of_type: PassengerType = "adult", name: str = "Asha Rao") -> Passenger:
    born = None if birth is None else date.fromisoformat(birth)
    given, _, family = name.rpartition(" ")
    return Passenger(
        id=ids.uuid7(), full_name=name, given_name=given, family_name=family, type=of_type, date_of_birth=born
    )


@pytest.mark.parametrize("party", [Party(child=1), Party(infant=1), Party(child=1, infant=1)])
def test_children_and_infants_do_not_travel_without_an_adult(party: Party) -> None:
    people = [person("2018-01-01", "child")] * party.child + [person("2026-01-01", "infant")] * party.infant
    with pytest.raises(Misfit, match="travel with an adult"):
        typed(people, [FLIGHT], party)


def test_a_senior_is_an_adult_to_travel_with() -> None:
    people = [person("1950-01-01", "senior"), person("2018-01-01", "child")]
    named = typed(people, [FLIGHT], Party(senior=1, child=1))
    assert [each.type for each in named] == ["senior", "child"]


def test_a_party_that_differs_from_the_fares_is_told_with_ages() -> None:
    with pytest.raises(Misfit) as told:
        typed([person("2018-01-01", "child", "Mira Rao"), person(None)], [FLIGHT], Party(adult=2))
    assert str(told.value).startswith("The fare is for 2 adults; those named are 1 adult, 1 child. Mira Rao ")
    assert str(told.value).endswith(" is a child on 2026-12-05.")


MIRA = ("2021-01-01", "child")


@pytest.mark.parametrize(
    ("people", "party", "ages", "why"),
    [
        ([MIRA, (None, "child")], Party(adult=1, child=1), [5], "is a child without a date of birth"),
        ([MIRA, (None, "infant")], Party(adult=1, child=1), [5], "is an infant without a date of birth"),
        ([MIRA, ("1990-01-01", "senior")], Party(senior=1, child=1), [5], "those named are 1 adult, 1 child"),
        ([MIRA, (None, "senior")], Party(adult=1, child=1), [5], "those named are 1 child, 1 senior"),
        ([MIRA], Party(child=1), [5], "travel with an adult"),
        ([MIRA, ("2015-12-06", "adult")], Party(child=2), [5, 10], "travel with an adult"),
        ([MIRA, ("2020-01-01", "child")], Party(adult=1, child=1), [5], "ages 5 on 2026-12-05"),
    ],
)
def test_on_a_fare_for_ages_nobody_travels_as_what_they_are_not(
    people: list[tuple[str | None, PassengerType]], party: Party, ages: list[int], why: str
) -> None:
    with pytest.raises(Misfit, match=why):
        typed([person(*each) for each in people], [FLIGHT], party, ages)


@pytest.mark.parametrize(
    ("people", "party", "ages", "types"),
    [
        ([MIRA, (None, "adult")], Party(adult=1, child=1), [5], ["child", "adult"]),
        ([(None, "senior"), MIRA], Party(senior=1, child=1), [5], ["senior", "child"]),
        ([("1950-01-01", "senior"), MIRA], Party(senior=1, child=1), [5], ["senior", "child"]),
        ([("2010-01-01", "adult"), MIRA], Party(child=2), [5, 16], ["child", "child"]),
        ([("1990-01-01", "adult"), ("2025-01-01", "child")], Party(adult=1, infant=1), [1], ["adult", "infant"]),
    ],
)
def test_on_a_fare_for_ages_everybody_travels_as_priced(
    people: list[tuple[str | None, PassengerType]], party: Party, ages: list[int], types: list[str]
) -> None:
    named = typed([person(*each) for each in people], [FLIGHT], party, ages)
    assert [each.type for each in named] == types


@pytest.mark.parametrize(
    ("birth", "of_type", "expected"),
    [
        ("2024-12-06", "adult", "infant"),
        ("2024-12-05", "infant", "child"),
        ("2014-12-06", "adult", "child"),
        ("2014-12-05", "child", "adult"),
        ("1990-01-01", "senior", "adult"),
        (None, "infant", "infant"),
    ],
)
def test_the_type_follows_from_the_birth_and_else_from_the_file(
    birth: str | None, of_type: PassengerType, expected: str
) -> None:
    assert type_on(date(2026, 12, 5), person(birth, of_type)) == expected


def test_somebody_born_on_a_leap_day_is_a_year_older_on_the_first_of_march() -> None:
    assert [age_on(date(2025, *day), date(2024, 2, 29)) for day in ((2, 28), (3, 1))] == [0, 1]


@pytest.mark.parametrize(
    ("expiry", "last", "soon"),
    [
        (None, date(2026, 12, 5), False),
        (date(2027, 6, 5), date(2026, 12, 5), False),
        (date(2027, 6, 4), date(2026, 12, 5), True),
        (date(2026, 12, 1), date(2026, 12, 5), True),
        (date(2027, 2, 28), date(2026, 8, 31), False),
        (date(2027, 2, 27), date(2026, 8, 31), True),
        (date(2028, 2, 28), date(2027, 8, 30), True),
        (date(2028, 2, 29), date(2027, 8, 30), False),
    ],
)
def test_a_passport_is_valid_for_six_months_after_the_journey(expiry: date | None, last: date, soon: bool) -> None:
    assert ends_too_soon(expiry, last) is soon
