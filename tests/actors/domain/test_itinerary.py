"""Itineraries: what is shown, in which order, and what is added up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.itinerary import HELD, BookedItem, itinerary
from voyagent.actors.domain.money import Money

NOON = datetime(2026, 12, 12, 12, tzinfo=UTC)


def segment(hours: int, origin: str = "BOM", destination: str = "DXB") -> dict[str, Any]:
    departs = NOON + timedelta(hours=hours)
    return {
        "marketing_carrier": "EK",
        "flight_number": "501",
        "origin": origin,
        "destination": destination,
        "departs_at": departs.isoformat(),
        "arrives_at": (departs + timedelta(hours=3)).isoformat(),
        "origin_zone": "Asia/Kolkata",
        "destination_zone": "Asia/Dubai",
        "cabin": "economy",
    }


def flight(
    cost: str, *segments: dict[str, Any], status: str = "confirmed", locator: str | None = "ABC123"
) -> BookedItem:
    data = {"segments": list(segments)}
    return BookedItem(kind="flight", status=status, locator=locator, cost=Money.read(cost), data=data)


def stay(cost: str, check_in: str, status: str = "confirmed") -> BookedItem:
    data = {"property": {"name": "Sea View", "city": "Dubai"}, "check_in": check_in, "check_out": "2026-12-20"}
    return BookedItem(kind="hotel", status=status, locator=None, cost=Money.read(cost), data=data)


def test_b58_each_segment_is_an_item_with_the_clock_of_its_airport_in_order_of_time() -> None:
    found = itinerary([flight("INR 10.00", segment(48)), flight("INR 5.00", segment(0), segment(5))], "INR")
    assert [each.departs_at for each in found.flights] == [NOON + timedelta(hours=h) for h in (0, 5, 48)]
    first = found.flights[0]
    assert (first.pnr, first.carrier, first.origin, first.dest) == ("ABC123", "EK", "BOM", "DXB")
    assert first.departs_local is not None
    assert first.departs_local.isoformat() == "2026-12-12T17:30:00+05:30"
    assert found.total == Money.of("15.00", "INR")


@pytest.mark.parametrize(
    ("origin", "destination", "departs", "local"),
    [
        (("APW", "Pacific/Apia"), ("PPG", "Pacific/Pago_Pago"), "2026-12-01T21:00", "2026-12-02T10:00"),
        (("AKL", "Pacific/Auckland"), ("HNL", "Pacific/Honolulu"), "2026-12-31T10:55", "2026-12-31T23:55"),
        (("DEL", "Asia/Kolkata"), ("SFO", "America/Los_Angeles"), "2026-12-09T22:30", "2026-12-10T04:00"),
        (("LHR", "Europe/London"), ("FCO", "Europe/Rome"), "2026-10-25T01:30", "2026-10-25T01:30"),
    ],
)
def test_t30_the_clock_at_the_airport_is_shown_across_date_line_midnight_and_clock_change(
    origin: tuple[str, str], destination: tuple[str, str], departs: str, local: str
) -> None:
    departs_at = datetime.fromisoformat(departs).replace(tzinfo=UTC)
    times = {"departs_at": departs_at.isoformat(), "arrives_at": (departs_at + timedelta(minutes=35)).isoformat()}
    zones = {"origin_zone": origin[1], "destination_zone": destination[1]}
    [only] = itinerary([flight("INR 1.00", segment(0, origin[0], destination[0]) | times | zones)], "INR").flights
    assert only.departs_at == departs_at
    assert only.departs_local is not None
    assert only.departs_local.replace(tzinfo=None).isoformat(timespec="minutes") == local


def test_t30_items_are_in_the_order_of_utc_whatever_the_clocks_show() -> None:
    west = {"origin_zone": "Pacific/Pago_Pago", "destination_zone": "Pacific/Apia"}
    east = {"origin_zone": "Pacific/Apia", "destination_zone": "Pacific/Pago_Pago"}
    back, there = flight("INR 1.00", segment(2) | west), flight("INR 1.00", segment(0) | east)
    first, second = itinerary([back, there], "INR").flights
    assert (first.departs_at, second.departs_at) == (NOON, NOON + timedelta(hours=2))
    assert first.departs_local is not None
    assert second.departs_local is not None
    assert first.departs_local.replace(tzinfo=None) > second.departs_local.replace(tzinfo=None)


def test_a_flight_without_segments_is_shown_last_with_its_locator_alone() -> None:
    found = itinerary([flight("INR 1.00"), flight("INR 1.00", segment(0))], "INR")
    assert [(each.pnr, each.origin) for each in found.flights] == [("ABC123", "BOM"), ("ABC123", None)]


def test_stays_are_in_order_of_their_days() -> None:
    found = itinerary([stay("AED 9.00", "2026-12-14"), stay("AED 9.00", "2026-12-13")], "AED")
    assert [(each.name, each.city, each.check_in) for each in found.hotels] == [
        ("Sea View", "Dubai", "2026-12-13"),
        ("Sea View", "Dubai", "2026-12-14"),
    ]


def test_b46_what_is_held_is_shown_and_not_counted_and_currencies_stay_apart() -> None:
    items = [
        flight("INR 100.00", segment(0), status="ticketed"),
        flight("INR 7.00", segment(9), status="tentative"),
        flight("USD 3.00", segment(20), status="schedule_change"),
        stay("AED 4.00", "2026-12-13"),
        stay("AED 5.00", "2026-12-14", status="requested"),
    ]
    found = itinerary(items, "INR")
    assert (len(found.flights), len(found.hotels)) == (3, 2)
    assert found.total == Money.of("100.00", "INR")
    assert found.others == (Money.of("4.00", "AED"), Money.of("3.00", "USD"))
    abroad = itinerary(items[2:], "INR")
    assert (abroad.total, abroad.others) == (Money.of("4.00", "AED"), (Money.of("3.00", "USD"),))


def test_nothing_booked_costs_nothing_in_the_agencys_currency() -> None:
    found = itinerary([], "KWD")
    assert (found.flights, found.hotels, found.total, found.others) == ((), (), Money.of(0, "KWD"), ())


ITEMS = st.builds(
    flight,
    st.builds(lambda amount, currency: f"{currency} {amount}", st.integers(0, 999), st.sampled_from(["INR", "AED"])),
    st.integers(0, 99).map(segment),
    status=st.sampled_from(["tentative", "confirmed", "ticketed", "schedule_change"]),
)


@given(st.lists(ITEMS, max_size=8))
def test_every_item_is_shown_and_each_amount_counted_once_in_its_currency(items: list[BookedItem]) -> None:
    found = itinerary(items, "INR")
    assert len(found.flights) == len(items)
    counted = {each.currency: each.amount for each in (found.total, *found.others)}
    for currency in ("INR", "AED"):
        costs = [i.cost.amount for i in items if i.cost.currency == currency and i.status not in HELD]
        assert counted.get(currency, 0) == sum(costs)
