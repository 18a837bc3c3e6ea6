"""Request and response of ``/reports/itinerary`` (docs/contract/business.md 8.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import Field

from ...actors.domain.audit import wire_time
from ...actors.domain.itinerary import Flight, Hotel, Itinerary
from ...storage.travel.itinerary import Booked, Traveller
from .aging import MoneyResponse
from .shared import ADDITION, Closed, Query


class ItineraryQuery(Query):
    """The conversation."""

    session_id: str = Field(min_length=1)


class PassengerItem(Closed):
    """A person who travels. Who does not need the passport's number is told its last four characters."""

    full_name: str
    passport_number: str | None


class FlightItem(Closed):
    """A flight from one airport to the next: departure and arrival in UTC, and by the clocks of their airports."""

    pnr: str | None
    origin: str | None
    dest: str | None
    depart: str | None
    carrier: str | None
    status: Annotated[str, ADDITION]
    depart_local: Annotated[str | None, ADDITION]
    arrive: Annotated[str | None, ADDITION]
    arrive_local: Annotated[str | None, ADDITION]
    flight: Annotated[str | None, ADDITION]
    cabin: Annotated[str | None, ADDITION]

    @classmethod
    def of(cls, flight: Flight) -> FlightItem:
        return cls(
            pnr=flight.pnr,
            origin=flight.origin,
            dest=flight.dest,
            depart=_utc(flight.departs_at),
            carrier=flight.carrier,
            status=flight.status,
            depart_local=_wall_clock(flight.departs_local),
            arrive=_utc(flight.arrives_at),
            arrive_local=_wall_clock(flight.arrives_local),
            flight=flight.number,
            cabin=flight.cabin,
        )


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else wire_time(moment)


def _wall_clock(local: datetime | None) -> str | None:
    """``2027-01-29T04:30``: without an offset, as a timetable has it."""
    return None if local is None else local.replace(tzinfo=None).isoformat(timespec="minutes")


class HotelItem(Closed):
    """A stay, in days of the hotel's calendar."""

    name: str | None
    city: str | None
    check_in: str | None
    check_out: str | None
    status: Annotated[str, ADDITION]

    @classmethod
    def of(cls, hotel: Hotel) -> HotelItem:
        return cls(
            name=hotel.name,
            city=hotel.city,
            check_in=hotel.check_in,
            check_out=hotel.check_out,
            status=hotel.status,
        )


class VisaItem(Closed):
    """A visa file that is neither rejected nor withdrawn."""

    country: str | None
    status: str | None


class ItineraryResponse(Closed):
    """What was booked in a conversation. ``total_cost`` counts what is confirmed, in the header currency alone."""

    tenant_id: str
    session_id: str
    passengers: list[PassengerItem]
    flights: list[FlightItem]
    hotels: list[HotelItem]
    visas: list[VisaItem]
    total_cost: MoneyResponse
    other_currencies: Annotated[list[MoneyResponse], ADDITION]

    @classmethod
    def of(
        cls,
        tenant_id: str,
        session_id: str,
        booked: Booked,
        found: Itinerary,
        passports: Callable[[Traveller], str | None],
    ) -> ItineraryResponse:
        """``passports`` is what is told of each traveller's passport."""
        return cls(
            tenant_id=tenant_id,
            session_id=session_id,
            passengers=[
                PassengerItem(full_name=each.full_name, passport_number=passports(each)) for each in booked.passengers
            ],
            flights=[FlightItem.of(each) for each in found.flights],
            hotels=[HotelItem.of(each) for each in found.hotels],
            visas=[VisaItem(country=each.country, status=each.status) for each in booked.visas],
            total_cost=MoneyResponse.of(found.total.amount, found.total.currency),
            other_currencies=[MoneyResponse.of(each.amount, each.currency) for each in found.others],
        )
