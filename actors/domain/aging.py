"""Aging: what customers owe an agency, or it owes its suppliers, at the end of a day, by how long it has been due.

Currencies are never added: each has an aging of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

from .documents import PAYABLES, RECEIVABLES

Subledger = Literal["receivables", "payables"]

CONTROL_ACCOUNTS: Final[Mapping[Subledger, str]] = {"receivables": RECEIVABLES, "payables": PAYABLES}
"""The code of the control account that every document of a subledger is posted to."""
BUCKETS: Final = ("0-30", "31-60", "61-90", "90+")
EDGES: Final = (30, 60, 90)
"""The oldest age, in days, of each bucket but the last."""
TOP: Final = 5
ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The open documents of one currency and due date: how many, and what is outstanding of them together."""

    currency: str
    due_date: date
    count: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyAmount:
    """What is outstanding of all open documents of one party."""

    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """All open documents of a currency against the balance of their control account."""

    aging_total: Decimal = ZERO
    control_account: Decimal = ZERO

    @property
    def difference(self) -> Decimal:
        return self.aging_total - self.control_account


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The open documents whose age is within the bucket's days."""

    name: str
    count: int = 0
    amount: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Aging:
    """One currency's open documents. ``not_due`` is the part of the first bucket that is not overdue."""

    currency: str
    buckets: tuple[Bucket, ...]
    not_due: Decimal
    top: tuple[PartyAmount, ...]
    reconciliation: Reconciliation

    @property
    def total_outstanding(self) -> Decimal:
        return sum((each.amount for each in self.buckets), ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDocument:
    """An invoice or bill of which something was outstanding. ``age`` is in days after the due date, negative before."""

    id: str
    number: str
    reference: str | None
    party_name: str
    issue_date: date
    due_date: date
    age: int
    currency: str
    total: Decimal
    outstanding: Decimal
    session_id: str | None

    @property
    def bucket(self) -> str:
        return BUCKETS[bucket_of(self.age)]


@dataclass(frozen=True, slots=True)
class OpenDocumentList:
    """A page of open documents, and how many there are."""

    items: tuple[OpenDocument, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDocuments:
    """What agings are made of: the documents of a window by due date, their parties, and all there are by currency."""

    due: Sequence[Due] = ()
    top: Mapping[str, Sequence[PartyAmount]] = field(default_factory=dict)
    reconciliations: Mapping[str, Reconciliation] = field(default_factory=dict)


def bucket_of(age: int) -> int:
    """The place of the bucket that a document belongs to ``age`` days after its due date. Before it, the first."""
    return sum(age > edge for edge in EDGES)


def days_due(bucket: str | None, as_of: date) -> tuple[date, date]:
    """The first and the last due date of a bucket's documents; of all of them if it is None."""
    if bucket is None:
        return date.min, date.max
    place = BUCKETS.index(bucket)
    first = date.min if place == len(EDGES) else as_of - timedelta(days=EDGES[place])
    last = date.max if place == 0 else as_of - timedelta(days=EDGES[place - 1] + 1)
    return first, last


def header_currency(default: str, documents: Mapping[str, int]) -> str:
    """The currency of a report's top-level figures, by how many documents each has.

    The default one if it has any, else the one with most (of equals the first of the alphabet), else the default.
    """
    counted = {currency: count for currency, count in documents.items() if count}
    if default in counted or not counted:
        return default
    return min(counted, key=lambda currency: (-counted[currency], currency))


def agings(found: OpenDocuments, *, as_of: date, default_currency: str) -> tuple[Aging, ...]:
    """An aging for each currency: the header's first and in any case, the others by the alphabet.

    The others have an open document, in the window or not, or a balance in the control account.
    """
    documents: Counter[str] = Counter()
    due: defaultdict[str, list[Due]] = defaultdict(list)
    for each in found.due:
        documents[each.currency] += each.count
        due[each.currency].append(each)
    header = header_currency(default_currency, documents)
    unsettled = {
        currency for currency, each in found.reconciliations.items() if each.aging_total or each.control_account
    }
    others = sorted({*documents, *unsettled} - {header})
    return tuple(_aging(currency, due[currency], found, as_of) for currency in (header, *others))


def _aging(currency: str, due: Sequence[Due], found: OpenDocuments, as_of: date) -> Aging:
    counts, amounts, not_due = [0] * len(BUCKETS), [ZERO] * len(BUCKETS), ZERO
    for each in due:
        age = (as_of - each.due_date).days
        place = bucket_of(age)
        counts[place] += each.count
        amounts[place] += each.amount
        if age <= 0:
            not_due += each.amount
    return Aging(
        currency=currency,
        buckets=tuple(
            Bucket(name=name, count=count, amount=amount)
            for name, count, amount in zip(BUCKETS, counts, amounts, strict=True)
        ),
        not_due=not_due,
        top=tuple(found.top.get(currency, ())),
        reconciliation=found.reconciliations.get(currency, Reconciliation()),
    )
