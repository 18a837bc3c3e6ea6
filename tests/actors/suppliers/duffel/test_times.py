"""Local times without offset: date line, midnight, and the hour that comes twice (T30)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from voyagent.actors.suppliers.duffel.times import Unplaced, flown
from voyagent.actors.suppliers.duffel.wire import Flight


def flight(origin: str, departs: str, destination: str, arrives: str, duration: str | None = None) -> Flight:
    return Flight.model_validate(
        {
            "origin": {"iata_code": origin},
            "destination": {"iata_code": destination},
            "departing_at": departs,
            "arriving_at": arrives,
            "duration": duration,
            "marketing_carrier": {"iata_code": "ZZ"},
            "marketing_carrier_flight_number": "1",
        }
    )


@pytest.mark.parametrize(
    ("origin", "departs", "destination", "arrives", "leaves_utc", "lasts"),
    [
        ("APW", "2026-12-02T10:00", "PPG", "2026-12-01T10:35", "2026-12-01T21:00", timedelta(minutes=35)),
        ("AKL", "2026-12-31T23:55", "HNL", "2026-12-31T09:45", "2026-12-31T10:55", timedelta(hours=8, minutes=50)),
        ("DEL", "2026-12-10T04:00", "SFO", "2026-12-10T06:30", "2026-12-09T22:30", timedelta(hours=16)),
    ],
)
def test_t30_a_flight_over_the_date_line_arrives_after_it_departs(
    origin: str, departs: str, destination: str, arrives: str, leaves_utc: str, lasts: timedelta
) -> None:
    when = flown(flight(origin, departs, destination, arrives))
    assert when.departs_at == datetime.fromisoformat(leaves_utc).replace(tzinfo=UTC)
    assert when.arrives_at - when.departs_at == lasts


def test_t30_the_hour_that_comes_twice_is_the_one_that_makes_the_duration() -> None:
    late = flown(flight("LHR", "2026-10-25T01:30", "FCO", "2026-10-25T05:15", "PT2H45M"))
    assert late.departs_at == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    early = flown(flight("LHR", "2026-10-25T01:30", "FCO", "2026-10-25T05:15", "PT3H45M"))
    assert early.departs_at == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_t30_an_airport_without_a_zone_cannot_be_placed() -> None:
    with pytest.raises(Unplaced):
        flown(flight("QQQ", "2026-12-02T10:00", "PPG", "2026-12-01T10:35"))


def test_a_local_time_with_an_offset_is_none() -> None:
    with pytest.raises(Unplaced):
        flown(flight("APW", "2026-12-02T10:00+13:00", "PPG", "2026-12-01T10:35"))
