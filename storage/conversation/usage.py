"""An agency's usage: turns of the last hour, tokens of the day, and settlement of abandoned model calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ..engine.operations import Command, Query, Snapshot

if TYPE_CHECKING:
    from ..engine.connection import Connection

RECENT_TURNS = """
SELECT queued_at FROM turns WHERE tenant_id = $1 AND queued_at > $2 ORDER BY queued_at LIMIT 1000000
"""
TOKENS = """
SELECT coalesce(sum(CASE WHEN state = 'settled' AND outcome <> 'estimated'
                         THEN input_tokens + output_tokens + cache_read_tokens + cache_write_tokens
                         ELSE estimate END), 0)::bigint
  FROM model_calls WHERE tenant_id = $1 AND created_at >= $2
"""


@dataclass(frozen=True, slots=True)
class Used:
    """Ages in seconds of the last hour's turns, oldest first, and today's tokens."""

    turn_ages: list[float]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Snapshot[Used]):
    """The usage that an agency's limits start from. The day is UTC's."""

    now: datetime

    async def run(self, db: Connection) -> Used:
        turns = await db.fetch(RECENT_TURNS, self.tenant_id, self.now - timedelta(hours=1))
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        tokens = await db.fetchval(TOKENS, self.tenant_id, midnight)
        return Used([(self.now - row["queued_at"]).total_seconds() for row in turns], tokens)


SETTLE_ABANDONED = """
UPDATE model_calls m SET state = 'settled', outcome = 'estimated'
 WHERE m.state = 'started'
   AND ($1 OR NOT EXISTS (SELECT FROM turns t WHERE t.tenant_id = m.tenant_id AND t.id = m.turn_id
                                                AND t.state = 'running'))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleAbandoned(Command[None]):
    """Settle abandoned model calls at their estimates: those without a running turn, ``at_start`` all."""

    at_start: bool = False

    async def run(self, db: Connection) -> None:
        await db.execute(SETTLE_ABANDONED, self.at_start)


BY_DAY = """
SELECT (created_at AT TIME ZONE 'UTC')::date AS date, model, count(*) AS calls,
       sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
       sum(cache_read_tokens)::bigint AS cache_read_tokens, sum(cache_write_tokens)::bigint AS cache_write_tokens,
       coalesce(sum(cost_usd), 0) AS cost_usd, count(*) FILTER (WHERE cost_usd IS NULL) AS unpriced_calls
  FROM model_calls
 WHERE tenant_id = $1 AND state = 'settled' AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC'
   AND created_at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
 GROUP BY 1, 2 ORDER BY 1, model COLLATE "C"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One model's calls of one UTC day. ``cost_usd`` is the sum of the known costs: ``unpriced_calls`` had no price."""

    date: date
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Decimal
    unpriced_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ByDay(Query[list[Day]]):
    """Model calls that are over, failed and cancelled ones too, by UTC day (both ends included) and model."""

    first: date
    last: date

    async def run(self, db: Connection) -> list[Day]:
        return [Day(**row) for row in await db.fetch(BY_DAY, self.tenant_id, self.first, self.last)]
