"""One-time tokens sent by e-mail, which verify access to an address. Only their SHA-256 is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ...actors.domain.errors import BadRequest
from .. import outbox
from ..engine.operations import Query

if TYPE_CHECKING:
    from ..engine.pool import Connection

VERIFICATION, RESET, UNDO, UNDO_RESET = "verification", "reset", "undo", "undo_reset"
"""``undo_reset`` sets the password of an account that an undo gave back; no change of address ends it."""
KINDS = (VERIFICATION, RESET, UNDO, UNDO_RESET)

INVALID = "token_invalid"
"""The code of every refused token: unknown, used, expired, superseded, address changed."""

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

LAST_UNDO = """
SELECT id FROM one_time_tokens WHERE tenant_id = $1 AND user_id = $2 AND kind = 'undo' AND email = $3
 ORDER BY created_at DESC, id DESC LIMIT 1
"""

END_UNDO_FROM = """
UPDATE one_time_tokens t SET used_at = $4 FROM one_time_tokens first
 WHERE first.id = $3 AND t.tenant_id = $1 AND t.user_id = $2 AND t.kind = 'undo' AND t.used_at IS NULL
   AND (t.created_at, t.id) >= (first.created_at, first.id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token to be stored, bound to the address its e-mail goes to."""

    id: str
    kind: str
    token_hash: bytes
    email: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A live token and its owner."""

    id: str
    tenant_id: str
    user_id: str
    kind: str
    email: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[Found]):
    """The live token with this hash. BadRequest ``token_invalid``. System work: the client is not authenticated."""

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
    values = (token.id, tenant_id, user_id, token.kind, token.token_hash, token.email, token.expires_at)
    await db.execute(KEEP, *values, now)


async def send(
    db: Connection, token: NewToken, mail: outbox.QueuedEmail, tenant_id: str, user_id: str, now: datetime
) -> None:
    """Store ``token`` and enqueue its e-mail; neither, if the address has reached its cap."""
    if await outbox.offer(db, mail, tenant_id, now):
        await keep(db, token, tenant_id, user_id, now)


async def spend(db: Connection, token_id: str, now: datetime) -> None:
    """Use a token; of concurrent attempts one succeeds. BadRequest ``token_invalid`` for the others."""
    if await db.fetchval(SPEND, token_id, now) is None:
        raise BadRequest(INVALID)


async def end(db: Connection, tenant_id: str, user_id: str, kinds: tuple[str, ...], now: datetime) -> None:
    """Revoke the user's tokens of these kinds."""
    await db.execute(END, tenant_id, user_id, list(kinds), now)


async def last_undo(db: Connection, tenant_id: str, user_id: str, email: str) -> str | None:
    """The id of the newest undo token that was sent to ``email``, live or not."""
    token_id: str | None = await db.fetchval(LAST_UNDO, tenant_id, user_id, email)
    return token_id


async def end_undo_from(db: Connection, tenant_id: str, user_id: str, token_id: str, now: datetime) -> None:
    """End this undo token and those made after it. One made before belongs to an earlier address, and stays."""
    await db.execute(END_UNDO_FROM, tenant_id, user_id, token_id, now)
