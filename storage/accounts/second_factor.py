"""The stored second factor: pending and active seeds, used time steps and recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, func, insert, select, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import BadRequest, Conflict, Forbidden, Unauthorized
from ...actors.domain.identity import Principal, Standing
from ...actors.domain.ids import uuid7
from .. import audit, outbox
from ..engine.operations import ACCOUNTS, Command, Query
from ..engine.statements import any_of, binds, statement
from ..tables import recovery_codes, users
from .credentials import REMOVE_CODES, forget_factor
from .login_sessions import NewFamily, end_oldest, open_family
from .principals import PRESENT, THIS_USER, read_principal
from .users import LOCK_CREDENTIALS, SIGNED_IN

if TYPE_CHECKING:
    from ..engine.connection import Connection

ENABLED = users.c.totp_enabled_at.is_not(None)
UNUSED_CODES = and_(
    recovery_codes.c.tenant_id == bindparam("tenant_id"),
    recovery_codes.c.user_id == bindparam("user_id"),
    recovery_codes.c.used_at.is_(None),
)

READ = statement(
    select(
        *users.c["password_hash", "email", "totp_sealed", "totp_pending_sealed"],
        ENABLED.label("enabled"),
    ).where(THIS_USER, PRESENT)
)

BEGIN = statement(
    update(users)
    .where(THIS_USER, PRESENT, ~ENABLED)
    .values(totp_pending_sealed=bindparam("pending"))
    .returning(users.c.id)
)

ENABLE = statement(
    update(users)
    .where(THIS_USER, PRESENT, ~ENABLED, users.c.totp_pending_sealed == bindparam("pending"))
    .values(
        totp_sealed=bindparam("sealed"),
        totp_pending_sealed=None,
        totp_enabled_at=bindparam("now"),
        totp_last_step=None,
    )
    .returning(users.c.id)
)

LOCK = statement(
    select(*users.c["password_hash", "totp_sealed"], ENABLED.label("enabled"))
    .where(THIS_USER, PRESENT)
    .with_for_update(key_share=True)
)


BURN_TIME_STEP = statement(
    update(users)
    .where(THIS_USER, func.coalesce(users.c.totp_last_step, -1) < bindparam("time_step"))
    .values(totp_last_step=bindparam("time_step"))
    .returning(users.c.id)
)

BURN_CODE = statement(
    update(recovery_codes)
    .where(UNUSED_CODES, any_of(recovery_codes.c.code_mac, "macs"))
    .values(used_at=bindparam("now"))
    .returning(recovery_codes.c.id)
)

CODES_LEFT = statement(select(func.count()).select_from(recovery_codes).where(UNUSED_CODES))


KEEP_CODE = statement(
    insert(recovery_codes).values(**binds("id", "tenant_id", "user_id", "code_mac", "key_id", "created_at"))
)

WRONG = "totp_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A user's password hash and seeds."""

    password_hash: str | None
    email: str
    totp_sealed: bytes | None
    totp_pending_sealed: bytes | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class TotpCode:
    """A TOTP code, valid for this time step of the seed that was read."""

    sealed: bytes
    time_step: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery code, as its MACs under each key."""

    macs: Sequence[bytes]


TotpEvidence = TotpCode | Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Query[Factor]):
    """A user's second factor. Unauthorized ``unauthorized`` if the person is gone."""

    user_id: str

    async def run(self, db: Connection) -> Factor:
        row = await READ.fetchrow(db, tenant_id=self.tenant_id, user_id=self.user_id)
        if row is None:
            raise Unauthorized("unauthorized")
        return Factor(**dict(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Command[None]):
    """Store a pending seed. Conflict ``totp_already_enabled``; Unauthorized."""

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    pending_sealed: bytes

    async def run(self, db: Connection) -> None:
        user = {"tenant_id": self.tenant_id, "user_id": self.user_id}
        if await BEGIN.fetchval(db, **user, pending=self.pending_sealed) is not None:
            return
        gone = await READ.fetchrow(db, **user) is None
        raise Unauthorized("unauthorized") if gone else Conflict("totp_already_enabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enable(Command[bool]):
    """Activate the pending seed. False if it has changed since it was read."""

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    judged_pending: bytes
    sealed: bytes
    macs: Sequence[bytes]
    key_id: str
    notice: outbox.QueuedEmail
    entries: Sequence[audits.AuditEvent]
    now: datetime

    async def run(self, db: Connection) -> bool:
        user = {"tenant_id": self.tenant_id, "user_id": self.user_id}
        pending, sealed = self.judged_pending, self.sealed
        if await ENABLE.fetchval(db, **user, pending=pending, sealed=sealed, now=self.now) is None:
            return False
        await REMOVE_CODES.execute(db, **user)
        for mac in self.macs:
            await KEEP_CODE.execute(db, **user, id=uuid7(), code_mac=mac, key_id=self.key_id, created_at=self.now)
        await outbox.notify(db, self.notice, **user, now=self.now)
        await audit.append(db, self.entries)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable(Command[bool]):
    """Disable the second factor after password and code were verified; no effect if it is disabled.

    False if the seed the code was verified against has changed since it was read. Forbidden ``invalid_password``,
    ``totp_invalid``; Unauthorized if the user is gone. The time step stays unused.
    """

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    judged_hash: str
    evidence: TotpEvidence
    notice: outbox.QueuedEmail
    entries: Sequence[audits.AuditEvent]
    now: datetime

    async def run(self, db: Connection) -> bool:
        user = {"tenant_id": self.tenant_id, "user_id": self.user_id}
        row = await LOCK.fetchrow(db, **user)
        if row is None:
            raise Unauthorized("unauthorized")
        if row["password_hash"] != self.judged_hash:
            raise Forbidden("invalid_password")
        if not row["enabled"]:
            return True
        if isinstance(self.evidence, TotpCode):
            if row["totp_sealed"] != self.evidence.sealed:
                return False
        elif await BURN_CODE.fetchval(db, **user, macs=self.evidence.macs, now=self.now) is None:
            raise Forbidden(WRONG)
        await forget_factor(db, **user)
        await outbox.notify(db, self.notice, **user, now=self.now)
        await audit.append(db, self.entries)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInTotp(Command[tuple[Principal, int | None, list[str]] | None]):
    """Open a login session for a user whose password and code were just verified, and mark the code as used.

    Answers with how many recovery codes are left, if one was used, and the ids of families that were ended for the new
    one; None if the seed the code was verified against has changed since it was read. Unauthorized with the code of
    ``Standing.refusal``; BadRequest ``totp_not_enabled``; Unauthorized ``totp_invalid``, also without ``evidence``.
    """

    UNFENCED = ACCOUNTS

    tenant_id: str
    user_id: str
    judged_hash: str
    rehashed: str | None
    evidence: TotpEvidence | None
    verified_only: bool
    family: NewFamily
    signed_in: audits.AuditEvent
    code_used: audits.AuditEvent
    """Written when a recovery code was used."""
    code_used_notice: outbox.QueuedEmail
    """Enqueued with it."""
    now: datetime

    async def run(self, db: Connection) -> tuple[Principal, int | None, list[str]] | None:
        user = {"tenant_id": self.tenant_id, "user_id": self.user_id}
        row = await LOCK_CREDENTIALS.fetchrow(db, **user)
        if row is None or row["password_hash"] != self.judged_hash:
            raise Unauthorized("invalid_credentials")
        standing = Standing(
            user_active=row["is_active"],
            tenant_active=row["tenant_active"],
            email_verified=row["email_verified"],
            totp_enabled=False,
        )
        if code := standing.refusal(verified_only=self.verified_only):
            raise Unauthorized(code)
        if row["totp_enabled_at"] is None:
            raise BadRequest("totp_not_enabled")
        if isinstance(self.evidence, TotpCode) and row["totp_sealed"] != self.evidence.sealed:
            return None
        left = await self._burn(db)
        await SIGNED_IN.execute(db, **user, now=self.now, rehashed=self.rehashed)
        await open_family(db, self.family, row["tenant_id"], row["id"], self.now)
        ended = await end_oldest(db, row["tenant_id"], row["id"], self.now)
        entries = [self.signed_in]
        if left is not None:
            await outbox.notify(db, self.code_used_notice, **user, now=self.now)
            entries.append(replace(self.code_used, inputs={**self.code_used.inputs, "left": left}))
        await audit.append(db, entries)
        return read_principal(row, self.family.id), left, ended

    async def _burn(self, db: Connection) -> int | None:
        user = {"tenant_id": self.tenant_id, "user_id": self.user_id}
        match self.evidence:
            case TotpCode(time_step=time_step):
                if await BURN_TIME_STEP.fetchval(db, **user, time_step=time_step) is not None:
                    return None
            case Recovery(macs=macs):
                if await BURN_CODE.fetchval(db, **user, macs=macs, now=self.now) is not None:
                    return int(await CODES_LEFT.fetchval(db, **user))
            case None:
                pass
        raise Unauthorized(WRONG)
