"""``GET /reports/receivables`` and ``GET /reports/payables``."""

from __future__ import annotations

from typing import Final

from ...actors.domain.aging import Subledger
from ...actors.domain.business_date import business_date
from ...actors.domain.errors import Unprocessable
from ...storage import aging
from ...storage.accounts.settings import Load
from ..operation import Refusals, operation
from ..request_context import Answer, RequestContext
from ..schemas.aging import AgingQuery, AgingReportResponse

REFUSALS: Final[Refusals] = {422: ("from must be on or before to", "as_of_in_future")}


@operation(name="receivables_report", query=AgingQuery, reply=AgingReportResponse, refusals=REFUSALS)
async def receivables(call: RequestContext) -> Answer:
    """Report what customers owe at the end of a day, by the age of the invoices."""
    return await _report(call, "receivables")


@operation(name="payables_report", query=AgingQuery, reply=AgingReportResponse, refusals=REFUSALS)
async def payables(call: RequestContext) -> Answer:
    """Report what suppliers are owed at the end of a day, by the age of the bills."""
    return await _report(call, "payables")


async def _report(call: RequestContext, side: Subledger) -> Answer:
    """Unprocessable ``from must be on or before to``, ``as_of_in_future``."""
    query: AgingQuery = call.query
    if query.from_ > query.to:
        raise Unprocessable("from must be on or before to")
    tenant_id, now, store = call.person.tenant_id, call.services.clock.now(), call.storage
    settings = await store.ask(Load(tenant_id=tenant_id, now=now))
    today = business_date(settings, now)
    as_of = query.as_of or today
    if as_of > today:
        raise Unprocessable("as_of_in_future")
    found = await store.ask(
        aging.Read(
            tenant_id=tenant_id,
            side=side,
            first=query.from_,
            last=query.to,
            as_of=as_of,
            default_currency=settings.default_currency,
        )
    )
    return Answer(AgingReportResponse.of(tenant_id, query, as_of, side, found))
