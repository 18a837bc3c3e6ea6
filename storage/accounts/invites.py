"""Invites: at most one pending for an address; revoked, or accepted once with one of its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...actors.domain import audit as audits
from ...actors.domain.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from ...actors.domain.identity import Principal, Role
from .. import audit, outbox
from ..engine.operations import Command, Query
from . import one_time_tokens
from .account_events import event
from .login_sessions import NewFamily, open_family
from .users import JOIN, claim_address

if TYPE_CHECKING:
    from ..engine.pool import Connection

INVITER = """
SELECT u.role, u.email, u.email_verified,
       u.is_active AND t.is_active AND u.released_at IS NULL AND u.token_version = $3 AS active
  FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.tenant_id = $1 AND u.id = $2 FOR SHARE OF u
"""

MEMBER = "SELECT EXISTS (SELECT FROM users WHERE tenant_id = $1 AND email = $2 AND released_at IS NULL)"

EXPIRE = """
UPDATE invites SET status = 'expired'
 WHERE tenant_id = $1 AND email = $2 AND status = 'pending' AND expires_at <= $3 RETURNING id
"""

INSERT = """
INSERT INTO invites (id, tenant_id, invited_by_user_id, inviter_email, email, role, token_hash, letter_token_hash,
                     expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
RETURNING id, tenant_id, email, role, status, expires_at, created_at, accepted_at, revoked_at, invited_by_user_id
"""

LIST = """
SELECT id, tenant_id, email, role, status, expires_at, created_at, accepted_at, revoked_at, invited_by_user_id
  FROM invites
 WHERE tenant_id = $1
   AND ($2::text IS NULL OR $2 = CASE WHEN status = 'pending' AND expires_at <= $3 THEN 'expired' ELSE status END)
 ORDER BY created_at DESC, id DESC
"""

REVOKE = """
UPDATE invites SET status = 'revoked', revoked_at = $3
 WHERE tenant_id = $1 AND id = $2 AND status = 'pending' AND expires_at > $3
RETURNING id, tenant_id, email, role, status, expires_at, created_at, accepted_at, revoked_at, invited_by_user_id
"""

EXISTS = "SELECT EXISTS (SELECT FROM invites WHERE tenant_id = $1 AND id = $2)"

FIND = """
SELECT i.id, i.tenant_id, i.email, i.role, i.status, i.inviter_email, i.expires_at, t.display_name AS tenant_name,
       i.letter_token_hash = $1 AS by_letter
  FROM invites i JOIN tenants t ON t.id = i.tenant_id AND t.is_active
 WHERE i.token_hash = $1 OR i.letter_token_hash = $1
"""

ACCEPT = """
UPDATE invites i SET status = 'accepted', accepted_at = $2 FROM tenants t
 WHERE i.id = $1 AND i.status = 'pending' AND i.expires_at > $2 AND t.id = i.tenant_id AND t.is_active RETURNING i.id
"""

ACCEPTED_BY = "UPDATE invites SET accepted_user_id = $3 WHERE tenant_id = $1 AND id = $2"

RELEASE = """
UPDATE outbox SET state = 'due', due_at = $3
 WHERE tenant_id = $1 AND state = 'held'
   AND id IN (SELECT id FROM invites WHERE tenant_id = $1 AND invited_by_user_id = $2 AND status = 'pending')
"""


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
    """An invite to be created, and its e-mail, which has the invite's id."""

    id: str
    email: str
    role: Role
    token_hash: bytes
    letter_token_hash: bytes
    expires_at: datetime
    mail: outbox.QueuedEmail


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Command[Invite]):
    """Invite an address. Conflict ``email_already_registered`` for a member, ``invite_already_exists`` while one waits.

    The inviter is held for as long as this takes: an invite made beside their demotion would outlive it. One whose
    tokens ended since they were admitted with ``token_version`` is Unauthorized. With ``proven_only`` the e-mail of an
    unverified inviter is held back. An address that had enough invites by e-mail for now gets none: the link is left.
    System work: it had them from any agency.
    """

    tenant_id: None = None
    agency_id: str
    user_id: str
    token_version: int
    invite: NewInvite
    proven_only: bool
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Invite:
        new, now = self.invite, self.now
        inviter = await db.fetchrow(INVITER, self.agency_id, self.user_id, self.token_version)
        if inviter is None or not inviter["active"]:
            raise Unauthorized("unauthorized")
        if inviter["role"] != Role.AGENCY_ADMIN:
            raise Forbidden("forbidden_role")
        if await db.fetchval(MEMBER, self.agency_id, new.email):
            raise Conflict("email_already_registered")
        expired = await db.fetch(EXPIRE, self.agency_id, new.email, now)
        await outbox.drop(db, [row["id"] for row in expired])
        hashes = (new.token_hash, new.letter_token_hash)
        values = (self.user_id, inviter["email"], new.email, new.role, *hashes, new.expires_at, now)
        row = await db.fetchrow(INSERT, new.id, self.agency_id, *values)
        held = self.proven_only and not inviter["email_verified"]
        await outbox.offer(db, new.mail, self.agency_id, now, held=held)
        inputs = {"invite_id": new.id, "email": new.email, "role": new.role.value}
        entry = event("auth.invite_created", self.agency_id, self.user_id, self.origin, now, inputs)
        await audit.append(db, [entry])
        return _invite(row, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class All(Query[list[Invite]]):
    """The invites of an agency, or those of one ``status``, newest first."""

    status: str | None
    now: datetime

    async def run(self, db: Connection) -> list[Invite]:
        return [_invite(row, self.now) for row in await db.fetch(LIST, self.tenant_id, self.status, self.now)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Command[Invite]):
    """Take a pending invite back. NotFound ``invite_not_found``; Conflict ``invite_not_pending``."""

    tenant_id: str
    user_id: str
    invite_id: str
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Invite:
        row = await db.fetchrow(REVOKE, self.tenant_id, self.invite_id, self.now)
        if row is None:
            if await db.fetchval(EXISTS, self.tenant_id, self.invite_id):
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
    by_letter: bool


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
        if await db.fetchval(ACCEPT, invite_id, now) is None:
            await _find(db, self.token_hash, now)
            raise NotFound("invite_not_found")
        await claim_address(db, person.email, now)
        verified = person.email_verified
        values = (person.email, person.full_name, person.role, self.password_hash, verified, person.token_version, now)
        await db.execute(JOIN, user_id, tenant_id, *values)
        await db.execute(ACCEPTED_BY, tenant_id, invite_id, user_id)
        await open_family(db, self.family, tenant_id, user_id, now)
        await outbox.drop(db, [invite_id])
        if self.verification is not None:
            await one_time_tokens.send(db, *self.verification, tenant_id, user_id, now)
        await audit.append(db, self._entries())

    def _entries(self) -> list[audits.AuditEvent]:
        user = (self.person.tenant_id, self.person.user_id, self.origin, self.now)
        by = "letter" if self.invite.by_letter else "link"
        inputs = {"invite_id": self.invite.id, "role": self.person.role.value, "by": by}
        entries = [event("auth.invite_accepted", *user, inputs)]
        if self.invite.by_letter:
            entries.append(event("auth.email_verified", *user, {"email": self.person.email, "by": "invite"}))
        return entries


async def release(db: Connection, tenant_id: str, user_id: str, now: datetime) -> None:
    """Release the e-mails held until this inviter's address is verified."""
    await db.execute(RELEASE, tenant_id, user_id, now)


async def _find(db: Connection, token_hash: bytes, now: datetime) -> Found:
    row = await db.fetchrow(FIND, token_hash)
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
