"""read_pnr: a flight booking of the agency, by its locator."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ....storage.travel import bookings
from ...domain.audit import wire_time
from ...domain.outcomes import Failed, Outcome
from ...domain.travel import Segment
from .schema import Moment, Price
from .tool import ReadTool, ToolContext, ToolInput, ToolOutput


class PnrInput(ToolInput):
    """Input of the tool."""

    locator: Annotated[str, Field(min_length=1, max_length=64)]


class Leg(ToolOutput):
    """One flight of a booking, in UTC and in the local times of its airports."""

    carrier: str
    flight_number: str
    origin: str
    destination: str
    departs_at: Moment
    arrives_at: Moment
    departs_local: str
    arrives_local: str


class Document(ToolOutput):
    """A ticket of a booking."""

    ticket_id: str
    number: str
    status: str


class Pnr(ToolOutput):
    """A booking. ``pnr_id`` is the booking's id; a booking here is always sold as one fare."""

    pnr_id: str
    locator: str
    source: str
    status: str
    passenger_count: int
    segment_count: int
    fare_count: int
    price: Price
    hold_expires_at: Moment | None
    enquiry_id: str | None
    segments: list[Leg]
    tickets: list[Document]


class ReadPnr(ReadTool[PnrInput]):
    """Reads our own record; the supplier is not asked."""

    name = "read_pnr"
    description = (
        "Read a flight booking or hold of this agency by its locator (PNR). Times are UTC or local, as they say."
    )
    Input = PnrInput
    Output = Pnr
    desks = frozenset({"ticketing_visa"})

    async def look(self, given: PnrInput, context: ToolContext) -> Outcome:
        query = bookings.ByLocator(tenant_id=context.tenant_id, locator=given.locator.strip().upper())
        found = await context.store.ask(query)
        if found is None:
            return Failed("not_found", "no booking of this agency has this locator")
        booking, tickets = found
        segments = [Segment.model_validate(each) for each in booking.data["segments"]]
        until = booking.hold_expires_at
        return self.succeed(
            pnr_id=booking.id,
            locator=booking.locator,
            source=booking.supplier,
            status=booking.status,
            passenger_count=len(booking.passengers),
            segment_count=len(segments),
            fare_count=1,
            price=booking.cost.text,
            hold_expires_at=None if until is None else wire_time(until),
            enquiry_id=booking.enquiry_id,
            segments=[_leg(segment) for segment in segments],
            tickets=[Document(ticket_id=each.id, number=each.number, status=each.status) for each in tickets],
        )


def _leg(segment: Segment) -> Leg:
    return Leg(
        carrier=segment.marketing_carrier,
        flight_number=segment.flight_number,
        origin=segment.origin,
        destination=segment.destination,
        departs_at=wire_time(segment.departs_at),
        arrives_at=wire_time(segment.arrives_at),
        departs_local=segment.departs_there,
        arrives_local=segment.arrives_there,
    )
