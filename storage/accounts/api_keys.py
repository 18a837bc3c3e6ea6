"""API keys: created within a limit, found by their hash, revoked permanently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ...actors.domain import audit as audits
from ...actors.domain.errors import Conflict, Forbidden, NotFound, Unauthorized
from ...actors.domain.identity import Role
from ...actors.domain.ids import uuid7
from .. import audit
from ..engine.operations import Command, Query

if TYPE_CHECKING:
    from ..engine.pool import Connection

LIMIT = 50
"""Live keys of one agency."""

LAST_USED_PRECISION = timedelta(minutes=1)
"""How exact ``last_used_at`` is: using a key must not cost a write each time."""

CREATOR = """
SELECT u.role, u.is_active AND t.is_active AND u.released_at IS NULL AND u.token_version = $3 AS active
  FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.tenant_id = $1 AND u.id = $2 FOR SHARE OF u
"""

ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.api_keys:' || $1, 0))"

LIVE = """
SELECT count(*) FROM api_keys
 WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""

INSERT = """
INSERT INTO api_keys (id, tenant_id, created_by_user_id, name, prefix, key_hash, expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (key_hash) DO NOTHING
RETURNING id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at
"""

LIST = """
SELECT id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_keys
 WHERE tenant_id = $1 AND ($2::uuid IS NULL OR created_by_user_id = $2) ORDER BY created_at DESC, id DESC
"""

REVOKE = """
UPDATE api_keys SET revoked_at = $4
 WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR created_by_user_id = $3) AND revoked_at IS NULL
RETURNING prefix, created_by_user_id
"""

EXISTS = """
SELECT EXISTS (SELECT FROM api_keys
                WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR created_by_user_id = $3))
"""

FIND = "SELECT id, tenant_id, created_by_user_id FROM api_keys WHERE key_hash = $1"

USED = """
UPDATE api_keys SET last_used_at = $3
 WHERE tenant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at <= $4)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key's metadata, never the key itself."""

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that was just made, with what is stored of it."""

    key: str = field(repr=False)
    prefix: str
    key_hash: bytes


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key and its row. The key is returned only once."""

    key: str = field(repr=False)
    api_key: ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Command[CreatedKey]):
    """A key that acts as its creator. Conflict ``api_key_limit``, exact under races.

    The creator is held for as long as this takes: a key made beside their deactivation would outlive it. One who is
    gone, or whose tokens ended since they were admitted with ``token_version``, is Unauthorized, one who only reads
    Forbidden. ``mint`` is asked again should its key exist already.
    """

    tenant_id: str
    user_id: str
    token_version: int
    name: str
    expires_at: datetime | None
    mint: Callable[[], Secret]
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> CreatedKey:
        creator = await db.fetchrow(CREATOR, self.tenant_id, self.user_id, self.token_version)
        if creator is None or not creator["active"]:
            raise Unauthorized("unauthorized")
        if creator["role"] == Role.VIEWER:
            raise Forbidden("forbidden_role")
        await db.fetchval(ONE_AT_A_TIME, self.tenant_id)
        if await db.fetchval(LIVE, self.tenant_id, self.now) >= LIMIT:
            raise Conflict("api_key_limit")
        minted = await self._insert(db)
        values = {
            "key_id": minted.api_key.id,
            "name": self.name,
            "prefix": minted.api_key.prefix,
            "expires_at": self.expires_at and audits.wire_time(self.expires_at),
        }
        await audit.append(db, [_event(self, "auth.api_key_created", values)])
        return minted

    async def _insert(self, db: Connection) -> CreatedKey:
        while True:
            new = self.mint()
            values = (self.name, new.prefix, new.key_hash, self.expires_at, self.now)
            row = await db.fetchrow(INSERT, uuid7(), self.tenant_id, self.user_id, *values)
            if row is not None:
                return CreatedKey(new.key, _api_key(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class All(Query[list[ApiKey]]):
    """The keys of one creator, or with ``None`` of the agency; ended ones too, newest first."""

    created_by: str | None

    async def run(self, db: Connection) -> list[ApiKey]:
        return [_api_key(row) for row in await db.fetch(LIST, self.tenant_id, self.created_by)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Command[None]):
    """Revoke a key: any of the agency's, or only one ``created_by`` a user. NotFound ``not_found``.

    A repeated revocation changes nothing and writes no event.
    """

    tenant_id: str
    user_id: str
    key_id: str
    created_by: str | None
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        row = await db.fetchrow(REVOKE, self.tenant_id, self.key_id, self.created_by, self.now)
        if row is None:
            if not await db.fetchval(EXISTS, self.tenant_id, self.key_id, self.created_by):
                raise NotFound("not_found")
            return
        values = {"key_id": self.key_id, "prefix": row["prefix"], "creator_id": row["created_by_user_id"]}
        await audit.append(db, [_event(self, "auth.api_key_revoked", values)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of a key, which never changes, unlike its validity."""

    tenant_id: str
    user_id: str
    api_key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[Owner | None]):
    """The owner of a key, by its hash. System work: the agency is found by the key."""

    tenant_id: None = None
    key_hash: bytes

    async def run(self, db: Connection) -> Owner | None:
        row = await db.fetchrow(FIND, self.key_hash)
        if row is None:
            return None
        return Owner(tenant_id=row["tenant_id"], user_id=row["created_by_user_id"], api_key_id=row["id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Used(Command[None]):
    """A key was used; written at most once a minute."""

    key_id: str
    now: datetime

    async def run(self, db: Connection) -> None:
        await db.execute(USED, self.tenant_id, self.key_id, self.now, self.now - LAST_USED_PRECISION)


def _api_key(row: Any) -> ApiKey:
    return ApiKey(**{**dict(row), "scopes": tuple(row["scopes"])})


def _event(by: Create | Revoke, kind: str, values: dict[str, Any]) -> audits.AuditEvent:
    return audits.AuditEvent(
        id=uuid7(),
        tenant_id=by.tenant_id,
        created_at=by.now,
        kind=kind,
        status="succeeded",
        actor_kind="human",
        actor_id=by.user_id,
        inputs=by.origin.inputs() | values,
    )
