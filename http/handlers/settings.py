"""``/tenant-settings``."""

from __future__ import annotations

from ...actors import tenant
from ...storage.accounts.settings import Load
from ..operation import RUNTIME_UNAVAILABLE, operation
from ..request_context import Answer, RequestContext
from ..schemas.settings import TenantSettingsPatchRequest, TenantSettingsResponse


@operation(name="get_tenant_settings", reply=TenantSettingsResponse)
async def read(call: RequestContext) -> Answer:
    """Retrieve the agency's settings."""
    load = Load(tenant_id=call.person.tenant_id, now=call.services.clock.now())
    return Answer(TenantSettingsResponse.of(await call.storage.ask(load)))


@operation(
    name="patch_tenant_settings",
    body=TenantSettingsPatchRequest,
    sends={"timezone": "Asia/Kolkata", "default_currency": "INR"},
    reply=TenantSettingsResponse,
    refusals={**RUNTIME_UNAVAILABLE, 422: ("rate_limit_hour_below_minute",)},
)
async def change(call: RequestContext) -> Answer:
    """Update the agency's settings. Omitted fields are kept. Applies from the next turn of each conversation."""
    body: TenantSettingsPatchRequest = call.body
    changed = await call.services.root.ask(
        tenant.Change(
            tenant_id=call.person.tenant_id,
            changes=body.changes,
            by=call.person.user_id,
            origin=call.origin,
        )
    )
    return Answer(TenantSettingsResponse.of(changed))
