"""Refresh token rotation: the next token of a family, a retry within the grace period, or a reuse."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, select, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import Unauthorized
from ...actors.domain.identity import Principal
from .. import audit, outbox
from ..engine.operations import ACCOUNTS, Command, Query
from ..engine.statements import binds, statement
from ..tables import auth_families, auth_refresh_tokens, users
from .login_sessions import ADD_TO_FAMILY, IS_LIVE
from .principals import ADMITTED, MEMBERSHIP, PRINCIPAL, THIS_USER, read_principal

if TYPE_CHECKING:
    from ..engine.connection import Connection

THIS_FAMILY = and_(auth_families.c.tenant_id == bindparam("tenant_id"), auth_families.c.id == bindparam("family_id"))

FIND = statement(
    select(*auth_refresh_tokens.c["tenant_id", "family_id", "counter"], auth_families.c.user_id)
    .select_from(auth_refresh_tokens.join(auth_families, auth_families.c.id == auth_refresh_tokens.c.family_id))
    .where(auth_refresh_tokens.c.token_hash == bindparam("token_hash"))
)

LOCK = statement(
    select(*auth_families.c["counter", "rotated_at", "ends_at"], IS_LIVE.label("alive"))
    .where(THIS_FAMILY)
    .with_for_update(key_share=True)
)

OWNER = statement(
    select(
        *PRINCIPAL,
        ADMITTED.label("active"),
        func.coalesce(users.c.unverified_since, users.c.created_at).label("unverified_since"),
    )
    .select_from(MEMBERSHIP)
    .where(THIS_USER)
)

ROTATE = statement(
    update(auth_families)
    .where(THIS_FAMILY, auth_families.c.counter == bindparam("rotated"))
    .values(
        counter=auth_families.c.counter + 1,
        rotated_at=bindparam("now"),
        last_used_at=bindparam("now"),
        expires_at=bindparam("expires_at"),
    )
)

KEY_ID = statement(select(auth_refresh_tokens.c.key_id).filter_by(**binds("tenant_id", "family_id", "counter")))

END_REUSED = statement(
    update(auth_families).where(THIS_FAMILY).values(revoked_at=bindparam("now"), revoked_why="reused")
)

REFUSED = "invalid_refresh_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenRow:
    """Where a refresh token stands: whose it is, and which of its family it is."""

    tenant_id: str
    user_id: str
    family_id: str
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[RefreshTokenRow | None]):
    """The place of a refresh token, by its hash. System work: the token alone says whose it is."""

    tenant_id: None = None
    token_hash: bytes

    async def run(self, db: Connection) -> RefreshTokenRow | None:
        row = await FIND.fetchrow(db, token_hash=self.token_hash)
        return None if row is None else RefreshTokenRow(**dict(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """The token after the one that was shown. Only its hash is known here."""

    id: str
    token_hash: bytes
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long tokens live, how long a lost answer may be asked for again, and how long an address may be unverified.

    ``unverified`` is ``None`` where addresses are not verified.
    """

    lifetime: timedelta
    grace: timedelta
    unverified: timedelta | None


@dataclass(frozen=True, slots=True)
class Renewed:
    """Continue with the successor, derived with this key: stored now, or within the grace period."""

    principal: Principal
    key_id: str


@dataclass(frozen=True, slots=True)
class Reused:
    """The token had been replaced before: its family is revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew(Command[Renewed | Reused]):
    """Use a refresh token. Of concurrent uses one rotates the family; the others are retries.

    Unauthorized ``invalid_refresh_token`` if family, person, agency or address do not allow it. A reuse is an answer
    and no refusal: the end of the family has to be committed.
    """

    UNFENCED = ACCOUNTS

    tenant_id: str
    presented: RefreshTokenRow
    successor: Successor
    rules: Rules
    reused: outbox.QueuedEmail
    """The notice of a reuse."""
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> Renewed | Reused:
        family = await LOCK.fetchrow(db, tenant_id=self.tenant_id, family_id=self.presented.family_id, now=self.now)
        if family is None or not family["alive"]:
            raise Unauthorized(REFUSED)
        forward = family["counter"] == self.presented.counter
        if not (forward or self._forgiven(family)):
            await self._end(db, family["counter"])
            return Reused()
        principal = await self._owner(db)
        if not forward:
            key_id = await KEY_ID.fetchval(
                db, tenant_id=self.tenant_id, family_id=self.presented.family_id, counter=family["counter"]
            )
            return Renewed(principal, key_id)
        await self._rotate(db, family["ends_at"])
        return Renewed(principal, self.successor.key_id)

    def _forgiven(self, family: Any) -> bool:
        """Whether it is the immediate predecessor within the grace period: a client that lost the reply retries."""
        return bool(
            family["counter"] == self.presented.counter + 1 and self.now - family["rotated_at"] < self.rules.grace
        )

    async def _owner(self, db: Connection) -> Principal:
        row = await OWNER.fetchrow(db, tenant_id=self.tenant_id, user_id=self.presented.user_id)
        if row is None or not row["active"]:
            raise Unauthorized(REFUSED)
        allowed = self.rules.unverified
        if allowed is not None and not row["email_verified"] and self.now - row["unverified_since"] >= allowed:
            raise Unauthorized(REFUSED)
        return read_principal(row, self.presented.family_id)

    async def _rotate(self, db: Connection, ends_at: datetime) -> None:
        family_id, counter = self.presented.family_id, self.presented.counter
        expires_at = min(self.now + self.rules.lifetime, ends_at)
        family = {"tenant_id": self.tenant_id, "family_id": family_id}
        await ROTATE.execute(db, **family, rotated=counter, now=self.now, expires_at=expires_at)
        new = self.successor
        await ADD_TO_FAMILY.execute(
            db,
            **family,
            id=new.id,
            counter=counter + 1,
            token_hash=new.token_hash,
            key_id=new.key_id,
            created_at=self.now,
        )

    async def _end(self, db: Connection, counter: int) -> None:
        await END_REUSED.execute(db, tenant_id=self.tenant_id, family_id=self.presented.family_id, now=self.now)
        await outbox.notify(db, self.reused, self.tenant_id, self.presented.user_id, self.now)
        values = {"session_id": self.presented.family_id, "counter": counter, "presented": self.presented.counter}
        event = audits.AuditEvent.by_system(
            "auth.refresh_reused",
            self.tenant_id,
            self.now,
            origin=self.origin,
            status="rejected",
            inputs=values,
            refs={"user_id": self.presented.user_id},
        )
        await audit.append(db, [event])
