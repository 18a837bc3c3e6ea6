"""issue_ticket: have the tickets of a booking issued, and record them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.travel import bookings, passengers
from ....storage.travel.tickets import Ticket
from ...domain import ids
from ...domain.outcomes import Outcome
from ...domain.travel import FlightOrder, Segment
from ...suppliers.protocols import FlightDesk
from .schema import Id
from .summary import code, listed
from .supplier_tool import Executed, GatedSupplierTool
from .tool import ALL_TRAVEL, ApprovalProposal, Objection, Then, ToolContext, ToolInput, ToolOutput
from .trips import data_of, issued, legs, priced, seller

ISSUABLE = frozenset({"confirmed", "ticketed", "schedule_change"})


class IssueInput(ToolInput):
    """Input of the tool."""

    pnr_id: Annotated[Id, Field(description="The booking_id")]


class IssuedDocument(ToolOutput):
    """A ticket."""

    ticket_id: str
    number: str
    status: str


class TicketsIssued(ToolOutput):
    """The booking's tickets."""

    issued: Literal[True] = True
    tickets: Annotated[list[IssuedDocument], Field(min_length=1)]


class IssueTicket(GatedSupplierTool[IssueInput]):
    """Issues tickets; gated by an approval."""

    name = "issue_ticket"
    description = (
        "Have the tickets of a confirmed flight booking issued, by its pnr_id (the booking_id). A human is asked. "
        "Some suppliers issue them by themselves, a while after the booking."
    )
    Input = IssueInput
    Output = TicketsIssued
    desks = frozenset({"ticketing_visa"})
    verb = "issued"
    reasons = frozenset(
        {
            "capability_not_supported",
            "not_found",
            "invalid_status",
            "tickets_not_ready",
            "supplier_refused",
            "changed_since_approval",
        }
    )
    effect = "irreversible"
    approvers = ALL_TRAVEL

    async def driver(self, given: IssueInput, bound: Mapping[str, Any], context: ToolContext) -> str:
        del given, context
        return str(bound["supplier"])

    async def precheck(self, given: IssueInput, context: ToolContext) -> ApprovalProposal:
        booking, supplier = await _booked(given, context)
        if supplier.capabilities.tickets_follow:
            order = await supplier.read(booking.supplier_ref)
            if order.status not in ISSUABLE:
                raise Objection("invalid_status", f"At the supplier the booking is {order.status}.")
            if not order.tickets:
                raise Objection("tickets_not_ready", "The supplier has not issued the tickets yet; try again later.")
        bound = await _bound(booking, context)
        parts = [
            f"Issue the tickets of {code(booking.locator or booking.id)}",
            booking.cost.text,
            f"supplier {code(booking.supplier)}",
            *([bound["flights"]] if bound["flights"] else []),
            listed(bound["persons"]),
        ]
        return ApprovalProposal("; ".join(parts), bound, None)

    async def execute(self, given: IssueInput, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed:
        booking, supplier = await _booked(given, context)
        if await _bound(booking, context) != bound:
            raise Objection("changed_since_approval", "What was approved has changed; it has to be asked for again.")
        return self._placed(given, await supplier.issue(booking.supplier_ref, key), context)

    async def find_previous(
        self, given: IssueInput, bound: Mapping[str, Any], key: str, context: ToolContext
    ) -> Executed | None:
        supplier = context.suppliers.named(str(bound["supplier"]))
        if supplier is None or not supplier.capabilities.looks_up:
            return None
        order = await supplier.read(str(bound["supplier_ref"]), key)  # tickets are found by their order
        return self._placed(given, order, context) if order.tickets else None

    def _placed(self, given: IssueInput, order: FlightOrder, context: ToolContext) -> Executed:
        record = bookings.RecordTickets(
            tenant_id=context.tenant_id,
            id=ids.parse_uuid(given.pnr_id) or "",
            currency=order.price.currency,
            data={"tickets": data_of(order, None).get("tickets", [])},
            tickets=issued(order),
            now=context.now,
        )
        return Executed(Then(tenant_id=context.tenant_id, first=record, then=self._outcome))

    def _outcome(self, tickets: tuple[Ticket, ...]) -> Outcome:
        return self.succeed(
            tickets=[IssuedDocument(ticket_id=each.id, number=each.number, status=each.status) for each in tickets]
        )


async def _booked(given: IssueInput, context: ToolContext) -> tuple[bookings.Booking, FlightDesk]:
    """The booking and its supplier, if tickets can be issued there."""
    known = ids.parse_uuid(given.pnr_id) or ids.uuid7()
    booking = await context.store.ask(bookings.Load(tenant_id=context.tenant_id, id=known))
    if booking is None or booking.kind != "flight":
        raise Objection("not_found", "No flight booking of this agency has this pnr_id.")
    if booking.status not in ISSUABLE:
        raise Objection("invalid_status", f"The booking is {booking.status}.")
    return booking, seller(context, booking.supplier, "issue")


async def _bound(booking: bookings.Booking, context: ToolContext) -> dict[str, Any]:
    """All that the approver is shown."""
    persons = await context.store.ask(passengers.Load(tenant_id=context.tenant_id, ids=booking.passengers))
    return {
        "supplier": booking.supplier,
        "supplier_ref": booking.supplier_ref,
        "booking_id": booking.id,
        "locator": booking.locator,
        "price": priced(booking.cost),
        "flights": legs([Segment.model_validate(each) for each in booking.data.get("segments", ())]),
        "persons": [person.full_name for person in persons],
    }
