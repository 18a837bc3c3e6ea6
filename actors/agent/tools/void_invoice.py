"""void_invoice: void a document on which nothing has been paid."""

from __future__ import annotations

from typing import Any, Literal

from ....storage.books.act import Act
from ....storage.books.documents import Voided
from ....storage.books.invoices import Void
from ...domain.documents import Invoice, day_of_void
from ...domain.outcomes import Outcome
from .document_tool import REASON_SHOWN, DocumentTool, Reason, bound_document
from .schema import Id
from .summary import code
from .summary import shown as words
from .tool import ToolContext, ToolInput, ToolOutput


class VoidInvoiceInput(ToolInput):
    """Input of the tool."""

    invoice_id: Id
    reason: Reason


class VoidInvoiceOutput(ToolOutput):
    """A void invoice; a draft had posted no journal that had to be reversed."""

    voided: Literal[True] = True
    invoice_id: str
    status: Literal["void"] = "void"
    journal_id: str | None


class VoidInvoice(DocumentTool[VoidInvoiceInput, Invoice, Voided]):
    """Voids an invoice; gated by an approval."""

    name = "void_invoice"
    description = (
        "Void an invoice on which nothing has been paid. It keeps its number and stays listed; what it posted is "
        "reversed. A human is asked first."
    )
    Input = VoidInvoiceInput
    Output = VoidInvoiceOutput
    verb = "voided"
    reasons = frozenset({"not_found", "invalid_status", "has_payments"})

    def act(self, given: VoidInvoiceInput, context: ToolContext, **who: Any) -> Act[Invoice, Voided]:
        del context
        return Void(invoice_id=given.invoice_id, reason=given.reason, **who)

    def ask(self, given: VoidInvoiceInput, prepared: Invoice, context: ToolContext) -> tuple[str, dict[str, Any]]:
        day = day_of_void(prepared, context.today)
        asked = (
            f"Void invoice {code(prepared.number)}: {prepared.total.text}, {prepared.status}, void on {day};"
            f" for {words(prepared.party_name)}; reason {words(given.reason, REASON_SHOWN)}"
        )
        return asked, bound_document(prepared) | {"status": prepared.status, "voided_on": day.isoformat()}

    def output(self, given: VoidInvoiceInput, done: Voided) -> Outcome:
        del given
        return self.succeed(invoice_id=done.id, journal_id=done.journal_id)
