"""What the tools of documents have in common: an approval of what an act would do, and the act."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, Field

from ....storage.books.act import Act, Judge
from ....storage.engine.operations import Operation
from ...domain.documents import Document, InvalidDocument, Invoice, InvoiceLine
from ...domain.money import Money
from ...domain.numbers import NUMBER
from ...domain.outcomes import Outcome
from ...domain.travel import tidy_name
from ...domain.turns import Effect
from .schema import Said
from .summary import code
from .summary import shown as words
from .tool import ALL_ACCOUNTING, ApprovalProposal, GatedDatabaseTool, I, Objection, Planned, Then, ToolContext

P = TypeVar("P")
D = TypeVar("D")

LINES_SHOWN = 480
"""Characters of a summary for the lines of an invoice."""
REASON_SHOWN = 240
MOST_LINES = 200

Number = Annotated[str, Field(pattern=NUMBER, description="At most 16 of A-Z, a-z, 0-9, '/' and '-'")]
Party = Annotated[Said, Field(max_length=255)]
Reason = Annotated[Said, Field(max_length=1000)]
Notes = Annotated[str, Field(max_length=2000), AfterValidator(tidy_name)]
AmountText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$")]
"""``"45200.00"``: an amount without its currency."""
DiscountText = Annotated[AmountText | None, Field(exclude_if=lambda value: value is None)]
"""What the lines' discounts have taken off an invoice; an output without any leaves it out."""
DiscountReason = Annotated[str, Field(max_length=255), AfterValidator(tidy_name)]
ABOUT_DISCOUNT = (
    "What is deducted from quantity x unit_price, in the line's currency and at most all of it: a discount, or a "
    "commission passed on. The line's taxes are on what is left"
)


class DocumentTool(GatedDatabaseTool[I], Generic[I, P, D]):
    """A tool of the accounting desk that changes documents, as an act of storage; gated by an approval."""

    desks = frozenset({"accounting"})
    effect: ClassVar[Effect] = "irreversible"
    approvers = ALL_ACCOUNTING

    @abstractmethod
    def act(self, given: I, context: ToolContext, **who: Any) -> Act[P, D]:
        """The act; ``who`` are the fields every act has. Raises ``Objection`` or ``InvalidDocument``."""

    @abstractmethod
    def ask(self, given: I, prepared: P, context: ToolContext) -> tuple[str, dict[str, Any]]:
        """The summary for the approver, and all that it shows as JSON."""

    @abstractmethod
    def output(self, given: I, done: D) -> Outcome:
        """The outcome of the act."""

    def gate(self, given: I, context: ToolContext) -> Operation[ApprovalProposal | Outcome]:
        def asked(prepared: P | InvalidDocument) -> ApprovalProposal | Outcome:
            if isinstance(prepared, InvalidDocument):
                return self.refuse(Objection(prepared.reason, prepared.detail))
            return ApprovalProposal(*self.ask(given, prepared, context), None)

        try:
            act = self._act(given, context, "")
        except Objection as no:
            return Then(tenant_id=context.tenant_id, first=self._refused(no, context), then=_same)
        return Then(tenant_id=context.tenant_id, first=Judge(tenant_id=context.tenant_id, act=act), then=asked)

    def plan(self, given: I, context: ToolContext, key: str) -> Operation[Outcome]:
        def outcome(done: D | InvalidDocument) -> Outcome:
            if isinstance(done, InvalidDocument):
                return self.refuse(Objection(done.reason, done.detail))
            return self.output(given, done)

        try:
            act = self._act(given, context, key)
        except Objection as no:
            return self._refused(no, context)
        return Then(tenant_id=context.tenant_id, first=act, then=outcome)

    def done_already(self, output: Mapping[str, Any] | None) -> str:
        """Names the document by its number, a payment by its own id."""
        names = ("number", "invoice_number", "payment_id")
        named = next((output[name] for name in names if output.get(name)), None) if output else None
        return super().done_already(output if named is None else {"locator": named})

    def _act(self, given: I, context: ToolContext, key: str) -> Act[P, D]:
        who = {
            "tenant_id": context.tenant_id,
            "key": key,
            "by": context.user_id,
            "session_id": context.session_id,
            "today": context.today,
            "now": context.now,
        }
        try:
            return self.act(given, context, **who)
        except InvalidDocument as invalid:
            raise Objection(invalid.reason, invalid.detail) from None

    def _refused(self, no: Objection, context: ToolContext) -> Planned:
        return Planned(tenant_id=context.tenant_id, outcome=self.refuse(no))


def _same(outcome: Outcome) -> ApprovalProposal | Outcome:
    return outcome


def amount_of(money: Money) -> str:
    """The amount with its minor unit's decimals: ``"45200.00"``."""
    return money.text.partition(" ")[2]


def discounted(invoice: Invoice) -> str | None:
    """The discount of an invoice that has one."""
    return amount_of(invoice.discount) if invoice.discount.amount else None


def shown_total(invoice: Invoice, lines: Sequence[InvoiceLine]) -> str:
    """``"INR 8280.66"``; after a discount with what it is made of: ``"INR 8280.66 (gross 9154.00, discount -873.34)"``.

    ``gross`` is before discount and taxes; a tax follows it as ``tax 1490.52``.
    """
    if not invoice.discount.amount:
        return invoice.total.text
    nothing = Money.of(0, invoice.total.currency)
    gross = sum((line.subtotal for line in lines), nothing)
    tax = sum((line.tax for line in lines), nothing)
    parts = f"gross {amount_of(gross)}, discount {amount_of(-invoice.discount)}"
    return f"{invoice.total.text} ({parts}{f', tax {amount_of(tax)}' if tax.amount else ''})"


def bound_document(document: Document) -> dict[str, Any]:
    """A document as it is shown, as JSON."""
    return {
        "number": document.number,
        "party_name": document.party_name,
        "issue_date": document.issue_date.isoformat(),
        "due_date": document.due_date.isoformat(),
        "total": document.total.text,
        "amount_due": document.due.text,
    }


def dates(document: Document) -> str:
    """``"dated 2026-11-23, due 2026-12-23"``."""
    return f"dated {document.issue_date}, due {document.due_date}"


def bound_lines(lines: Iterable[InvoiceLine]) -> list[dict[str, Any]]:
    """The lines of an invoice as JSON."""
    return [
        {
            "description": line.description,
            "quantity": f"{line.quantity:f}",
            "unit_price": line.unit_price.text,
            **_bound_discount(line),
            "taxes": [tax.to_json() for tax in line.taxes],
            "total": line.total.text,
            "desk": line.desk,
            "booking_id": line.booking_id,
        }
        for line in lines
    ]


def _bound_discount(line: InvoiceLine) -> dict[str, Any]:
    """Nothing for a line without: an approval that was asked for by an earlier release stays what it was."""
    if not line.discount:
        return {}
    return {"discount": _money(line, line.discount).text, "discount_reason": line.discount_reason}


def shown_lines(lines: tuple[InvoiceLine, ...]) -> str:
    """As many lines of an invoice as fit, and the number of the others."""
    shown: list[str] = []
    for line in lines:
        taxes = "".join(f" + {code(tax.code, 16)} {amount_of(_money(line, tax.tax_amount))}" for tax in line.taxes)
        discount = f" discount {amount_of(_money(line, -line.discount))}" if line.discount else ""
        reason = f" ({words(line.discount_reason)})" if line.discount_reason else ""
        priced = f"{line.quantity.normalize():f} x {line.unit_price.text}{discount}{taxes}"
        text = f"{priced} {words(line.description)}{reason}"
        if sum(map(len, shown)) + len(text) > LINES_SHOWN:
            shown.append(f"and {len(lines) - len(shown)} more lines")
            break
        shown.append(text)
    return ", ".join(shown)


def _money(line: InvoiceLine, amount: Any) -> Money:
    return Money.of(amount, line.unit_price.currency)
