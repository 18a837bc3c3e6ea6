"""One transaction of a HOT file, from its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ...domain.bsp import Kind, Transaction
from ...domain.money import STORED_DECIMALS, Money
from . import layout
from .layout import Broken, Record, Totals

EXCHANGED = "EX"
"""A form of payment (FPTP) that begins so is another document."""


@dataclass(frozen=True, slots=True)
class Sale:
    """A transaction's code, and what it adds to the totals of its currency type."""

    code: str
    currency: str
    totals: Totals


def read(records: Sequence[Record]) -> tuple[Sale, Record]:
    """The transaction whose records these are, its BKT06 first, and its BKS24. Raises ``Broken``."""
    line = records[0].line
    documents = [record for record in records if record.name == "BKS24"]
    first = [record for record in documents if record.get(layout.CONJUNCTION) != "CNJ"]
    if len(first) != 1:
        raise Broken("a transaction has one BKS24, and one of CNJ for each further document", line)
    amounts = [record for record in records if record.name in layout.FORMS]
    if not any(record.name == "BKS30" for record in amounts):
        raise Broken("a transaction has a BKS30", line)
    currency = amounts[0].currency()
    for record in amounts:
        if record.currency() != currency:
            raise Broken("a transaction has one currency", record.line)
    [document] = first
    return Sale(document.get(layout.CODE), currency, _totals(amounts)), document


def transaction(sale: Sale, document: Record, records: Sequence[Record]) -> Transaction:
    """What the agency is billed. Raises ``Broken``."""
    head, line = records[0], records[0].line
    kind = _kind(document, records)
    further = [record for record in records if record.name == "BKS24" and record is not document]
    has_commission = any(record.name == "BKS39" for record in records)
    return Transaction(
        kind=kind,
        document_number=layout.checked_number(document),
        conjunctions=tuple(layout.checked_number(record) for record in further),
        issue_date=document.day(layout.ISSUED),
        airline=_airline(head),
        gross=_money(sale.totals.gross, sale.currency, line),
        commission=_money(sale.totals.commission, sale.currency, line) if has_commission else None,
        net=_money(sale.totals.remittance, sale.currency, line),
        ticket=_about(kind, records),
    )


def _totals(amounts: Iterable[Record]) -> Totals:
    gross = remittance = commission = taxes = tax_on_commission = 0
    for record in amounts:
        match record.name:
            case "BKS30":
                gross += record.amount(layout.DOCUMENT_AMOUNT)
                taxes += sum(record.amount(place) for place in layout.TAXES)
            case "BKS39":
                commission += record.amount(layout.EFFECTIVE_COMMISSION)
            case "BKS42":
                tax_on_commission += sum(record.amount(place) for place in layout.COMMISSION_TAXES)
            case _:
                remittance += record.amount(layout.REMITTANCE)
    return Totals(gross, remittance, commission, taxes, tax_on_commission)


def _kind(document: Record, records: Iterable[Record]) -> Kind:
    code = document.get(layout.CODE)
    if code in layout.SALES:
        payments = (record.get(layout.PAYMENT) for record in records if record.name == "BKP84")
        return "exchange" if any(payment.startswith(EXCHANGED) for payment in payments) else "sale"
    if code in layout.REFUNDS:
        return "refund"
    if code in layout.DEBITS:
        return "adm"
    if code in layout.CREDITS:
        return "acm"
    raise Broken("the transaction code is none that is known here", document.line)


def _about(kind: Kind, records: Iterable[Record]) -> str | None:
    """The document that an exchange, a refund or a memo is about, the first if there are several."""
    if kind == "sale":
        return None
    name, place = ("BKS46", layout.ORIGINAL) if kind == "exchange" else ("BKS45", layout.RELATED)
    named = (record for record in records if record.name == name and record.get(place))
    return next((layout.number(record, place) for record in named), None)


def _airline(head: Record) -> str:
    airline = head.get(layout.TICKETING_AIRLINE)
    if not (len(airline) == 3 and airline.isascii() and airline.isalnum()):  # noqa: PLR2004  # an airline's code
        raise Broken("the ticketing airline has no code of three characters", head.line)
    return airline.upper()


def _money(minor: int, currency: str, line: int) -> Money:
    """An amount by its currency type, whose last character is the number of decimals."""
    decimals = int(currency[3])
    if decimals > STORED_DECIMALS:
        raise Broken("an amount has too many decimals", line)
    return Money.of(Decimal(minor).scaleb(-decimals), currency[:3])
