"""API keys: created within a limit, found by their hash, revoked permanently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain import audit as audits
from ...actors.domain.errors import Conflict, Forbidden, NotFound
from ...actors.domain.identity import Role
from ...actors.domain.ids import uuid7
from .. import audit
from ..engine.operations import ACCOUNTS, Command, Query
from ..engine.statements import binds, statement
from ..schema.columns import Uuid
from ..tables import api_keys
from .principals import lock_acting

if TYPE_CHECKING:
    from ..engine.connection import Connection

LIMIT = 50
"""Live keys of one agency."""

LAST_USED_PRECISION = timedelta(minutes=1)
"""How exact ``last_used_at`` is: using a key must not cost a write each time."""


ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.api_keys:' || $1, 0))"
"""SQL text: it is about no table."""

API_KEY = api_keys.c["id", "name", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at"]

THIS_KEY = and_(
    api_keys.c.tenant_id == bindparam("tenant_id"),
    api_keys.c.id == bindparam("key_id"),
)
OF_CREATOR = or_(
    bindparam("created_by", type_=Uuid).is_(None), api_keys.c.created_by_user_id == bindparam("created_by")
)
"""Of one creator, or with ``None`` of anybody."""

COUNT_LIVE = statement(
    select(func.count())
    .select_from(api_keys)
    .where(
        api_keys.c.tenant_id == bindparam("tenant_id"),
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > bindparam("now")),
    )
)

INSERT = statement(
    insert(api_keys)
    .values(**binds("id", "tenant_id", "created_by_user_id", "name", "prefix", "key_hash", "expires_at", "created_at"))
    .on_conflict_do_nothing(index_elements=["key_hash"])
    .returning(*API_KEY)
)

LIST = statement(
    select(*API_KEY)
    .where(api_keys.c.tenant_id == bindparam("tenant_id"), OF_CREATOR)
    .order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc())
)

REVOKE = statement(
    update(api_keys)
    .where(THIS_KEY, OF_CREATOR, api_keys.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
    .returning(*api_keys.c["prefix", "created_by_user_id"])
)

EXISTS = statement(select(exists().where(THIS_KEY, OF_CREATOR)))

FIND = statement(
    select(*api_keys.c["id", "tenant_id", "created_by_user_id"]).where(api_keys.c.key_hash == bindparam("key_hash"))
)

USED = statement(
    update(api_keys)
    .where(THIS_KEY, or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= bindparam("unless_after")))
    .values(last_used_at=bindparam("now"))
)


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
    Forbidden. ``generate`` is called again should its key exist already.
    """

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    token_version: int
    name: str
    expires_at: datetime | None
    generate: Callable[[], Secret]
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> CreatedKey:
        creator = await lock_acting(db, self.tenant_id, self.user_id, self.token_version)
        if creator["role"] == Role.VIEWER:
            raise Forbidden("forbidden_role")
        await db.fetchval(ONE_AT_A_TIME, self.tenant_id)
        if await COUNT_LIVE.fetchval(db, tenant_id=self.tenant_id, now=self.now) >= LIMIT:
            raise Conflict("api_key_limit")
        created = await self._insert(db)
        values = {
            "key_id": created.api_key.id,
            "name": self.name,
            "prefix": created.api_key.prefix,
            "expires_at": self.expires_at and audits.wire_time(self.expires_at),
        }
        await audit.append(db, [_event(self, "auth.api_key_created", values)])
        return created

    async def _insert(self, db: Connection) -> CreatedKey:
        while True:
            new = self.generate()
            row = await INSERT.fetchrow(
                db,
                id=uuid7(),
                tenant_id=self.tenant_id,
                created_by_user_id=self.user_id,
                name=self.name,
                prefix=new.prefix,
                key_hash=new.key_hash,
                expires_at=self.expires_at,
                created_at=self.now,
            )
            if row is not None:
                return CreatedKey(new.key, _api_key(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class All(Query[list[ApiKey]]):
    """The keys of one creator, or with ``None`` of the agency; ended ones too, newest first."""

    created_by: str | None

    async def run(self, db: Connection) -> list[ApiKey]:
        rows = await LIST.fetch(db, tenant_id=self.tenant_id, created_by=self.created_by)
        return [_api_key(row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Command[None]):
    """Revoke a key: any of the agency's, or only one ``created_by`` a user. NotFound ``not_found``.

    A repeated revocation changes nothing and writes no event.
    """

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    key_id: str
    created_by: str | None
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        key = {"tenant_id": self.tenant_id, "key_id": self.key_id, "created_by": self.created_by}
        row = await REVOKE.fetchrow(db, **key, now=self.now)
        if row is None:
            if not await EXISTS.fetchval(db, **key):
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
        row = await FIND.fetchrow(db, key_hash=self.key_hash)
        if row is None:
            return None
        return Owner(tenant_id=row["tenant_id"], user_id=row["created_by_user_id"], api_key_id=row["id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Used(Command[None]):
    """A key was used; written at most once a minute."""

    UNFENCED = ACCOUNTS

    key_id: str
    now: datetime

    async def run(self, db: Connection) -> None:
        unless_after = self.now - LAST_USED_PRECISION
        await USED.execute(db, tenant_id=self.tenant_id, key_id=self.key_id, now=self.now, unless_after=unless_after)


def _api_key(row: Any) -> ApiKey:
    return ApiKey(**{**dict(row), "scopes": tuple(row["scopes"])})


def _event(by: Create | Revoke, kind: str, values: dict[str, Any]) -> audits.AuditEvent:
    return audits.AuditEvent.by_person(kind, by.tenant_id, by.user_id, by.origin, by.now, inputs=values)
