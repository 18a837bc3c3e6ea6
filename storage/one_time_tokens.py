"""One-time tokens: proofs that somebody reads the letters of an address. Only their SHA-256 is known here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..actors.domain.errors import BadRequest
from .operations import Query

if TYPE_CHECKING:
    from .engine import Connection

VERIFICATION, RESET, UNDO = "verification", "reset", "undo"

INVALID = "token_invalid"
"""What every token that does not work is refused with: unknown, used, lapsed, superseded, address changed."""

KEEP = """
INSERT INTO one_time_tokens (id, tenant_id, user_id, kind, token_hash, email, expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
"""

FIND = """
SELECT id, tenant_id, user_id, kind, email, created_at FROM one_time_tokens
 WHERE token_hash = $1 AND kind = ANY($2) AND used_at IS NULL AND expires_at > $3
"""

SPEND = "UPDATE one_time_tokens SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2 RETURNING id"

END = """
UPDATE one_time_tokens SET used_at = $4 WHERE tenant_id = $1 AND user_id = $2 AND kind = ANY($3) AND used_at IS NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token about to be stored, bound to the address its letter goes to."""

    id: str
    kind: str
    token_hash: bytes
    email: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A live token, and whose it is."""

    id: str
    tenant_id: str
    user_id: str
    kind: str
    email: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[Found]):
    """The live token with this hash. BadRequest ``token_invalid``. System work: nobody has said who they are."""

    tenant_id: None = None
    token_hash: bytes
    kinds: tuple[str, ...]
    now: datetime

    async def run(self, db: Connection) -> Found:
        row = await db.fetchrow(FIND, self.token_hash, list(self.kinds), self.now)
        if row is None:
            raise BadRequest(INVALID)
        return Found(**dict(row))


async def keep(db: Connection, token: NewToken, tenant_id: str, user_id: str, now: datetime) -> None:
    """Store ``token`` as ``user_id``'s."""
    told = (token.id, tenant_id, user_id, token.kind, token.token_hash, token.email, token.expires_at)
    await db.execute(KEEP, *told, now)


async def spend(db: Connection, token_id: str, now: datetime) -> None:
    """Use a token up; of many who try one succeeds. BadRequest ``token_invalid`` for the others."""
    if await db.fetchval(SPEND, token_id, now) is None:
        raise BadRequest(INVALID)


async def end(db: Connection, tenant_id: str, user_id: str, kinds: tuple[str, ...], now: datetime) -> None:
    """No token of these kinds works any more for this person."""
    await db.execute(END, tenant_id, user_id, list(kinds), now)
