"""Idempotency keys: a repeated request is executed once and gets the stored reply of the first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from ...actors.domain.errors import Conflict, Unprocessable
from .operations import Command
from .sealing import Sealing

if TYPE_CHECKING:
    from .pool import Connection

R = TypeVar("R")

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """An ``Idempotency-Key`` in its scope. ``route`` has its ids in it; ``body_hash`` is SHA-256 of the raw body."""

    tenant_id: str
    user_id: str
    route: str
    key: str
    body_hash: bytes

    @property
    def lock(self) -> int:
        """The advisory lock that stands for "in flight"."""
        scope = f"voyagent.idempotency\n{self.tenant_id}\n{self.user_id}\n{self.route}\n{self.key}"
        return int.from_bytes(hashlib.sha256(scope.encode()).digest()[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class Stored:
    """A reply as sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fresh(Generic[R]):
    """The command was executed now, with this reply."""

    value: R
    answer: Stored


@dataclass(frozen=True, slots=True)
class Replayed:
    """The command had been executed before, with this reply."""

    answer: Stored


Encode: TypeAlias = Callable[[R], Stored]
"""Encodes a command's result as a reply."""

IN_FLIGHT = "SELECT pg_try_advisory_xact_lock($1)"
FIND = """
SELECT body_hash, status, reply, headers FROM idempotency_keys
 WHERE tenant_id = $1 AND user_id = $2 AND route = $3 AND key = $4 AND expires_at > $5
"""
KEEP = """
INSERT INTO idempotency_keys (tenant_id, user_id, route, key, body_hash, status, reply, headers, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, user_id, route, key) DO UPDATE
   SET body_hash = $5, status = $6, reply = $7, headers = $8, created_at = $9, expires_at = $10
"""


async def claim(db: Connection, key: IdempotencyKey, now: datetime, sealing: Sealing | None = None) -> Stored | None:
    """The stored reply for ``key``, or None: then the key is locked until this transaction ends.

    Refusals: ``idempotency_key_in_flight``, ``idempotency_key_reused``. To be called first in a transaction, since
    only what is committed when the lock is got counts.
    """
    if not await db.fetchval(IN_FLIGHT, key.lock):
        raise Conflict("idempotency_key_in_flight")
    return await find(db, key, now, sealing)


async def find(db: Connection, key: IdempotencyKey, now: datetime, sealing: Sealing | None = None) -> Stored | None:
    """The stored reply for ``key``. Refusal: ``idempotency_key_reused``."""
    row = await db.fetchrow(FIND, key.tenant_id, key.user_id, key.route, key.key, now)
    if row is None:
        return None
    if row["body_hash"] != key.body_hash:
        raise Unprocessable("idempotency_key_reused")
    body: bytes = row["reply"] if sealing is None else sealing.open(row["reply"], **_place(key))
    return Stored(row["status"], body, row["headers"])


async def keep(
    db: Connection, key: IdempotencyKey, stored: Stored, now: datetime, sealing: Sealing | None = None
) -> None:
    """Store the reply with the effect, in the transaction that claimed ``key``; an expired one is replaced.

    A reply that contains a secret is stored and claimed with ``sealing``.
    """
    await db.execute(
        KEEP,
        key.tenant_id,
        key.user_id,
        key.route,
        key.key,
        key.body_hash,
        stored.status,
        stored.body if sealing is None else sealing.seal(stored.body, **_place(key)),
        dict(stored.headers),
        now,
        now + KEPT_FOR,
    )


def _place(key: IdempotencyKey) -> dict[str, str]:
    """The place a reply is sealed to; the row's id is its scope."""
    row = json.dumps([key.tenant_id, key.user_id, key.route, key.key])
    return {"table": "idempotency_keys", "column": "reply", "row": row}


@dataclass(frozen=True, slots=True, kw_only=True)
class Once(Command[Fresh[R] | Replayed]):
    """A command under an ``Idempotency-Key``: effect and answer are one transaction; a refusal frees the key.

    ``tenant_id`` is the command's: ``None`` for system work, although the key is a user's. Only the reply is written
    after the command's audit event, under a lock that does not block others. With ``sealing`` it is stored sealed.
    """

    key: IdempotencyKey
    command: Command[R]
    reply: Encode[R]
    now: datetime
    sealing: Sealing | None = None

    async def run(self, db: Connection) -> Fresh[R] | Replayed:
        earlier = await claim(db, self.key, self.now, self.sealing)
        if earlier is not None:
            return Replayed(earlier)
        value = await self.command.run(db)
        answer = self.reply(value)
        await keep(db, self.key, answer, self.now, self.sealing)
        return Fresh(value, answer)
