"""list_invoices and list_bills: the documents of the books, those due first at the top."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.books import lists
from ...domain.documents import (
    BILL_STATUSES,
    INVOICE_STATUSES,
    OPEN_BILLS,
    OPEN_INVOICES,
    Bill,
    BillStatus,
    Document,
    Invoice,
    InvoiceStatus,
)
from ...domain.outcomes import Outcome
from .document_tool import AmountText, DiscountText, amount_of, discounted
from .schema import Currency, Day, Said
from .tool import ReadTool, ToolContext, ToolInput, ToolOutput


class _ListInput(ToolInput):
    party: Annotated[Said, Field(max_length=255, description="A part of the name")] | None = None
    due_before: Day | None = None
    limit: Annotated[int, Field(ge=1, le=50)] = 20


class InvoicesInput(_ListInput):
    """Input of the tool."""

    status: InvoiceStatus | Literal["open", "all"] = "open"


class BillsInput(_ListInput):
    """Input of the tool."""

    status: BillStatus | Literal["open", "all"] = "open"


class _Listed(ToolOutput):
    number: str
    party_name: str
    issue_date: str
    due_date: str
    total_amount: AmountText
    amount_due: AmountText
    currency: Currency


class ListedInvoice(_Listed):
    """One invoice."""

    invoice_id: str
    discount_amount: DiscountText = None
    status: InvoiceStatus


class ListedBill(_Listed):
    """One bill."""

    bill_id: str
    vendor_reference: str
    status: BillStatus


class InvoiceList(ToolOutput):
    """How many there are in all, and the first of them."""

    count: int
    invoices: list[ListedInvoice]


class BillList(ToolOutput):
    """How many there are in all, and the first of them."""

    count: int
    bills: list[ListedBill]


class ListInvoices(ReadTool[InvoicesInput]):
    """Lists invoices."""

    name = "list_invoices"
    description = "List invoices, by default the open ones (issued and not paid in full), those due first at the top."
    Input = InvoicesInput
    Output = InvoiceList
    desks = frozenset({"accounting"})

    async def look(self, given: InvoicesInput, context: ToolContext) -> Outcome:
        found = await context.store.ask(
            lists.Invoices(
                tenant_id=context.tenant_id,
                statuses=_statuses(given.status, OPEN_INVOICES, INVOICE_STATUSES),
                party=given.party,
                due_before=given.due_before,
                limit=given.limit,
            )
        )
        return self.succeed(
            count=found.total,
            invoices=[_invoice(each) for each in found.documents],
        )


class ListBills(ReadTool[BillsInput]):
    """Lists bills."""

    name = "list_bills"
    description = "List vendors' bills, by default the open ones (received or scheduled), those due first at the top."
    Input = BillsInput
    Output = BillList
    desks = frozenset({"accounting"})

    async def look(self, given: BillsInput, context: ToolContext) -> Outcome:
        found = await context.store.ask(
            lists.Bills(
                tenant_id=context.tenant_id,
                statuses=_statuses(given.status, OPEN_BILLS, BILL_STATUSES),
                party=given.party,
                due_before=given.due_before,
                limit=given.limit,
            )
        )
        return self.succeed(count=found.total, bills=[_bill(each) for each in found.documents])


def _invoice(invoice: Invoice) -> dict[str, Any]:
    return {"invoice_id": invoice.id, "discount_amount": discounted(invoice), **_common(invoice)}


def _bill(bill: Bill) -> dict[str, Any]:
    return {"bill_id": bill.id, "vendor_reference": bill.vendor_reference, **_common(bill)}


def _statuses(given: str, still_open: tuple[str, ...], every: tuple[str, ...]) -> tuple[str, ...]:
    return {"open": still_open, "all": every}.get(given, (given,))


def _common(document: Document) -> dict[str, Any]:
    nothing = document.total - document.total
    return {
        "number": document.number,
        "party_name": document.party_name,
        "issue_date": document.issue_date.isoformat(),
        "due_date": document.due_date.isoformat(),
        "total_amount": amount_of(document.total),
        "amount_due": amount_of(nothing if document.status == "void" else document.due),
        "currency": document.total.currency,
        "status": document.status,
    }
