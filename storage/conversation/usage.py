"""An agency's usage: turns of the last hour, tokens of the day, and settlement of abandoned model calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Boolean, and_, bindparam, case, cast, func, or_, select, update

from ..engine.operations import Command, Query, Snapshot
from ..engine.statements import binds, statement
from ..tables import model_calls, turns

if TYPE_CHECKING:
    from ..engine.connection import Connection

RECENT_TURNS = statement(
    select(turns.c.queued_at)
    .filter_by(**binds("tenant_id"))
    .where(turns.c.queued_at > bindparam("since"))
    .order_by(turns.c.queued_at)
    .limit(1_000_000)
)
_IS_MEASURED = and_(model_calls.c.state == "settled", model_calls.c.outcome != "estimated")
_USED = sum(model_calls.c["output_tokens", "cache_read_tokens", "cache_write_tokens"], model_calls.c.input_tokens)
_CHARGED = case((_IS_MEASURED, _USED), else_=model_calls.c.estimate)
TOKENS = statement(
    select(cast(func.coalesce(func.sum(_CHARGED), 0), BigInteger))
    .filter_by(**binds("tenant_id"))
    .where(model_calls.c.created_at >= bindparam("since"))
)


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
        recent = await RECENT_TURNS.fetch(db, tenant_id=self.tenant_id, since=self.now - timedelta(hours=1))
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        tokens = await TOKENS.fetchval(db, tenant_id=self.tenant_id, since=midnight)
        return Used([(self.now - row["queued_at"]).total_seconds() for row in recent], tokens)


_RUNNING_TURN = (
    select(turns.c.id)
    .where(
        turns.c.tenant_id == model_calls.c.tenant_id, turns.c.id == model_calls.c.turn_id, turns.c.state == "running"
    )
    .exists()
)
STARTED = statement(
    select(model_calls.c.tenant_id, func.bool_or(~_RUNNING_TURN).label("abandoned"))
    .where(model_calls.c.state == "started")
    .group_by(model_calls.c.tenant_id)
)
SETTLE_ABANDONED = statement(
    update(model_calls)
    .filter_by(**binds("tenant_id"), state="started")
    .where(or_(bindparam("every", type_=Boolean), ~_RUNNING_TURN))
    .values(state="settled", outcome="estimated")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgenciesWithStarted(Query[list[tuple[str, bool]]]):
    """Agencies with unsettled model calls, each with whether one of them has no running turn."""

    tenant_id: None = None

    async def run(self, db: Connection) -> list[tuple[str, bool]]:
        return [(row["tenant_id"], row["abandoned"]) for row in await STARTED.fetch(db)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleAbandoned(Command[None]):
    """Settle an agency's abandoned model calls at their estimates: those without a running turn, or ``every`` one."""

    every: bool = False

    async def run(self, db: Connection) -> None:
        await SETTLE_ABANDONED.execute(db, tenant_id=self.tenant_id, every=self.every)


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
"""Text: days of UTC, counted with filters."""


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
