"""Families of refresh tokens: one for each sign-in, with the token that is good now and those before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, func, insert, select, update

from ..engine.statements import binds, statement
from ..schema.columns import Time
from ..tables import auth_families, auth_refresh_tokens

if TYPE_CHECKING:
    from ..engine.connection import Connection

EXPIRY = func.least(auth_families.c.expires_at, auth_families.c.ends_at, type_=Time)
"""When the family expires, if it is not used until then."""
IS_LIVE = and_(auth_families.c.revoked_at.is_(None), bindparam("now") < EXPIRY)
OF_USER = and_(auth_families.c.tenant_id == bindparam("tenant_id"), auth_families.c.user_id == bindparam("user_id"))

OPEN = statement(
    insert(auth_families).values(
        **binds("id", "tenant_id", "user_id", "expires_at", "ends_at", "user_agent", "ip", "network", "created_at"),
        counter=0,
        last_used_at=bindparam("created_at"),
    )
)

ADD_TO_FAMILY = statement(
    insert(auth_refresh_tokens).values(
        **binds("id", "tenant_id", "family_id", "counter", "token_hash", "key_id", "created_at")
    )
)

END_ALL = statement(
    update(auth_families)
    .where(OF_USER, auth_families.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"), revoked_why=bindparam("why"))
    .returning(auth_families.c.id)
)

LIMIT = 100
"""Live login sessions of one person: beyond them the one unused for the longest time ends."""

END_OLDEST = statement(
    update(auth_families)
    .where(
        auth_families.c.id.in_(
            select(auth_families.c.id)
            .where(OF_USER, IS_LIVE)
            .order_by(auth_families.c.last_used_at.desc(), auth_families.c.id.desc())
            .offset(bindparam("kept"))
        )
    )
    .values(revoked_at=bindparam("now"), revoked_why="too_many")
    .returning(auth_families.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFamily:
    """A family as a sign-in opens it. Of its first token only the hash is known here."""

    id: str
    token_id: str
    token_hash: bytes
    key_id: str
    expires_at: datetime
    ends_at: datetime
    user_agent: str | None
    ip: str | None
    network: str | None


async def open_family(db: Connection, family: NewFamily, tenant_id: str, user_id: str, now: datetime) -> None:
    """Store ``family`` and its token number 0."""
    await OPEN.execute(
        db,
        id=family.id,
        tenant_id=tenant_id,
        user_id=user_id,
        expires_at=family.expires_at,
        ends_at=family.ends_at,
        user_agent=family.user_agent,
        ip=family.ip,
        network=family.network,
        created_at=now,
    )
    await ADD_TO_FAMILY.execute(
        db,
        id=family.token_id,
        tenant_id=tenant_id,
        family_id=family.id,
        counter=0,
        token_hash=family.token_hash,
        key_id=family.key_id,
        created_at=now,
    )


async def end_families(db: Connection, tenant_id: str, user_id: str, why: str, now: datetime) -> list[str]:
    """End every live family of one person. Answers their ids; an earlier end is kept."""
    rows = await END_ALL.fetch(db, tenant_id=tenant_id, user_id=user_id, now=now, why=why)
    return sorted(row["id"] for row in rows)


async def end_oldest(db: Connection, tenant_id: str, user_id: str, now: datetime) -> list[str]:
    """End the person's live families beyond ``LIMIT``. Answers their ids. The caller holds the person's row."""
    rows = await END_OLDEST.fetch(db, tenant_id=tenant_id, user_id=user_id, now=now, kept=LIMIT)
    return sorted(row["id"] for row in rows)
