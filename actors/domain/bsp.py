"""Statements of a BSP, IATA's billing and settlement plan: what an agency sold and has to remit in a period."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .audit import canonical
from .money import Money
from .travel import COUNTRY, Shape

Kind = Literal["sale", "refund", "exchange", "adm", "acm", "commission", "tax_adjustment"]
SALES: frozenset[Kind] = frozenset({"sale", "exchange"})
"""What is billed for a document that was issued."""
DOCUMENTS: frozenset[Kind] = SALES | {"refund"}
"""Transactions of tickets; all others are memos of the airline or the plan, and no ticket is their other side."""

MOST_TRANSACTIONS = 10_000
"""In one statement: some times what the largest agencies sell in a week."""

DocumentNumber = Annotated[str, Field(pattern=r"^[0-9]{13}$")]
"""The airline's code and the ten digits of form and serial number."""


def document_number(text: str) -> str:
    """The thirteen digits of a document, as tickets write them: ``"125-2400123456"``."""
    digits = text.replace("-", "")
    return digits[:3] + digits[-10:]


def shown_number(number: str) -> str:
    """``"125-2400123456"``."""
    return f"{number[:3]}-{number[3:]}"


class Transaction(Shape):
    """One line of a statement. What the agency has to remit is positive: refunds and commission are negative.

    ``gross`` is the document with its taxes, ``net`` what is remitted for it, which is without what was paid by card.
    ``conjunctions`` are further documents of the same sale; ``ticket`` is the document a refund, an exchange or a memo
    is about.
    """

    kind: Kind
    document_number: DocumentNumber
    conjunctions: tuple[DocumentNumber, ...] = ()
    issue_date: date
    airline: str = Field(pattern=r"^[0-9A-Z]{3}$")
    gross: Money
    commission: Money | None = None
    net: Money
    ticket: DocumentNumber | None = None

    @model_validator(mode="after")
    def _one_currency(self) -> Self:
        parts = (self.net,) if self.commission is None else (self.net, self.commission)
        if any(part.currency != self.gross.currency for part in parts):
            raise ValueError("a transaction has one currency")
        return self

    @property
    def subject(self) -> str:
        """The document whose account this settles: a refund's is the ticket it takes back."""
        return self.ticket if self.kind == "refund" and self.ticket is not None else self.document_number


@dataclass(frozen=True, slots=True)
class StatementQuestion:
    """Which statement is asked for: its country, and its billing period with both its days."""

    country: str
    period_start: date
    period_end: date


@dataclass(frozen=True, slots=True)
class Totals:
    """The four totals of a statement in one currency."""

    sales: Money
    refunds: Money
    commission: Money
    net: Money


class Report(Shape):
    """A statement as it is kept. ``airline`` is set if it is of one airline alone; ``currency`` is the statement's own.

    ``agents`` are the agency's IATA numbers it is about, ``source_ref`` names where it was read.
    """

    agents: tuple[str, ...] = Field(min_length=1)
    country: str = Field(pattern=COUNTRY)
    period_start: date
    period_end: date
    airline: str | None = None
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    transactions: tuple[Transaction, ...] = Field(max_length=MOST_TRANSACTIONS)
    source_ref: str

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.period_end < self.period_start:
            raise ValueError("a period ends on or after its first day")
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex) over all but ``source_ref``: the same statement, sent again, is the same report."""
        return hashlib.sha256(canonical(self.model_dump(mode="json", exclude={"source_ref"}))).hexdigest()

    @cached_property
    def totals(self) -> Mapping[str, Totals]:
        """The totals by currency, the statement's own first; currencies are never added to each other."""
        found: dict[str, dict[str, Money]] = {self.currency: _nothing(self.currency)}
        for each in self.transactions:
            sums = found.setdefault(each.gross.currency, _nothing(each.gross.currency))
            if each.kind in SALES:
                sums["sales"] += each.gross
            elif each.kind == "refund":
                sums["refunds"] += each.gross
            if each.commission is not None:
                sums["commission"] += each.commission
            sums["net"] += each.net
        return {currency: Totals(**sums) for currency, sums in found.items()}


def _nothing(currency: str) -> dict[str, Money]:
    return dict.fromkeys(("sales", "refunds", "commission", "net"), Money.of(0, currency))
