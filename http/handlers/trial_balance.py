"""``GET /reports/trial-balance``."""

from __future__ import annotations

from ...actors.domain.business_date import business_date
from ...storage import trial_balance
from ...storage.accounts.settings import Load
from ..operation import operation
from ..request_context import Answer, RequestContext
from ..schemas.trial_balance import TrialBalanceQuery, TrialBalanceResponse


@operation(name="trial_balance_report", query=TrialBalanceQuery, reply=TrialBalanceResponse)
async def report(call: RequestContext) -> Answer:
    """Report the debits and credits of every account up to the end of a day, by currency."""
    query: TrialBalanceQuery = call.query
    tenant_id, now, store = call.person.tenant_id, call.services.clock.now(), call.storage
    settings = await store.ask(Load(tenant_id=tenant_id, now=now))
    as_of = query.as_of or business_date(settings, now)
    found = await store.ask(
        trial_balance.Read(
            tenant_id=tenant_id,
            as_of=as_of,
            default_currency=settings.default_currency,
            include_zero=query.include_zero == 1,
        )
    )
    return Answer(TrialBalanceResponse.of(tenant_id, as_of, found))
