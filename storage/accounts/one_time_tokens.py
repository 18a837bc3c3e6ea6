"""One-time tokens sent by e-mail, which verify access to an address. Only their SHA-256 is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, insert, select, tuple_, update

from ...actors.domain.errors import BadRequest
from .. import outbox
from ..engine.operations import Query
from ..engine.statements import any_of, binds, statement
from ..tables import one_time_tokens

if TYPE_CHECKING:
    from ..engine.connection import Connection

VERIFICATION, RESET, UNDO, UNDO_RESET = "verification", "reset", "undo", "undo_reset"
"""``undo_reset`` sets the password of an account that an undo gave back; no change of address ends it."""
KINDS = (VERIFICATION, RESET, UNDO, UNDO_RESET)

INVALID = "token_invalid"
"""The code of every refused token: unknown, used, expired, superseded, address changed."""

UNUSED = one_time_tokens.c.used_at.is_(None)
OF_USER = and_(one_time_tokens.c.tenant_id == bindparam("tenant_id"), one_time_tokens.c.user_id == bindparam("user_id"))

KEEP = statement(
    insert(one_time_tokens).values(
        **binds("id", "tenant_id", "user_id", "kind", "token_hash", "email", "expires_at", "created_at")
    )
)

FIND = statement(
    select(*one_time_tokens.c["id", "tenant_id", "user_id", "kind", "email", "created_at"]).where(
        one_time_tokens.c.token_hash == bindparam("token_hash"),
        any_of(one_time_tokens.c.kind, "kinds"),
        UNUSED,
        one_time_tokens.c.expires_at > bindparam("now"),
    )
)

SPEND = statement(
    update(one_time_tokens)
    .filter_by(**binds("id"))
    .where(UNUSED, one_time_tokens.c.expires_at > bindparam("now"))
    .values(used_at=bindparam("now"))
    .returning(one_time_tokens.c.id)
)

END = statement(
    update(one_time_tokens)
    .where(OF_USER, any_of(one_time_tokens.c.kind, "kinds"), UNUSED)
    .values(used_at=bindparam("now"))
)

LAST_UNDO = statement(
    select(one_time_tokens.c.id)
    .where(OF_USER, one_time_tokens.c.kind == UNDO, one_time_tokens.c.email == bindparam("email"))
    .order_by(one_time_tokens.c.created_at.desc(), one_time_tokens.c.id.desc())
    .limit(1)
)

_FIRST = one_time_tokens.alias("first")
END_UNDO_FROM = statement(
    update(one_time_tokens)
    .where(
        OF_USER,
        one_time_tokens.c.kind == UNDO,
        UNUSED,
        _FIRST.c.id == bindparam("id"),
        tuple_(*one_time_tokens.c["created_at", "id"]) >= tuple_(*_FIRST.c["created_at", "id"]),
    )
    .values(used_at=bindparam("now"))
)


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
        row = await FIND.fetchrow(db, token_hash=self.token_hash, kinds=self.kinds, now=self.now)
        if row is None:
            raise BadRequest(INVALID)
        return Found(**dict(row))


async def keep(db: Connection, token: NewToken, tenant_id: str, user_id: str, now: datetime) -> None:
    """Store ``token`` as ``user_id``'s."""
    await KEEP.execute(
        db,
        id=token.id,
        tenant_id=tenant_id,
        user_id=user_id,
        kind=token.kind,
        token_hash=token.token_hash,
        email=token.email,
        expires_at=token.expires_at,
        created_at=now,
    )


async def send(
    db: Connection, token: NewToken, mail: outbox.QueuedEmail, tenant_id: str, user_id: str, now: datetime
) -> None:
    """Store ``token`` and enqueue its e-mail; neither, if the address has reached its cap."""
    if await outbox.offer(db, mail, tenant_id, now):
        await keep(db, token, tenant_id, user_id, now)


async def spend(db: Connection, token_id: str, now: datetime) -> None:
    """Use a token; of concurrent attempts one succeeds. BadRequest ``token_invalid`` for the others."""
    if await SPEND.fetchval(db, id=token_id, now=now) is None:
        raise BadRequest(INVALID)


async def end(db: Connection, tenant_id: str, user_id: str, kinds: tuple[str, ...], now: datetime) -> None:
    """Revoke the user's tokens of these kinds."""
    await END.execute(db, tenant_id=tenant_id, user_id=user_id, kinds=kinds, now=now)


async def last_undo(db: Connection, tenant_id: str, user_id: str, email: str) -> str | None:
    """The id of the newest undo token that was sent to ``email``, live or not."""
    token_id: str | None = await LAST_UNDO.fetchval(db, tenant_id=tenant_id, user_id=user_id, email=email)
    return token_id


async def end_undo_from(db: Connection, tenant_id: str, user_id: str, token_id: str, now: datetime) -> None:
    """End this undo token and those made after it. One made before belongs to an earlier address, and stays."""
    await END_UNDO_FROM.execute(db, tenant_id=tenant_id, user_id=user_id, id=token_id, now=now)
