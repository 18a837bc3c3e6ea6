"""Numbers of documents: short, plain, and each once."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.numbers import InvalidSeries, Series, check_series, is_number
from voyagent.actors.domain.settings import TenantSettings

DAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("pattern", "month", "day", "number", "period"),
    [
        ("INV-{n:06}", 4, DAY, "INV-000007", ""),
        ("{fy}/{n:04}", 4, date(2027, 3, 31), "26-27/0007", "26-27"),
        ("{fy}/{n:04}", 4, date(2027, 4, 1), "27-28/0007", "27-28"),
        ("{fy}/{n:04}", 7, date(2027, 6, 30), "26-27/0007", "26-27"),
        ("{fy}/{n:04}", 12, date(2027, 12, 1), "27-28/0007", "27-28"),
        ("{fy}/{n}", 1, date(2027, 1, 1), "27/7", "27"),
        ("{fy}/{n}", 4, date(2099, 5, 1), "99-00/7", "99-00"),
        ("B{yy}-{n}", 4, date(2027, 3, 31), "B27-7", ""),
        ("{n}", 4, DAY, "7", ""),
    ],
)
def test_t9_a_number_is_its_place_in_the_series_of_its_day(
    pattern: str, month: int, day: date, number: str, period: str
) -> None:
    series = Series(pattern, month)
    assert series.number(7, day) == number
    assert series.period(day) == period


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "INV-",
        "{n}{n}",
        "{n}-{n:04}",
        "INV_{n}",
        "INV {n}",
        "\u0661{n}",
        "INV#{n}",
        "{N}",
        "{n:4}",
        "{n:013}",
        "{m}{n}",
        "{{n}}",
        "{n",
        "INVOICES/{n:010}",
        "\n{n}",
        "{n}\n",
    ],
)
def test_t9_a_series_that_makes_no_such_numbers_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidSeries, match="invalid_series"):
        check_series(pattern)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("26-27/0001", True),
        ("A" * 16, True),
        ("A" * 17, False),
        ("", False),
        ("INV_1", False),
        ("INV 1", False),
        ("INV-\u0661", False),
        ("INV-1\n", False),
    ],
)
def test_t9_a_number_has_sixteen_plain_characters_at_most(text: str, fits: bool) -> None:
    assert is_number(text) is fits


def test_the_series_an_agency_begins_with_make_numbers() -> None:
    born = TenantSettings(tenant_id="")
    for pattern in (born.invoice_series, born.bill_series, born.credit_note_series):
        assert is_number(Series(pattern, born.financial_year_start_month).number(999_999, DAY))


@given(
    st.sampled_from(["INV-{n:06}", "{fy}/{n:04}", "{yy}{n}", "{fy}-{yy}-{n}", "A{n:012}"]),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(1, 9999), st.integers(0, 3000)), min_size=2, max_size=30),
)
def test_one_place_of_one_period_makes_one_number(pattern: str, month: int, places: list[tuple[int, int]]) -> None:
    series, seen = Series(pattern, month), {}
    for count, offset in places:
        day = date(2024, 1, 1) + timedelta(days=offset)
        number = series.number(count, day)
        assert is_number(number)
        if "{yy}" not in pattern:
            assert seen.setdefault(number, (series.period(day), count)) == (series.period(day), count)


@given(st.integers(1, 12), st.integers(0, 30_000))
def test_a_financial_year_changes_on_the_first_of_its_month_alone(month: int, offset: int) -> None:
    series, day = Series("{fy}/{n}", month), date(2001, 1, 1) + timedelta(days=offset)
    changed = series.period(day) != series.period(day - timedelta(days=1))
    assert changed == ((day.month, day.day) == (month, 1))
