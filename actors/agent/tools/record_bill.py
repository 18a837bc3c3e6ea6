"""record_bill: enter a vendor's bill."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.books.act import Act
from ....storage.books.bills import Received, Record
from ...domain.documents import Bill, Desk
from ...domain.money import Money
from ...domain.outcomes import Outcome
from .document_tool import DocumentTool, Notes, Party, bound_document, dates
from .schema import Amount, Currency, Day, Id, Said
from .summary import code
from .summary import shown as words
from .tool import ToolContext, ToolInput, ToolOutput


class BillInput(ToolInput):
    """Input of the tool."""

    vendor_name: Party
    vendor_reference: Annotated[Said, Field(max_length=128, description="The number of the vendor's own invoice")]
    issue_date: Day
    due_date: Day
    amount: Annotated[Amount, Field(gt=0)]
    currency: Currency
    desk: Desk = "other"
    booking_id: Id | None = None
    notes: Notes | None = None


class RecordedBill(ToolOutput):
    """A bill in the books."""

    recorded: Literal[True] = True
    bill_id: str
    number: str
    status: Literal["received", "scheduled", "paid", "void"]
    journal_id: str


class RecordBill(DocumentTool[BillInput, Bill, Received]):
    """Enters a bill; gated by an approval."""

    name = "record_bill"
    description = (
        "Record a bill received from a vendor; a commission that an agent bills is one, too (deducted on the agent's "
        "own invoice, it is a discount there). Its vendor reference may be recorded once, and its issue date must have "
        "come. A human is asked first; a recorded bill is never changed, only voided."
    )
    Input = BillInput
    Output = RecordedBill
    verb = "recorded"
    reasons = frozenset({"duplicate_reference", "invalid_date", "invalid_amount", "booking_not_found"})

    def act(self, given: BillInput, context: ToolContext, **who: Any) -> Act[Bill, Received]:
        del context
        return Record(
            vendor_name=given.vendor_name,
            vendor_reference=given.vendor_reference,
            issue_date=given.issue_date,
            due_date=given.due_date,
            amount=Money.of(given.amount, given.currency),
            desk=given.desk,
            booking_id=given.booking_id,
            notes=given.notes or None,
            **who,
        )

    def ask(self, given: BillInput, prepared: Bill, context: ToolContext) -> tuple[str, dict[str, Any]]:
        del context
        booking = f"; booking {code(given.booking_id)}" if given.booking_id else ""
        asked = (
            f"Record bill of {prepared.total.text}, {dates(prepared)}, desk {prepared.desk};"
            f" from {words(prepared.party_name)}; vendor reference {code(prepared.vendor_reference)}{booking}"
        )
        return asked, bound_document(prepared) | {"vendor_reference": prepared.vendor_reference, "desk": prepared.desk}

    def output(self, given: BillInput, done: Received) -> Outcome:
        del given
        return self.succeed(
            bill_id=done.bill.id, number=done.bill.number, status=done.bill.status, journal_id=done.journal_id
        )
