"""fetch_bsp_statement: what an agency has to remit for a billing period, by the statement of its BSP."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ....storage.books import bsp_reports
from ...domain import ids
from ...domain.books import grouped
from ...domain.bsp import StatementQuestion, Totals
from ...domain.outcomes import Outcome
from ...foundation.threads import in_thread
from ...suppliers.protocols import SupplierError
from .schema import CountryCode, Day
from .tool import Objection, ReadTool, ToolContext, ToolInput, ToolOutput

MOST_DAYS = 62
"""Of a billing period: plans bill weekly to monthly."""

GroupedAmount = Annotated[str, Field(pattern=r"^[A-Z]{3} -?[0-9]{1,3}(,[0-9]{3})*(\.[0-9]+)?$")]
"""``"INR 1,234.56"``; what the agency has to remit is positive."""


class StatementInput(ToolInput):
    """Input of the tool."""

    country: CountryCode
    period_start: Annotated[Day, Field(description="The first day of the billing period")]
    period_end: Annotated[Day, Field(description="Its last day")]

    @model_validator(mode="after")
    def _a_period(self) -> Self:
        if not timedelta(0) <= self.period_end - self.period_start < timedelta(days=MOST_DAYS):
            raise ValueError(f"period_end is period_start or one of the {MOST_DAYS - 1} days after it")
        return self


class CurrencyTotals(ToolOutput):
    """The totals of one currency."""

    sales_total: GroupedAmount
    refund_total: GroupedAmount
    commission_total: GroupedAmount
    net_remittance: GroupedAmount


class Statement(CurrencyTotals):
    """The totals in the statement's currency; those of other currencies are listed separately."""

    report_id: str
    country: str
    transaction_count: int
    source_ref: str
    other_currencies: list[CurrencyTotals]


class FetchBspStatement(ReadTool[StatementInput]):
    """Fetches a statement, verifies and keeps it."""

    name = "fetch_bsp_statement"
    description = (
        "Fetch the agency's BSP statement of exactly one country and billing period, and keep it for reconcile_bsp. "
        "Amounts the agency has to remit are positive, so refunds and commission are negative; what was paid by card "
        "is in the sales and not in the net remittance."
    )
    Input = StatementInput
    Output = Statement
    desks = frozenset({"accounting"})
    verb = "fetched"
    reasons = frozenset({"capability_not_supported"})

    async def look(self, given: StatementInput, context: ToolContext) -> Outcome:
        source = context.suppliers.statements
        if source is None:
            return self.refuse(Objection("capability_not_supported", "No statements of a BSP are set up here."))
        try:
            report = await source.fetch(StatementQuestion(given.country, given.period_start, given.period_end))
        except SupplierError as failure:
            if failure.supplier_code != "capability_not_supported":
                raise
            return self.refuse(Objection("capability_not_supported", f"{failure.text[:1].upper()}{failure.text[1:]}."))
        row = await in_thread(bsp_reports.row_of, report)
        keep = bsp_reports.Keep(tenant_id=context.tenant_id, id=ids.uuid7(), row=row, now=context.now)
        report_id = await context.store.ask(keep)
        own, *others = report.totals.values()
        return self.succeed(
            **_told(own),
            report_id=report_id,
            country=report.country,
            transaction_count=len(report.transactions),
            source_ref=report.source_ref,
            other_currencies=[_told(each) for each in others],
        )


def _told(totals: Totals) -> dict[str, Any]:
    return {
        "sales_total": grouped(totals.sales),
        "refund_total": grouped(totals.refunds),
        "commission_total": grouped(totals.commission),
        "net_remittance": grouped(totals.net),
    }
