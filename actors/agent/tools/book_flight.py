"""book_flight: book a fare or a hold. Needs an approval; only what the approver was shown is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ....storage.engine.operations import Operation
from ....storage.travel import bookings, offers
from ...domain import ids
from ...domain.outcomes import Outcome
from ...domain.travel import FlightOrder
from .schema import Id, PassengerIds, Price, Reference
from .supplier_tool import Executed, GatedSupplierTool
from .tool import ALL_TRAVEL, ApprovalProposal, Objection, Then, ToolContext, ToolInput, ToolOutput
from .trips import Trip, aboard, current_offer, data_of, issued, keep, payable, recorded, seller, travellers


class BookInput(ToolInput):
    """Input of the tool."""

    fare_id: Annotated[Id | None, Field(description="A fare that was found; then passenger_ids are needed")] = None
    passenger_ids: Annotated[PassengerIds | None, Field(description="Everybody the fare is for")] = None
    booking_id: Annotated[Id | None, Field(description="A hold that is to be bought, instead of a fare")] = None
    buyer_reference: Reference | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.fare_id is None) == (self.booking_id is None):
            raise ValueError("exactly one of fare_id and booking_id is needed")
        if (self.fare_id is None) != (self.passenger_ids is None):
            raise ValueError("passenger_ids are needed with fare_id, and only then")
        return self

    @property
    def fare(self) -> tuple[str, list[str]] | None:
        """The fare and the passengers; None if a hold is booked."""
        return None if self.fare_id is None or self.passenger_ids is None else (self.fare_id, self.passenger_ids)


class Booked(ToolOutput):
    """A confirmed booking."""

    booked: Literal[True] = True
    booking_id: str
    locator: str | None
    supplier: str
    supplier_ref: str
    status: Literal["confirmed", "ticketed", "schedule_change", "tentative"]
    price: Price
    warnings: list[str]


class BookFlight(GatedSupplierTool[BookInput]):
    """Books a flight; gated by an approval."""

    name = "book_flight"
    description = (
        "Book a flight: a fare_id from search_flights with the passenger_ids of everybody who travels, or the "
        "booking_id of a hold. A human is asked first; the booking is made when they agree."
    )
    Input = BookInput
    Output = Booked
    desks = frozenset({"ticketing_visa"})
    verb = "booked"
    reasons = frozenset(
        {
            "offer_not_found",
            "offer_expired",
            "sold_out",
            "passenger_not_found",
            "passenger_incomplete",
            "price_changed",
            "supplier_refused",
            "not_found",
            "hold_expired",
            "invalid_status",
            "capability_not_supported",
            "changed_since_approval",
        }
    )
    effect = "irreversible"
    approvers = ALL_TRAVEL

    async def driver(self, given: BookInput, bound: Mapping[str, Any], context: ToolContext) -> str:
        del given, context
        return str(bound["supplier"])

    def repeats(
        self,
        given: BookInput,
        bound: Mapping[str, Any],
        find_previous: Mapping[str, Any],
        earlier_bound: Mapping[str, Any] | None,
    ) -> bool:
        """Whether a passenger would be on a flight twice, by whatever fare or hold."""
        del given, find_previous
        return earlier_bound is not None and aboard(bound) & aboard(earlier_bound) != frozenset()

    async def precheck(self, given: BookInput, context: ToolContext) -> ApprovalProposal:
        trip = await self._trip(given, context, unchanged=True)
        await keep(context, trip.offer)
        reference = given.buyer_reference
        return ApprovalProposal(trip.summary(reference), trip.bound(reference), trip.expires_at)

    async def execute(self, given: BookInput, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed:
        trip = await self._trip(given, context)
        if trip.bound(given.buyer_reference) != bound:
            raise Objection("changed_since_approval", "What was approved has changed; it has to be asked for again.")
        held = None if trip.hold is None else trip.hold.supplier_ref
        offer = trip.offer.model_copy(update={"price": trip.price})
        order = await trip.supplier.book(offer, trip.persons, key, held)
        return self._placed(given, bound, order, key, context)

    async def find_previous(
        self, given: BookInput, bound: Mapping[str, Any], key: str, context: ToolContext
    ) -> Executed | None:
        supplier = context.suppliers.named(str(bound["supplier"]))
        if supplier is None or not supplier.capabilities.looks_up:
            return None
        order = await supplier.find(key)
        return None if order is None else self._placed(given, bound, order, key, context)

    async def _trip(self, given: BookInput, context: ToolContext, *, unchanged: bool = False) -> Trip:
        if given.fare is None:
            return await self._held(given.booking_id or "", context, unchanged=unchanged)
        fare_id, passenger_ids = given.fare
        offer = await current_offer(context, fare_id, unchanged=unchanged)
        supplier = seller(context, offer.supplier, "book")
        persons = await travellers(context, passenger_ids, offer, supplier)
        return Trip(supplier=supplier, offer=offer, persons=persons, price=offer.price, expires_at=offer.expires_at)

    async def _held(self, booking_id: str, context: ToolContext, *, unchanged: bool) -> Trip:
        known = ids.parse_uuid(booking_id) or ids.uuid7()
        hold = await context.store.ask(bookings.Load(tenant_id=context.tenant_id, id=known))
        if hold is None or hold.kind != "flight":
            raise Objection("not_found", "No flight booking of this agency has this booking_id.")
        if hold.status != "tentative" and not hold.has_expired:
            raise Objection("invalid_status", f"The booking is {hold.status}, not on hold.")
        if hold.has_expired or hold.hold_expires_at is None or hold.hold_expires_at <= context.now:
            raise Objection("hold_expired", "The hold has expired; search again.")
        supplier = seller(context, hold.supplier, "book")
        offer = await context.store.ask(offers.Load(tenant_id=context.tenant_id, id=hold.offer_id or ""))
        if offer is None:
            raise Objection("offer_not_found", "The fare of this hold is not known any more.")
        order = await supplier.read(hold.supplier_ref)
        if order.status in ("cancelled", "failed"):
            raise Objection("hold_expired", "The supplier has cancelled the hold; search again.")
        if order.segments:  # the airline may have changed them since the fare was found
            ways = {} if len(order.segments) == len(offer.segments) else {"back_from": None}
            offer = offer.model_copy(update={"segments": order.segments, **ways})
        if order.conditions is not None:
            terms = order.conditions
            now = {"refundable": terms.refundable, "changeable": terms.changeable, "conditions": terms.text}
            offer = offer.model_copy(update=now)
        payable(order.price)
        if unchanged and order.price != hold.cost:
            asked = order.price
            await context.store.ask(
                bookings.Reprice(tenant_id=context.tenant_id, id=hold.id, cost=asked.amount, currency=asked.currency)
            )
            raise Objection(
                "price_changed",
                f"The supplier now asks {order.price.text}; ask again if it is to be booked at this price.",
            )
        return Trip(
            supplier=supplier,
            offer=offer,
            persons=await travellers(context, hold.passengers, offer, supplier),
            price=order.price,
            expires_at=hold.hold_expires_at,
            hold=hold,
        )

    def _placed(
        self, given: BookInput, bound: Mapping[str, Any], order: FlightOrder, key: str, context: ToolContext
    ) -> Executed:
        entered: Operation[bookings.Booking]
        if given.fare is not None:
            entered = recorded(context, order, key, *given.fare, given.buyer_reference)
        else:
            entered = bookings.Confirm(
                tenant_id=context.tenant_id,
                id=ids.parse_uuid(given.booking_id) or "",
                new_id=ids.uuid7(),
                tool_call_id=key,
                status=order.status,
                supplier_ref=order.supplier_ref,
                locator=order.locator,
                cost=order.price.amount,
                currency=order.price.currency,
                data=data_of(order, given.buyer_reference),
                tickets=issued(order),
                now=context.now,
            )
        warnings = bound.get("warnings", [])
        return Executed(
            Then(tenant_id=context.tenant_id, first=entered, then=lambda made: self._outcome(made, warnings))
        )

    def _outcome(self, booking: bookings.Booking, warnings: Sequence[str]) -> Outcome:
        if booking.status in ("cancelled", "failed"):
            return self.refuse(Objection("supplier_refused", f"The supplier's order is {booking.status}."))
        return self.succeed(
            booking_id=booking.id,
            locator=booking.locator,
            supplier=booking.supplier,
            supplier_ref=booking.supplier_ref,
            status=booking.status,
            price=booking.cost.text,
            warnings=list(warnings),
        )
