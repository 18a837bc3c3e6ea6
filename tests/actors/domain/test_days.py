"""Calendar days of a time zone, as instants."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.days import end_of, start_of
from voyagent.actors.domain.travel import zone

ZONES = ("UTC", "Asia/Kolkata", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "America/Havana")


@pytest.mark.parametrize(
    ("day", "name", "start", "hours"),
    [
        (date(2026, 11, 24), "Asia/Kolkata", datetime(2026, 11, 23, 18, 30, tzinfo=UTC), 24),
        (date(2026, 3, 29), "Asia/Beirut", datetime(2026, 3, 28, 22, tzinfo=UTC), 23),  # has no midnight
        (date(2018, 11, 4), "America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC), 23),  # likewise
        (date(2024, 11, 3), "America/Havana", datetime(2024, 11, 3, 4, tzinfo=UTC), 25),  # has two
    ],
)
def test_a_day_begins_when_its_clocks_first_show_it(day: date, name: str, start: datetime, hours: int) -> None:
    assert start_of(day, zone(name)) == start
    assert end_of(day, zone(name)) == start + timedelta(hours=hours)


@given(st.dates(date(1990, 1, 1), date(2037, 12, 30)), st.sampled_from(ZONES), st.integers(0, 86_399))
def test_every_instant_is_of_the_day_that_its_clocks_show(day: date, name: str, second: int) -> None:
    moment = datetime.combine(day, datetime.min.time(), UTC) + timedelta(seconds=second)
    shown = moment.astimezone(zone(name)).date()
    end = end_of(shown, zone(name))
    assert end is not None
    assert start_of(shown, zone(name)) <= moment < end


def test_the_ends_of_the_calendar_are_the_nearest_instants() -> None:
    for name in ZONES:
        assert start_of(date.min, zone(name)).year == 1
        assert end_of(date.max, zone(name)) is None
        assert start_of(date.max, zone(name)).year == 9999
