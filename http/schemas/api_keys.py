"""Requests and responses of ``/auth/api-keys`` (docs/contract/identity.md 4 and 9.20 to 9.22)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...storage.accounts.api_keys import ApiKey, CreatedKey
from .accounts import named
from .shared import Body, Closed, UtcTime

WARNING = "Save this key now \u2014 it will never be shown again."

KeyName = Annotated[str, Field(min_length=1, max_length=120), named("name_required")]


class CreateApiKeyRequest(Body):
    """The key's name, and its lifetime in days. Without ``expires_in_days`` it is valid until revoked."""

    name: KeyName
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None


class ApiKeySummary(Closed):
    """An API key without its secret. ``prefix`` identifies it."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: UtcTime
    expires_at: UtcTime | None
    revoked_at: UtcTime | None
    last_used_at: UtcTime | None

    @classmethod
    def of(cls, key: ApiKey) -> ApiKeySummary:
        return cls(
            id=key.id,
            name=key.name,
            prefix=key.prefix,
            scopes=list(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
        )


class CreateApiKeyResponse(Closed):
    """The API key with its secret, which is shown only once."""

    key: str
    warning: str = WARNING
    api_key: ApiKeySummary

    @classmethod
    def of(cls, created: CreatedKey) -> CreateApiKeyResponse:
        return cls(key=created.key, api_key=ApiKeySummary.of(created.api_key))


class ListApiKeysResponse(Closed):
    """API keys, newest first, including revoked and expired ones."""

    items: list[ApiKeySummary]
