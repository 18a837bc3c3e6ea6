"""E-mail addresses: verification, change, and the undo of a change by somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, func, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import BadRequest, Conflict, Unauthorized
from ...actors.domain.identity import Principal
from .. import audit, outbox
from ..engine.operations import ACCOUNTS, Command
from ..engine.statements import statement
from ..schema.columns import Time
from ..tables import users
from . import invites, one_time_tokens
from .account_events import event
from .account_recovery import ResetEmail, RestoredAccount, restore_account
from .principals import LOCK_ADMITTED, THIS_USER, read_principal
from .users import LOCK_ADDRESS, is_taken

if TYPE_CHECKING:
    from ..engine.connection import Connection


MARK_VERIFIED = statement(update(users).where(THIS_USER).values(email_verified=True, unverified_since=None))

RENAME = statement(update(users).where(THIS_USER).values(display_name=bindparam("display_name")))

MOVE = statement(
    update(users)
    .where(THIS_USER)
    .values(
        email=bindparam("email"),
        email_verified=False,
        email_changed_at=bindparam("now"),
        former_email=bindparam("former_email"),
        unverified_since=case(
            (users.c.email_verified, bindparam("now", type_=Time)),
            else_=func.coalesce(users.c.unverified_since, users.c.created_at),
        ),
    )
)
"""How long an address may go unverified is counted from when the last verified one was left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendVerification(Command[None]):
    """Resend the verification e-mail, unless the address is verified or has reached its cap.

    System work: the cap spans agencies.
    """

    UNFENCED = ACCOUNTS

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

    UNFENCED = ACCOUNTS

    tenant_id: None = None
    token: one_time_tokens.Found
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        token = self.token
        person = await LOCK_ADMITTED.fetchrow(db, tenant_id=token.tenant_id, user_id=token.user_id)
        if person is None or person["email"] != token.email:
            raise BadRequest(one_time_tokens.INVALID)
        await one_time_tokens.spend(db, token.id, self.now)
        if person["email_verified"]:
            return
        await MARK_VERIFIED.execute(db, tenant_id=token.tenant_id, user_id=token.user_id)
        await invites.release(db, token.tenant_id, token.user_id, self.now)
        verified = {"email": token.email, "by": "letter"}
        entry = event("auth.email_verified", token.tenant_id, token.user_id, self.origin, self.now, verified)
        await audit.append(db, [entry])


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo(Command[None]):
    """Give an account back its former, verified address, with nothing left that whoever changed it could act with.

    A reset e-mail goes to the address. BadRequest ``token_invalid``.
    """

    UNFENCED = ACCOUNTS

    tenant_id: None = None
    token: one_time_tokens.Found
    reset: ResetEmail
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        token, now = self.token, self.now
        user = (token.tenant_id, token.user_id)
        await db.fetchval(LOCK_ADDRESS, token.email)
        person = await LOCK_ADMITTED.fetchrow(db, tenant_id=token.tenant_id, user_id=token.user_id)
        if person is None or await is_taken(db, token.email, now, token.user_id):
            raise BadRequest(one_time_tokens.INVALID)
        await one_time_tokens.spend(db, token.id, now)
        account = RestoredAccount(
            tenant_id=token.tenant_id,
            user_id=token.user_id,
            left=person["email"],
            email=token.email,
            undo_id=token.id,
        )
        entries = await restore_account(db, account, "token", self.origin, now)
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

    UNFENCED = ACCOUNTS

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
            await RENAME.execute(db, tenant_id=user[0], user_id=user[1], display_name=self.full_name)
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
        await MOVE.execute(db, tenant_id=tenant_id, user_id=user_id, email=move.email, now=now, former_email=former)
        ended_kinds = (one_time_tokens.VERIFICATION, one_time_tokens.RESET)
        await one_time_tokens.end(db, tenant_id, user_id, ended_kinds, now)
        await one_time_tokens.send(db, move.token, move.mail, tenant_id, user_id, now)
        if verified and move.undo.email == person["email"]:
            await one_time_tokens.keep(db, move.undo, tenant_id, user_id, now)
            await outbox.enqueue(db, move.notice, tenant_id, now, now)


async def _locked(db: Connection, tenant_id: str, user_id: str) -> Any:
    """The person's row, held. Unauthorized ``unauthorized`` if they are gone."""
    person = await LOCK_ADMITTED.fetchrow(db, tenant_id=tenant_id, user_id=user_id)
    if person is None:
        raise Unauthorized("unauthorized")
    return person
