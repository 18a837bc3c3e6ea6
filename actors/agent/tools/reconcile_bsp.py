"""reconcile_bsp: a kept statement of a BSP against the agency's own tickets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.books import bsp_reports, reconciliations
from ....storage.travel import issued_tickets
from ...domain import ids
from ...domain.books import grouped
from ...domain.bsp import Report
from ...domain.days import end_of, start_of
from ...domain.money import Money
from ...domain.outcomes import InvalidInput, Outcome
from ...domain.reconciliation import Item, OwnTicket, Reconciliation, reconcile
from ...domain.travel import zone
from ...foundation.threads import in_thread
from .fetch_bsp_statement import GroupedAmount
from .schema import Id
from .tool import Objection, ReadTool, ToolContext, ToolInput, ToolOutput

MOST_TICKETS = 500
SHOWN = 50


class ReconcileInput(ToolInput):
    """Input of the tool."""

    report_id: Annotated[Id, Field(description="Of fetch_bsp_statement")]
    ticket_ids: Annotated[
        list[Id] | None,
        Field(
            min_length=1,
            max_length=MOST_TICKETS,
            description="Compare with these tickets alone; without them with all the agency issued in the period",
        ),
    ] = None


class Summary(ToolOutput):
    """How many items each outcome has, and what the statement bills for those that match."""

    matched: int
    matched_amount: GroupedAmount
    other_matched_amounts: list[GroupedAmount]
    unmatched_external: int
    unmatched_internal: int
    discrepancy: int
    tentative: int


class Issue(ToolOutput):
    """One item that does not match; ``delta`` is the statement less our own, null where they cannot be compared."""

    outcome: Literal["unmatched_external", "unmatched_internal", "discrepancy", "tentative"]
    external_ref: str | None
    internal_refs: list[str]
    delta: GroupedAmount | None
    evidence: str


class Reconciled(ToolOutput):
    """The result as it is kept; of many issues the first ones."""

    reconciled: Literal[True] = True
    summary: Summary
    issues: Annotated[list[Issue], Field(max_length=SHOWN)]
    reconciliation_id: str


class ReconcileBsp(ReadTool[ReconcileInput]):
    """Reconciles a statement and keeps the result."""

    name = "reconcile_bsp"
    description = (
        "Reconcile a fetched BSP statement with the agency's own tickets, by airline and ticket number. Issues are "
        "what the statement has and we do not, what we have and it does not, amounts that differ, and what cannot be "
        "compared; their evidence says why."
    )
    Input = ReconcileInput
    Output = Reconciled
    desks = frozenset({"accounting"})
    verb = "reconciled"
    reasons = frozenset({"report_not_found"})

    async def look(self, given: ReconcileInput, context: ToolContext) -> Outcome:
        known = ids.parse_uuid(given.report_id)
        kept = None
        if known is not None:
            kept = await context.store.ask(bsp_reports.Read(tenant_id=context.tenant_id, id=known))
        if known is None or kept is None:
            return self.refuse(Objection("report_not_found", "No statement of this agency has this id."))
        report = await in_thread(bsp_reports.report_of, kept)
        tickets = await self._tickets(given.ticket_ids, report, context)
        if tickets is None:
            return InvalidInput(self.name, "ticket_ids: no ticket of this agency has one of these ids")
        result, row = await in_thread(
            _reconciled, report, tickets, context.allowed_differences, chosen=given.ticket_ids is not None
        )
        keep = reconciliations.Keep(
            tenant_id=context.tenant_id, id=ids.uuid7(), report_id=known, row=row, now=context.now
        )
        reconciliation_id = await context.store.ask(keep)
        return self.succeed(
            summary=_summary(result, report.currency),
            issues=[_issue(item) for item in result.issues[:SHOWN]],
            reconciliation_id=reconciliation_id,
        )

    async def _tickets(
        self, chosen: list[str] | None, report: Report, context: ToolContext
    ) -> tuple[OwnTicket, ...] | None:
        """The other side; None if one of the tickets named is none of the agency's."""
        place = zone(context.settings.timezone)
        if chosen is None:
            numbers = {each.subject for each in report.transactions}
            numbers |= {number for each in report.transactions for number in (each.document_number, *each.conjunctions)}
            found: tuple[OwnTicket, ...] = await context.store.ask(
                issued_tickets.OfPeriod(
                    tenant_id=context.tenant_id,
                    since=start_of(report.period_start, place),
                    before=end_of(report.period_end, place),
                    numbers=sorted(numbers),
                    zone=place,
                )
            )
            return found
        named = {ids.parse_uuid(each) for each in chosen}
        parsed = sorted(each for each in named if each is not None)
        found = await context.store.ask(issued_tickets.ById(tenant_id=context.tenant_id, ids=parsed, zone=place))
        return found if len(found) == len(named) else None


def _reconciled(
    report: Report, tickets: Sequence[OwnTicket], allowed: Mapping[str, int], *, chosen: bool
) -> tuple[Reconciliation, Mapping[str, Any]]:
    """The result, and as it is stored."""
    result = reconcile(report, tickets, allowed=allowed, chosen=chosen)
    return result, reconciliations.row_of(result)


def _summary(result: Reconciliation, currency: str) -> dict[str, Any]:
    amounts = result.matched_amounts
    own = amounts.pop(currency, Money.of(0, currency))
    return {
        **result.counts,
        "matched_amount": grouped(own),
        "other_matched_amounts": [grouped(each) for each in amounts.values()],
    }


def _issue(item: Item) -> dict[str, Any]:
    return {
        "outcome": item.outcome,
        "external_ref": ", ".join(item.external_refs) or None,
        "internal_refs": list(item.internal_refs),
        "delta": None if item.delta is None else grouped(item.delta),
        "evidence": item.evidence,
    }
