"""The time zone of the caller's agency."""

from __future__ import annotations

from datetime import tzinfo

from ..actors.domain.travel import zone
from ..storage.accounts.settings import Load
from .request_context import RequestContext


async def agency_zone(call: RequestContext) -> tzinfo:
    """The time zone of the caller's agency, as its settings are now."""
    load = Load(tenant_id=call.person.tenant_id, now=call.services.clock.now())
    return zone((await call.storage.ask(load)).timezone)
