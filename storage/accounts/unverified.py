"""Accounts that stay unverified: they are closed, or fall back to the last verified address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, func, not_, or_, select, update

from ...actors.domain import audit as audits
from .. import audit
from ..engine.operations import Command, Query
from ..engine.statements import binds, statement
from ..schema.columns import Time
from ..tables import tenants, users
from . import one_time_tokens
from .account_recovery import ResetEmail, RestoredAccount, restore_account
from .credentials import revoke_all
from .members import GOVERNS, OF_AGENCY
from .principals import THIS_USER
from .users import LOCK_ADDRESS, is_taken

if TYPE_CHECKING:
    from ..engine.connection import Connection

BEFORE_ALL = "00000000-0000-0000-0000-000000000000"

SINCE = func.coalesce(users.c.unverified_since, users.c.created_at)

FIND = statement(
    select(
        users.c.tenant_id,
        users.c.id.label("user_id"),
        func.coalesce(users.c.former_email, users.c.email).label("email"),
    )
    .where(
        not_(users.c.email_verified),
        users.c.released_at.is_(None),
        bindparam("by", type_=Time) >= SINCE,
        users.c.id > bindparam("after"),
    )
    .order_by(users.c.id)
    .limit(bindparam("limit"))
)

LOCK = statement(
    select(
        *users.c["id", "email", "email_verified", "former_email"],
        GOVERNS.label("governs"),
        SINCE.label("since"),
    )
    .where(OF_AGENCY, or_(users.c.id == bindparam("user_id"), GOVERNS))
    .order_by(users.c.id)
    .with_for_update(key_share=True)
)

HOLD_AGENCY = statement(select(tenants.c.id).filter_by(**binds("id")).with_for_update())
"""Nobody joins an agency meanwhile: a new member's foreign key waits for this lock."""

HAS_OTHERS = statement(select(exists().where(OF_AGENCY, users.c.id != bindparam("user_id"), users.c.is_active)))

CLOSE = statement(
    update(users)
    .where(THIS_USER)
    .values(
        is_active=False,
        released_at=bindparam("now"),
        token_version=users.c.token_version + 1,
        token_version_at=bindparam("now"),
        password_hash=None,
    )
)

CLOSE_AGENCY = statement(update(tenants).filter_by(**binds("id")).values(is_active=False))


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
        rows = await FIND.fetch(db, by=self.now - self.allowed, after=self.after, limit=self.limit)
        return [Overdue(**dict(row)) for row in rows]


class Outcome(Enum):
    """What became of an account."""

    KEPT = "kept"
    FELL_BACK = "fell_back"
    CLOSED = "closed"
    AGENCY_CLOSED = "agency_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseUnverified(Command[Outcome]):
    """Restore or close one account whose address was not verified in time; nothing changes if it was meanwhile.

    An account with a former verified address returns to it, unless somebody else has that address now. One without
    is closed and its address released, and with its last member the agency. The only admin of an agency with other
    members is kept. Runs as system work: addresses are unique across agencies.
    """

    tenant_id: None = None
    overdue: Overdue
    allowed: timedelta
    reset: ResetEmail
    """Sent to the address the account returns to: its credentials are revoked with the change."""
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Outcome:
        tenant_id, user_id = self.overdue.tenant_id, self.overdue.user_id
        await db.fetchval(LOCK_ADDRESS, self.overdue.email)
        rows = await LOCK.fetch(db, tenant_id=tenant_id, user_id=user_id)
        locked = {row["id"]: row for row in rows}
        person = locked.pop(user_id, None)
        if person is None or person["email_verified"] or self.now - person["since"] < self.allowed:
            return Outcome.KEPT
        if (person["former_email"] or person["email"]) != self.overdue.email:
            return Outcome.KEPT
        if person["former_email"] is not None:
            return await self._fall_back(db, person)
        await HOLD_AGENCY.execute(db, id=tenant_id)
        others = bool(await HAS_OTHERS.fetchval(db, tenant_id=tenant_id, user_id=user_id))
        if others and person["governs"] and not any(row["governs"] for row in locked.values()):
            return Outcome.KEPT
        await self._close(db, person["email"])
        if others:
            return Outcome.CLOSED
        await CLOSE_AGENCY.execute(db, id=tenant_id)
        return Outcome.AGENCY_CLOSED

    async def _fall_back(self, db: Connection, person: Any) -> Outcome:
        tenant_id, user_id, email = self.overdue.tenant_id, self.overdue.user_id, self.overdue.email
        if await is_taken(db, email, self.now, user_id):
            return Outcome.KEPT
        undo_id = await one_time_tokens.last_undo(db, tenant_id, user_id, email)
        account = RestoredAccount(
            tenant_id=tenant_id, user_id=user_id, left=person["email"], email=email, undo_id=undo_id
        )
        entries = await restore_account(db, account, "unproven", self.origin, self.now)
        await self.reset.send(db, tenant_id, user_id, self.now)
        await audit.append(db, [replace(entry, actor_kind="system", actor_id=None) for entry in entries])
        return Outcome.FELL_BACK

    async def _close(self, db: Connection, email: str) -> None:
        tenant_id, user_id, now = self.overdue.tenant_id, self.overdue.user_id, self.now
        await CLOSE.execute(db, tenant_id=tenant_id, user_id=user_id, now=now)
        _sessions, revoked = await revoke_all(db, tenant_id, user_id, "closed", now)
        await one_time_tokens.end(db, tenant_id, user_id, one_time_tokens.KINDS, now)
        closed = self._entry("auth.account_closed", {"email": email})
        await audit.append(db, [closed, *revoked.entries(tenant_id, user_id, self.origin, now)])

    def _entry(self, kind: str, inputs: dict[str, Any]) -> audits.AuditEvent:
        refs = {"user_id": self.overdue.user_id}
        return audits.AuditEvent.by_system(
            kind, self.overdue.tenant_id, self.now, origin=self.origin, inputs=inputs, refs=refs
        )
