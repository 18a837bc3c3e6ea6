"""``/auth/api-keys``."""

from __future__ import annotations

from ...actors.accounts.actor import CreateKey, RevokeKey
from ...actors.domain.identity import Role
from ...storage.accounts.api_keys import All
from ..operation import THROTTLED, operation
from ..request_context import Answer, RequestContext
from ..schemas.api_keys import ApiKeySummary, CreateApiKeyRequest, CreateApiKeyResponse, ListApiKeysResponse


@operation(
    name="create_api_key_route",
    body=CreateApiKeyRequest,
    reply=CreateApiKeyResponse,
    refusals={**THROTTLED, 409: ("api_key_limit",)},
)
async def create(call: RequestContext) -> Answer:
    """Create an API key. It acts as the caller and is shown only once."""
    body: CreateApiKeyRequest = call.body
    done = await call.services.accounts.ask(
        CreateKey(
            principal=call.person,
            name=body.name,
            expires_in_days=body.expires_in_days,
            origin=call.origin,
            key=call.idempotency,
        )
    )
    return Answer(CreateApiKeyResponse.of(done.value)).mark_replayed(done.replayed)


@operation(name="list_api_keys_route", reply=ListApiKeysResponse)
async def page(call: RequestContext) -> Answer:
    """List API keys, newest first: the caller's own, or all keys of the agency for an admin."""
    person = call.person
    created_by = None if person.role is Role.AGENCY_ADMIN else person.user_id
    found = await call.services.storage.ask(All(tenant_id=person.tenant_id, created_by=created_by))
    return Answer(ListApiKeysResponse(items=[ApiKeySummary.of(key) for key in found]))


@operation(name="revoke_api_key_route", refusals={404: ("not_found",)})
async def revoke(call: RequestContext) -> Answer:
    """Revoke an API key, immediately and permanently. Revoking it again has no effect."""
    done = await call.services.accounts.ask(
        RevokeKey(
            principal=call.person,
            key_id=call.id("key_id", missing="not_found"),
            origin=call.origin,
            key=call.idempotency,
        )
    )
    return Answer().mark_replayed(done.replayed)
