"""cancel_hotel_booking: cancel a stay. The refund is quoted first, and the approval is for that quote."""

from __future__ import annotations

from ....storage.travel import bookings
from ...suppliers.protocols import CancellationDesk
from .cancelling import Cancellation
from .summary import code, shown
from .tool import ToolContext


class CancelHotelBooking(Cancellation):
    """Cancels a stay; gated by an approval."""

    name = "cancel_hotel_booking"
    description = (
        "Cancel a hotel booking, by its booking_id. The supplier's refund is quoted and a human is asked; the quote "
        "they saw is confirmed. A refund of null is not known yet."
    )
    desks = frozenset({"hotels_holidays"})
    kind = "hotel"
    cancellable = frozenset({"pending", "requested", "confirmed"})

    def counter(self, name: str, context: ToolContext) -> CancellationDesk | None:
        return context.suppliers.hotel(name)

    def title(self, booking: bookings.Booking) -> str:
        return f"the stay {booking.data.get('check_in')} to {booking.data.get('check_out')}"

    def about(self, booking: bookings.Booking) -> list[str]:
        """The property as it was approved; a booking recorded without it is named by the supplier's reference."""
        house = booking.data.get("property") or {}
        reference = f"order {code(booking.supplier_ref)}"
        if not house:
            return [reference]
        terms = booking.data.get("cancellation")
        return [
            f"{shown(house['name'])}, {shown(house['city'])} {house['country']}",
            *([] if terms is None else [shown(terms)]),
            reference,
        ]
