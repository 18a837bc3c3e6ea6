"""Shared by the cancellations: the refund is quoted first, and the approval is for that very quote."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ....storage.travel import bookings, passengers
from ...domain import ids
from ...domain.audit import wire_time
from ...domain.money import Money
from ...domain.outcomes import Outcome
from ...domain.travel import CancelQuote
from ...suppliers.protocols import CancellationDesk, SupplierError
from .schema import Id, Price
from .summary import NAME_SHOWN, code, listed
from .supplier_tool import Executed, GatedSupplierTool
from .tool import ALL_TRAVEL, ApprovalProposal, Objection, Then, ToolContext, ToolInput, ToolOutput
from .trips import clock, priced

NAMES_SHOWN = 400
"""Characters of all names together: with the longest flights or property a summary fits its 1,024."""


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


@dataclass(frozen=True, slots=True)
class Payment:
    """What is known of a booking's payment: whether the supplier has it, and whether one that was sent is unclear."""

    made: bool
    unclear: bool = False

    def text(self, price: Money) -> str:
        """For the approver."""
        if self.made:
            return f"paid {price.text}"
        return f"not paid, but a payment of {price.text} has no known outcome" if self.unclear else "not paid"


class Cancellation(GatedSupplierTool[CancelInput]):
    """Cancels a booking of one kind; gated by an approval."""

    Input = CancelInput
    Output = Cancelled
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
    approvers = ALL_TRAVEL
    kind: ClassVar[Literal["flight", "hotel"]]
    cancellable: ClassVar[frozenset[str]]
    """The statuses of bookings that can be cancelled."""

    @abstractmethod
    def counter(self, name: str, context: ToolContext) -> CancellationDesk | None:
        """The supplier of that name, with the protocol this tool needs."""

    @abstractmethod
    def title(self, booking: bookings.Booking) -> str:
        """What is cancelled, in the first words of the summary."""

    @abstractmethod
    def about(self, booking: bookings.Booking) -> list[str]:
        """What else the approver is told of the booking."""

    async def payment(self, booking: bookings.Booking, context: ToolContext) -> tuple[bookings.Booking, Payment]:
        """What has been paid for the booking, and the booking as it stands once that is known."""
        del context
        return booking, Payment(made=booking.status != "tentative")

    async def driver(self, given: CancelInput, bound: Mapping[str, Any], context: ToolContext) -> str:
        del given, context
        return str(bound["supplier"])

    async def precheck(self, given: CancelInput, context: ToolContext) -> ApprovalProposal:
        booking, payment, supplier = await self._booked(given, context)
        quote = await supplier.quote_cancel(booking.supplier_ref)
        if quote.confirmed or quote.order_ref != booking.supplier_ref:
            raise Objection("supplier_refused", "The supplier's quote is not for this booking.")
        names = await _names(booking, context)
        return ApprovalProposal(
            self._summary(booking, payment, names, quote), self._bound(booking, payment, names, quote), quote.expires_at
        )

    async def execute(self, given: CancelInput, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed:
        booking, payment, supplier = await self._booked(given, context)
        quote = await supplier.read_cancel(str(bound["quote"]))
        if not quote.alive(context.now):
            raise Objection("quote_expired", "The quote has expired; ask for the cancellation again.")
        if self._bound(booking, payment, await _names(booking, context), quote) != bound:
            raise Objection("changed_since_approval", "What was approved has changed; it has to be asked for again.")
        return self._placed(given, await supplier.confirm_cancel(quote.ref, key), context)

    async def find_previous(
        self, given: CancelInput, bound: Mapping[str, Any], key: str, context: ToolContext
    ) -> Executed | None:
        supplier = self.counter(str(bound["supplier"]), context)
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

    async def _booked(
        self, given: CancelInput, context: ToolContext
    ) -> tuple[bookings.Booking, Payment, CancellationDesk]:
        """The booking, what was paid for it, and its supplier, if it can be cancelled there."""
        known = ids.parse_uuid(given.booking_id) or ids.uuid7()
        booking = await context.store.ask(bookings.Load(tenant_id=context.tenant_id, id=known))
        if booking is None or booking.kind != self.kind:
            raise Objection("not_found", f"No {self.kind} booking of this agency has this booking_id.")
        if booking.status not in self.cancellable:
            raise Objection("not_cancellable", f"The booking is {booking.status}.")
        supplier = self.counter(booking.supplier, context)
        if supplier is None or "quote_cancel" not in supplier.capabilities.methods:
            raise SupplierError(
                "capability_not_supported", f"supplier {booking.supplier} cannot cancel for this agency"
            )
        booking, payment = await self.payment(booking, context)
        return booking, payment, supplier

    def _summary(self, booking: bookings.Booking, payment: Payment, names: Sequence[str], quote: CancelQuote) -> str:
        """One line for the approver: what is cancelled and for whom, what comes back, and where to."""
        parts = [
            f"Cancel {self.title(booking)}",
            f"refund {'unknown' if quote.refund is None else quote.refund.text}",
            f"to {'unknown' if quote.refund_to is None else code(quote.refund_to)}",
            payment.text(booking.cost),
            f"supplier {code(booking.supplier)}",
            *([] if quote.expires_at is None else [f"quote ends {clock(quote.expires_at)} UTC"]),
            *self.about(booking),
            *([listed(names, min(NAME_SHOWN, NAMES_SHOWN // len(names)))] if names else []),
        ]
        return "; ".join(parts)

    def _bound(
        self, booking: bookings.Booking, payment: Payment, names: Sequence[str], quote: CancelQuote
    ) -> dict[str, Any]:
        """All that the approver is shown, and the quote that is to be confirmed.

        A hold's quote outlives its payment at some suppliers, and would cancel what was paid for nothing: so what was
        paid is compared, too.
        """
        return {
            "supplier": booking.supplier,
            "supplier_ref": booking.supplier_ref,
            "booking_id": booking.id,
            "locator": booking.locator,
            "about": [self.title(booking), *self.about(booking)],
            "persons": list(names),
            "paid": priced(booking.cost) if payment.made else None,
            "payment_unclear": payment.unclear,
            "quote": quote.ref,
            "refund": None if quote.refund is None else priced(quote.refund),
            "refund_to": quote.refund_to,
            "expires_at": None if quote.expires_at is None else wire_time(quote.expires_at),
        }


async def _names(booking: bookings.Booking, context: ToolContext) -> tuple[str, ...]:
    """The persons of a booking, in their order."""
    persons = await context.store.ask(passengers.Load(tenant_id=context.tenant_id, ids=booking.passengers))
    return tuple(person.full_name for person in persons)
