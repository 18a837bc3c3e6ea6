"""The state behind a token: its user, their agency and whether the token is revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...actors.domain.identity import Principal, Role
from ..engine.operations import Query

if TYPE_CHECKING:
    from ..engine.pool import Connection

PERSON = """
SELECT u.id, u.tenant_id, u.role, u.email, u.email_verified, u.display_name, u.created_at, u.token_version,
       u.token_version_at, u.is_active AND t.is_active AND u.released_at IS NULL AS active,
       t.display_name AS tenant_name, {credential}
  FROM users u JOIN tenants t ON t.id = u.tenant_id {join}
 WHERE u.tenant_id = $1 AND u.id = $2
"""

BY_FAMILY = PERSON.format(
    credential="f.id IS NOT NULL AND f.revoked_at IS NULL AS credential_active, "
    "least(f.expires_at, f.ends_at) AS credential_expires_at",
    join="LEFT JOIN auth_families f ON f.tenant_id = u.tenant_id AND f.user_id = u.id AND f.id = $3",
)

BY_TOKEN = PERSON.format(
    credential="NOT EXISTS (SELECT 1 FROM revoked_access_tokens r WHERE r.jti = $3) AS credential_active, "
    "NULL::timestamptz AS credential_expires_at",
    join="",
)

BY_KEY = PERSON.format(
    credential="k.id IS NOT NULL AND k.revoked_at IS NULL AS credential_active, k.expires_at AS credential_expires_at",
    join="LEFT JOIN api_keys k ON k.tenant_id = u.tenant_id AND k.created_by_user_id = u.id AND k.id = $3",
)

REVOKED = """
SELECT w.place - 1 AS place
  FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS w (user_id, family_id, api_key_id, place)
  LEFT JOIN users u ON u.id = w.user_id
  LEFT JOIN tenants t ON t.id = u.tenant_id
  LEFT JOIN auth_families f ON f.id = w.family_id
  LEFT JOIN api_keys k ON k.id = w.api_key_id
 WHERE coalesce(u.is_active AND t.is_active AND u.released_at IS NULL, false) IS FALSE
    OR w.family_id IS NOT NULL
       AND coalesce(f.revoked_at IS NULL AND least(f.expires_at, f.ends_at) > $4, false) IS FALSE
    OR w.api_key_id IS NOT NULL
       AND coalesce(k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $4) AND k.id IS NOT NULL, false)
           IS FALSE
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user, with all that can revoke their token."""

    principal: Principal
    active: bool
    version_moved_at: datetime | None
    credential_active: bool
    credential_expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindPrincipal(Query[Person | None]):
    """The user behind a token, by its family, or by its id if other tooling issued it without one.

    Or the one behind an API key.
    """

    user_id: str
    family_id: str | None
    token_id: str | None
    api_key_id: str | None = None

    async def run(self, db: Connection) -> Person | None:
        sql, credential_id = (BY_FAMILY, self.family_id) if self.family_id else (BY_TOKEN, self.token_id)
        if self.api_key_id:
            sql, credential_id = BY_KEY, self.api_key_id
        row = await db.fetchrow(sql, self.tenant_id, self.user_id, credential_id)
        return None if row is None else _person(row, self.family_id, self.api_key_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRevoked(Query[list[int]]):
    """Which of these principals are revoked, by their indexes in the list. System work: it spans agencies."""

    tenant_id: None = None
    principals: Sequence[Principal]
    now: datetime

    async def run(self, db: Connection) -> list[int]:
        rows = await db.fetch(
            REVOKED,
            [principal.user_id for principal in self.principals],
            [principal.family_id for principal in self.principals],
            [principal.api_key_id for principal in self.principals],
            self.now,
        )
        return [row["place"] for row in rows]


def _person(row: Any, family_id: str | None, api_key_id: str | None) -> Person:
    return Person(
        principal=read_principal(row, family_id, api_key_id),
        active=row["active"],
        version_moved_at=row["token_version_at"],
        credential_active=row["credential_active"],
        credential_expires_at=row["credential_expires_at"],
    )


def read_principal(row: Any, family_id: str | None, api_key_id: str | None = None) -> Principal:
    """The principal in a row of ``users`` joined with the agency's ``tenant_name``."""
    return Principal(
        user_id=row["id"],
        tenant_id=row["tenant_id"],
        role=Role(row["role"]),
        email=row["email"],
        email_verified=row["email_verified"],
        full_name=row["display_name"],
        tenant_name=row["tenant_name"],
        created_at=row["created_at"],
        token_version=row["token_version"],
        family_id=family_id,
        api_key_id=api_key_id,
    )
