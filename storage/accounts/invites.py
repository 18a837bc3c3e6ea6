"""Invites: at most one pending for an address; revoked, or accepted once with one of its tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, exists, insert, or_, select, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import BadRequest, Conflict, Forbidden, NotFound
from ...actors.domain.identity import Principal, Role
from .. import audit, outbox
from ..engine.operations import ACCOUNTS, Command, Query
from ..engine.statements import binds, statement
from ..tables import invites, tenants, users
from ..tables import outbox as emails
from . import one_time_tokens
from .account_events import event
from .login_sessions import NewFamily, open_family
from .principals import lock_acting
from .users import add_user, claim_address

if TYPE_CHECKING:
    from ..engine.connection import Connection


THIS_INVITE = and_(invites.c.tenant_id == bindparam("tenant_id"), invites.c.id == bindparam("invite_id"))
IS_PENDING = invites.c.status == "pending"
HAS_EXPIRED = invites.c.expires_at <= bindparam("now")
INVITE = (
    *invites.c["id", "tenant_id", "email", "role", "status", "expires_at", "created_at", "accepted_at", "revoked_at"],
    invites.c.invited_by_user_id,
)
"""The columns of ``Invite``."""

IS_MEMBER = statement(
    select(
        exists().where(
            users.c.tenant_id == bindparam("tenant_id"),
            users.c.email == bindparam("email"),
            users.c.released_at.is_(None),
        )
    )
)

EXPIRE = statement(
    update(invites)
    .filter_by(**binds("tenant_id", "email"))
    .where(IS_PENDING, HAS_EXPIRED)
    .values(status="expired")
    .returning(invites.c.id)
)

INSERT = statement(
    insert(invites)
    .values(
        **binds("id", "tenant_id", "invited_by_user_id", "inviter_email", "email", "role"),
        **binds("token_hash", "letter_token_hash", "expires_at", "created_at"),
    )
    .returning(*INVITE)
)

LIST = statement(
    select(*INVITE)
    .where(
        invites.c.tenant_id == bindparam("tenant_id"),
        or_(
            bindparam("status", type_=invites.c.status.type).is_(None),
            case((and_(IS_PENDING, HAS_EXPIRED), "expired"), else_=invites.c.status) == bindparam("status"),
        ),
    )
    .order_by(invites.c.created_at.desc(), invites.c.id.desc())
)

REVOKE = statement(
    update(invites)
    .where(THIS_INVITE, IS_PENDING, ~HAS_EXPIRED)
    .values(status="revoked", revoked_at=bindparam("now"))
    .returning(*INVITE)
)

EXISTS = statement(select(exists().where(THIS_INVITE)))

FIND = statement(
    select(
        *invites.c["id", "tenant_id", "email", "role", "status", "inviter_email", "expires_at"],
        tenants.c.display_name.label("tenant_name"),
        (invites.c.letter_token_hash == bindparam("token_hash")).label("by_email"),
    )
    .select_from(invites.join(tenants, and_(tenants.c.id == invites.c.tenant_id, tenants.c.is_active)))
    .where(
        or_(
            invites.c.token_hash == bindparam("token_hash"),
            invites.c.letter_token_hash == bindparam("token_hash"),
        )
    )
)

ACCEPT = statement(
    update(invites)
    .where(
        invites.c.id == bindparam("invite_id"),
        IS_PENDING,
        ~HAS_EXPIRED,
        tenants.c.id == invites.c.tenant_id,
        tenants.c.is_active,
    )
    .values(status="accepted", accepted_at=bindparam("now"))
    .returning(invites.c.id)
)

ACCEPTED_BY = statement(update(invites).where(THIS_INVITE).values(accepted_user_id=bindparam("user_id")))

RELEASE = statement(
    update(emails)
    .where(
        emails.c.tenant_id == bindparam("tenant_id"),
        emails.c.state == "held",
        emails.c.id.in_(
            select(invites.c.id).where(
                invites.c.tenant_id == bindparam("tenant_id"),
                invites.c.invited_by_user_id == bindparam("user_id"),
                IS_PENDING,
            )
        ),
    )
    .values(state="due", due_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An invite as its agency sees it: never a token."""

    id: str
    tenant_id: str
    email: str
    role: Role
    status: str
    expires_at: datetime
    created_at: datetime
    accepted_at: datetime | None
    revoked_at: datetime | None
    invited_by_user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvite:
    """An invite to be created, its link, and its e-mail, which has the invite's id."""

    id: str
    email: str
    role: Role
    token_hash: bytes
    letter_token_hash: bytes
    expires_at: datetime
    mail: outbox.QueuedEmail
    link: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Invited:
    """A new invite, and its link, which is shown only once."""

    invite: Invite
    link: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Command[Invited]):
    """Invite an address. Conflict ``email_already_registered`` for a member, ``invite_already_exists`` while one waits.

    The inviter is held for as long as this takes: an invite made beside their demotion would outlive it. One whose
    tokens ended since they were admitted with ``token_version`` is Unauthorized. With ``verified_only`` the e-mail of
    an unverified inviter is held back. An address that had enough invites by e-mail for now gets none, but the link is
    returned. System work: other agencies' invites count, too.
    """

    UNFENCED = ACCOUNTS

    tenant_id: None = None
    agency_id: str
    user_id: str
    token_version: int
    invite: NewInvite
    verified_only: bool
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Invited:
        new, now = self.invite, self.now
        inviter = await lock_acting(db, self.agency_id, self.user_id, self.token_version)
        if inviter["role"] != Role.AGENCY_ADMIN:
            raise Forbidden("forbidden_role")
        if await IS_MEMBER.fetchval(db, tenant_id=self.agency_id, email=new.email):
            raise Conflict("email_already_registered")
        expired = await EXPIRE.fetch(db, tenant_id=self.agency_id, email=new.email, now=now)
        await outbox.drop(db, [row["id"] for row in expired])
        row = await INSERT.fetchrow(
            db,
            id=new.id,
            tenant_id=self.agency_id,
            invited_by_user_id=self.user_id,
            inviter_email=inviter["email"],
            email=new.email,
            role=new.role,
            token_hash=new.token_hash,
            letter_token_hash=new.letter_token_hash,
            expires_at=new.expires_at,
            created_at=now,
        )
        held = self.verified_only and not inviter["email_verified"]
        await outbox.offer(db, new.mail, self.agency_id, now, held=held)
        inputs = {"invite_id": new.id, "email": new.email, "role": new.role.value}
        entry = event("auth.invite_created", self.agency_id, self.user_id, self.origin, now, inputs)
        await audit.append(db, [entry])
        return Invited(_invite(row, now), new.link)


@dataclass(frozen=True, slots=True, kw_only=True)
class All(Query[list[Invite]]):
    """The invites of an agency, or those of one ``status``, newest first."""

    status: str | None
    now: datetime

    async def run(self, db: Connection) -> list[Invite]:
        rows = await LIST.fetch(db, tenant_id=self.tenant_id, status=self.status, now=self.now)
        return [_invite(row, self.now) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Command[Invite]):
    """Take a pending invite back. NotFound ``invite_not_found``; Conflict ``invite_not_pending``."""

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    invite_id: str
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Invite:
        row = await REVOKE.fetchrow(db, tenant_id=self.tenant_id, invite_id=self.invite_id, now=self.now)
        if row is None:
            if await EXISTS.fetchval(db, tenant_id=self.tenant_id, invite_id=self.invite_id):
                raise Conflict("invite_not_pending")
            raise NotFound("invite_not_found")
        await outbox.drop(db, [self.invite_id])
        inputs = {"invite_id": self.invite_id, "email": row["email"]}
        entry = event("auth.invite_revoked", self.tenant_id, self.user_id, self.origin, self.now, inputs)
        await audit.append(db, [entry])
        return _invite(row, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A pending invite as shown for one of its tokens, and whether that token was the e-mailed one."""

    id: str
    tenant_id: str
    tenant_name: str
    inviter_email: str
    email: str
    role: Role
    expires_at: datetime
    by_email: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[Found]):
    """The pending invite of a token, by its hash. System work: the token alone says which agency's it is.

    NotFound ``invite_not_found``; BadRequest ``invite_not_pending``, ``invite_expired``.
    """

    tenant_id: None = None
    token_hash: bytes
    now: datetime

    async def run(self, db: Connection) -> Found:
        return await _find(db, self.token_hash, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept(Command[None]):
    """Make ``person`` a member as the invite provides, and open a login session. Refusals as those of ``Find``.

    Conflict ``email_already_registered``. System work: the address must be free in every agency. ``verification`` is
    for those who used the link, where addresses are verified.
    """

    UNFENCED = ACCOUNTS

    tenant_id: None = None
    invite: Found
    token_hash: bytes
    person: Principal
    password_hash: str
    family: NewFamily
    verification: tuple[one_time_tokens.NewToken, outbox.QueuedEmail] | None
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        person, now = self.person, self.now
        tenant_id, user_id, invite_id = person.tenant_id, person.user_id, self.invite.id
        if await ACCEPT.fetchval(db, invite_id=invite_id, now=now) is None:
            await _find(db, self.token_hash, now)
            raise NotFound("invite_not_found")
        await claim_address(db, person.email, now)
        await add_user(db, person, self.password_hash, now)
        await ACCEPTED_BY.execute(db, tenant_id=tenant_id, invite_id=invite_id, user_id=user_id)
        await open_family(db, self.family, tenant_id, user_id, now)
        await outbox.drop(db, [invite_id])
        if self.verification is not None:
            await one_time_tokens.send(db, *self.verification, tenant_id, user_id, now)
        await audit.append(db, self._entries())

    def _entries(self) -> list[audits.AuditEvent]:
        user = (self.person.tenant_id, self.person.user_id, self.origin, self.now)
        by = "letter" if self.invite.by_email else "link"
        inputs = {"invite_id": self.invite.id, "role": self.person.role.value, "by": by}
        entries = [event("auth.invite_accepted", *user, inputs)]
        if self.invite.by_email:
            entries.append(event("auth.email_verified", *user, {"email": self.person.email, "by": "invite"}))
        return entries


async def release(db: Connection, tenant_id: str, user_id: str, now: datetime) -> None:
    """Release the e-mails held until this inviter's address is verified."""
    await RELEASE.execute(db, tenant_id=tenant_id, user_id=user_id, now=now)


async def _find(db: Connection, token_hash: bytes, now: datetime) -> Found:
    row = await FIND.fetchrow(db, token_hash=token_hash)
    if row is None:
        raise NotFound("invite_not_found")
    fields = dict(row)
    status = fields.pop("status")
    if status in {"accepted", "revoked"}:
        raise BadRequest("invite_not_pending")
    if status == "expired" or fields["expires_at"] <= now:
        raise BadRequest("invite_expired")
    return Found(**{**fields, "role": Role(fields["role"])})


def _invite(row: Any, now: datetime) -> Invite:
    """A pending invite past its expiry is returned as expired, even if the row is not updated yet."""
    fields = dict(row)
    if fields["status"] == "pending" and fields["expires_at"] <= now:
        fields["status"] = "expired"
    return Invite(**{**fields, "role": Role(fields["role"])})
