"""Passwords: reset requests, reset by e-mailed token, and change with the current password."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, false, func, or_, select, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import BadRequest, Forbidden, Unauthorized
from ...actors.domain.identity import Principal
from .. import audit, outbox
from ..engine.operations import ACCOUNTS, Command, Query
from ..engine.statements import statement
from ..tables import api_keys, users
from . import credentials, one_time_tokens
from .account_events import event
from .account_recovery import RestoredAccount, restore_account
from .login_sessions import NewFamily, end_families, open_family
from .principals import ADMITTED, LOCK_ADMITTED, MEMBERSHIP, PRESENT, THIS_USER, read_principal
from .users import LOCK_ADDRESS, is_taken

if TYPE_CHECKING:
    from ..engine.connection import Connection


LOCK_USER_BY_EMAIL = statement(
    select(*users.c["id", "tenant_id"])
    .select_from(MEMBERSHIP)
    .where(users.c.email == bindparam("email"), ADMITTED)
    .with_for_update(key_share=True, of=users)
)

HASH = statement(select(users.c.password_hash).where(THIS_USER, PRESENT))


SET = statement(
    update(users)
    .where(THIS_USER)
    .values(
        password_hash=bindparam("password_hash"),
        password_changed_at=bindparam("now"),
        token_version=users.c.token_version + 1,
        token_version_at=bindparam("now"),
        email_verified=or_(
            users.c.email_verified, func.coalesce(users.c.email == bindparam("verified_email"), false())
        ),
        unverified_since=case((users.c.email == bindparam("verified_email"), None), else_=users.c.unverified_since),
    )
    .returning(*users.c["token_version", "email_verified"])
)

LIVE_KEYS = statement(
    select(api_keys.c.id)
    .where(
        api_keys.c.tenant_id == bindparam("tenant_id"),
        api_keys.c.created_by_user_id == bindparam("user_id"),
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > bindparam("now")),
    )
    .order_by(api_keys.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReset(Command[None]):
    """Store a password reset request, for any address. ``due_at`` is when it is resolved."""

    UNFENCED = ACCOUNTS

    tenant_id: None = None
    request: outbox.QueuedEmail
    now: datetime
    due_at: datetime

    async def run(self, db: Connection) -> None:
        await outbox.enqueue(db, self.request, None, self.now, self.due_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveReset(Command[bool]):
    """Resolve a request: a known, active account gets ``token`` in ``mail``, and its earlier ones are revoked.

    Returns whether it does. An address at its cap gets no e-mail, and its last token stays valid.
    """

    UNFENCED = ACCOUNTS

    tenant_id: None = None
    request_id: str
    token: one_time_tokens.NewToken
    mail: outbox.QueuedEmail
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> bool:
        if await outbox.SENT.fetchval(db, id=self.request_id, now=self.now) is None:
            return False
        user = await LOCK_USER_BY_EMAIL.fetchrow(db, email=self.token.email)
        if user is None or await outbox.enough(db, self.mail, self.now):
            return False
        tenant_id, user_id = user["tenant_id"], user["id"]
        await one_time_tokens.end(db, tenant_id, user_id, (one_time_tokens.RESET,), self.now)
        await one_time_tokens.keep(db, self.token, tenant_id, user_id, self.now)
        await outbox.enqueue(db, self.mail, tenant_id, self.now, self.now)
        asked = event("auth.password_reset_requested", tenant_id, user_id, self.origin, self.now)
        await audit.append(db, [replace(asked, actor_kind="system", actor_id=None)])
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Command[None]):
    """Set a new password with a token ``Find`` has found. BadRequest ``token_invalid`` if it no longer works.

    The e-mail reached the address, so it is verified; all sessions end. Where it had not been before, whoever made the
    account may have been somebody else: second factor, API keys and pending invites end too. So they do after an undo,
    whose token gives the address back once more if it has been changed since. System work: nobody has signed in.
    """

    UNFENCED = ACCOUNTS

    tenant_id: None = None
    token: one_time_tokens.Found
    password_hash: str
    notice: outbox.QueuedEmail
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> None:
        token, now = self.token, self.now
        user = (token.tenant_id, token.user_id)
        after_undo = token.kind == one_time_tokens.UNDO_RESET
        if after_undo:
            await db.fetchval(LOCK_ADDRESS, token.email)
        person = await LOCK_ADMITTED.fetchrow(db, tenant_id=token.tenant_id, user_id=token.user_id)
        moved = person is not None and person["email"] != token.email
        if person is None or (moved and not after_undo) or (moved and await is_taken(db, token.email, now, user[1])):
            raise BadRequest(one_time_tokens.INVALID)
        await one_time_tokens.spend(db, token.id, now)
        entries = await self._restore(db, person["email"]) if moved else []
        revoked = credentials.Revoked()
        if after_undo or not person["email_verified"]:
            revoked = await credentials.revoke(db, *user, now)
            entries += revoked.entries(*user, self.origin, now)
        await _set(db, *user, self.password_hash, now, verifies=token.email)
        ended = await end_access(db, *user, "password_reset", now)
        await outbox.notify(db, self.notice, *user, now)
        entries.append(event("auth.password_reset", *user, self.origin, now, ended | revoked.values()))
        if not person["email_verified"]:
            verified = {"email": token.email, "by": "reset"}
            entries.append(event("auth.email_verified", *user, self.origin, now, verified))
        await audit.append(db, entries)

    async def _restore(self, db: Connection, left: str) -> list[audits.AuditEvent]:
        """The address was changed between an undo and the reset it sent."""
        token = self.token
        undo_id = await one_time_tokens.last_undo(db, token.tenant_id, token.user_id, token.email)
        account = RestoredAccount(
            tenant_id=token.tenant_id, user_id=token.user_id, left=left, email=token.email, undo_id=undo_id
        )
        return await restore_account(db, account, "token", self.origin, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash(Query[str | None]):
    """The stored password hash. Unauthorized ``unauthorized`` if the person is gone."""

    user_id: str

    async def run(self, db: Connection) -> str | None:
        row = await HASH.fetchrow(db, tenant_id=self.tenant_id, user_id=self.user_id)
        if row is None:
            raise Unauthorized("unauthorized")
        stored: str | None = row["password_hash"]
        return stored


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword(Command[Principal]):
    """Set a new password for who knew the old one a moment ago; all sessions end but the one opened here.

    Forbidden ``invalid_password`` if it has become another meanwhile; Unauthorized if the person is gone.
    """

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    judged_hash: str
    password_hash: str
    notice: outbox.QueuedEmail
    family: NewFamily
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Principal:
        tenant_id, user_id, now = self.tenant_id, self.user_id, self.now
        person = await LOCK_ADMITTED.fetchrow(db, tenant_id=tenant_id, user_id=user_id)
        if person is None:
            raise Unauthorized("unauthorized")
        if person["password_hash"] != self.judged_hash:
            raise Forbidden("invalid_password")
        moved = await _set(db, tenant_id, user_id, self.password_hash, now)
        ended = await end_access(db, tenant_id, user_id, "password_changed", now)
        await open_family(db, self.family, tenant_id, user_id, now)
        await outbox.notify(db, self.notice, tenant_id, user_id, now)
        await audit.append(db, [event("auth.password_changed", tenant_id, user_id, self.origin, now, ended)])
        return read_principal(dict(person) | dict(moved), self.family.id)


async def _set(
    db: Connection,
    tenant_id: str,
    user_id: str,
    password_hash: str,
    now: datetime,
    *,
    verifies: str | None = None,
) -> Any:
    """Store the hash and end access tokens; the address it ``verifies`` is verified. Answers with what has changed."""
    return await SET.fetchrow(
        db, tenant_id=tenant_id, user_id=user_id, password_hash=password_hash, now=now, verified_email=verifies
    )


async def end_access(db: Connection, tenant_id: str, user_id: str, why: str, now: datetime) -> dict[str, Any]:
    """End a person's sessions and reset tokens. Answers for the audit what ended, and which keys live on."""
    kinds = (one_time_tokens.RESET, one_time_tokens.UNDO_RESET)
    await one_time_tokens.end(db, tenant_id, user_id, kinds, now)
    ended = await end_families(db, tenant_id, user_id, why, now)
    rows = await LIVE_KEYS.fetch(db, tenant_id=tenant_id, user_id=user_id, now=now)
    return {"live_api_keys": [row["id"] for row in rows], "sessions_ended": ended}
