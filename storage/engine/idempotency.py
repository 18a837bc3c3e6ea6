"""Idempotency keys: a repeated command is executed once; its reply is stored as data and returned again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.errors import Conflict, Unprocessable
from ..tables import idempotency_keys
from .operations import Command, Query, Write
from .sealing import Sealing
from .statements import binds, statement

if TYPE_CHECKING:
    from .connection import Connection

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
class IdempotentReply(Generic[R]):
    """A command's reply. ``replayed``: the command was executed before, under the same key, with this reply."""

    value: R
    replayed: bool = False


class UnreadableReply(Exception):
    """The reply stored under a key was written by another release: what it reports was done, and is not done again."""


IN_FLIGHT = "SELECT pg_try_advisory_xact_lock($1)"
"""SQL text: it is about no table."""
_SCOPE = ("tenant_id", "user_id", "route", "key")
_REPLY = ("body_hash", "status", "reply", "headers", "created_at", "expires_at")

FIND = statement(
    select(*idempotency_keys.c["body_hash", "reply"])
    .filter_by(**binds(*_SCOPE))
    .where(idempotency_keys.c.expires_at > bindparam("now"))
)
_KEEP = insert(idempotency_keys).values(**binds(*_SCOPE, *_REPLY))
KEEP = statement(
    _KEEP.on_conflict_do_update(index_elements=_SCOPE, set_={name: _KEEP.excluded[name] for name in _REPLY})
)


async def claim(
    db: Connection, key: IdempotencyKey, reply: type[R], now: datetime, sealing: Sealing | None = None
) -> IdempotentReply[R] | None:
    """The reply stored for ``key``, or None: then the key is locked until this transaction ends.

    Refusals: ``idempotency_key_in_flight``, ``idempotency_key_reused``. To be called first in a transaction, since
    only what is committed when the lock is got counts.
    """
    if not await db.fetchval(IN_FLIGHT, key.lock):
        raise Conflict("idempotency_key_in_flight")
    return await find(db, key, reply, now, sealing)


async def find(
    db: Connection, key: IdempotencyKey, reply: type[R], now: datetime, sealing: Sealing | None = None
) -> IdempotentReply[R] | None:
    """The reply of type ``reply`` stored for ``key``; ``UnreadableReply``. Refusal: ``idempotency_key_reused``."""
    row = await FIND.fetchrow(db, **_scope(key), now=now)
    if row is None:
        return None
    if row["body_hash"] != key.body_hash:
        raise Unprocessable("idempotency_key_reused")
    data: bytes = row["reply"] if sealing is None else sealing.open(row["reply"], **_place(key))
    try:
        value = _adapter(reply).validate_json(data)
    except ValidationError:
        # its text repeats the reply, which may contain a secret
        raise UnreadableReply(f"the reply stored under a key is no {reply.__name__}") from None
    return IdempotentReply(value, replayed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier(Query[IdempotentReply[R] | None]):
    """The reply of type ``reply`` stored for ``key``, if its command was executed. As ``find``."""

    key: IdempotencyKey
    reply: type[R]
    now: datetime

    async def run(self, db: Connection) -> IdempotentReply[R] | None:
        return await find(db, self.key, self.reply, self.now)


async def keep(
    db: Connection, key: IdempotencyKey, reply: type[R], value: R, now: datetime, sealing: Sealing | None = None
) -> None:
    """Store a command's reply with its effect, in the transaction that claimed ``key``; an expired one is replaced.

    A reply that contains a secret is stored and claimed with ``sealing``.
    """
    data = _adapter(reply).dump_json(value)
    await KEEP.execute(
        db,
        **_scope(key),
        body_hash=key.body_hash,
        status=200,  # this column and ``headers`` are no part of a reply: how it is sent is the handler's
        reply=data if sealing is None else sealing.seal(data, **_place(key)),
        headers={},
        created_at=now,
        expires_at=now + KEPT_FOR,
    )


def _adapter(reply: type[R]) -> TypeAdapter[R]:
    """Writes a reply of one type as JSON and reads it back; made once for each type."""
    made = _ADAPTERS.get(reply)
    if made is None:
        made = _ADAPTERS[reply] = TypeAdapter(reply)
    return made


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _scope(key: IdempotencyKey) -> dict[str, str]:
    return {"tenant_id": key.tenant_id, "user_id": key.user_id, "route": key.route, "key": key.key}


def _place(key: IdempotencyKey) -> dict[str, str]:
    """The place a reply is sealed to; the row's id is its scope."""
    row = json.dumps([key.tenant_id, key.user_id, key.route, key.key])
    return {"table": "idempotency_keys", "column": "reply", "row": row}


@dataclass(frozen=True, slots=True, kw_only=True)
class Once(Command[IdempotentReply[R]]):
    """A command or write under an ``Idempotency-Key``: effect and reply are one transaction; a refusal frees the key.

    Without a key it is just executed. ``reply`` is the type of the command's reply, which is stored as data; with
    ``sealing`` it is stored sealed. ``tenant_id`` is the command's: ``None`` for system work, although the key is a
    user's. Only the reply is written after the command's audit event, under a lock that does not block others.
    """

    key: IdempotencyKey | None
    command: Command[R] | Write[R]
    reply: type[R]
    now: datetime
    sealing: Sealing | None = None

    @property
    def unfenced(self) -> str:
        return self.command.unfenced if isinstance(self.command, Command) else ""

    @property
    def label(self) -> str:
        return self.command.label

    async def run(self, db: Connection) -> IdempotentReply[R]:
        if self.key is None:
            return IdempotentReply(await self.command.run(db))
        earlier = await claim(db, self.key, self.reply, self.now, self.sealing)
        if earlier is not None:
            return earlier
        value = await self.command.run(db)
        await keep(db, self.key, self.reply, value, self.now, self.sealing)
        return IdempotentReply(value)
