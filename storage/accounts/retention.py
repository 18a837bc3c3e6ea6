"""Hourly pruning of login sessions, tokens and e-mails, in batches, each on an index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Column, ColumnElement, and_, bindparam, case, delete, func, or_, select, true

from ..engine.operations import Command
from ..engine.statements import Statement, statement
from ..schema.columns import Time
from ..tables import auth_families, one_time_tokens, outbox, revoked_access_tokens

if TYPE_CHECKING:
    from ..engine.connection import Connection

FAMILIES_KEPT_FOR = timedelta(days=90)
"""After their end: recent sign-ins determine the known networks."""

TOKENS_KEPT_FOR = timedelta(days=30)
EMAILS_KEPT_FOR = timedelta(days=30)


def _prune(key: Column[Any], over: ColumnElement[bool]) -> Statement:
    """Delete at most ``limit`` rows that have been over at ``by``, and count them."""
    gone = delete(key.table).where(key.in_(select(key).where(over).limit(bindparam("limit")))).returning(key).cte()
    return statement(select(func.count()).select_from(gone))


_BY = bindparam("by", type_=Time)

PRUNE_FAMILIES = _prune(auth_families.c.id, or_(auth_families.c.revoked_at <= _BY, auth_families.c.expires_at <= _BY))
PRUNE_DENIED = _prune(revoked_access_tokens.c.jti, revoked_access_tokens.c.expires_at <= _BY)
PRUNE_TOKENS = _prune(one_time_tokens.c.id, one_time_tokens.c.expires_at <= _BY)
PRUNE_EMAILS = _prune(
    outbox.c.id,
    and_(
        outbox.c.state != "due",
        outbox.c.created_at <= _BY,
        case({"sent": outbox.c.sent_at <= _BY, "held": outbox.c.expires_at <= _BY}, value=outbox.c.state, else_=true()),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune(Command[int]):
    """Remove at most ``limit`` rows of one kind that have been over for long enough; answers how many. System work."""

    prune: ClassVar[Statement]
    kept_for: ClassVar[timedelta]

    tenant_id: None = None
    now: datetime
    limit: int = 500

    async def run(self, db: Connection) -> int:
        return int(await self.prune.fetchval(db, by=self.now - self.kept_for, limit=self.limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneFamilies(Prune):
    """Families long ended; their refresh tokens go with them, of which a busy family has thousands."""

    prune = PRUNE_FAMILIES
    kept_for = FAMILIES_KEPT_FOR
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneDenied(Prune):
    """Revoked single tokens that have expired."""

    prune = PRUNE_DENIED
    kept_for = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneTokens(Prune):
    """One-time tokens, used or not."""

    prune = PRUNE_TOKENS
    kept_for = TOKENS_KEPT_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneEmails(Prune):
    """E-mails after delivery; undelivered ones count from their creation."""

    prune = PRUNE_EMAILS
    kept_for = EMAILS_KEPT_FOR


PIECES: tuple[type[Prune], ...] = (PruneFamilies, PruneDenied, PruneTokens, PruneEmails)
