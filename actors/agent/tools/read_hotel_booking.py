"""read_hotel_booking: a hotel booking of the agency, by its id."""

from __future__ import annotations

from datetime import date
from typing import Literal

from ....storage.travel import bookings
from ...domain import ids
from ...domain.outcomes import Outcome
from .schema import Id, Price
from .tool import Objection, ReadTool, ToolContext, ToolInput, ToolOutput


class BookingInput(ToolInput):
    """Input of the tool."""

    booking_id: Id


class StayRead(ToolOutput):
    """A hotel booking."""

    read: Literal[True] = True
    booking_id: str
    supplier: str
    supplier_ref: str
    status: Literal["pending", "requested", "confirmed", "cancelled", "failed"]
    check_in: date
    check_out: date
    price: Price
    enquiry_id: str | None


class ReadHotelBooking(ReadTool[BookingInput]):
    """Reads our own record; the supplier is not asked."""

    name = "read_hotel_booking"
    description = "Read a hotel booking of this agency by its booking_id."
    Input = BookingInput
    Output = StayRead
    desks = frozenset({"hotels_holidays"})
    verb = "read"
    reasons = frozenset({"not_found"})

    async def look(self, given: BookingInput, context: ToolContext) -> Outcome:
        known = ids.parse_uuid(given.booking_id) or ids.uuid7()
        booking = await context.store.ask(bookings.Load(tenant_id=context.tenant_id, id=known))
        if booking is None or booking.kind != "hotel":
            return self.refuse(Objection("not_found", "No hotel booking of this agency has this booking_id."))
        return self.succeed(
            booking_id=booking.id,
            supplier=booking.supplier,
            supplier_ref=booking.supplier_ref,
            status=booking.status,
            check_in=booking.data["check_in"],
            check_out=booking.data["check_out"],
            price=booking.cost.text,
            enquiry_id=booking.enquiry_id,
        )
