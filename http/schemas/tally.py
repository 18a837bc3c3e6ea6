"""Requests of ``/reports/tally`` (docs/contract/business.md 8.5)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .shared import Query, QueryDate


class TallyQuery(Query):
    """The first and last entry date, both inclusive, and the currency, by default the agency's own."""

    from_: QueryDate = Field(alias="from")
    to: QueryDate
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
