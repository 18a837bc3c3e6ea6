"""cancel_flight_order: cancel a booking or a hold. The refund is quoted first, and the approval is for that quote."""

from __future__ import annotations

from ....storage.travel import bookings
from ...domain.travel import Segment
from ...suppliers.protocols import CancellationDesk
from .cancelling import Cancellation
from .summary import code
from .tool import ToolContext
from .trips import legs


class CancelFlightOrder(Cancellation):
    """Cancels a flight; gated by an approval."""

    name = "cancel_flight_order"
    description = (
        "Cancel a flight booking or a hold, by its booking_id. The supplier's refund is quoted and a human is asked; "
        "the quote they saw is confirmed. A refund of null is not known yet."
    )
    desks = frozenset({"ticketing_visa"})
    kind = "flight"
    cancellable = frozenset({"tentative", "confirmed", "ticketed", "schedule_change"})

    def counter(self, name: str, context: ToolContext) -> CancellationDesk | None:
        return context.suppliers.named(name)

    def title(self, booking: bookings.Booking) -> str:
        return code(booking.locator or booking.id)

    def about(self, booking: bookings.Booking) -> list[str]:
        segments = [Segment.model_validate(each) for each in booking.data.get("segments", ())]
        return [legs(segments)] if segments else []
