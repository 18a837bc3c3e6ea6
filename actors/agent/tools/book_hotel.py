"""book_hotel: book a rate. Needs an approval; only what the approver was shown is executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.travel import bookings
from ...domain import ids
from ...domain.hotels import HotelOrder
from ...domain.outcomes import Outcome
from ...suppliers.protocols import Driver
from .schema import Id, PassengerIds, Reference
from .stays import Visit, current_offer, keep, named, seller
from .supplier_tool import Executed, GatedSupplierTool
from .tool import ALL_TRAVEL, ApprovalProposal, Objection, Then, ToolContext, ToolInput, ToolOutput
from .trips import payable


class StayInput(ToolInput):
    """Input of the tool."""

    rate_key: Id
    passenger_ids: Annotated[PassengerIds, Field(description="The guests who are named")]
    buyer_reference: Reference | None = None


class StayBooked(ToolOutput):
    """A confirmed booking."""

    booked: Literal[True] = True
    booking_id: str
    supplier: str
    supplier_ref: str
    status: Literal["pending", "requested", "confirmed"]


class BookHotel(GatedSupplierTool[StayInput]):
    """Books a stay; gated by an approval."""

    name = "book_hotel"
    description = (
        "Book a hotel: a rate_key from search_hotels with the passenger_ids of the guests to name. A human is asked "
        "first; the booking is made when they agree."
    )
    Input = StayInput
    Output = StayBooked
    desks = frozenset({"hotels_holidays"})
    verb = "booked"
    reasons = frozenset(
        {
            "offer_not_found",
            "offer_expired",
            "sold_out",
            "price_changed",
            "passenger_not_found",
            "capability_not_supported",
            "supplier_refused",
            "changed_since_approval",
        }
    )
    effect = "reversible"
    approvers = ALL_TRAVEL

    def counter(self, name: str, context: ToolContext) -> Driver | None:
        return context.suppliers.hotel(name)

    async def driver(self, given: StayInput, bound: Mapping[str, Any], context: ToolContext) -> str:
        del given, context
        return str(bound["supplier"])

    async def precheck(self, given: StayInput, context: ToolContext) -> ApprovalProposal:
        visit = await self._visit(given, context, unchanged=True)
        await keep(context, visit.offer)
        reference = given.buyer_reference
        return ApprovalProposal(visit.summary(reference), visit.bound(reference), visit.offer.expires_at)

    async def execute(self, given: StayInput, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed:
        visit = await self._visit(given, context)
        if visit.bound(given.buyer_reference) != bound:
            raise Objection("changed_since_approval", "What was approved has changed; it has to be asked for again.")
        order = await visit.supplier.book(visit.offer, visit.guests, key)
        return self._placed(given, bound, order, key, context)

    async def find_previous(
        self, given: StayInput, bound: Mapping[str, Any], key: str, context: ToolContext
    ) -> Executed | None:
        supplier = context.suppliers.hotel(str(bound["supplier"]))
        if supplier is None or not supplier.capabilities.looks_up:
            return None
        order = await supplier.find(key)
        return None if order is None else self._placed(given, bound, order, key, context)

    async def _visit(self, given: StayInput, context: ToolContext, *, unchanged: bool = False) -> Visit:
        found, offer = await current_offer(context, given.rate_key)
        if unchanged and offer.price != found.price:
            raise Objection("price_changed", f"The price is now {offer.price.text}; check the rate again.")
        payable(offer.price)
        guests = await named(context, given.passenger_ids, offer)
        return Visit(supplier=seller(context, offer.supplier, "book"), offer=offer, guests=guests)

    def _placed(
        self, given: StayInput, bound: Mapping[str, Any], order: HotelOrder, key: str, context: ToolContext
    ) -> Executed:
        """The stay is recorded as approved, since the offer may no longer be available."""
        shown = ("property", "room", "board", "is_refundable", "cancellation", "check_in", "check_out", "guests")
        party = {name: bound[name] for name in ("rooms", "children_ages") if name in bound}
        entered = bookings.Record(
            tenant_id=context.tenant_id,
            id=ids.uuid7(),
            session_id=context.session_id,
            tool_call_id=key,
            kind="hotel",
            supplier=order.supplier,
            supplier_ref=order.supplier_ref,
            locator=None,
            status=order.status,
            offer_id=given.rate_key,
            cost=order.price.amount,
            currency=order.price.currency,
            hold_expires_at=None,
            data={name: bound.get(name) for name in shown} | party | {"buyer_reference": given.buyer_reference},
            passengers=given.passenger_ids,
            now=context.now,
        )
        return Executed(Then(tenant_id=context.tenant_id, first=entered, then=self._outcome))

    def _outcome(self, booking: bookings.Booking) -> Outcome:
        if booking.status in ("cancelled", "failed"):
            return self.refuse(Objection("supplier_refused", f"The supplier's order is {booking.status}."))
        return self.succeed(
            booking_id=booking.id,
            supplier=booking.supplier,
            supplier_ref=booking.supplier_ref,
            status=booking.status,
        )
