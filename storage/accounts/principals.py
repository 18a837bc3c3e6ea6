"""The state behind a token: its user, their agency and whether the token is revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, exists, func, null, select

from ...actors.domain.errors import Unauthorized
from ...actors.domain.identity import Principal, Role
from ..engine.operations import Query
from ..engine.statements import Statement, statement
from ..schema.columns import Time
from ..tables import api_keys, auth_families, revoked_access_tokens, tenants, users

if TYPE_CHECKING:
    from ..engine.connection import Connection

THIS_USER = and_(users.c.tenant_id == bindparam("tenant_id"), users.c.id == bindparam("user_id"))
PRESENT = and_(users.c.is_active, users.c.released_at.is_(None))
"""Neither deactivated nor closed."""
ADMITTED = and_(users.c.is_active, tenants.c.is_active, users.c.released_at.is_(None))
"""Present, in an agency that is not suspended."""

MEMBERSHIP = users.join(tenants, tenants.c.id == users.c.tenant_id)
PRINCIPAL = (
    *users.c["id", "tenant_id", "role", "email", "email_verified", "display_name", "created_at", "token_version"],
    tenants.c.display_name.label("tenant_name"),
)
"""What ``read_principal`` reads, of ``MEMBERSHIP``."""

LOCK_ADMITTED = statement(
    select(*PRINCIPAL, *users.c["former_email", "password_hash"])
    .select_from(MEMBERSHIP)
    .where(THIS_USER, ADMITTED)
    .with_for_update(key_share=True, of=users)
)

LOCK_ACTING = statement(
    select(
        *users.c["role", "email", "email_verified"],
        and_(ADMITTED, users.c.token_version == bindparam("token_version")).label("active"),
    )
    .select_from(MEMBERSHIP)
    .where(THIS_USER)
    .with_for_update(read=True, of=users)
)


def _find(credential_active: Any, expires_at: Any, source: Any = MEMBERSHIP) -> Statement:
    """A user with the state of the credential ``credential_id``."""
    credential = (credential_active.label("credential_active"), expires_at.label("credential_expires_at"))
    columns = (*PRINCIPAL, users.c.token_version_at, ADMITTED.label("active"), *credential)
    return statement(select(*columns).select_from(source).where(THIS_USER))


def _of_user(table: Any, user_id: Any) -> Any:
    """The row of ``table`` that is the credential, if it is the user's."""
    own = and_(table.c.tenant_id == users.c.tenant_id, user_id == users.c.id)
    return MEMBERSHIP.outerjoin(table, and_(own, table.c.id == bindparam("credential_id")))


BY_FAMILY = _find(
    and_(auth_families.c.id.is_not(None), auth_families.c.revoked_at.is_(None)),
    func.least(auth_families.c.expires_at, auth_families.c.ends_at),
    _of_user(auth_families, auth_families.c.user_id),
)
BY_TOKEN = _find(
    ~exists().where(revoked_access_tokens.c.jti == bindparam("credential_id")),
    null().cast(Time),
)
BY_KEY = _find(
    and_(api_keys.c.id.is_not(None), api_keys.c.revoked_at.is_(None)),
    api_keys.c.expires_at,
    _of_user(api_keys, api_keys.c.created_by_user_id),
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
"""SQL text: it joins the parameters themselves, with their places."""


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
        find, credential_id = (BY_FAMILY, self.family_id) if self.family_id else (BY_TOKEN, self.token_id)
        if self.api_key_id:
            find, credential_id = BY_KEY, self.api_key_id
        row = await find.fetchrow(db, tenant_id=self.tenant_id, user_id=self.user_id, credential_id=credential_id)
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


async def lock_acting(db: Connection, tenant_id: str, user_id: str, token_version: int) -> Any:
    """The role and address of who acts, held against changes until COMMIT.

    Unauthorized if they are gone, or their tokens ended since they were admitted with ``token_version``.
    """
    row = await LOCK_ACTING.fetchrow(db, tenant_id=tenant_id, user_id=user_id, token_version=token_version)
    if row is None or not row["active"]:
        raise Unauthorized("unauthorized")
    return row


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
