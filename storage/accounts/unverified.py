"""Accounts that stay unverified: they are closed, or fall back to the last verified address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from ...actors.domain import audit as audits
from .. import audit
from ..engine.operations import Command, Query
from . import one_time_tokens
from .account_events import event
from .account_recovery import GivenBack, ResetEmail, give_back
from .credentials import revoke_all
from .users import LOCK_ADDRESS, is_taken

if TYPE_CHECKING:
    from ..engine.pool import Connection

BEFORE_ALL = "00000000-0000-0000-0000-000000000000"

FIND = """
SELECT tenant_id, id AS user_id, coalesce(former_email, email) AS email FROM users
 WHERE NOT email_verified AND released_at IS NULL AND coalesce(unverified_since, created_at) <= $1 AND id > $2
 ORDER BY id LIMIT $3
"""

LOCK = """
SELECT id, email, email_verified, former_email, role = 'agency_admin' AND is_active AS governs,
       coalesce(unverified_since, created_at) AS since
  FROM users WHERE tenant_id = $1 AND released_at IS NULL AND (id = $2 OR role = 'agency_admin' AND is_active)
 ORDER BY id FOR NO KEY UPDATE
"""

HOLD_AGENCY = "SELECT FROM tenants WHERE id = $1 FOR UPDATE"
"""Nobody joins an agency meanwhile: a new member's foreign key waits for this lock."""

HAS_OTHERS = """
SELECT EXISTS (SELECT FROM users WHERE tenant_id = $1 AND id <> $2 AND released_at IS NULL AND is_active)
"""

CLOSE = """
UPDATE users SET is_active = false, released_at = $3, token_version = token_version + 1, token_version_at = $3,
                 password_hash = NULL
 WHERE tenant_id = $1 AND id = $2
"""

CLOSE_AGENCY = "UPDATE tenants SET is_active = false WHERE id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A user whose verification is overdue, and the address that is restored or released."""

    tenant_id: str
    user_id: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindOverdue(Query[list[Overdue]]):
    """Up to ``limit`` users whose address has been unverified for ``allowed``, behind ``after``. System work."""

    tenant_id: None = None
    now: datetime
    allowed: timedelta
    after: str = BEFORE_ALL
    limit: int = 100

    async def run(self, db: Connection) -> list[Overdue]:
        return [Overdue(**dict(row)) for row in await db.fetch(FIND, self.now - self.allowed, self.after, self.limit)]


class Outcome(Enum):
    """What became of an account."""

    KEPT = "kept"
    FELL_BACK = "fell_back"
    CLOSED = "closed"
    AGENCY_CLOSED = "agency_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseUnverified(Command[Outcome]):
    """Do with one account what is due, if it still is.

    It falls back to its last verified address; one that never had any is closed and its address released, with
    the agency if nobody else is in it. The only admin of others is kept, as is who has lost even the former address.
    System work: addresses are everybody's.
    """

    tenant_id: None = None
    overdue: Overdue
    allowed: timedelta
    reset: ResetEmail
    """For the address it falls back to, if it does: what it could be entered with is ended."""
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Outcome:
        tenant_id, user_id = self.overdue.tenant_id, self.overdue.user_id
        await db.fetchval(LOCK_ADDRESS, self.overdue.email)
        locked = {row["id"]: row for row in await db.fetch(LOCK, tenant_id, user_id)}
        person = locked.pop(user_id, None)
        if person is None or person["email_verified"] or self.now - person["since"] < self.allowed:
            return Outcome.KEPT
        if (person["former_email"] or person["email"]) != self.overdue.email:
            return Outcome.KEPT
        if person["former_email"] is not None:
            return await self._fall_back(db, person)
        await db.execute(HOLD_AGENCY, tenant_id)
        others = bool(await db.fetchval(HAS_OTHERS, tenant_id, user_id))
        if others and person["governs"] and not any(row["governs"] for row in locked.values()):
            return Outcome.KEPT
        await self._close(db, person["email"])
        if others:
            return Outcome.CLOSED
        await db.execute(CLOSE_AGENCY, tenant_id)
        return Outcome.AGENCY_CLOSED

    async def _fall_back(self, db: Connection, person: Any) -> Outcome:
        tenant_id, user_id, email = self.overdue.tenant_id, self.overdue.user_id, self.overdue.email
        if await is_taken(db, email, self.now, user_id):
            return Outcome.KEPT
        undo_id = await one_time_tokens.last_undo(db, tenant_id, user_id, email)
        account = GivenBack(tenant_id=tenant_id, user_id=user_id, left=person["email"], email=email, undo_id=undo_id)
        entries = await give_back(db, account, "unproven", self.origin, self.now)
        await self.reset.send(db, tenant_id, user_id, self.now)
        await audit.append(db, [replace(entry, actor_kind="system", actor_id=None) for entry in entries])
        return Outcome.FELL_BACK

    async def _close(self, db: Connection, email: str) -> None:
        tenant_id, user_id, now = self.overdue.tenant_id, self.overdue.user_id, self.now
        await db.execute(CLOSE, tenant_id, user_id, now)
        _sessions, revoked = await revoke_all(db, tenant_id, user_id, "closed", now)
        await one_time_tokens.end(db, tenant_id, user_id, one_time_tokens.KINDS, now)
        closed = self._entry("auth.account_closed", {"email": email})
        await audit.append(db, [closed, *revoked.entries(tenant_id, user_id, self.origin, now)])

    def _entry(self, kind: str, inputs: dict[str, Any]) -> audits.AuditEvent:
        user = (self.overdue.tenant_id, self.overdue.user_id)
        return replace(event(kind, *user, self.origin, self.now, inputs), actor_kind="system", actor_id=None)
