"""record_payment: what a customer has paid on an invoice."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.books.act import Act
from ....storage.books.payments import Paid, Payment, Receive
from ...domain.documents import Method
from ...domain.money import Money
from ...domain.outcomes import Outcome
from .document_tool import AmountText, DocumentTool, amount_of, bound_document
from .schema import Amount, Currency, Day, Id, Reference
from .summary import code
from .summary import shown as words
from .tool import ToolContext, ToolInput, ToolOutput


class PaymentInput(ToolInput):
    """Input of the tool."""

    invoice_id: Id
    amount: Annotated[Amount, Field(gt=0)]
    currency: Currency
    received_on: Annotated[Day, Field(description="From the issue date to today")]
    method: Method
    reference: Reference | None = None


class Recorded(ToolOutput):
    """A payment in the books."""

    recorded: Literal[True] = True
    payment_id: str
    invoice_id: str
    invoice_status: Literal["partially_paid", "paid"]
    amount_due: AmountText
    currency: Currency
    journal_id: str


class RecordPayment(DocumentTool[PaymentInput, Payment, Paid]):
    """Records a customer's payment; gated by an approval."""

    name = "record_payment"
    description = (
        "Record a payment that a customer has made on an issued invoice, in the invoice's currency and at most what is "
        "due. A human is asked first; a recorded payment is never changed."
    )
    Input = PaymentInput
    Output = Recorded
    verb = "recorded"
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

    def act(self, given: PaymentInput, context: ToolContext, **who: Any) -> Act[Payment, Paid]:
        del context
        return Receive(
            invoice_id=given.invoice_id,
            amount=Money.of(given.amount, given.currency),
            received_on=given.received_on,
            method=given.method,
            reference=given.reference or None,
            **who,
        )

    def ask(self, given: PaymentInput, prepared: Payment, context: ToolContext) -> tuple[str, dict[str, Any]]:
        del context
        invoice = prepared.document
        reference = f"; reference {code(given.reference)}" if given.reference else ""
        asked = (
            f"Record payment of {prepared.amount.text} on invoice {code(invoice.number)}, received {prepared.day} by"
            f" {given.method}, of {invoice.due.text} due; from {words(invoice.party_name)}{reference}"
        )
        return asked, bound_document(invoice) | {
            "amount": prepared.amount.text,
            "received_on": prepared.day.isoformat(),
        }

    def output(self, given: PaymentInput, done: Paid) -> Outcome:
        del given
        return self.succeed(
            payment_id=done.payment_id,
            invoice_id=done.document_id,
            invoice_status=done.status,
            amount_due=amount_of(done.due),
            currency=done.due.currency,
            journal_id=done.journal_id,
        )
