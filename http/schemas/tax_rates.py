"""Requests and responses of ``/tax-rates`` (docs/contract/business.md 13.4)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from ...actors.domain.books import EARLIEST_ENTRY
from ...actors.domain.documents import Regime
from ...actors.domain.tax_rates import LARGEST_RATE, STANDARD, SUPPLY, TaxRate
from .shared import Body, Closed, Query, QueryDate, coded

MOST_RATES = 50
CODE = "^[A-Z0-9][A-Z0-9_-]{0,31}$"
PLACE = "^[A-Z0-9]([A-Z0-9 _-]{0,62}[A-Z0-9])?$"
"""In capitals alone, so that a place has one spelling."""


def _within_the_books(day: date) -> date:
    if day < EARLIEST_ENTRY:
        raise coded("invalid_date")
    return day


class TaxRatesQuery(Query):
    """``on`` leaves only the rates that hold on that day."""

    on: QueryDate | None = None


class TaxRateBody(Body):
    """A rate from a day on; ``rate_bps`` null ends it. ``jurisdiction`` null is all of the regime."""

    regime: Regime
    code: Annotated[str, Field(pattern=CODE, examples=["IGST"])]
    jurisdiction: Annotated[str, Field(pattern=PLACE, examples=["DE"])] | None = None
    supply: Annotated[str, Field(pattern=SUPPLY)] = STANDARD
    holds_from: Annotated[QueryDate, AfterValidator(_within_the_books)]
    rate_bps: Annotated[int, Field(ge=0, le=LARGEST_RATE, examples=[1800])] | None

    @property
    def rate(self) -> TaxRate:
        """The rate."""
        return TaxRate(**{**dict(self), "jurisdiction": self.jurisdiction or ""})


class TaxRatesPatchRequest(Body):
    """The rates to set. All others are kept."""

    rates: Annotated[list[TaxRateBody], Field(min_length=1, max_length=MOST_RATES)]


class TaxRateItem(Closed):
    """A rate in basis points from a day on; null: from that day on there is none."""

    regime: Regime
    code: str
    jurisdiction: str | None
    supply: str
    holds_from: date
    rate_bps: int | None


class TaxRatesResponse(Closed):
    """The agency's rates."""

    items: list[TaxRateItem]

    @classmethod
    def of(cls, rates: Iterable[TaxRate]) -> TaxRatesResponse:
        return cls(
            items=[TaxRateItem(**rate._asdict() | {"jurisdiction": rate.jurisdiction or None}) for rate in rates]
        )
