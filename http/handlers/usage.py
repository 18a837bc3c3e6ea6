"""``GET /reports/usage``: the agency's model usage, and today's token budget."""

from __future__ import annotations

from datetime import date

from ...actors.domain.errors import Unprocessable
from ...actors.tenant import ReadBudget
from ...storage.conversation.usage import ByDay
from ..operation import RUNTIME_UNAVAILABLE, operation
from ..request_context import Answer, RequestContext
from ..schemas.usage import Period, UsageQuery, UsageResponse

USUAL_DAYS = 30
MOST_DAYS = 366


@operation(
    name="usage_report",
    query=UsageQuery,
    reply=UsageResponse,
    refusals={**RUNTIME_UNAVAILABLE, 422: ("from must be on or before to", "range_too_long")},
    addition=True,
)
async def report(call: RequestContext) -> Answer:
    """Report model calls by UTC day and model, with tokens and cost. Failed and cancelled calls are included."""
    period = _period(call.query, call.services.clock.now().date())
    tenant_id = call.person.tenant_id
    days = await call.storage.ask(ByDay(tenant_id=tenant_id, first=period.from_, last=period.to))
    budget = await call.services.root.ask(ReadBudget(tenant_id=tenant_id))
    return Answer(UsageResponse.of(tenant_id, period, days, budget))


def _period(query: UsageQuery, today: date) -> Period:
    """The requested days. Unprocessable ``from must be on or before to``, ``range_too_long``."""
    last = query.to or today
    first = query.from_ or date.fromordinal(max(last.toordinal() - USUAL_DAYS + 1, 1))
    if first > last:
        raise Unprocessable("from must be on or before to")
    if (last - first).days >= MOST_DAYS:
        raise Unprocessable("range_too_long")
    return Period.model_validate({"from": first, "to": last})
