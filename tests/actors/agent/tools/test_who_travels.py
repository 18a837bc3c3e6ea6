"""Who may travel on a fare: by age on each flight's day, and by the names airlines take."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.persons import age_on

OUT, BACK = "2026-12-05", "2026-12-19"


async def refusal(desk: Any, party: dict[str, int], *people: dict[str, Any], back: str | None = BACK) -> str | None:
    """Why these people cannot be booked on a fare for that party; None if a human would be asked."""
    fare = await desk.fare(outbound_date=OUT, return_date=back, passengers=party, hold=True)
    known = [await desk.person(f"Person {chr(65 + place)}", **each) for place, each in enumerate(people)]
    given = {"fare_id": fare["fare_id"], "passenger_ids": known}
    told = await desk.check(**given)
    held = await desk.place("hold_flight", **given)
    if not isinstance(told, dict):
        assert held["held"] is True
        return None
    assert (told["booked"], told["reason"]) == (False, "passenger_incomplete")
    assert (held["held"], held["detail"]) == (False, told["detail"])
    return str(told["detail"])


def born(day: str, **more: Any) -> dict[str, Any]:
    return {"date_of_birth": day, **more}


ADULT = born("1990-01-02")


@pytest.mark.parametrize(
    ("party", "people", "told"),
    [
        ({"adult": 1, "infant": 1}, [ADULT, born("2015-05-05", type="infant")], "is a child on 2026-12-05"),
        ({"adult": 1, "infant": 1}, [ADULT, born("2024-12-05", type="infant")], "is a child on 2026-12-05"),
        ({"adult": 1, "infant": 1}, [ADULT, born("1980-05-05", type="infant")], "is an adult on 2026-12-05"),
        ({"adult": 1}, [born("2024-12-20")], "is an infant on 2026-12-05"),
        ({"adult": 1}, [born("2014-12-20")], "is a child on 2026-12-05"),
        ({"adult": 1, "child": 1}, [ADULT, born("2014-12-05", type="child")], "is an adult on 2026-12-05"),
        ({"adult": 1, "child": 1}, [ADULT, born("2025-05-05", type="child")], "is an infant on 2026-12-05"),
        ({"senior": 1}, [born("1990-05-05", type="senior")], "is an adult on 2026-12-05"),
        (
            {"adult": 1, "infant": 1},
            [ADULT, born("2024-12-10", type="infant")],
            "is an infant on 2026-12-05 and a child on 2026-12-19: book each way by itself",
        ),
        (
            {"adult": 1, "child": 1},
            [ADULT, born("2014-12-19", type="child")],
            "is a child on 2026-12-05 and an adult on 2026-12-19: book each way by itself",
        ),
    ],
)
async def test_nobody_travels_as_what_they_are_not(
    party: dict[str, int], people: list[dict[str, Any]], told: str, desk: Any
) -> None:
    detail = await refusal(desk, party, *people)
    assert detail is not None
    assert told in detail
    assert f"Person {chr(64 + len(people))}" in detail, "the person is named"


@pytest.mark.parametrize(
    ("party", "people"),
    [
        ({"adult": 1, "infant": 1}, [ADULT, born("2024-12-20", type="infant")]),
        ({"adult": 1, "child": 1}, [ADULT, born("2024-12-05", type="infant")]),
        ({"adult": 1, "child": 1}, [ADULT, born("2014-12-20", type="child")]),
        ({"adult": 2}, [ADULT, born("2014-12-05", type="child")]),
        ({"senior": 1}, [born("1966-12-05", type="senior")]),
        ({"adult": 1}, [{}]),
    ],
)
async def test_everybody_travels_as_what_they_are_on_the_day(
    party: dict[str, int], people: list[dict[str, Any]], desk: Any
) -> None:
    assert await refusal(desk, party, *people) is None


async def test_who_is_priced_as_a_child_is_told_to_the_supplier_as_one(desk: Any) -> None:
    party = {"adult": 1, "child": 1}
    fare = await desk.fare(outbound_date=OUT, passengers=party)
    people = [
        await desk.person("Asha Rao", **ADULT),
        await desk.person("Mira Rao", **born("2020-01-01", type="infant")),
    ]
    given = {"fare_id": fare["fare_id"], "passenger_ids": people}
    gate = await desk.gate(**given)
    assert [person["type"] for person in gate.bound["persons"]] == ["adult", "child"]
    assert (await desk.place(bound=gate.bound, **given))["booked"] is True


async def test_on_one_way_only_that_day_counts(desk: Any) -> None:
    people = [ADULT, born("2024-12-10", type="infant")]
    assert await refusal(desk, {"adult": 1, "infant": 1}, *people, back=None) is None


@pytest.mark.parametrize(
    ("birth", "saved"),
    [
        ("2030-05-05", False),
        ("1900-01-01", True),
        ("1899-12-31", False),
        ("0001-01-01", False),
        ("9999-12-31", False),
    ],
)
async def test_a_birth_that_cannot_be_is_not_stored(birth: str, saved: bool, desk: Any) -> None:
    told = await desk.plan("upsert_passenger", full_name="Asha Rao", date_of_birth=birth)
    assert told["saved"] is saved
    assert saved or told["reason"] == "invalid_date_of_birth"
    assert await desk.count("passengers") == saved


async def test_a_birth_today_is_one_where_today_begins_first(desk: Any) -> None:
    kiritimati = (desk.clock.now() + timedelta(hours=14)).date()
    for birth, saved in ((kiritimati, True), (kiritimati + timedelta(days=1), False)):
        told = await desk.plan("upsert_passenger", full_name="Asha Rao", date_of_birth=str(birth))
        assert told["saved"] is saved


async def test_a_single_name_is_told_what_airlines_take(desk: Any) -> None:
    fare = await desk.fare()
    person = await desk.person("Suharto")
    told = await desk.check(fare_id=fare["fare_id"], passenger_ids=[person])
    assert "Suharto" in told["detail"]
    assert "FNU" in told["detail"]
    assert "given_name" in told["detail"]
    await desk.person("Suharto", passenger_id=person, given_name="FNU")
    assert (await desk.gate(fare_id=fare["fare_id"], passenger_ids=[person])).summary


DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 31))


@given(DAYS, DAYS)
def test_an_age_rises_by_one_a_year_and_never_falls(birth: date, day: date) -> None:
    assert age_on(birth, birth) == 0
    assert age_on(day + timedelta(days=1), birth) - age_on(day, birth) in (0, 1)
    assert age_on(date(day.year + 1, day.month, min(day.day, 28)), birth) >= age_on(day, birth)
