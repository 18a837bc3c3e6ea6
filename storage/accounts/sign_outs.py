"""A user's login sessions: list, sign-out and revocation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain import audit as audits
from ...actors.domain.errors import NotFound
from .. import audit
from ..engine.operations import ACCOUNTS, Command, Query
from ..engine.statements import any_of, binds, statement
from ..tables import auth_families, revoked_access_tokens
from .login_sessions import EXPIRY, IS_LIVE, OF_USER

if TYPE_CHECKING:
    from ..engine.connection import Connection

LIVE = statement(
    select(
        *auth_families.c["id", "created_at", "last_used_at", "user_agent", "ip"],
        EXPIRY.label("expires_at"),
    )
    .where(OF_USER, IS_LIVE)
    .order_by(auth_families.c.last_used_at.desc(), auth_families.c.id.desc())
)

END = statement(
    update(auth_families)
    .where(OF_USER, any_of(auth_families.c.id, "families"), IS_LIVE)
    .values(revoked_at=bindparam("now"), revoked_why=bindparam("why"))
    .returning(auth_families.c.id)
)

DENY = statement(
    insert(revoked_access_tokens)
    .values(**binds("jti", "tenant_id", "user_id", "expires_at", "created_at"))
    .on_conflict_do_nothing(index_elements=["jti"])
    .returning(revoked_access_tokens.c.jti)
)

OWN = statement(select(exists().where(OF_USER, auth_families.c.id == bindparam("family_id"))))


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
        rows = await LIVE.fetch(db, tenant_id=self.tenant_id, user_id=self.user_id, now=self.now)
        return [Session(**dict(row)) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """An access token without a family, refused until it expires."""

    token_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOut(Command[None]):
    """Revoke families of one user, and a single token without one. Repeated revocations write no event."""

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    families: Sequence[str]
    denied: Denied | None
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        ended: list[str | None] = []
        if self.families:
            ended += await _end(self, self.families, "signed_out", db)
        if (single := self.denied) is not None:
            denied = await DENY.fetchval(
                db,
                jti=single.token_id,
                tenant_id=self.tenant_id,
                user_id=self.user_id,
                expires_at=single.expires_at,
                created_at=self.now,
            )
            if denied is not None:
                ended.append(None)
        await audit.append(db, [_ended(self, "auth.sign_out", session_id) for session_id in ended])


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Command[None]):
    """Revoke one of the user's own sessions. NotFound ``session_not_found``; no effect if it has ended."""

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    session_id: str
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        if not await OWN.fetchval(db, tenant_id=self.tenant_id, user_id=self.user_id, family_id=self.session_id):
            raise NotFound("session_not_found")
        ended = await _end(self, [self.session_id], "revoked", db)
        await audit.append(db, [_ended(self, "auth.session_revoked", session_id) for session_id in ended])


async def _end(by: SignOut | Revoke, families: Sequence[str], why: str, db: Connection) -> list[str]:
    """Revoke those of the user's ``families`` that live. Answers with their ids."""
    user = {"tenant_id": by.tenant_id, "user_id": by.user_id}
    return sorted(row["id"] for row in await END.fetch(db, **user, families=families, now=by.now, why=why))


def _ended(by: SignOut | Revoke, kind: str, session_id: str | None) -> audits.AuditEvent:
    about = {"session_id": session_id}
    return audits.AuditEvent.by_person(kind, by.tenant_id, by.user_id, by.origin, by.now, inputs=about)
