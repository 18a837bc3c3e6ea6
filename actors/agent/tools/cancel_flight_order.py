"""cancel_flight_order: cancel a booking or a hold. The refund is quoted first, and the approval is for that quote."""

from __future__ import annotations

from ....storage.conversation import unsettled_writes
from ....storage.travel import bookings
from ...domain.travel import Segment
from ...suppliers.protocols import CancellationDesk
from .book_flight import BookFlight
from .cancelling import Cancellation, Payment
from .summary import code
from .tool import InputInvalid, Objection, ToolContext
from .trips import legs, seller

PAID = frozenset({"confirmed", "ticketed", "schedule_change"})
"""Statuses of orders whose supplier has been paid."""


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

    async def payment(self, booking: bookings.Booking, context: ToolContext) -> tuple[bookings.Booking, Payment]:
        """A hold may have been paid although no answer came: that is looked up first, and recorded if it was."""
        if booking.status != "tentative":
            return booking, Payment(made=True)
        unclear = await _unclear_payments(booking, context)
        known = await context.store.ask(bookings.Load(tenant_id=context.tenant_id, id=booking.id)) or booking
        if known.status not in self.cancellable:
            raise Objection("not_cancellable", f"The booking is {known.status}.")
        if known.status != "tentative":
            return known, Payment(made=True)
        order = await seller(context, known.supplier, "read").read(known.supplier_ref)
        return known, Payment(made=order.status in PAID, unclear=unclear)

    def counter(self, name: str, context: ToolContext) -> CancellationDesk | None:
        return context.suppliers.named(name)

    def title(self, booking: bookings.Booking) -> str:
        return code(booking.locator or booking.id)

    def about(self, booking: bookings.Booking) -> list[str]:
        segments = [Segment.model_validate(each) for each in booking.data.get("segments", ())]
        return [legs(segments)] if segments else []


async def _unclear_payments(hold: bookings.Booking, context: ToolContext) -> bool:
    """Whether a payment of this hold has no known outcome after it was looked up; what is found is recorded."""
    tool, still_unclear = BookFlight(), False
    payments = unsettled_writes.OfBooking(tenant_id=context.tenant_id, tool=tool.name, booking_id=hold.id)
    for call, session_id in await context.store.ask(payments):
        if call.state == "executing":
            raise Objection("not_cancellable", "It is being paid; wait for the outcome of that.")
        try:
            settled = await tool.settle(call, session_id, context)
        except InputInvalid:  # an older release sent it, and this one cannot look it up
            settled = False
        still_unclear = still_unclear or not settled
    return still_unclear
