"""issue_invoice: put a draft into the books."""

from __future__ import annotations

from typing import Any, Literal

from ....storage.books.act import Act
from ....storage.books.invoices import DraftedInvoice, Issue, Issued
from ...domain.outcomes import Outcome
from .document_tool import (
    AmountText,
    DiscountText,
    DocumentTool,
    amount_of,
    bound_document,
    bound_lines,
    dates,
    discounted,
    shown_lines,
    shown_total,
)
from .schema import Currency, Id
from .summary import code
from .summary import shown as words
from .tool import ToolContext, ToolInput, ToolOutput


class IssueInput(ToolInput):
    """Input of the tool."""

    invoice_id: Id


class IssuedInvoice(ToolOutput):
    """An issued invoice."""

    issued: Literal[True] = True
    invoice_id: str
    number: str
    status: Literal["issued"] = "issued"
    total_amount: AmountText
    discount_amount: DiscountText = None
    currency: Currency
    journal_id: str


class IssueInvoice(DocumentTool[IssueInput, DraftedInvoice, Issued]):
    """Issues a draft; gated by an approval."""

    name = "issue_invoice"
    description = (
        "Issue a drafted invoice: its journal is posted on its issue date, which must have come. A human is asked "
        "first; an issued invoice is never changed, only voided."
    )
    Input = IssueInput
    Output = IssuedInvoice
    verb = "issued"
    reasons = frozenset({"not_found", "invalid_status", "invalid_date"})

    def act(self, given: IssueInput, context: ToolContext, **who: Any) -> Act[DraftedInvoice, Issued]:
        del context
        return Issue(invoice_id=given.invoice_id, **who)

    def ask(self, given: IssueInput, prepared: DraftedInvoice, context: ToolContext) -> tuple[str, dict[str, Any]]:
        del given, context
        invoice, lines, _ = prepared
        asked = (
            f"Issue invoice {code(invoice.number)}: {shown_total(invoice, lines)}, {dates(invoice)};"
            f" for {words(invoice.party_name)}; {shown_lines(lines)}"
        )
        return asked, bound_document(invoice) | {"lines": bound_lines(lines)}

    def output(self, given: IssueInput, done: Issued) -> Outcome:
        del given
        return self.succeed(
            invoice_id=done.invoice.id,
            number=done.invoice.number,
            total_amount=amount_of(done.invoice.total),
            discount_amount=discounted(done.invoice),
            currency=done.invoice.total.currency,
            journal_id=done.journal_id,
        )
