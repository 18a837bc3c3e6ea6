"""hold_flight: hold seats without payment. It is free and expires by itself, so it needs no approval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.travel import bookings, passengers
from ...domain import ids
from ...domain.audit import wire_time
from ...domain.outcomes import Outcome
from ...domain.travel import FlightOrder
from .schema import Id, Moment, PassengerIds, Price
from .supplier_tool import Executed, SupplierTool
from .tool import Objection, Then, ToolContext, ToolInput, ToolOutput
from .trips import current_offer, expiring, keep, recorded, remembered, seller, travellers


class HoldInput(ToolInput):
    """Input of the tool."""

    fare_id: Id
    passenger_ids: Annotated[PassengerIds, Field(description="As many as the fare was searched for")]


class Held(ToolOutput):
    """Seats held until ``hold_expires_at``."""

    held: Literal[True] = True
    booking_id: str
    locator: str | None
    status: Literal["tentative", "confirmed", "ticketed", "schedule_change"]
    price: Price
    hold_expires_at: Moment | None
    warnings: list[str]


class HoldFlight(SupplierTool[HoldInput]):
    """Holds seats; needs no approval."""

    name = "hold_flight"
    description = (
        "Hold a fare that says hold_possible, for the passengers named. Nothing is paid; it expires at hold_expires_at "
        "unless book_flight is called with the booking_id."
    )
    Input = HoldInput
    Output = Held
    desks = frozenset({"ticketing_visa"})
    verb = "held"
    reasons = frozenset(
        {
            "offer_not_found",
            "offer_expired",
            "sold_out",
            "hold_not_supported",
            "passenger_not_found",
            "passenger_incomplete",
            "price_changed",
            "supplier_refused",
        }
    )
    effect = "reversible"
    unsupported = "hold_not_supported"

    async def driver(self, given: HoldInput, bound: Mapping[str, Any], context: ToolContext) -> str:
        del bound
        offer = await remembered(context, given.fare_id)
        return "none" if offer is None else offer.supplier

    async def execute(self, given: HoldInput, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed:
        del bound
        offer = await current_offer(context, given.fare_id, unchanged=True)
        supplier = seller(context, offer.supplier, "hold")
        if not offer.hold_possible:
            raise Objection("hold_not_supported", "This fare cannot be held.")
        persons = await travellers(context, given.passenger_ids, offer, supplier)
        await keep(context, offer)
        order = await supplier.hold(offer, persons, key)
        return self._placed(given, order, key, context, expiring(persons, offer.segments))

    async def find_previous(
        self, given: HoldInput, bound: Mapping[str, Any], key: str, context: ToolContext
    ) -> Executed | None:
        supplier = context.suppliers.named(await self.driver(given, bound, context))
        if supplier is None or not supplier.capabilities.looks_up:
            return None
        order = await supplier.find(key)
        if order is None:
            return None
        known = [each for each in map(ids.parse_uuid, given.passenger_ids) if each is not None]
        persons = await context.store.ask(passengers.Load(tenant_id=context.tenant_id, ids=known))
        warnings = expiring(persons, order.segments) if order.segments else []
        return self._placed(given, order, key, context, warnings)

    def _placed(
        self, given: HoldInput, order: FlightOrder, key: str, context: ToolContext, warnings: Sequence[str]
    ) -> Executed:
        entered = recorded(context, order, key, given.fare_id, given.passenger_ids, None)
        return Executed(
            Then(tenant_id=context.tenant_id, first=entered, then=lambda made: self._outcome(made, warnings))
        )

    def _outcome(self, booking: bookings.Booking, warnings: Sequence[str]) -> Outcome:
        if booking.status in ("cancelled", "failed"):
            return self.refuse(Objection("supplier_refused", f"The supplier's hold is {booking.status}."))
        until = booking.hold_expires_at
        return self.succeed(
            booking_id=booking.id,
            locator=booking.locator,
            status=booking.status,
            price=booking.cost.text,
            hold_expires_at=None if until is None else wire_time(until),
            warnings=list(warnings),
        )
