"""Refresh token rotation: the next token of a family, a retry within the grace period, or a reuse."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ...actors.domain import audit as audits
from ...actors.domain.errors import Unauthorized
from ...actors.domain.identity import Principal
from ...actors.domain.ids import uuid7
from .. import audit, outbox
from ..engine.operations import Command, Query
from .login_sessions import ADD_TO_FAMILY
from .principals import read_principal

if TYPE_CHECKING:
    from ..engine.pool import Connection

FIND = """
SELECT t.tenant_id, t.family_id, t.counter, f.user_id
  FROM auth_refresh_tokens t JOIN auth_families f ON f.id = t.family_id WHERE t.token_hash = $1
"""

LOCK = """
SELECT counter, rotated_at, revoked_at IS NULL AND least(expires_at, ends_at) > $3 AS alive, ends_at
  FROM auth_families WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE
"""

OWNER = """
SELECT u.id, u.tenant_id, u.role, u.email, u.email_verified, u.display_name, u.created_at, u.token_version,
       t.display_name AS tenant_name, u.is_active AND t.is_active AND u.released_at IS NULL AS active,
       coalesce(u.unverified_since, u.created_at) AS unproven_since
  FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.tenant_id = $1 AND u.id = $2
"""

ROTATE = """
UPDATE auth_families SET counter = counter + 1, rotated_at = $4, last_used_at = $4, expires_at = $5
 WHERE tenant_id = $1 AND id = $2 AND counter = $3
"""

KEY_ID = "SELECT key_id FROM auth_refresh_tokens WHERE tenant_id = $1 AND family_id = $2 AND counter = $3"

END_REUSED = "UPDATE auth_families SET revoked_at = $3, revoked_why = 'reused' WHERE tenant_id = $1 AND id = $2"

REFUSED = "invalid_refresh_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenRow:
    """Where a refresh token stands: whose it is, and which of its family it is."""

    tenant_id: str
    user_id: str
    family_id: str
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[RefreshTokenRow | None]):
    """The place of a refresh token, by its hash. System work: the token alone says whose it is."""

    tenant_id: None = None
    token_hash: bytes

    async def run(self, db: Connection) -> RefreshTokenRow | None:
        row = await db.fetchrow(FIND, self.token_hash)
        return None if row is None else RefreshTokenRow(**dict(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """The token after the one that was shown. Only its hash is known here."""

    id: str
    token_hash: bytes
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long tokens live, how long a lost answer may be asked for again, and how long an address may be unproven.

    ``unverified`` is ``None`` where addresses are not verified.
    """

    lifetime: timedelta
    grace: timedelta
    unverified: timedelta | None


@dataclass(frozen=True, slots=True)
class Renewed:
    """Continue with the successor, derived with this key: stored now, or within the grace period."""

    principal: Principal
    key_id: str


@dataclass(frozen=True, slots=True)
class Reused:
    """The token had been replaced before: its family is revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew(Command[Renewed | Reused]):
    """Use a refresh token. Of concurrent uses one rotates the family; the others are retries.

    Unauthorized ``invalid_refresh_token`` if family, person, agency or address do not allow it. A reuse is an answer
    and no refusal: the end of the family has to be committed.
    """

    tenant_id: str
    presented: RefreshTokenRow
    successor: Successor
    rules: Rules
    reused: outbox.QueuedEmail
    """The notice of a reuse."""
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Renewed | Reused:
        family = await db.fetchrow(LOCK, self.tenant_id, self.presented.family_id, self.now)
        if family is None or not family["alive"]:
            raise Unauthorized(REFUSED)
        forward = family["counter"] == self.presented.counter
        if not (forward or self._forgiven(family)):
            await self._end(db, family["counter"])
            return Reused()
        principal = await self._owner(db)
        if not forward:
            key_id = await db.fetchval(KEY_ID, self.tenant_id, self.presented.family_id, family["counter"])
            return Renewed(principal, key_id)
        await self._rotate(db, family["ends_at"])
        return Renewed(principal, self.successor.key_id)

    def _forgiven(self, family: Any) -> bool:
        """Whether it is the immediate predecessor within the grace period: a client that lost the reply retries."""
        return bool(
            family["counter"] == self.presented.counter + 1 and self.now - family["rotated_at"] < self.rules.grace
        )

    async def _owner(self, db: Connection) -> Principal:
        row = await db.fetchrow(OWNER, self.tenant_id, self.presented.user_id)
        if row is None or not row["active"]:
            raise Unauthorized(REFUSED)
        allowed = self.rules.unverified
        if allowed is not None and not row["email_verified"] and self.now - row["unproven_since"] >= allowed:
            raise Unauthorized(REFUSED)
        return read_principal(row, self.presented.family_id)

    async def _rotate(self, db: Connection, ends_at: datetime) -> None:
        family_id, counter = self.presented.family_id, self.presented.counter
        expires_at = min(self.now + self.rules.lifetime, ends_at)
        await db.execute(ROTATE, self.tenant_id, family_id, counter, self.now, expires_at)
        new = self.successor
        await db.execute(
            ADD_TO_FAMILY, new.id, self.tenant_id, family_id, counter + 1, new.token_hash, new.key_id, self.now
        )

    async def _end(self, db: Connection, counter: int) -> None:
        await db.execute(END_REUSED, self.tenant_id, self.presented.family_id, self.now)
        await outbox.notify(db, self.reused, self.tenant_id, self.presented.user_id, self.now)
        values = {"session_id": self.presented.family_id, "counter": counter, "presented": self.presented.counter}
        event = audits.AuditEvent(
            id=uuid7(),
            tenant_id=self.tenant_id,
            created_at=self.now,
            kind="auth.refresh_reused",
            status="rejected",
            actor_kind="system",
            inputs=self.origin.inputs() | values,
            entity_refs={"user_id": self.presented.user_id},
        )
        await audit.append(db, [event])
