"""void_bill: void a document on which nothing has been paid."""

from __future__ import annotations

from typing import Any, Literal

from ....storage.books.act import Act
from ....storage.books.bills import Void
from ....storage.books.documents import Voided
from ...domain.documents import Bill, day_of_void
from ...domain.outcomes import Outcome
from .document_tool import REASON_SHOWN, DocumentTool, Reason, bound_document
from .schema import Id
from .summary import code
from .summary import shown as words
from .tool import ToolContext, ToolInput, ToolOutput


class VoidBillInput(ToolInput):
    """Input of the tool."""

    bill_id: Id
    reason: Reason


class VoidBillOutput(ToolOutput):
    """A void bill; a draft had posted no journal that had to be reversed."""

    voided: Literal[True] = True
    bill_id: str
    status: Literal["void"] = "void"
    journal_id: str | None


class VoidBill(DocumentTool[VoidBillInput, Bill, Voided]):
    """Voids a bill; gated by an approval."""

    name = "void_bill"
    description = (
        "Void a bill on which nothing has been paid. It keeps its number and stays listed; what it posted is reversed. "
        "A human is asked first."
    )
    Input = VoidBillInput
    Output = VoidBillOutput
    verb = "voided"
    reasons = frozenset({"not_found", "invalid_status", "has_payments"})

    def act(self, given: VoidBillInput, context: ToolContext, **who: Any) -> Act[Bill, Voided]:
        del context
        return Void(bill_id=given.bill_id, reason=given.reason, **who)

    def ask(self, given: VoidBillInput, prepared: Bill, context: ToolContext) -> tuple[str, dict[str, Any]]:
        day = day_of_void(prepared, context.today)
        asked = (
            f"Void bill {code(prepared.number)}: {prepared.total.text}, {prepared.status}, void on {day};"
            f" of {words(prepared.party_name)}; reason {words(given.reason, REASON_SHOWN)}"
        )
        return asked, bound_document(prepared) | {"status": prepared.status, "voided_on": day.isoformat()}

    def output(self, given: VoidBillInput, done: Voided) -> Outcome:
        del given
        return self.succeed(bill_id=done.id, journal_id=done.journal_id)
