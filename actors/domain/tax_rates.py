"""Tax rates of an agency: dated rows, and the taxes of an invoice's lines that follow from them.

A rate holds from its day until a later one of the same tax, place and supply. Which one counts is decided by the date
of the document, so that a change of the law changes no document before it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from .documents import BASIS_POINTS, InvalidDocument, InvoiceLine, Regime, TaxLine
from .money import Money

STANDARD = "standard"
"""The supply that is meant where none is named."""
SUPPLY = "^[a-z][a-z0-9_]{0,31}$"
LARGEST_RATE = 100_000
"""Basis points."""


class TaxRate(NamedTuple):
    """What a tax is from a day on, in basis points; ``None``: from then on there is no such rate.

    ``jurisdiction`` is ``""`` where the rate holds in all of the regime. ``supply`` tells rates of one tax apart.
    """

    regime: Regime
    code: str
    jurisdiction: str
    supply: str
    holds_from: date
    rate_bps: int | None

    @property
    def tax(self) -> tuple[str, str, str, str]:
        """What it is the rate of, without its day."""
        return self.regime, self.code.upper(), self.jurisdiction.casefold(), self.supply


@cache
def defaults() -> tuple[TaxRate, ...]:
    """The rates every agency begins with, from ``tax_rates.csv``: national ones, which a place does not alter.

    Regimes whose rates depend on the member state or county (``vat_eu``, ``sales_tax_us``) have none.
    """
    text = (Path(__file__).parent / "tax_rates.csv").read_text("utf-8")
    return tuple(
        TaxRate(regime, code, jurisdiction, supply, date.fromisoformat(holds_from), int(rate_bps))  # type: ignore[arg-type]  # a test has the database judge each regime
        for regime, code, jurisdiction, supply, holds_from, rate_bps in list(csv.reader(text.splitlines()))[1:]
    )


def in_force(rates: Iterable[TaxRate], day: date) -> tuple[TaxRate, ...]:
    """The rates that hold on ``day``, in the order of their taxes."""
    newest = {rate.tax: rate for rate in sorted(rates, key=attrgetter("holds_from")) if rate.holds_from <= day}
    return tuple(newest[tax] for tax in sorted(newest) if newest[tax].rate_bps is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedTax:
    """A tax of an invoice line as it is asked for: what is ``None`` follows from the agency's rates."""

    regime: Regime
    code: str
    taxable_amount: Decimal
    supply: str | None = None
    rate_bps: int | None = None
    tax_amount: Decimal | None = None
    jurisdiction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedLine:
    """A line of an invoice as it is asked for: ``line`` without taxes, and the total if one is stated."""

    line: InvoiceLine
    taxes: tuple[RequestedTax, ...] = ()
    total: Decimal | None = None


class UnlistedRate(NamedTuple):
    """A rate somebody has named that the agency has on no day, and those it has on this one."""

    code: str
    rate_bps: int
    listed: tuple[int, ...]


def settle(
    lines: Sequence[InvoiceLine | RequestedLine], rates: Sequence[TaxRate], day: date
) -> tuple[tuple[InvoiceLine, ...], tuple[UnlistedRate, ...]]:
    """The lines of a document of ``day`` with their taxes by ``rates``, and the rates that are none of them.

    ``InvalidDocument`` ``validation_failed`` where a rate is missing, or is one of another day or supply, or where a
    stated total is wrong.
    """
    settled: list[InvoiceLine] = []
    unlisted: list[UnlistedRate] = []
    for place, asked in enumerate(lines, start=1):
        if isinstance(asked, InvoiceLine):
            settled.append(asked)
            continue
        taxes = []
        for tax in asked.taxes:
            rate, strange = _rate(place, tax, rates, day)
            taxes.append(_line(tax, rate, asked.line.unit_price.currency))
            unlisted += strange
        line = replace(asked.line, taxes=tuple(taxes))
        if asked.total is not None and asked.total != line.total.amount:
            raise _invalid(place, f"its total is {line.total.text}, not {asked.total:f}")
        settled.append(line)
    return tuple(settled), tuple(unlisted)


def percent(rate_bps: int) -> str:
    """``"18 %"``."""
    return f"{(Decimal(rate_bps) / 100).normalize():f} %"


def _rate(place: int, tax: RequestedTax, rates: Sequence[TaxRate], day: date) -> tuple[int, tuple[UnlistedRate, ...]]:
    """The rate of a tax in basis points. A rate of the agency's, but of another day, is refused as a mistake.

    One the agency has on no day is no mistake for sure: it is taken and told.
    """
    known = _of(tax, rates)
    holding = in_force(known, day)
    named = [rate for rate in holding if rate.supply == (tax.supply or STANDARD)]
    if tax.rate_bps is None or tax.supply is not None:
        if not named:
            raise _invalid(place, f"there is no rate {_named(tax)} on {day}: {_listed(holding)}")
        right = named[0].rate_bps or 0
        if tax.rate_bps not in {None, right}:
            raise _invalid(place, f"the rate {_named(tax)} on {day} is {right} basis points, not {tax.rate_bps}")
        return right, ()
    if tax.rate_bps in {rate.rate_bps for rate in holding}:
        return tax.rate_bps, ()
    if tax.rate_bps in {rate.rate_bps for rate in known}:
        raise _invalid(
            place, f"{tax.rate_bps} basis points of {tax.code} hold on other days than {day}: {_listed(holding)}"
        )
    return tax.rate_bps, (UnlistedRate(tax.code, tax.rate_bps, tuple(rate.rate_bps or 0 for rate in holding)),)


def _of(tax: RequestedTax, rates: Iterable[TaxRate]) -> list[TaxRate]:
    """The rates of a tax: those of its own place if there are any, else those of all the regime."""
    same = [rate for rate in rates if rate.regime == tax.regime and rate.code.upper() == tax.code.upper()]
    place = (tax.jurisdiction or "").casefold()
    own = [rate for rate in same if rate.jurisdiction.casefold() == place]
    return own or [rate for rate in same if not rate.jurisdiction]


def _line(tax: RequestedTax, rate_bps: int, currency: str) -> TaxLine:
    amount = tax.tax_amount
    if amount is None:
        exact = tax.taxable_amount * rate_bps / BASIS_POINTS
        amount = Money.of(exact, currency).rounded().amount
    return TaxLine(
        regime=tax.regime,
        code=tax.code,
        rate_bps=rate_bps,
        taxable_amount=tax.taxable_amount,
        tax_amount=amount,
        jurisdiction=tax.jurisdiction,
    )


def _named(tax: RequestedTax) -> str:
    where = f" in {tax.jurisdiction}" if tax.jurisdiction else ""
    return f"of {tax.regime} {tax.code}{where} for {tax.supply or STANDARD}"


def _listed(rates: Sequence[TaxRate]) -> str:
    if not rates:
        return "the agency has none of this tax then"
    return "the agency's are " + ", ".join(f"{rate.rate_bps} ({rate.supply})" for rate in rates)


def _invalid(place: int, detail: str) -> InvalidDocument:
    return InvalidDocument("validation_failed", f"Line {place}: {detail}.")
