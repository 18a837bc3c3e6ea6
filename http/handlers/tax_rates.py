"""``/tax-rates``."""

from __future__ import annotations

from ...actors.domain.tax_rates import in_force
from ...storage.books.tax_rates import Read, Set
from ..operation import operation
from ..request_context import Answer, RequestContext
from ..schemas.tax_rates import TaxRatesPatchRequest, TaxRatesQuery, TaxRatesResponse


@operation(name="get_tax_rates", query=TaxRatesQuery, reply=TaxRatesResponse, addition=True)
async def read(call: RequestContext) -> Answer:
    """Retrieve the agency's tax rates, of all days or as they hold on one."""
    query: TaxRatesQuery = call.query
    rates = await call.storage.ask(Read(tenant_id=call.person.tenant_id, now=call.services.clock.now()))
    return Answer(TaxRatesResponse.of(rates if query.on is None else in_force(rates, query.on)))


@operation(name="patch_tax_rates", body=TaxRatesPatchRequest, reply=TaxRatesResponse, addition=True)
async def change(call: RequestContext) -> Answer:
    """Set tax rates from a day on. All others are kept, and so are the taxes of documents that are made already."""
    body: TaxRatesPatchRequest = call.body
    rates = await call.storage.ask(
        Set(
            tenant_id=call.person.tenant_id,
            rates=tuple(each.rate for each in body.rates),
            by=call.person.user_id,
            origin=call.origin,
            now=call.services.clock.now(),
        )
    )
    return Answer(TaxRatesResponse.of(rates))
