"""list_tax_rates: the agency's tax rates as they hold on a day."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ....storage.books import tax_rates
from ...domain.documents import Regime
from ...domain.outcomes import Outcome
from ...domain.tax_rates import in_force
from .schema import Day
from .tool import ReadTool, ToolContext, ToolInput, ToolOutput

SHOWN = 200


class RatesInput(ToolInput):
    """Input of the tool."""

    on: Annotated[Day | None, Field(description="The document's date; the agency's today if nothing is said")] = None
    regime: Regime | None = None


class Rate(ToolOutput):
    """One rate; without ``jurisdiction`` it holds in all of the regime."""

    regime: Regime
    code: str
    jurisdiction: str | None
    supply: str
    rate_bps: int
    holds_from: Day


class Rates(ToolOutput):
    """The rates that hold on the day; ``count`` is their total number."""

    count: int
    on: Day
    rates: Annotated[list[Rate], Field(max_length=SHOWN)]


class ListTaxRates(ReadTool[RatesInput]):
    """Lists the rates that hold on a day."""

    name = "list_tax_rates"
    description = (
        "List the agency's tax rates as they hold on a document's date, in basis points, by regime, tax code and kind "
        "of supply. create_invoice takes them by itself where a tax names no rate."
    )
    Input = RatesInput
    Output = Rates
    desks = frozenset({"accounting"})

    async def look(self, given: RatesInput, context: ToolContext) -> Outcome:
        on = given.on or context.today
        known = await context.store.ask(tax_rates.Read(tenant_id=context.tenant_id, now=context.now))
        found = [rate for rate in in_force(known, on) if given.regime in (None, rate.regime)]
        rates = [rate._asdict() | {"jurisdiction": rate.jurisdiction or None} for rate in found[:SHOWN]]
        shown = [rate | {"holds_from": rate["holds_from"].isoformat()} for rate in rates]
        return self.succeed(count=len(found), on=on.isoformat(), rates=shown)
