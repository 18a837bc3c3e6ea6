"""pay_bill: record that a vendor's bill is paid, or plan to pay it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.books.act import Act
from ....storage.books.payments import Paid, Pay, Payment, Scheduled
from ...domain.documents import Method
from ...domain.outcomes import Outcome, Succeeded
from .document_tool import AmountText, DocumentTool, amount_of, bound_document
from .schema import Amount, Currency, Day, Id, Reference
from .summary import code
from .summary import shown as words
from .tool import ToolContext, ToolInput, ToolOutput


class PayInput(ToolInput):
    """Input of the tool."""

    bill_id: Id
    currency: Currency
    method: Method
    paid_on: Annotated[Day, Field(description="Not before the issue date; a later day than today is a plan")]
    amount: Annotated[Annotated[Amount, Field(gt=0)] | None, Field(description="All that is due if left out")] = None
    reference: Reference | None = None


class PaidBill(ToolOutput):
    """A payment in the books."""

    paid: Literal[True] = True
    payment_id: str
    bill_id: str
    bill_status: Literal["received", "scheduled", "paid"]
    amount_due: AmountText
    journal_id: str


class ScheduledBill(ToolOutput):
    """A plan: nothing pays itself."""

    paid: Literal[False] = False
    scheduled: Literal[True] = True
    bill_id: str
    bill_status: Literal["scheduled"] = "scheduled"
    pay_on: str


class PayBill(DocumentTool[PayInput, Payment, Paid | Scheduled]):
    """Records a payment to a vendor, or a plan of one; gated by an approval."""

    name = "pay_bill"
    description = (
        "Record that a bill has been paid, all that is due or a part; with a day in the future, plan its payment: then "
        "nothing is posted, and nothing pays itself. A human is asked first; a recorded payment is never changed."
    )
    Input = PayInput
    Output = PaidBill
    verb = "paid"
    reasons = frozenset(
        {
            "not_found",
            "invalid_status",
            "invalid_date",
            "invalid_amount",
            "currency_mismatch",
            "overpayment",
            "duplicate",
        }
    )

    def act(self, given: PayInput, context: ToolContext, **who: Any) -> Act[Payment, Paid | Scheduled]:
        del context
        return Pay(
            bill_id=given.bill_id,
            amount=given.amount,
            currency=given.currency,
            paid_on=given.paid_on,
            method=given.method,
            reference=given.reference or None,
            **who,
        )

    def ask(self, given: PayInput, prepared: Payment, context: ToolContext) -> tuple[str, dict[str, Any]]:
        bill = prepared.document
        planned = prepared.day > context.today
        reference = f"; reference {code(given.reference)}" if given.reference else ""
        asked = (
            f"{'Plan to pay' if planned else 'Pay'} {prepared.amount.text} on bill {code(bill.number)}"
            f" on {prepared.day} by {given.method}, of {bill.due.text} due on {bill.due_date};"
            f" to {words(bill.party_name)}{reference}"
        )
        return asked, bound_document(bill) | {
            "amount": prepared.amount.text,
            "paid_on": prepared.day.isoformat(),
            "planned": planned,
        }

    def done_already(self, output: Mapping[str, Any] | None) -> str:
        """Tells a plan from a payment."""
        if output is not None and output.get("scheduled"):
            return f"Already planned for {output.get('pay_on')}: "
        return super().done_already(output)

    def output(self, given: PayInput, done: Paid | Scheduled) -> Outcome:
        del given
        if isinstance(done, Scheduled):
            plan = ScheduledBill(bill_id=done.bill_id, pay_on=done.pay_on.isoformat())
            return Succeeded(plan.model_dump(mode="json"))
        return self.succeed(
            payment_id=done.payment_id,
            bill_id=done.document_id,
            bill_status=done.status,
            amount_due=amount_of(done.due),
            journal_id=done.journal_id,
        )
