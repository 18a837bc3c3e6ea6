"""A session's itinerary: what was booked in it, in the order of travel, and what it costs by currency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from .aging import header_currency
from .money import Money, totals
from .travel import Segment

HELD: Final = frozenset({"tentative", "pending", "requested"})
"""Statuses of what is shown and not paid for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedItem:
    """A booking that is neither cancelled nor failed."""

    kind: str
    status: str
    locator: str | None
    cost: Money
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Visa:
    """A visa file that is neither rejected nor withdrawn."""

    country: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """One segment of a flight booking; without times if the supplier has not named any segment."""

    pnr: str | None
    status: str
    origin: str | None = None
    dest: str | None = None
    carrier: str | None = None
    number: str | None = None
    cabin: str | None = None
    departs_at: datetime | None = None
    departs_local: datetime | None = None
    arrives_at: datetime | None = None
    arrives_local: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hotel:
    """One stay."""

    name: str | None
    city: str | None
    check_in: str | None
    check_out: str | None
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Itinerary:
    """Flights and stays, each by time; ``total`` is in the header currency, ``others`` by the alphabet."""

    flights: tuple[Flight, ...]
    hotels: tuple[Hotel, ...]
    total: Money
    others: tuple[Money, ...]


def itinerary(items: Sequence[BookedItem], default_currency: str) -> Itinerary:
    """The itinerary of what was booked. Held bookings are shown and not counted."""
    flights = [flight for item in items if item.kind == "flight" for flight in _flights(item)]
    hotels = [_hotel(item) for item in items if item.kind == "hotel"]
    sums = totals(item.cost for item in items if item.status not in HELD)
    header = header_currency(default_currency, Counter(item.cost.currency for item in items))
    return Itinerary(
        flights=tuple(sorted(flights, key=lambda flight: (flight.departs_at is None, flight.departs_at or 0))),
        hotels=tuple(sorted(hotels, key=lambda hotel: (hotel.check_in is None, hotel.check_in, hotel.check_out))),
        total=sums.pop(header, Money.of(0, header)),
        others=tuple(sums[currency] for currency in sorted(sums)),
    )


def _flights(item: BookedItem) -> Iterator[Flight]:
    segments = [Segment.model_validate(each) for each in item.data.get("segments", ())]
    if not segments:
        yield Flight(pnr=item.locator, status=item.status)
    for segment in segments:
        yield Flight(
            pnr=item.locator,
            status=item.status,
            origin=segment.origin,
            dest=segment.destination,
            carrier=segment.marketing_carrier,
            number=segment.flight,
            cabin=segment.cabin,
            departs_at=segment.departs_at,
            departs_local=segment.departs_local,
            arrives_at=segment.arrives_at,
            arrives_local=segment.arrives_local,
        )


def _hotel(item: BookedItem) -> Hotel:
    house = item.data.get("property") or {}
    return Hotel(
        name=house.get("name"),
        city=house.get("city"),
        check_in=item.data.get("check_in"),
        check_out=item.data.get("check_out"),
        status=item.status,
    )
