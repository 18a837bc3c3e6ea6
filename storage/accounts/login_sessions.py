"""Families of refresh tokens: one for each sign-in, with the token that is good now and those before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine.pool import Connection

OPEN = """
INSERT INTO auth_families (id, tenant_id, user_id, counter, last_used_at, expires_at, ends_at,
                           user_agent, ip, network, created_at, updated_at)
VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9, $4, $4)
"""

ADD_TO_FAMILY = """
INSERT INTO auth_refresh_tokens (id, tenant_id, family_id, counter, token_hash, key_id, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
"""

END_ALL = """
UPDATE auth_families SET revoked_at = $3, revoked_why = $4
 WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING id
"""

LIMIT = 100
"""Live login sessions of one person: beyond them the one unused for the longest time ends."""

END_OLDEST = """
UPDATE auth_families SET revoked_at = $3, revoked_why = 'too_many'
 WHERE id IN (SELECT id FROM auth_families
               WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND least(expires_at, ends_at) > $3
               ORDER BY last_used_at DESC, id DESC OFFSET $4)
RETURNING id
"""


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
    await db.execute(
        OPEN,
        family.id,
        tenant_id,
        user_id,
        now,
        family.expires_at,
        family.ends_at,
        family.user_agent,
        family.ip,
        family.network,
    )
    await db.execute(ADD_TO_FAMILY, family.token_id, tenant_id, family.id, 0, family.token_hash, family.key_id, now)


async def end_families(db: Connection, tenant_id: str, user_id: str, why: str, now: datetime) -> list[str]:
    """End every live family of one person. Answers their ids; an earlier end is kept."""
    return sorted(row["id"] for row in await db.fetch(END_ALL, tenant_id, user_id, now, why))


async def end_oldest(db: Connection, tenant_id: str, user_id: str, now: datetime) -> list[str]:
    """End the person's live families beyond ``LIMIT``. Answers their ids. The caller holds the person's row."""
    return sorted(row["id"] for row in await db.fetch(END_OLDEST, tenant_id, user_id, now, LIMIT))
