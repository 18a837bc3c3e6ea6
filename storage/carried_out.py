"""What an agency has had carried out lately: whoever is asked about an equal call is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .engine.operations import Query

if TYPE_CHECKING:
    from .engine.pool import Connection

RECENT = """
SELECT c.input, c.bound, c.output, c.state = 'succeeded' AS certain
  FROM tool_calls c LEFT JOIN bookings b ON b.tenant_id = c.tenant_id AND b.tool_call_id = c.id
 WHERE c.tenant_id = $1 AND c.tool = $2 AND c.state IN ('succeeded', 'unknown', 'executing')
   AND coalesce(c.ended_at, c.started_at, c.created_at) > $3
   AND (b.status IS NULL OR b.status NOT IN ('cancelled', 'failed'))
 ORDER BY c.state = 'succeeded' DESC, c.created_at DESC
 LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Deed:
    """A call that was carried out, or (not ``certain``) may have been: how it ended is not known."""

    input: dict[str, Any]
    bound: dict[str, Any] | None
    output: dict[str, Any] | None
    certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent(Query[list[Deed]]):
    """The agency's calls of one tool since then, in all sessions, the certain and the newest first."""

    tool: str
    since: datetime

    async def run(self, db: Connection) -> list[Deed]:
        return [Deed(**row) for row in await db.fetch(RECENT, self.tenant_id, self.tool, self.since)]
