"""A user's login sessions: list, sign-out and revocation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ...actors.domain import audit as audits
from ...actors.domain.errors import NotFound
from ...actors.domain.ids import uuid7
from .. import audit
from ..engine.operations import Command, Query

if TYPE_CHECKING:
    from ..engine.pool import Connection

LIVE = """
SELECT id, created_at, last_used_at, least(expires_at, ends_at) AS expires_at, user_agent, ip
  FROM auth_families
 WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND least(expires_at, ends_at) > $3
 ORDER BY last_used_at DESC, id DESC
"""

END = """
UPDATE auth_families SET revoked_at = $4, revoked_why = $5
 WHERE tenant_id = $1 AND user_id = $2 AND id = ANY($3::uuid[]) AND revoked_at IS NULL
   AND least(expires_at, ends_at) > $4
RETURNING id
"""

DENY = """
INSERT INTO revoked_access_tokens (jti, tenant_id, user_id, expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (jti) DO NOTHING RETURNING jti
"""

OWN = "SELECT EXISTS (SELECT FROM auth_families WHERE tenant_id = $1 AND user_id = $2 AND id = $3)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A login session: one family of refresh tokens."""

    id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    ip: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLoginSessions(Query[list[Session]]):
    """One person's live sessions, newest use first."""

    user_id: str
    now: datetime

    async def run(self, db: Connection) -> list[Session]:
        return [Session(**dict(row)) for row in await db.fetch(LIVE, self.tenant_id, self.user_id, self.now)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """An access token without a family, refused until it expires."""

    token_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOut(Command[None]):
    """Revoke families of one user, and a single token without one. Repeated revocations write no event."""

    tenant_id: str
    user_id: str
    families: Sequence[str]
    denied: Denied | None
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        ended: list[str | None] = []
        if self.families:
            rows = await db.fetch(END, self.tenant_id, self.user_id, self.families, self.now, "signed_out")
            ended += sorted(row["id"] for row in rows)
        if (single := self.denied) is not None:
            values = (single.token_id, self.tenant_id, self.user_id, single.expires_at, self.now)
            if await db.fetchval(DENY, *values) is not None:
                ended.append(None)
        await audit.append(db, [_ended(self, "auth.sign_out", session_id) for session_id in ended])


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Command[None]):
    """Revoke one of the user's own sessions. NotFound ``session_not_found``; no effect if it has ended."""

    tenant_id: str
    user_id: str
    session_id: str
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        if not await db.fetchval(OWN, self.tenant_id, self.user_id, self.session_id):
            raise NotFound("session_not_found")
        ended = await db.fetch(END, self.tenant_id, self.user_id, [self.session_id], self.now, "revoked")
        await audit.append(db, [_ended(self, "auth.session_revoked", row["id"]) for row in ended])


def _ended(by: SignOut | Revoke, kind: str, session_id: str | None) -> audits.AuditEvent:
    return audits.AuditEvent(
        id=uuid7(),
        tenant_id=by.tenant_id,
        created_at=by.now,
        kind=kind,
        status="succeeded",
        actor_kind="human",
        actor_id=by.user_id,
        inputs=by.origin.inputs() | {"session_id": session_id},
    )
