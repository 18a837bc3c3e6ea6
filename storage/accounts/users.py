"""Users and their agencies: look-up by address, sign-up, sign-in and joining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ...actors.domain import audit as audits
from ...actors.domain.errors import Conflict, Unauthorized
from ...actors.domain.identity import BIRTH_VERSION, Principal, Role, Standing
from .. import audit, outbox
from ..engine.operations import Command, Query
from ..general_ledger import seed_chart
from . import one_time_tokens
from .login_sessions import NewFamily, end_oldest, open_family
from .principals import read_principal

if TYPE_CHECKING:
    from ..engine.pool import Connection

FIND = "SELECT id, tenant_id, password_hash FROM users WHERE email = $1 AND released_at IS NULL"

TAKEN = """
SELECT EXISTS (SELECT 1 FROM users WHERE email = $1 AND released_at IS NULL AND id IS DISTINCT FROM $3)
    OR EXISTS (SELECT 1 FROM one_time_tokens
                WHERE email = $1 AND kind IN ('undo', 'undo_reset') AND used_at IS NULL AND expires_at > $2
                  AND user_id IS DISTINCT FROM $3)
"""
"""An address belongs to its current user, and to one to whom a live undo token could return it."""

LOCK_ADDRESS = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.address:' || $1, 0))"

FOUND_AGENCY = """
INSERT INTO tenants (id, display_name, default_currency, is_active, created_at, updated_at)
VALUES ($1, $2, $3, true, $4, $4)
"""

FIRST_SETTINGS = """
INSERT INTO tenant_settings (tenant_id, default_currency, created_at, updated_at) VALUES ($1, $2, $3, $3)
"""

JOIN = """
INSERT INTO users (id, tenant_id, email, display_name, role, is_active, password_hash, password_changed_at,
                   email_verified, unverified_since, token_version, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, true, $6, CASE WHEN $6::text IS NULL THEN NULL ELSE $9::timestamptz END,
        $7, CASE WHEN $7 THEN NULL ELSE $9::timestamptz END, $8, $9, $9)
"""

LOCK_CREDENTIALS = """
SELECT u.id, u.tenant_id, u.role, u.email, u.email_verified, u.display_name, u.created_at, u.token_version,
       t.display_name AS tenant_name, u.password_hash, u.is_active AND u.released_at IS NULL AS is_active,
       t.is_active AS tenant_active, u.totp_enabled_at
  FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.tenant_id = $1 AND u.id = $2
   FOR NO KEY UPDATE OF u
"""

SIGNED_IN = """
UPDATE users SET last_login_at = $3, password_hash = coalesce($4, password_hash) WHERE tenant_id = $1 AND id = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCredentials:
    """The account of an address, and its password hash."""

    user_id: str
    tenant_id: str
    password_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[UserCredentials | None]):
    """The account of an address in normal form. System work: the agency is unknown before sign-in."""

    tenant_id: None = None
    email: str

    async def run(self, db: Connection) -> UserCredentials | None:
        row = await db.fetchrow(FIND, self.email)
        if row is None:
            return None
        return UserCredentials(user_id=row["id"], tenant_id=row["tenant_id"], password_hash=row["password_hash"])


@dataclass(frozen=True, slots=True, kw_only=True)
class IsEmailTaken(Query[bool]):
    """Whether an address is in use or reserved. System work."""

    tenant_id: None = None
    email: str
    now: datetime

    async def run(self, db: Connection) -> bool:
        return await is_taken(db, self.email, self.now)


async def is_taken(db: Connection, email: str, now: datetime, but_for: str | None = None) -> bool:
    """Whether ``email`` is in use or reserved, by any user but ``but_for``."""
    return bool(await db.fetchval(TAKEN, email, now, but_for))


async def claim_address(db: Connection, email: str, now: datetime) -> None:
    """Lock ``email`` until the transaction ends; Conflict ``email_already_registered`` if it is taken."""
    await db.fetchval(LOCK_ADDRESS, email)
    if await is_taken(db, email, now):
        raise Conflict("email_already_registered")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp(Command[None]):
    """A new agency with settings, chart and first admin, who is signed in. System work: it does not exist before."""

    tenant_id: None = None
    admin: Principal
    password_hash: str
    default_currency: str
    family: NewFamily
    entries: Sequence[audits.AuditEvent]
    verification: tuple[one_time_tokens.NewToken, outbox.QueuedEmail] | None = None
    """The verification token and its e-mail, where addresses are verified."""

    async def run(self, db: Connection) -> None:
        admin, now = self.admin, self.admin.created_at
        await claim_address(db, admin.email, now)
        await db.execute(FOUND_AGENCY, admin.tenant_id, admin.tenant_name, self.default_currency, now)
        await db.execute(FIRST_SETTINGS, admin.tenant_id, self.default_currency, now)
        await seed_chart(db, admin.tenant_id, now)
        await db.execute(
            JOIN,
            admin.user_id,
            admin.tenant_id,
            admin.email,
            admin.full_name,
            admin.role,
            self.password_hash,
            admin.email_verified,
            admin.token_version,
            now,
        )
        await open_family(db, self.family, admin.tenant_id, admin.user_id, now)
        if self.verification is not None:
            await one_time_tokens.send(db, *self.verification, admin.tenant_id, admin.user_id, now)
        await audit.append(db, self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn(Command[tuple[Principal, list[str]]]):
    """Open a login session for a user whose password was just verified, if it is unchanged and they may sign in.

    Returns the ids of families that were revoked beyond the limit.

    Unauthorized with the code of ``Standing.refusal``. ``rehashed`` replaces a hash made with other figures.
    """

    user_id: str
    judged_hash: str
    rehashed: str | None
    verified_only: bool
    family: NewFamily
    entries: Sequence[audits.AuditEvent]
    now: datetime

    async def run(self, db: Connection) -> tuple[Principal, list[str]]:
        row = await db.fetchrow(LOCK_CREDENTIALS, self.tenant_id, self.user_id)
        if row is None or row["password_hash"] != self.judged_hash:
            raise Unauthorized("invalid_credentials")
        standing = Standing(
            user_active=row["is_active"],
            tenant_active=row["tenant_active"],
            email_verified=row["email_verified"],
            totp_enabled=row["totp_enabled_at"] is not None,
        )
        if code := standing.refusal(verified_only=self.verified_only):
            raise Unauthorized(code)
        await db.execute(SIGNED_IN, self.tenant_id, self.user_id, self.now, self.rehashed)
        await open_family(db, self.family, row["tenant_id"], row["id"], self.now)
        ended = await end_oldest(db, row["tenant_id"], row["id"], self.now)
        await audit.append(db, self.entries)
        return read_principal(row, self.family.id), ended


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMember(Command[str]):
    """A person of any role in an existing agency, for set-up and tests: users join by invite.

    Answers the user's id. An address in use anywhere is Conflict ``email_already_registered``, by the unique index.
    """

    user_id: str
    email: str
    role: Role
    now: datetime
    password_hash: str | None = None
    full_name: str | None = None
    email_verified: bool = True

    async def run(self, db: Connection) -> str:
        await db.fetchval(LOCK_ADDRESS, self.email)
        await db.execute(
            JOIN,
            self.user_id,
            self.tenant_id,
            self.email,
            self.full_name,
            self.role,
            self.password_hash,
            self.email_verified,
            BIRTH_VERSION,
            self.now,
        )
        return self.user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Command[None]):
    """Audit events of a refusal, which has no transaction of its own."""

    entries: Sequence[audits.AuditEvent]

    async def run(self, db: Connection) -> None:
        await audit.append(db, self.entries)
