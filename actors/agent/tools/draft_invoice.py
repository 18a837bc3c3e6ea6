"""draft_invoice: make an invoice with the next number, which is not in the books until it is issued."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from ....storage.books.act import Act
from ....storage.books.invoices import Draft, DraftedInvoice
from ...domain.documents import MOST_QUANTITY, Desk, Invoice, InvoiceLine
from ...domain.money import Money
from ...domain.outcomes import Outcome
from .document_tool import (
    ABOUT_DISCOUNT,
    MOST_LINES,
    AmountText,
    DiscountReason,
    DiscountText,
    DocumentTool,
    Notes,
    Number,
    Party,
    amount_of,
    bound_document,
    bound_lines,
    dates,
    discounted,
    shown_lines,
    shown_total,
)
from .schema import AMOUNT, Currency, Id, Reference, Said, read_amount, read_day
from .summary import code
from .summary import shown as words
from .tool import Objection, ToolContext, ToolInput, ToolOutput

DayText = Annotated[str, Field(max_length=64), WithJsonSchema({"type": "string", "format": "date"})]
"""A date that the tool itself refuses, with a reason of its own."""
PriceText = Annotated[str, Field(max_length=64), WithJsonSchema({"type": "string", "pattern": AMOUNT})]
"""An amount that the tool itself refuses, with a reason of its own."""


class LineItem(ToolInput):
    """Input of the tool."""

    description: Annotated[Said, Field(max_length=500)]
    quantity: Annotated[int, Field(ge=1, le=MOST_QUANTITY)]
    unit_price: PriceText
    currency: Currency
    discount: Annotated[PriceText | None, Field(description=ABOUT_DISCOUNT)] = None
    discount_reason: DiscountReason | None = None
    desk: Desk = "other"
    booking_id: Id | None = None


class DraftInput(ToolInput):
    """Input of the tool."""

    customer_name: Party
    issue_date: DayText
    due_date: DayText
    line_items: Annotated[list[LineItem], Field(min_length=1, max_length=MOST_LINES)]
    party_reference: Reference | None = None
    notes: Notes | None = None
    number: Annotated[Number | None, Field(description="Leave it out: the next number of the series is taken")] = None


class Drafted(ToolOutput):
    """A draft."""

    drafted: Literal[True] = True
    invoice_id: str
    number: str
    total_amount: AmountText
    discount_amount: DiscountText = None
    currency: Currency
    status: Literal["draft"] = "draft"


class DraftInvoice(DocumentTool[DraftInput, DraftedInvoice, Invoice]):
    """Makes an invoice that is not in the books yet; gated by an approval."""

    name = "draft_invoice"
    description = (
        "Draft an invoice in one currency. It gets the next number of the agency's series and is in the books only "
        "once it is issued with issue_invoice. No amount is below zero: what is deducted is the discount of its line. "
        "A human is asked first."
    )
    Input = DraftInput
    Output = Drafted
    verb = "drafted"
    reason_key = "error_code"
    reasons = frozenset(
        {"mixed_currency", "invalid_date", "invalid_amount", "invoice_number_conflict", "booking_not_found"}
    )
    effect = "reversible"

    def act(self, given: DraftInput, context: ToolContext, **who: Any) -> Act[DraftedInvoice, Invoice]:
        del context
        if len({line.currency for line in given.line_items}) > 1:
            raise Objection("mixed_currency", "The lines are in several currencies: an invoice has one.")
        return Draft(
            number=given.number,
            party_name=given.customer_name,
            issue_date=_day("issue_date", given.issue_date),
            due_date=_day("due_date", given.due_date),
            lines=tuple(_line(place, line) for place, line in enumerate(given.line_items, start=1)),
            party_reference=given.party_reference or None,
            notes=given.notes or None,
            **who,
        )

    def ask(self, given: DraftInput, prepared: DraftedInvoice, context: ToolContext) -> tuple[str, dict[str, Any]]:
        del given, context
        invoice, lines, _ = prepared
        number = code(invoice.number) if invoice.number else "with the next number"
        asked = (
            f"Draft invoice {number}: {shown_total(invoice, lines)}, {dates(invoice)}; for {words(invoice.party_name)};"
            f" {shown_lines(lines)}"
        )
        return asked, bound_document(invoice) | {"lines": bound_lines(lines)}

    def output(self, given: DraftInput, done: Invoice) -> Outcome:
        del given
        return self.succeed(
            invoice_id=done.id,
            number=done.number,
            total_amount=amount_of(done.total),
            discount_amount=discounted(done),
            currency=done.total.currency,
        )


def _day(name: str, text: str) -> date:
    try:
        return read_day(text)
    except ValueError as invalid:
        raise Objection("invalid_date", f"{name} {invalid}") from None


def _line(place: int, line: LineItem) -> InvoiceLine:
    price = _amount(place, "unit_price", line.unit_price)
    return InvoiceLine(
        description=line.description,
        quantity=Decimal(line.quantity),
        unit_price=Money.of(price, line.currency),
        desk=line.desk,
        booking_id=line.booking_id,
        discount=Decimal(0) if line.discount is None else _amount(place, "discount", line.discount),
        discount_reason=line.discount_reason or None,
    )


def _amount(place: int, name: str, text: str) -> Decimal:
    try:
        return read_amount(text)
    except ValueError as invalid:
        hint = ": what is deducted is the discount of a line" if text.startswith("-") else ""
        raise Objection("invalid_amount", f"Line {place}: {name} {invalid}{hint}") from None
