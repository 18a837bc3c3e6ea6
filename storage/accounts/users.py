"""Users and their agencies: look-up by address, sign-up, sign-in and joining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Boolean, Text, bindparam, case, exists, func, insert, not_, or_, select, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import Conflict, Unauthorized
from ...actors.domain.identity import BIRTH_VERSION, Principal, Role, Standing
from .. import audit, outbox
from ..engine.operations import ACCOUNTS, DENIALS, Command, Query
from ..engine.statements import binds, statement
from ..general_ledger import seed_chart
from ..schema.columns import Time, Uuid
from ..tables import one_time_tokens as tokens
from ..tables import tenant_settings, tenants, users
from . import one_time_tokens
from .login_sessions import NewFamily, end_oldest, open_family
from .principals import MEMBERSHIP, PRESENT, PRINCIPAL, THIS_USER, read_principal

if TYPE_CHECKING:
    from ..engine.connection import Connection

FIND = statement(
    select(*users.c["id", "tenant_id", "password_hash"])
    .filter_by(**binds("email"))
    .where(users.c.released_at.is_(None))
)

_BUT_FOR = bindparam("but_for", type_=Uuid)
TAKEN = statement(
    select(
        or_(
            exists().where(
                users.c.email == bindparam("email"),
                users.c.released_at.is_(None),
                users.c.id.is_distinct_from(_BUT_FOR),
            ),
            exists().where(
                tokens.c.email == bindparam("email"),
                tokens.c.kind.in_((one_time_tokens.UNDO, one_time_tokens.UNDO_RESET)),
                tokens.c.used_at.is_(None),
                tokens.c.expires_at > bindparam("now"),
                tokens.c.user_id.is_distinct_from(_BUT_FOR),
            ),
        )
    )
)
"""An address belongs to its current user, and to one to whom a live undo token could return it."""

LOCK_ADDRESS = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.address:' || $1, 0))"
"""SQL text: it is about no table."""

FOUND_AGENCY = statement(insert(tenants).values(**binds("id", "display_name", "default_currency", "created_at")))

FIRST_SETTINGS = statement(insert(tenant_settings).values(**binds("tenant_id", "default_currency", "created_at")))

_NOW = bindparam("created_at", type_=Time)
JOIN = statement(
    insert(users).values(
        **binds("id", "tenant_id", "email", "display_name", "role", "password_hash", "email_verified"),
        **binds("token_version", "created_at"),
        password_changed_at=case((bindparam("password_hash", type_=Text).is_not(None), _NOW)),
        unverified_since=case((not_(bindparam("email_verified", type_=Boolean)), _NOW)),
    )
)

LOCK_CREDENTIALS = statement(
    select(
        *PRINCIPAL,
        *users.c["password_hash", "totp_enabled_at", "totp_sealed"],
        PRESENT.label("is_active"),
        tenants.c.is_active.label("tenant_active"),
    )
    .select_from(MEMBERSHIP)
    .where(THIS_USER)
    .with_for_update(key_share=True, of=users)
)

SIGNED_IN = statement(
    update(users)
    .where(THIS_USER)
    .values(
        last_login_at=bindparam("now"),
        password_hash=func.coalesce(bindparam("rehashed", type_=Text), users.c.password_hash),
    )
)


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
        row = await FIND.fetchrow(db, email=self.email)
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
    return bool(await TAKEN.fetchval(db, email=email, now=now, but_for=but_for))


async def claim_address(db: Connection, email: str, now: datetime) -> None:
    """Lock ``email`` until the transaction ends; Conflict ``email_already_registered`` if it is taken."""
    await db.fetchval(LOCK_ADDRESS, email)
    if await is_taken(db, email, now):
        raise Conflict("email_already_registered")


async def add_user(db: Connection, person: Principal, password_hash: str, now: datetime) -> None:
    """Store a new member of an agency, whose address has been claimed."""
    await JOIN.execute(
        db,
        id=person.user_id,
        tenant_id=person.tenant_id,
        email=person.email,
        display_name=person.full_name,
        role=person.role,
        password_hash=password_hash,
        email_verified=person.email_verified,
        token_version=person.token_version,
        created_at=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp(Command[None]):
    """A new agency with settings, chart and first admin, who is signed in. System work: it does not exist before."""

    UNFENCED = ACCOUNTS

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
        currency = self.default_currency
        await FOUND_AGENCY.execute(
            db, id=admin.tenant_id, display_name=admin.tenant_name, default_currency=currency, created_at=now
        )
        await FIRST_SETTINGS.execute(db, tenant_id=admin.tenant_id, default_currency=currency, created_at=now)
        await seed_chart(db, admin.tenant_id, now)
        await add_user(db, admin, self.password_hash, now)
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

    UNFENCED = ACCOUNTS

    user_id: str
    judged_hash: str
    rehashed: str | None
    verified_only: bool
    family: NewFamily
    entries: Sequence[audits.AuditEvent]
    now: datetime

    async def run(self, db: Connection) -> tuple[Principal, list[str]]:
        row = await LOCK_CREDENTIALS.fetchrow(db, tenant_id=self.tenant_id, user_id=self.user_id)
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
        await SIGNED_IN.execute(
            db, tenant_id=self.tenant_id, user_id=self.user_id, now=self.now, rehashed=self.rehashed
        )
        await open_family(db, self.family, row["tenant_id"], row["id"], self.now)
        ended = await end_oldest(db, row["tenant_id"], row["id"], self.now)
        await audit.append(db, self.entries)
        return read_principal(row, self.family.id), ended


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMember(Command[str]):
    """A person of any role in an existing agency, for set-up and tests: users join by invite.

    Answers the user's id. An address in use anywhere is Conflict ``email_already_registered``, by the unique index.
    """

    UNFENCED = ACCOUNTS

    user_id: str
    email: str
    role: Role
    now: datetime
    password_hash: str | None = None
    full_name: str | None = None
    email_verified: bool = True

    async def run(self, db: Connection) -> str:
        await db.fetchval(LOCK_ADDRESS, self.email)
        await JOIN.execute(
            db,
            id=self.user_id,
            tenant_id=self.tenant_id,
            email=self.email,
            display_name=self.full_name,
            role=self.role,
            password_hash=self.password_hash,
            email_verified=self.email_verified,
            token_version=BIRTH_VERSION,
            created_at=self.now,
        )
        return self.user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Command[None]):
    """Audit events of a refusal, which has no transaction of its own."""

    UNFENCED = DENIALS

    entries: Sequence[audits.AuditEvent]

    async def run(self, db: Connection) -> None:
        await audit.append(db, self.entries)
