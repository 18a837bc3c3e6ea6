"""The stored second factor: pending and active seeds, used time steps and recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ...actors.domain import audit as audits
from ...actors.domain.errors import BadRequest, Conflict, Forbidden, Unauthorized
from ...actors.domain.identity import Principal, Standing
from ...actors.domain.ids import uuid7
from .. import audit, outbox
from ..engine.operations import Command, Query
from .login_sessions import NewFamily, end_oldest, open_family
from .principals import read_principal
from .users import LOCK_CREDENTIALS, SIGNED_IN

if TYPE_CHECKING:
    from ..engine.pool import Connection

READ = """
SELECT password_hash, email, totp_sealed, totp_pending_sealed, totp_enabled_at IS NOT NULL AS enabled
  FROM users WHERE tenant_id = $1 AND id = $2 AND is_active AND released_at IS NULL
"""

BEGIN = """
UPDATE users SET totp_pending_sealed = $3
 WHERE tenant_id = $1 AND id = $2 AND is_active AND released_at IS NULL AND totp_enabled_at IS NULL RETURNING id
"""

ENABLE = """
UPDATE users SET totp_sealed = $4, totp_pending_sealed = NULL, totp_enabled_at = $5, totp_last_step = NULL
 WHERE tenant_id = $1 AND id = $2 AND totp_pending_sealed = $3 AND totp_enabled_at IS NULL AND is_active
   AND released_at IS NULL
RETURNING id
"""

LOCK = """
SELECT password_hash, totp_sealed, totp_enabled_at IS NOT NULL AS enabled
  FROM users WHERE tenant_id = $1 AND id = $2 AND is_active AND released_at IS NULL FOR NO KEY UPDATE
"""

DISABLE = """
UPDATE users SET totp_sealed = NULL, totp_pending_sealed = NULL, totp_enabled_at = NULL, totp_last_step = NULL
 WHERE tenant_id = $1 AND id = $2
"""

BURN_STEP = """
UPDATE users SET totp_last_step = $3
 WHERE tenant_id = $1 AND id = $2 AND totp_sealed = $4 AND coalesce(totp_last_step, -1) < $3 RETURNING id
"""

BURN_CODE = """
UPDATE recovery_codes SET used_at = $4
 WHERE tenant_id = $1 AND user_id = $2 AND code_mac = ANY($3::bytea[]) AND used_at IS NULL RETURNING id
"""

CODES_LEFT = "SELECT count(*) FROM recovery_codes WHERE tenant_id = $1 AND user_id = $2 AND used_at IS NULL"

FORGET_CODES = "DELETE FROM recovery_codes WHERE tenant_id = $1 AND user_id = $2"

KEEP_CODE = """
INSERT INTO recovery_codes (id, tenant_id, user_id, code_mac, key_id, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
"""

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
class Step:
    """A TOTP code, valid for this time step of the seed that was read."""

    sealed: bytes
    step: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery code, as its MACs under each key."""

    macs: Sequence[bytes]


TotpEvidence = Step | Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Query[Factor]):
    """A user's second factor. Unauthorized ``unauthorized`` if the person is gone."""

    user_id: str

    async def run(self, db: Connection) -> Factor:
        row = await db.fetchrow(READ, self.tenant_id, self.user_id)
        if row is None:
            raise Unauthorized("unauthorized")
        return Factor(**dict(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Command[None]):
    """Store a pending seed. Conflict ``totp_already_enabled``; Unauthorized."""

    user_id: str
    pending_sealed: bytes

    async def run(self, db: Connection) -> None:
        if await db.fetchval(BEGIN, self.tenant_id, self.user_id, self.pending_sealed) is not None:
            return
        gone = await db.fetchrow(READ, self.tenant_id, self.user_id) is None
        raise Unauthorized("unauthorized") if gone else Conflict("totp_already_enabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enable(Command[bool]):
    """Activate the pending seed. False if it has changed since it was read."""

    user_id: str
    judged_pending: bytes
    sealed: bytes
    macs: Sequence[bytes]
    key_id: str
    notice: outbox.QueuedEmail
    entries: Sequence[audits.AuditEvent]
    now: datetime

    async def run(self, db: Connection) -> bool:
        user = (self.tenant_id, self.user_id)
        if await db.fetchval(ENABLE, *user, self.judged_pending, self.sealed, self.now) is None:
            return False
        await db.execute(FORGET_CODES, *user)
        for mac in self.macs:
            await db.execute(KEEP_CODE, uuid7(), *user, mac, self.key_id, self.now)
        await outbox.notify(db, self.notice, *user, self.now)
        await audit.append(db, self.entries)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable(Command[None]):
    """Disable the second factor after password and code were verified; no effect if it is disabled.

    Forbidden ``invalid_password``, ``totp_invalid``; Unauthorized if the user is gone. The time step stays unused.
    """

    user_id: str
    judged_hash: str
    evidence: TotpEvidence
    notice: outbox.QueuedEmail
    entries: Sequence[audits.AuditEvent]
    now: datetime

    async def run(self, db: Connection) -> None:
        user = (self.tenant_id, self.user_id)
        row = await db.fetchrow(LOCK, *user)
        if row is None:
            raise Unauthorized("unauthorized")
        if row["password_hash"] != self.judged_hash:
            raise Forbidden("invalid_password")
        if not row["enabled"]:
            return
        if isinstance(self.evidence, Step):
            right = row["totp_sealed"] == self.evidence.sealed
        else:
            right = await db.fetchval(BURN_CODE, *user, self.evidence.macs, self.now) is not None
        if not right:
            raise Forbidden(WRONG)
        await db.execute(DISABLE, *user)
        await db.execute(FORGET_CODES, *user)
        await outbox.notify(db, self.notice, *user, self.now)
        await audit.append(db, self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInTotp(Command[tuple[Principal, int | None, list[str]]]):
    """Open a login session for a user whose password and code were just verified, and mark the code as used.

    Answers with how many recovery codes are left, if one was used, and the ids of families that had to make room.
    Unauthorized with the code of
    ``Standing.refusal``; BadRequest ``totp_not_enabled``; Unauthorized ``totp_invalid``, also without a ``evidence``.
    """

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

    async def run(self, db: Connection) -> tuple[Principal, int | None, list[str]]:
        user = (self.tenant_id, self.user_id)
        row = await db.fetchrow(LOCK_CREDENTIALS, *user)
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
        left = await self._burn(db)
        await db.execute(SIGNED_IN, *user, self.now, self.rehashed)
        await open_family(db, self.family, row["tenant_id"], row["id"], self.now)
        ended = await end_oldest(db, row["tenant_id"], row["id"], self.now)
        entries = [self.signed_in]
        if left is not None:
            await outbox.notify(db, self.code_used_notice, *user, self.now)
            entries.append(replace(self.code_used, inputs={**self.code_used.inputs, "left": left}))
        await audit.append(db, entries)
        return read_principal(row, self.family.id), left, ended

    async def _burn(self, db: Connection) -> int | None:
        user = (self.tenant_id, self.user_id)
        match self.evidence:
            case Step(sealed=sealed, step=step):
                if await db.fetchval(BURN_STEP, *user, step, sealed) is not None:
                    return None
            case Recovery(macs=macs):
                if await db.fetchval(BURN_CODE, *user, macs, self.now) is not None:
                    return int(await db.fetchval(CODES_LEFT, *user))
            case None:
                pass
        raise Unauthorized(WRONG)
