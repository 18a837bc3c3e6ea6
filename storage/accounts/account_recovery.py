"""Account recovery: returns an account to the owner of its former address and revokes all credentials."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, update

from ...actors.domain import audit as audits
from .. import outbox
from ..engine.statements import statement
from ..tables import users
from . import one_time_tokens
from .account_events import event
from .credentials import revoke_all
from .principals import THIS_USER

if TYPE_CHECKING:
    from ..engine.connection import Connection

RESTORE_EMAIL = statement(
    update(users)
    .where(THIS_USER)
    .values(
        email=bindparam("email"),
        email_verified=True,
        unverified_since=None,
        former_email=None,
        email_changed_at=None,
        password_hash=None,
        token_version=users.c.token_version + 1,
        token_version_at=bindparam("now"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetEmail:
    """The token that sets the password of an account given back, and the e-mail that brings it."""

    token: one_time_tokens.NewToken
    mail: outbox.QueuedEmail

    async def send(self, db: Connection, tenant_id: str, user_id: str, now: datetime) -> None:
        """Store the token and enqueue the e-mail. No cap: undo tokens are few, and it is the only way to sign in."""
        await one_time_tokens.keep(db, self.token, tenant_id, user_id, now)
        await outbox.enqueue(db, self.mail, tenant_id, now, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredAccount:
    """Whose account, and the address it returns to.

    ``undo_id`` is the undo token the address is returned by, if there was one: those made later have no meaning any
    more, those made earlier are of an owner before this one.
    """

    tenant_id: str
    user_id: str
    left: str
    email: str
    undo_id: str | None


async def restore_account(
    db: Connection, account: RestoredAccount, cause: str, origin: audits.Origin, now: datetime
) -> list[audits.AuditEvent]:
    """Return the locked account to ``email``, verified: no password, session, key, second factor or invite is left.

    Returns the audit events. The caller sends or spends the token that sets the next password.
    """
    user = (account.tenant_id, account.user_id)
    await RESTORE_EMAIL.execute(db, tenant_id=user[0], user_id=user[1], email=account.email, now=now)
    sessions, revoked = await revoke_all(db, *user, "email_change_undone", now)
    kinds = (one_time_tokens.VERIFICATION, one_time_tokens.RESET, one_time_tokens.UNDO_RESET)
    await one_time_tokens.end(db, *user, kinds, now)
    if account.undo_id is not None:
        await one_time_tokens.end_undo_from(db, *user, account.undo_id, now)
    undone: dict[str, Any] = {"from": account.left, "to": account.email, "cause": cause, "sessions_ended": sessions}
    entry = event("auth.email_change_undone", *user, origin, now, undone | revoked.values())
    return [entry, *revoked.entries(*user, origin, now)]
