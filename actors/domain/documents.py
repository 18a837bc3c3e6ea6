"""Documents of the books: what invoices, bills and payments have to be, and the journals they post."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Literal, get_args

from .books import EARLIEST_ENTRY, LATEST_ENTRY, JournalEntry, LedgerAccount, Line, Side
from .money import STORED_DECIMALS, Money, minor_digits

Desk = Literal["ticketing_visa", "hotels_holidays", "other"]
Method = Literal["upi", "card", "bank_transfer", "cash", "cheque", "payment_link", "wallet", "other"]
Regime = Literal["gst_india", "vat_uk", "vat_eu", "vat_uae", "gst_sg", "sst_my", "sales_tax_us", "none"]
InvoiceStatus = Literal["draft", "issued", "partially_paid", "paid", "void"]
BillStatus = Literal["draft", "received", "scheduled", "paid", "void"]

INVOICE_STATUSES: tuple[InvoiceStatus, ...] = get_args(InvoiceStatus)
BILL_STATUSES: tuple[BillStatus, ...] = get_args(BillStatus)
OPEN_INVOICES: tuple[InvoiceStatus, ...] = ("issued", "partially_paid")
OPEN_BILLS: tuple[BillStatus, ...] = ("received", "scheduled")

LARGEST_TOTAL = Decimal("99999999999999.99")
MOST_QUANTITY = 1_000_000
"""The largest quantity of an invoice's line: more is a slip of the keyboard."""
BASIS_POINTS = 10_000

CASH, RECEIVABLES, PAYABLES, ROUNDING = "1000", "1100", "2000", "7000"
REVENUE: Mapping[Desk, str] = {"ticketing_visa": "4000", "hotels_holidays": "4100", "other": "4200"}
COST: Mapping[Desk, str] = {"ticketing_visa": "5000", "hotels_holidays": "5100", "other": "5200"}
OUTPUT_TAX = "2100"
"""For regimes without an account of their own."""
_GST = {"CGST": "2110", "SGST": "2120", "UTGST": "2120", "IGST": "2130"}
_VAT = frozenset({"vat_uk", "vat_eu", "vat_uae"})
VAT_PAYABLE = "2150"
_WIDE = Context(prec=60)


class InvalidDocument(Exception):
    """Why a document cannot be made or changed: a reason of the contract, and words for the model."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxLine:
    """A tax of one invoice line, on a taxable amount that may be a part of the line."""

    regime: Regime
    code: str
    rate_bps: int
    taxable_amount: Decimal
    tax_amount: Decimal
    jurisdiction: str | None = None

    @property
    def account(self) -> str:
        """The code of the account that is credited."""
        if self.regime == "gst_india":
            return _GST.get(self.code.upper(), OUTPUT_TAX)
        return VAT_PAYABLE if self.regime in _VAT else OUTPUT_TAX

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "regime": self.regime,
            "code": self.code,
            "rate_bps": self.rate_bps,
            "taxable_amount": f"{self.taxable_amount:f}",
            "tax_amount": f"{self.tax_amount:f}",
            "jurisdiction": self.jurisdiction,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """A line of an invoice: quantity times price, less a discount, and its taxes; exact to four decimals."""

    description: str
    quantity: Decimal
    unit_price: Money
    taxes: tuple[TaxLine, ...] = ()
    desk: Desk = "other"
    booking_id: str | None = None
    discount: Decimal = Decimal(0)
    """What is taken off the subtotal, in the currency of the price: from 0 to all of it."""
    discount_reason: str | None = None

    @property
    def subtotal(self) -> Money:
        """Before discount and taxes."""
        exact = self.unit_price.times(self.quantity).amount
        rounded = exact.quantize(Decimal(1).scaleb(-STORED_DECIMALS), ROUND_HALF_UP, _WIDE)
        return Money.of(rounded, self.unit_price.currency)

    @property
    def net(self) -> Money:
        """What is left after the discount: what is earned, and what may be taxed."""
        return self.subtotal - Money.of(self.discount, self.unit_price.currency)

    @property
    def tax(self) -> Money:
        """The sum of its taxes."""
        return sum(
            (Money.of(tax.tax_amount, self.unit_price.currency) for tax in self.taxes),
            Money.of(0, self.unit_price.currency),
        )

    @property
    def total(self) -> Money:
        """After the discount, with taxes."""
        return self.net + self.tax


def total_of(lines: Sequence[InvoiceLine]) -> Money:
    """The sum of the lines, rounded once to the minor unit, halves away from zero."""
    nothing = Money.of(0, lines[0].unit_price.currency)
    return sum((line.total for line in lines), nothing).rounded()


def discount_of(lines: Sequence[InvoiceLine]) -> Money:
    """The sum of the lines' discounts."""
    return Money.of(sum(line.discount for line in lines), lines[0].unit_price.currency)


def check_amounts(place: int, line: InvoiceLine, reason: str = "invalid_amount") -> None:
    """``InvalidDocument`` for an amount above any total that can be kept, or a discount above its line.

    Called before sums are made of lines: larger ones are not `Money`.
    """
    parts = (line.unit_price.amount * line.quantity, *(tax.tax_amount for tax in line.taxes))
    if max(parts) > LARGEST_TOTAL:
        raise InvalidDocument(reason, f"Line {place}: an amount above {LARGEST_TOTAL:f} cannot be kept.")
    if not 0 <= line.discount <= line.subtotal.amount:
        raise InvalidDocument(reason, f"Line {place}: a discount is from 0 to the line's {line.subtotal.text}.")
    if line.discount_reason is not None and not line.discount:
        raise InvalidDocument(reason, f"Line {place}: there is a reason for a discount, but no discount.")


def check_taxes(place: int, line: InvoiceLine) -> None:
    """``InvalidDocument`` if a tax is off by more than half a minor unit, or CGST and SGST of the line differ.

    Of a line with a discount no more can be taxed than is left.
    """
    half = Decimal(5).scaleb(-minor_digits(line.unit_price.currency) - 1)
    halves = {"CGST": Decimal(0), "SGST": Decimal(0)}
    for tax in line.taxes:
        right = tax.taxable_amount * tax.rate_bps / BASIS_POINTS
        if abs(tax.tax_amount - right) > half:
            raise InvalidDocument(
                "validation_failed",
                f"Line {place}: {tax.rate_bps} basis points of {tax.taxable_amount:f} are {right.normalize():f}.",
            )
        name = {"UTGST": "SGST"}.get(tax.code.upper(), tax.code.upper())
        if tax.regime == "gst_india" and name in halves:
            halves[name] += tax.tax_amount
    if halves["CGST"] != halves["SGST"]:
        raise InvalidDocument("validation_failed", f"Line {place}: CGST and SGST have to be equal.")
    if line.discount:
        _check_taxable(place, line)


def _check_taxable(place: int, line: InvoiceLine) -> None:
    """A discount in the invoice is no part of the value of the supply (CGST Act, section 15(3)).

    The parts of the line on which one tax is levied are together at most what is left, exact or in minor units. Without
    a discount the taxable amount stands by itself: some laws deem it larger than the line (CGST Rules, rule 32).
    """
    left = max(line.net.amount, line.net.rounded().amount)
    taxed: dict[tuple[str, str, str], Decimal] = {}
    for tax in line.taxes:
        key = tax.regime, tax.code.upper(), (tax.jurisdiction or "").casefold()
        taxed[key] = taxed.get(key, Decimal(0)) + tax.taxable_amount
    for (_, code, _), taxable in taxed.items():
        if taxable > left:
            raise InvalidDocument(
                "validation_failed",
                f"Line {place}: {code} is on {taxable:f}, and {line.net.text} is left after the discount.",
            )


def check_total(total: Money, reason: str = "invalid_amount") -> None:
    """``InvalidDocument`` for a total that is nothing or too large to be kept."""
    if not 0 < total.amount <= LARGEST_TOTAL:
        raise InvalidDocument(reason, f"A total of {total.text} cannot be kept: it is above 0 and has a limit.")


def check_dates(issue_date: date, due_date: date, today: date, reason: str = "invalid_date") -> None:
    """``InvalidDocument`` for dates outside the years that books are kept for, or due before issue."""
    if due_date < issue_date:
        raise InvalidDocument(reason, f"The due date {due_date} is before the issue date {issue_date}.")
    if not EARLIEST_ENTRY <= issue_date <= today + LATEST_ENTRY:
        raise InvalidDocument(reason, f"The issue date {issue_date} is before {EARLIEST_ENTRY} or over a year away.")


def check_issued(issue_date: date, today: date, reason: str = "invalid_date") -> None:
    """``InvalidDocument`` if the issue date has not come."""
    if issue_date > today:
        raise InvalidDocument(reason, f"The issue date {issue_date} is in the future: today is {today}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An invoice or a bill as it stands now."""

    id: str
    number: str
    party_name: str
    status: str
    issue_date: date
    due_date: date
    total: Money
    paid: Money

    @property
    def due(self) -> Money:
        """What is still to be paid."""
        return self.total - self.paid


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice(Document):
    """What a customer owes. The total is after ``discount``, that of all its lines."""

    discount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill(Document):
    """What is owed to a vendor."""

    vendor_reference: str
    desk: Desk
    pay_on: date | None = None


def check_payment(document: Document, amount: Money, day: date) -> None:
    """``InvalidDocument`` unless the amount, of the document's currency, can be paid on it on that day."""
    if amount.currency != document.total.currency:
        raise InvalidDocument(
            "currency_mismatch", f"{document.number} is in {document.total.currency}, not in {amount.currency}."
        )
    if day < document.issue_date:
        raise InvalidDocument("invalid_date", f"{day} is before the issue date {document.issue_date}.")
    if not amount.in_minor_units or amount.amount <= 0:
        raise InvalidDocument(
            "invalid_amount",
            f"{amount.currency} has {minor_digits(amount.currency)} decimals, and it is above 0.",
        )
    if amount.amount > document.due.amount:
        raise InvalidDocument("overpayment", f"{document.due.text} is due on {document.number}.")


def check_voidable(document: Document) -> None:
    """``InvalidDocument`` if something has been paid on the document, or it is void."""
    if document.paid.amount > 0:
        raise InvalidDocument("has_payments", f"{document.paid.text} has been paid on {document.number}.")
    if document.status == "void":
        raise InvalidDocument("invalid_status", f"{document.number} is void already.")


def day_of_void(document: Document, today: date) -> date:
    """The date of a void: today, or the date of what it takes back if that is later."""
    return today if document.status == "draft" else max(today, document.issue_date)


Accounts = Mapping[str, LedgerAccount]
"""The accounts by code."""


def issue_journal(invoice: Document, lines: Sequence[InvoiceLine], accounts: Accounts) -> JournalEntry:
    """The journal of an invoice's issue: receivables against revenue by desk and tax; the rest is rounding.

    Revenue is what is left after discounts, which are part of its price and no expense (IFRS 15.47).
    """
    currency = invoice.total.currency
    sums: dict[str, Money] = {}
    for line in lines:
        parts = [(REVENUE[line.desk], line.net)]
        parts += [(tax.account, Money.of(tax.tax_amount, currency)) for tax in line.taxes]
        for code, money in parts:
            sums[code] = sums.get(code, Money.of(0, currency)) + money
    credits_ = {code: money.rounded() for code, money in sorted(sums.items())}
    rest = invoice.total - sum(credits_.values(), Money.of(0, currency))
    posted = [_line(accounts[RECEIVABLES], "debit", invoice.total)]
    if rest.amount < 0:
        posted.append(_line(accounts[ROUNDING], "debit", -rest))
    posted += [_line(accounts[code], "credit", money) for code, money in credits_.items() if money.amount > 0]
    if rest.amount > 0:
        posted.append(_line(accounts[ROUNDING], "credit", rest))
    return JournalEntry(
        entry_date=invoice.issue_date,
        narration=f"Invoice {invoice.number}, {invoice.party_name}",
        source_event="invoice.issued",
        lines=tuple(posted),
        invoice_id=invoice.id,
    )


def receipt_journal(invoice: Document, amount: Money, day: date, accounts: Accounts) -> JournalEntry:
    """The journal of a customer's payment."""
    return JournalEntry(
        entry_date=day,
        narration=f"Payment on invoice {invoice.number}, {invoice.party_name}",
        source_event="payment.received",
        lines=(_line(accounts[CASH], "debit", amount), _line(accounts[RECEIVABLES], "credit", amount)),
        invoice_id=invoice.id,
    )


def bill_journal(bill: Bill, accounts: Accounts) -> JournalEntry:
    """The journal of a vendor's bill, on its issue date."""
    return JournalEntry(
        entry_date=bill.issue_date,
        narration=f"Bill {bill.number}, {bill.party_name}",
        source_event="bill.received",
        lines=(
            _line(accounts[COST[bill.desk]], "debit", bill.total),
            _line(accounts[PAYABLES], "credit", bill.total),
        ),
        bill_id=bill.id,
    )


def remittance_journal(bill: Document, amount: Money, day: date, accounts: Accounts) -> JournalEntry:
    """The journal of a payment to a vendor."""
    return JournalEntry(
        entry_date=day,
        narration=f"Payment of bill {bill.number}, {bill.party_name}",
        source_event="bill.paid",
        lines=(_line(accounts[PAYABLES], "debit", amount), _line(accounts[CASH], "credit", amount)),
        bill_id=bill.id,
    )


def _line(account: LedgerAccount, side: Side, money: Money) -> Line:
    return Line(account=account, side=side, money=money, memo=None)
