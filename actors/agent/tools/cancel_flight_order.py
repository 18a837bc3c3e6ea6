"""cancel_flight_order: cancel a booking or a hold. The refund is quoted first, and the approval is for that quote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ....storage.travel import bookings
from ...domain import ids
from ...domain.audit import wire_time
from ...domain.outcomes import Outcome
from ...domain.travel import CancelQuote, Segment
from ...suppliers.protocols import FlightDesk
from .schema import Id, Price
from .summary import code
from .tool import (
    ALL_TRAVEL,
    ApprovalProposal,
    Executed,
    Objection,
    SupplierTool,
    Then,
    ToolContext,
    ToolInput,
    ToolOutput,
)
from .trips import clock, legs, seller

CANCELLABLE = frozenset({"tentative", "confirmed", "ticketed", "schedule_change"})


class CancelInput(ToolInput):
    """Input of the tool."""

    booking_id: Id


class Cancelled(ToolOutput):
    """A cancelled booking. A null refund is one the supplier does not state: it is not zero."""

    cancelled: Literal[True] = True
    booking_id: str
    status: Literal["cancelled"]
    refund: Price | None
    refund_to: str | None


class CancelFlightOrder(SupplierTool[CancelInput]):
    """Cancels a flight; gated by an approval."""

    name = "cancel_flight_order"
    description = (
        "Cancel a flight booking or a hold, by its booking_id. The supplier's refund is quoted and a human is asked; "
        "the quote they saw is confirmed. A refund of null is not known yet."
    )
    Input = CancelInput
    Output = Cancelled
    desks = frozenset({"ticketing_visa"})
    verb = "cancelled"
    reasons = frozenset(
        {
            "not_found",
            "not_cancellable",
            "quote_expired",
            "capability_not_supported",
            "supplier_refused",
            "changed_since_approval",
        }
    )
    effect = "irreversible"
    gated = True
    approvers = ALL_TRAVEL

    async def driver(self, given: CancelInput, bound: Mapping[str, Any], context: ToolContext) -> str:
        del given, context
        return str(bound["supplier"])

    async def precheck(self, given: CancelInput, context: ToolContext) -> ApprovalProposal:
        booking, supplier = await _booked(given, context)
        quote = await supplier.quote_cancel(booking.supplier_ref)
        if quote.confirmed or quote.order_ref != booking.supplier_ref:
            raise Objection("supplier_refused", "The supplier's quote is not for this booking.")
        return ApprovalProposal(_summary(booking, quote), _bound(booking, quote), quote.expires_at)

    async def execute(self, given: CancelInput, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed:
        booking, supplier = await _booked(given, context)
        quote = await supplier.read_cancel(str(bound["quote"]))
        if not quote.alive(context.now):
            raise Objection("quote_expired", "The quote has expired; ask for the cancellation again.")
        if _bound(booking, quote) != bound:
            raise Objection("changed_since_approval", "What was approved has changed; it has to be asked for again.")
        return self._placed(given, await supplier.confirm_cancel(quote.ref, key), context)

    async def find_previous(
        self, given: CancelInput, bound: Mapping[str, Any], key: str, context: ToolContext
    ) -> Executed | None:
        supplier = context.suppliers.named(str(bound["supplier"]))
        if supplier is None or not supplier.capabilities.looks_up:
            return None
        quote = await supplier.read_cancel(str(bound["quote"]), key)
        return self._placed(given, quote, context) if quote.confirmed else None

    def _placed(self, given: CancelInput, quote: CancelQuote, context: ToolContext) -> Executed:
        cancel = bookings.Cancel(
            tenant_id=context.tenant_id,
            id=ids.parse_uuid(given.booking_id) or "",
            refund=quote.refund,
            refund_to=quote.refund_to,
        )
        return Executed(Then(tenant_id=context.tenant_id, first=cancel, then=lambda done: self._outcome(done, quote)))

    def _outcome(self, booking: bookings.Booking, quote: CancelQuote) -> Outcome:
        return self.succeed(
            booking_id=booking.id,
            status=booking.status,
            refund=None if quote.refund is None else quote.refund.text,
            refund_to=quote.refund_to,
        )


async def _booked(given: CancelInput, context: ToolContext) -> tuple[bookings.Booking, FlightDesk]:
    """The booking and its supplier, if it can be cancelled there."""
    known = ids.parse_uuid(given.booking_id) or ids.uuid7()
    booking = await context.store.ask(bookings.Load(tenant_id=context.tenant_id, id=known))
    if booking is None or booking.kind != "flight":
        raise Objection("not_found", "No flight booking of this agency has this booking_id.")
    if booking.status not in CANCELLABLE:
        raise Objection("not_cancellable", f"The booking is {booking.status}.")
    return booking, seller(context, booking.supplier, "quote_cancel")


def _bound(booking: bookings.Booking, quote: CancelQuote) -> dict[str, Any]:
    """All that the approver is shown, and the quote that is to be confirmed."""
    refund = quote.refund
    return {
        "supplier": booking.supplier,
        "supplier_ref": booking.supplier_ref,
        "booking_id": booking.id,
        "locator": booking.locator,
        "quote": quote.ref,
        "refund": None if refund is None else {"amount": f"{refund.amount.normalize():f}", "currency": refund.currency},
        "refund_to": quote.refund_to,
        "expires_at": None if quote.expires_at is None else wire_time(quote.expires_at),
    }


def _summary(booking: bookings.Booking, quote: CancelQuote) -> str:
    """One line for the approver: what is cancelled, what comes back, and where to."""
    segments = [Segment.model_validate(each) for each in booking.data.get("segments", ())]
    refund = "unknown" if quote.refund is None else quote.refund.text
    parts = [
        f"Cancel {code(booking.locator or booking.id)}",
        f"refund {refund}",
        f"to {'unknown' if quote.refund_to is None else code(quote.refund_to)}",
        f"paid {booking.cost.text}" if booking.status != "tentative" else "not paid",
        f"supplier {code(booking.supplier)}",
        *([] if quote.expires_at is None else [f"quote ends {clock(quote.expires_at)} UTC"]),
        *([legs(segments)] if segments else []),
    ]
    return "; ".join(parts)
