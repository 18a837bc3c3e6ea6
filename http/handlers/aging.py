"""``GET /reports/receivables`` and ``GET /reports/payables``, and the documents they add up."""

from __future__ import annotations

from datetime import date
from typing import Final

from ...actors.domain.aging import Subledger
from ...actors.domain.business_date import business_date
from ...actors.domain.errors import Unprocessable
from ...storage import aging, open_documents
from ...storage.accounts.settings import Load
from ..operation import Refusals, operation
from ..request_context import Answer, RequestContext
from ..schemas.aging import AgingQuery, AgingReportResponse, OpenDocumentsQuery, OpenDocumentsResponse

REFUSALS: Final[Refusals] = {422: ("from must be on or before to", "as_of_in_future")}


@operation(name="receivables_report", query=AgingQuery, reply=AgingReportResponse, refusals=REFUSALS)
async def receivables(call: RequestContext) -> Answer:
    """Report what customers owe at the end of a day, by the age of the invoices."""
    return await _report(call, "receivables")


@operation(name="payables_report", query=AgingQuery, reply=AgingReportResponse, refusals=REFUSALS)
async def payables(call: RequestContext) -> Answer:
    """Report what suppliers are owed at the end of a day, by the age of the bills."""
    return await _report(call, "payables")


@operation(query=OpenDocumentsQuery, reply=OpenDocumentsResponse, refusals=REFUSALS, addition=True)
async def open_invoices(call: RequestContext) -> Answer:
    """List the invoices that the receivables report adds up, those due first in front."""
    return await _documents(call, "receivables")


@operation(query=OpenDocumentsQuery, reply=OpenDocumentsResponse, refusals=REFUSALS, addition=True)
async def open_bills(call: RequestContext) -> Answer:
    """List the bills that the payables report adds up, those due first in front."""
    return await _documents(call, "payables")


async def _report(call: RequestContext, side: Subledger) -> Answer:
    query: AgingQuery = call.query
    as_of, default_currency = await _day(call, query)
    found = await call.storage.ask(
        aging.Read(
            tenant_id=call.person.tenant_id,
            side=side,
            first=query.from_,
            last=query.to,
            as_of=as_of,
            default_currency=default_currency,
        )
    )
    return Answer(AgingReportResponse.of(call.person.tenant_id, query, as_of, side, found))


async def _documents(call: RequestContext, side: Subledger) -> Answer:
    query: OpenDocumentsQuery = call.query
    as_of, _ = await _day(call, query)
    found = await call.storage.ask(
        open_documents.Page(
            tenant_id=call.person.tenant_id,
            side=side,
            first=query.from_,
            last=query.to,
            as_of=as_of,
            bucket=query.bucket,
            currency=query.currency,
            party=query.party,
            limit=query.limit,
            offset=query.offset,
        )
    )
    return Answer(OpenDocumentsResponse.of(found, query))


async def _day(call: RequestContext, query: AgingQuery) -> tuple[date, str]:
    """The last day counted, and the default currency.

    Unprocessable ``from must be on or before to``, ``as_of_in_future``.
    """
    if query.from_ > query.to:
        raise Unprocessable("from must be on or before to")
    now = call.services.clock.now()
    settings = await call.storage.ask(Load(tenant_id=call.person.tenant_id, now=now))
    today = business_date(settings, now)
    as_of = query.as_of or today
    if as_of > today:
        raise Unprocessable("as_of_in_future")
    return as_of, settings.default_currency
