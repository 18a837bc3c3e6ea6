"""E-mail addresses: verification, change, and the undo of a change by somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...actors.domain import audit as audits
from ...actors.domain.errors import BadRequest, Conflict, Unauthorized
from ...actors.domain.identity import Principal
from .. import audit, outbox
from ..engine.operations import Command
from . import invites, one_time_tokens
from .account_events import event
from .account_recovery import GivenBack, ResetEmail, give_back
from .principals import read_principal
from .users import LOCK_ADDRESS, is_taken

if TYPE_CHECKING:
    from ..engine.pool import Connection

LOCK = """
SELECT u.id, u.tenant_id, u.role, u.email, u.email_verified, u.display_name, u.created_at, u.token_version,
       t.display_name AS tenant_name, u.former_email
  FROM users u JOIN tenants t ON t.id = u.tenant_id
 WHERE u.tenant_id = $1 AND u.id = $2 AND u.is_active AND t.is_active AND u.released_at IS NULL
   FOR NO KEY UPDATE OF u
"""

MARK_VERIFIED = "UPDATE users SET email_verified = true, unverified_since = NULL WHERE tenant_id = $1 AND id = $2"

RENAME = "UPDATE users SET display_name = $3 WHERE tenant_id = $1 AND id = $2"

MOVE = """
UPDATE users SET email = $3, email_verified = false, email_changed_at = $4, former_email = $5,
                 unverified_since = CASE WHEN email_verified THEN $4 ELSE coalesce(unverified_since, created_at) END
 WHERE tenant_id = $1 AND id = $2
"""
"""How long an address may go unverified is counted from when the last verified one was left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendVerification(Command[None]):
    """Resend the verification e-mail, unless the address is verified or has reached its cap.

    System work: the cap spans agencies.
    """

    tenant_id: None = None
    agency_id: str
    user_id: str
    token: one_time_tokens.NewToken
    mail: outbox.QueuedEmail
    now: datetime

    async def run(self, db: Connection) -> None:
        person = await _locked(db, self.agency_id, self.user_id)
        if person["email_verified"] or person["email"] != self.token.email:
            return
        await one_time_tokens.send(db, self.token, self.mail, self.agency_id, self.user_id, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify(Command[None]):
    """Verify the address a token was sent to. BadRequest ``token_invalid`` if it is the account's no more."""

    tenant_id: None = None
    token: one_time_tokens.Found
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        token = self.token
        person = await db.fetchrow(LOCK, token.tenant_id, token.user_id)
        if person is None or person["email"] != token.email:
            raise BadRequest(one_time_tokens.INVALID)
        await one_time_tokens.spend(db, token.id, self.now)
        if person["email_verified"]:
            return
        await db.execute(MARK_VERIFIED, token.tenant_id, token.user_id)
        await invites.release(db, token.tenant_id, token.user_id, self.now)
        verified = {"email": token.email, "by": "letter"}
        entry = event("auth.email_verified", token.tenant_id, token.user_id, self.origin, self.now, verified)
        await audit.append(db, [entry])


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo(Command[None]):
    """Give an account back its former, verified address, with nothing left that whoever changed it could act with.

    A reset e-mail goes to the address. BadRequest ``token_invalid``.
    """

    tenant_id: None = None
    token: one_time_tokens.Found
    reset: ResetEmail
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        token, now = self.token, self.now
        user = (token.tenant_id, token.user_id)
        await db.fetchval(LOCK_ADDRESS, token.email)
        person = await db.fetchrow(LOCK, *user)
        if person is None or await is_taken(db, token.email, now, token.user_id):
            raise BadRequest(one_time_tokens.INVALID)
        await one_time_tokens.spend(db, token.id, now)
        account = GivenBack(
            tenant_id=token.tenant_id,
            user_id=token.user_id,
            left=person["email"],
            email=token.email,
            undo_id=token.id,
        )
        entries = await give_back(db, account, "token", self.origin, now)
        await self.reset.send(db, *user, now)
        await audit.append(db, entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The new address with its verification token, and the notice to the old one with the undo token.

    ``undo`` and ``notice`` are used only if the old address was verified.
    """

    email: str
    token: one_time_tokens.NewToken
    mail: outbox.QueuedEmail
    undo: one_time_tokens.NewToken
    notice: outbox.QueuedEmail


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A person after a change of their profile, and whether their address is a new one."""

    principal: Principal
    moved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeProfile(Command[Changed]):
    """Change name or address; ``None`` leaves the field unchanged. Conflict ``email_already_registered``.

    Unauthorized if the person is gone, or their tokens ended since they were admitted with ``token_version``. System
    work: an address must be free in every agency.
    """

    tenant_id: None = None
    agency_id: str
    user_id: str
    token_version: int
    family_id: str | None
    full_name: str | None
    move: Move | None
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Changed:
        if self.move is not None:
            await db.fetchval(LOCK_ADDRESS, self.move.email)
        user = (self.agency_id, self.user_id)
        person = await _locked(db, *user)
        if person["token_version"] != self.token_version:
            raise Unauthorized("unauthorized")
        after, entries = dict(person), []
        if self.full_name is not None and self.full_name != person["display_name"]:
            await db.execute(RENAME, *user, self.full_name)
            after["display_name"] = self.full_name
            names = {"before": {"full_name": person["display_name"]}, "after": {"full_name": self.full_name}}
            entries.append(event("auth.profile_changed", *user, self.origin, self.now, names))
        moved = self.move is not None and self.move.email != person["email"]
        if self.move is not None and moved:
            await self._move(db, person, self.move)
            after |= {"email": self.move.email, "email_verified": False}
            addresses = {"from": person["email"], "to": self.move.email}
            entries.append(event("auth.email_changed", *user, self.origin, self.now, addresses))
        if entries:
            await audit.append(db, entries)
        return Changed(principal=read_principal(after, self.family_id), moved=moved)

    async def _move(self, db: Connection, person: Any, move: Move) -> None:
        """The last verified address stays reserved, however many unverified ones follow."""
        tenant_id, user_id, now = self.agency_id, self.user_id, self.now
        if await is_taken(db, move.email, now, user_id):
            raise Conflict("email_already_registered")
        verified = person["email_verified"]
        former = person["email"] if verified else person["former_email"]
        await db.execute(MOVE, tenant_id, user_id, move.email, now, former)
        ended_kinds = (one_time_tokens.VERIFICATION, one_time_tokens.RESET)
        await one_time_tokens.end(db, tenant_id, user_id, ended_kinds, now)
        await one_time_tokens.send(db, move.token, move.mail, tenant_id, user_id, now)
        if verified and move.undo.email == person["email"]:
            await one_time_tokens.keep(db, move.undo, tenant_id, user_id, now)
            await outbox.enqueue(db, move.notice, tenant_id, now, now)


async def _locked(db: Connection, tenant_id: str, user_id: str) -> Any:
    """The person's row, held. Unauthorized ``unauthorized`` if they are gone."""
    person = await db.fetchrow(LOCK, tenant_id, user_id)
    if person is None:
        raise Unauthorized("unauthorized")
    return person
