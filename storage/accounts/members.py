"""Members of an agency: role, activation, and the revocations that follow from changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, and_, bindparam, case, func, or_, select, true, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import Conflict, Forbidden, NotFound, Unauthorized
from ...actors.domain.identity import Principal, Role
from .. import audit
from ..engine.operations import ACCOUNTS, Command, Query
from ..engine.statements import binds, statement
from ..schema.columns import Time, Uuid
from ..tables import tenants, users
from .credentials import revoke_invites, revoke_keys
from .login_sessions import end_families
from .principals import THIS_USER

if TYPE_CHECKING:
    from ..engine.connection import Connection

MEMBER = (
    *users.c["id", "email", "display_name", "role", "is_active", "email_verified", "totp_enabled_at", "last_login_at"],
    users.c.created_at,
)
OF_AGENCY = and_(users.c.tenant_id == bindparam("tenant_id"), users.c.released_at.is_(None))
GOVERNS = and_(users.c.role == "agency_admin", users.c.is_active)
"""One of the admins an agency cannot be without."""

LOCK = statement(
    select(*MEMBER, users.c.token_version)
    .where(OF_AGENCY, or_(users.c.id == bindparam("user_id"), users.c.id == bindparam("by", type_=Uuid), GOVERNS))
    .order_by(users.c.id)
    .with_for_update(key_share=True)
)

CHANGE = statement(
    update(users)
    .where(THIS_USER)
    .values(
        **binds("role", "is_active"),
        token_version=users.c.token_version + bindparam("revoked", type_=Integer),
        token_version_at=case(
            (bindparam("revoked", type_=Integer) > 0, bindparam("now", type_=Time)),
            else_=users.c.token_version_at,
        ),
    )
)

_WHOLE = select(func.count().label("total")).select_from(users).where(OF_AGENCY).subquery("whole")
_PAGE = (
    select(*MEMBER)
    .where(OF_AGENCY)
    .order_by(users.c.created_at, users.c.id)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
    .subquery("page")
)
PAGE = statement(
    select(_WHOLE.c.total, _PAGE).select_from(_WHOLE.outerjoin(_PAGE, true())).order_by(_PAGE.c.created_at, _PAGE.c.id)
)

SWITCH_AGENCY = statement(
    update(tenants).filter_by(**binds("id")).values(is_active=bindparam("active")).returning(tenants.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member as admins see them."""

    id: str
    email: str
    full_name: str | None
    role: Role
    is_active: bool
    email_verified: bool
    totp_enabled: bool
    last_login_at: datetime | None
    created_at: datetime

    @property
    def governs(self) -> bool:
        """Whether they are one of the admins an agency cannot be without."""
        return self.is_active and self.role is Role.AGENCY_ADMIN


@dataclass(frozen=True, slots=True)
class Members:
    """A page of members, and how many there are in all."""

    items: tuple[Member, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Query[Members]):
    """The members of an agency, oldest first, without closed accounts."""

    limit: int
    offset: int

    async def run(self, db: Connection) -> Members:
        rows = await PAGE.fetch(db, tenant_id=self.tenant_id, limit=self.limit, offset=self.offset)
        return Members(tuple(_member(row) for row in rows if row["id"] is not None), rows[0]["total"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Credentials revoked with a member's rights, by id."""

    sessions: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = ()
    invites: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Command[Member]):
    """Change a member's role, deactivate or reactivate them; ``None`` leaves the field unchanged.

    NotFound ``member_not_found``; Conflict ``last_admin`` if no active admin would remain, exact also when two admins
    demote each other at once. Whoever it is done ``by`` may have been switched off or demoted since they were admitted:
    Unauthorized, Forbidden. Nobody's ``by`` is the system.
    """

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    role: Role | None
    is_active: bool | None
    by: Principal | None
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Member:
        by = None if self.by is None else self.by.user_id
        rows = await LOCK.fetch(db, tenant_id=self.tenant_id, user_id=self.user_id, by=by)
        locked = {row["id"]: _member(row) for row in rows}
        before = locked.pop(self.user_id, None)
        if before is None:
            raise NotFound("member_not_found")
        after = replace(
            before,
            role=before.role if self.role is None else self.role,
            is_active=before.is_active if self.is_active is None else self.is_active,
        )
        if after == before:
            return before
        if before.governs and not after.governs and not any(other.governs for other in locked.values()):
            raise Conflict("last_admin")
        if self.by is not None:
            _check_acting(self.by, next((row for row in rows if row["id"] == by), None))
        leaves = before.is_active and not after.is_active
        await CHANGE.execute(
            db,
            tenant_id=self.tenant_id,
            user_id=self.user_id,
            role=after.role,
            is_active=after.is_active,
            revoked=int(leaves),
            now=self.now,
        )
        ended = await self._end(db, leaves=leaves, demoted=before.governs and not after.governs)
        await audit.append(db, self._entries(before, after, ended))
        return after

    async def _end(self, db: Connection, *, leaves: bool, demoted: bool) -> Ended:
        """Deactivation revokes all credentials; demotion revokes pending invites, which only admins may create."""
        if not (leaves or demoted):
            return Ended()
        pending = await revoke_invites(db, self.tenant_id, self.user_id, self.now)
        if not leaves:
            return Ended(invites=pending)
        keys = await revoke_keys(db, self.tenant_id, self.user_id, self.now)
        sessions = await end_families(db, self.tenant_id, self.user_id, "deactivated", self.now)
        return Ended(sessions=tuple(sessions), api_keys=keys, invites=pending)

    def _entries(self, before: Member, after: Member, ended: Ended) -> Sequence[audits.AuditEvent]:
        changed = self._entry(
            "auth.member_changed",
            user_id=self.user_id,
            before={"role": before.role.value, "is_active": before.is_active},
            after={"role": after.role.value, "is_active": after.is_active},
            api_keys_ended=list(ended.api_keys),
            invites_ended=[invite_id for invite_id, _email in ended.invites],
            sessions_ended=list(ended.sessions),
        )
        return [changed] + [
            self._entry("auth.invite_revoked", by_system=True, invite_id=invite_id, email=email)
            for invite_id, email in ended.invites
        ]

    def _entry(self, kind: str, *, by_system: bool = False, **inputs: Any) -> audits.AuditEvent:
        refs, origin, tenant_id = {"user_id": self.user_id}, self.origin, self.tenant_id
        if by_system or self.by is None:
            return audits.AuditEvent.by_system(kind, tenant_id, self.now, origin=origin, inputs=inputs, refs=refs)
        return audits.AuditEvent.by_person(kind, tenant_id, self.by.user_id, origin, self.now, inputs=inputs, refs=refs)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchAgency(Command[None]):
    """Suspend or reactivate an agency. NotFound ``tenant_not_found``."""

    UNFENCED = ACCOUNTS

    is_active: bool

    async def run(self, db: Connection) -> None:
        if await SWITCH_AGENCY.fetchval(db, id=self.tenant_id, active=self.is_active) is None:
            raise NotFound("tenant_not_found")


def _check_acting(by: Principal, row: Any) -> None:
    """Unauthorized for who is gone or whose tokens ended since they were admitted, Forbidden for who is no admin."""
    if row is None or not row["is_active"] or row["token_version"] != by.token_version:
        raise Unauthorized("unauthorized")
    if row["role"] != Role.AGENCY_ADMIN:
        raise Forbidden("forbidden_role")


def _member(row: Any) -> Member:
    return Member(
        id=row["id"],
        email=row["email"],
        full_name=row["display_name"],
        role=Role(row["role"]),
        is_active=row["is_active"],
        email_verified=row["email_verified"],
        totp_enabled=row["totp_enabled_at"] is not None,
        last_login_at=row["last_login_at"],
        created_at=row["created_at"],
    )
