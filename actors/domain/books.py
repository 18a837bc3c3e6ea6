"""Double entry: the chart of accounts, and what a journal has to be before it is posted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from .money import Money, minor_digits, totals

Side = Literal["debit", "credit"]
AccountType = Literal["asset", "liability", "equity", "revenue", "expense"]
FEWEST_LINES = 2
LARGEST = Decimal(10) ** 14
"""What an amount stays below, so that it can be stored."""
EARLIEST_ENTRY, LATEST_ENTRY = date(1970, 1, 1), timedelta(days=366)


@dataclass(frozen=True, slots=True)
class ChartEntry:
    """An account every agency has."""

    code: str
    name: str
    type: AccountType
    is_control: bool = False


CHART = (
    ChartEntry("1000", "Cash and bank", "asset"),
    ChartEntry("1100", "Trade receivables", "asset", is_control=True),
    ChartEntry("1200", "Supplier deposits", "asset"),
    ChartEntry("1300", "Input tax", "asset"),
    ChartEntry("1400", "TDS receivable", "asset"),
    ChartEntry("2000", "Trade payables", "liability", is_control=True),
    ChartEntry("2100", "Output tax", "liability"),
    ChartEntry("2110", "CGST payable", "liability"),
    ChartEntry("2120", "SGST payable", "liability"),
    ChartEntry("2130", "IGST payable", "liability"),
    ChartEntry("2150", "VAT payable", "liability"),
    ChartEntry("2200", "Customer advances", "liability"),
    ChartEntry("2300", "TCS payable", "liability"),
    ChartEntry("3000", "Equity", "equity"),
    ChartEntry("4000", "Ticketing and visa", "revenue"),
    ChartEntry("4100", "Hotels and holidays", "revenue"),
    ChartEntry("4200", "Other revenue", "revenue"),
    ChartEntry("5000", "Cost of sales: ticketing and visa", "expense"),
    ChartEntry("5100", "Cost of sales: hotels and holidays", "expense"),
    ChartEntry("5200", "Cost of sales: other", "expense"),
    ChartEntry("7000", "Rounding and exchange", "expense"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAccount:
    """An account of one agency. Its id and its code mean the same for ever."""

    id: str
    code: str
    name: str
    type: AccountType
    is_control: bool
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftLine:
    """A requested journal line: the account by id or code, and debit or credit as far as given."""

    account: str
    code: str | None
    currency: str
    debit: Decimal | None
    credit: Decimal | None
    memo: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A validated journal line: one side of one account."""

    account: LedgerAccount
    side: Side
    money: Money
    memo: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A journal that balances; at most one of ``invoice_id`` and ``bill_id`` names the document it belongs to."""

    entry_date: date
    narration: str
    source_event: str
    lines: tuple[Line, ...]
    source_ref: str | None = None
    reverses: str | None = None
    invoice_id: str | None = None
    bill_id: str | None = None

    @property
    def debits(self) -> dict[str, Money]:
        """The sum of each currency."""
        return totals(line.money for line in self.lines if line.side == "debit")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedJournal:
    """A journal in the books."""

    id: str
    entry: JournalEntry

    def reversal(self, day: date, narration: str, source_event: str, source_ref: str | None = None) -> JournalEntry:
        """The journal that takes its effect back, on ``day`` or its own date if that is later."""
        other: dict[Side, Side] = {"debit": "credit", "credit": "debit"}
        return replace(
            self.entry,
            entry_date=max(day, self.entry.entry_date),
            narration=narration,
            source_event=source_event,
            source_ref=source_ref,
            reverses=self.id,
            lines=tuple(replace(line, side=other[line.side]) for line in self.entry.lines),
        )


class InvalidJournal(Exception):
    """Why a journal cannot be posted: a reason of the contract, and words for the model."""

    def __init__(self, reason: Literal["invalid_line", "validation_failed", "control_account"], detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def validate_lines(drafts: Sequence[DraftLine], find: Callable[[str], LedgerAccount | None]) -> tuple[Line, ...]:
    """Validate the lines of a manual journal; ``InvalidJournal`` unless each is valid and they balance."""
    lines = tuple(_line(place, draft, find) for place, draft in enumerate(drafts, start=1))
    for place, line in enumerate(lines, start=1):
        if line.account.is_control:
            raise InvalidJournal(
                "control_account", f"Line {place}: {line.account.code} takes postings from documents only."
            )
    if len(lines) < FEWEST_LINES:
        raise InvalidJournal("validation_failed", "A journal has at least two lines.")
    debits = totals(line.money for line in lines if line.side == "debit")
    credits_ = totals(line.money for line in lines if line.side == "credit")
    for currency in sorted({*debits, *credits_}):
        nothing = Money.of(0, currency)
        debit, credit = debits.get(currency, nothing), credits_.get(currency, nothing)
        if debit.amount != credit.amount:
            raise InvalidJournal(
                "validation_failed", f"Debits of {debit.text} and credits of {credit.text} do not balance."
            )
        if debit.amount >= LARGEST:
            raise InvalidJournal("validation_failed", f"A journal's total in one currency stays below {LARGEST:f}.")
    return lines


def check_date(entry_date: date, today: date) -> None:
    """``InvalidJournal`` for a date outside the years that books are kept for."""
    if not EARLIEST_ENTRY <= entry_date <= today + LATEST_ENTRY:
        raise InvalidJournal(
            "validation_failed", f"entry_date {entry_date} is before {EARLIEST_ENTRY} or over a year away."
        )


def _line(place: int, draft: DraftLine, find: Callable[[str], LedgerAccount | None]) -> Line:
    account = find(draft.account)
    if account is None or not account.is_active:
        raise InvalidJournal("invalid_line", f"Line {place}: there is no such account in use.")
    if draft.code is not None and draft.code != account.code:
        raise InvalidJournal("invalid_line", f"Line {place}: account_id and account_code name two accounts.")
    debit, credit = draft.debit or Decimal(0), draft.credit or Decimal(0)
    if (debit > 0) == (credit > 0) or debit < 0 or credit < 0:
        raise InvalidJournal(
            "invalid_line", f"Line {place}: exactly one of debit_amount and credit_amount is above zero."
        )
    money = Money.of(debit or credit, draft.currency)
    if not money.in_minor_units or money.amount >= LARGEST:
        digits = minor_digits(draft.currency)
        raise InvalidJournal(
            "invalid_line", f"Line {place}: {draft.currency} has {digits} decimals, and amounts have a limit."
        )
    return Line(account=account, side="debit" if debit else "credit", money=money, memo=draft.memo)


def grouped(money: Money) -> str:
    """``"INR 1,234.56"``: as ledgers are read."""
    currency, _, amount = money.text.partition(" ")
    return f"{currency} {Decimal(amount):,f}"
