"""Retention: removes text deltas of old turns and responses stored under expired idempotency keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete

from ..engine.operations import Command
from ..engine.statements import statement
from ..tables import idempotency_keys

if TYPE_CHECKING:
    from ..engine.connection import Connection

DELTAS_KEPT_FOR = timedelta(days=1)

PRUNE_DELTAS = """
WITH old AS (
    SELECT session_id, seq FROM session_events e
     WHERE kind = 'text_delta' AND created_at < $1
       AND EXISTS (SELECT FROM session_events n WHERE n.session_id = e.session_id AND n.seq > e.seq)
     ORDER BY created_at, session_id, seq LIMIT $2
), gone AS (
    DELETE FROM session_events e USING old WHERE e.session_id = old.session_id AND e.seq = old.seq
    RETURNING e.tenant_id, e.session_id, e.seq
), pruned AS (
    SELECT tenant_id, session_id, max(seq) AS through, count(*) AS events FROM gone GROUP BY 1, 2
)
UPDATE sessions s SET pruned_through = greatest(s.pruned_through, pruned.through)
  FROM pruned WHERE s.tenant_id = pruned.tenant_id AND s.id = pruned.session_id
RETURNING s.tenant_id, s.id AS session_id, s.pruned_through AS through, pruned.events
"""
"""Text: one statement deletes events and tells their sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedSession:
    """A session from which ``events`` text deltas were removed, and the newest id removed so far."""

    tenant_id: str
    session_id: str
    through: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneDeltas(Command[list[PrunedSession]]):
    """Remove text deltas older than a day, at most ``limit``, never a session's newest event. System work.

    The transcript holds the text; ``pruned_through`` is updated in the same statement.
    """

    tenant_id: None = None
    now: datetime
    limit: int = 10_000

    async def run(self, db: Connection) -> list[PrunedSession]:
        return [PrunedSession(**row) for row in await db.fetch(PRUNE_DELTAS, self.now - DELTAS_KEPT_FOR, self.limit)]


PRUNE_KEYS = statement(delete(idempotency_keys).where(idempotency_keys.c.expires_at <= bindparam("now")))


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneKeys(Command[None]):
    """Remove responses stored under expired idempotency keys. System work."""

    tenant_id: None = None
    now: datetime

    async def run(self, db: Connection) -> None:
        await PRUNE_KEYS.execute(db, now=self.now)
