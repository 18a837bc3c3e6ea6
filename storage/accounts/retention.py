"""Hourly pruning of login sessions, tokens and e-mails, in batches, each on an index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from ..engine.operations import Command

if TYPE_CHECKING:
    from ..engine.pool import Connection

FAMILIES_KEPT_FOR = timedelta(days=90)
"""After their end: recent sign-ins determine the known networks."""

TOKENS_KEPT_FOR = timedelta(days=30)
LETTERS_KEPT_FOR = timedelta(days=30)

PRUNE_FAMILIES = """
WITH gone AS (
    DELETE FROM auth_families WHERE id IN (
        SELECT id FROM auth_families WHERE revoked_at <= $1 OR expires_at <= $1 LIMIT $2) RETURNING 1
) SELECT count(*) FROM gone
"""

PRUNE_DENIED = """
WITH gone AS (
    DELETE FROM revoked_access_tokens WHERE jti IN (
        SELECT jti FROM revoked_access_tokens WHERE expires_at <= $1 LIMIT $2) RETURNING 1
) SELECT count(*) FROM gone
"""

PRUNE_TOKENS = """
WITH gone AS (
    DELETE FROM one_time_tokens WHERE id IN (
        SELECT id FROM one_time_tokens WHERE expires_at <= $1 LIMIT $2) RETURNING 1
) SELECT count(*) FROM gone
"""

PRUNE_LETTERS = """
WITH gone AS (
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox
         WHERE state <> 'due' AND created_at <= $1
           AND CASE state WHEN 'sent' THEN sent_at <= $1 WHEN 'held' THEN expires_at <= $1 ELSE true END
         LIMIT $2) RETURNING 1
) SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune(Command[int]):
    """Remove at most ``limit`` rows of one kind that have been over for long enough; answers how many. System work."""

    statement: ClassVar[str]
    kept_for: ClassVar[timedelta]

    tenant_id: None = None
    now: datetime
    limit: int = 500

    async def run(self, db: Connection) -> int:
        return int(await db.fetchval(self.statement, self.now - self.kept_for, self.limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneFamilies(Prune):
    """Families long ended; their refresh tokens go with them, of which a busy family has thousands."""

    statement = PRUNE_FAMILIES
    kept_for = FAMILIES_KEPT_FOR
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneDenied(Prune):
    """Revoked single tokens that have expired."""

    statement = PRUNE_DENIED
    kept_for = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneTokens(Prune):
    """One-time tokens, used or not."""

    statement = PRUNE_TOKENS
    kept_for = TOKENS_KEPT_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneEmails(Prune):
    """E-mails after delivery; undelivered ones count from their creation."""

    statement = PRUNE_LETTERS
    kept_for = LETTERS_KEPT_FOR


PIECES: tuple[type[Prune], ...] = (PruneFamilies, PruneDenied, PruneTokens, PruneEmails)
