"""create_invoice: make an invoice with a number given by hand and with taxes, and issue it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from ....storage.books.act import Act
from ....storage.books.invoices import Create, DraftedInvoice, Issued
from ...domain.documents import MOST_QUANTITY, Desk, InvoiceLine, Regime, check_amounts
from ...domain.money import Money
from ...domain.outcomes import Outcome
from ...domain.tax_rates import LARGEST_RATE, SUPPLY, RequestedLine, RequestedTax, UnlistedRate, percent
from ...domain.travel import tidy_name
from .document_tool import (
    ABOUT_DISCOUNT,
    MOST_LINES,
    DiscountReason,
    DiscountText,
    DocumentTool,
    Notes,
    Number,
    Party,
    bound_document,
    bound_lines,
    dates,
    discounted,
    shown_lines,
    shown_total,
)
from .schema import AMOUNT, Amount, Currency, Day, Id, Said, read_amount
from .summary import code
from .summary import shown as words
from .tool import Objection, ToolContext, ToolInput, ToolOutput

MOST_TAXES = 10


def _quantity(value: Any) -> Any:
    quantity = Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else read_amount(value)
    if not 0 < quantity <= MOST_QUANTITY:
        raise ValueError(f"must be above 0 and at most {MOST_QUANTITY}")
    return quantity


Quantity = Annotated[
    Decimal,
    BeforeValidator(_quantity),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": AMOUNT}]}),
]


class Tax(ToolInput):
    """Input of the tool."""

    regime: Regime
    code: Annotated[Said, Field(max_length=32)]
    supply: Annotated[
        str | None, Field(pattern=SUPPLY, description="The kind of supply, as list_tax_rates names it; else standard")
    ] = None
    rate_bps: Annotated[
        int | None,
        Field(ge=0, le=LARGEST_RATE, description="Basis points: 1800 is 18 %. Left out: the agency's rate that day"),
    ] = None
    taxable_amount: Amount
    tax_amount: Annotated[Amount | None, Field(description="Left out: taxable_amount at the rate, rounded")] = None
    jurisdiction: Annotated[Said, Field(max_length=64)] | None = None


class Line(ToolInput):
    """Input of the tool."""

    description: Annotated[Said, Field(max_length=500)]
    quantity: Quantity = Decimal(1)
    unit_price: Amount
    currency: Currency | None = None
    subtotal: Annotated[Amount | None, Field(description="quantity x unit_price, before the discount")] = None
    discount: Annotated[Amount | None, Field(description=ABOUT_DISCOUNT)] = None
    discount_reason: DiscountReason | None = None
    taxes: Annotated[tuple[Tax, ...], Field(max_length=MOST_TAXES, strict=False)] = ()
    total: Annotated[Amount | None, Field(description="subtotal - discount + taxes")] = None
    desk: Desk = "other"
    booking_id: Id | None = None


class InvoiceInput(ToolInput):
    """Input of the tool. Further keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    invoice_number: Number
    client_id: Annotated[Said, Field(max_length=128)]
    issue_date: Day
    currency: Currency
    lines: Annotated[list[Line], Field(min_length=1, max_length=MOST_LINES)]
    billing_address: Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=255)] | None], Field(max_length=32)
    ]
    series: Annotated[Said, Field(max_length=32)] | None = None
    due_date: Annotated[Day | None, Field(description="The issue date if nothing is said")] = None
    notes: Notes | None = None
    client_name: Party | None = None


class CreateInput(ToolInput):
    """Input of the tool."""

    invoice: InvoiceInput


class Created(ToolOutput):
    """An issued invoice."""

    created: Literal[True] = True
    invoice_id: str
    invoice_number: str
    discount_amount: DiscountText = None


class CreateInvoice(DocumentTool[CreateInput, DraftedInvoice, Issued]):
    """Makes an invoice and issues it; gated by an approval."""

    name = "create_invoice"
    description = (
        "Create and issue an invoice under a number given by the user, with taxes on its lines. Sums that are "
        "given must be right; rates follow from the agency's own of the issue date, see list_tax_rates. No amount is "
        "below zero: what is deducted is the discount of its line, and taxes are on what is left. Use "
        "draft_invoice for the next number of the agency's series. A human is asked first."
    )
    Input = CreateInput
    Output = Created
    verb = "created"
    reasons = frozenset({"validation_failed", "invoice_number_conflict"})
    effect = "reversible"

    def act(self, given: CreateInput, context: ToolContext, **who: Any) -> Act[DraftedInvoice, Issued]:
        del context
        invoice = given.invoice
        named = invoice.client_name or tidy_name(invoice.billing_address.get("attention") or "")
        return Create(
            number=invoice.invoice_number,
            party_name=named,
            party_reference=invoice.client_id,
            issue_date=invoice.issue_date,
            due_date=invoice.due_date or invoice.issue_date,
            lines=tuple(_line(place, line, invoice.currency) for place, line in enumerate(invoice.lines, start=1)),
            series=invoice.series,
            billing_address=invoice.billing_address,
            notes=invoice.notes or None,
            **who,
        )

    def ask(self, given: CreateInput, prepared: DraftedInvoice, context: ToolContext) -> tuple[str, dict[str, Any]]:
        del given, context
        invoice, lines, unlisted = prepared
        asked = (
            f"Create and issue invoice {code(invoice.number)}: {shown_total(invoice, lines)}, {dates(invoice)};"
            f" for {words(invoice.party_name)}; {_remarks(unlisted)}{shown_lines(lines)}"
        )
        bound = bound_document(invoice) | {"lines": bound_lines(lines)}
        if unlisted:
            bound["unlisted_rates"] = [[each.code, each.rate_bps, list(each.listed)] for each in unlisted]
        return asked, bound

    def output(self, given: CreateInput, done: Issued) -> Outcome:
        del given
        return self.succeed(
            invoice_id=done.invoice.id,
            invoice_number=done.invoice.number,
            discount_amount=discounted(done.invoice),
        )


def _remarks(unlisted: tuple[UnlistedRate, ...]) -> str:
    """What the approver has to know of rates that are none of the agency's."""
    said = (
        f"{code(each.code, 16)} at {percent(each.rate_bps)} is none of the agency's rates"
        f" ({', '.join(map(percent, each.listed)) or 'it has none'}); "
        for each in dict.fromkeys(unlisted)
    )
    return "".join(said)


def _line(place: int, line: Line, currency: str) -> RequestedLine:
    if line.currency not in (None, currency):
        raise Objection("validation_failed", f"Line {place} is in {line.currency}, the invoice in {currency}.")
    made = InvoiceLine(
        description=line.description,
        quantity=line.quantity,
        unit_price=Money.of(line.unit_price, currency),
        desk=line.desk,
        booking_id=line.booking_id,
        discount=line.discount or Decimal(0),
        discount_reason=line.discount_reason or None,
    )
    check_amounts(place, made, "validation_failed")
    if line.subtotal not in (None, made.subtotal.amount):
        before = " before the discount" if made.discount else ""
        raise Objection(
            "validation_failed", f"Line {place}: its subtotal{before} is {made.subtotal.text}, not {line.subtotal:f}."
        )
    return RequestedLine(line=made, taxes=tuple(RequestedTax(**dict(tax)) for tax in line.taxes), total=line.total)
