"""Supplier writes without outcome: which are due to be looked up, and the outcome a supplier confirms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, and_, bindparam, cast, extract, func, or_, select, update

from ...actors.domain import tool_calls as rules
from ...actors.domain.outcomes import Outcome
from ...actors.domain.turns import ToolCall
from .. import audit
from ..engine.operations import Command, Operation, Query
from ..engine.statements import binds, statement
from ..schema.columns import Time
from ..tables import tool_calls, turns
from .tool_calls import CALL, THIS_CALL

if TYPE_CHECKING:
    from ..engine.connection import Connection

SETTLE_WITHIN: Final = timedelta(hours=24)
"""How long a write without outcome is looked up; after that the agency has to ask the supplier."""
EVERY_MINUTE_WITHIN: Final = timedelta(minutes=10)
LATER_INTERVAL: Final = 15
"""Minutes between look-ups of an older write."""

_AGE_IN_MINUTES = cast(extract("epoch", bindparam("now", type_=Time) - tool_calls.c.started_at), Integer) // 60
_UNFINISHED_TURN = (
    select(turns.c.id)
    .where(
        turns.c.tenant_id == tool_calls.c.tenant_id,
        turns.c.id == tool_calls.c.turn_id,
        turns.c.state.in_(("queued", "running", "waiting")),
    )
    .exists()
)
DUE = and_(
    tool_calls.c.state.in_(("unknown", "executing")),
    tool_calls.c.driver.is_not(None),
    tool_calls.c.started_at > bindparam("oldest"),
    or_(tool_calls.c.started_at > bindparam("recent"), func.mod(_AGE_IN_MINUTES, LATER_INTERVAL) == 0),
    or_(tool_calls.c.state == "unknown", and_(tool_calls.c.state == "executing", ~_UNFINISHED_TURN)),
)
"""Supplier writes that no turn is executing and whose outcome is due to be looked up."""
AGENCIES = statement(select(tool_calls.c.tenant_id).distinct().where(DUE))
WRITES = statement(
    select(*CALL, tool_calls.c.session_id)
    .filter_by(**binds("tenant_id"))
    .where(DUE)
    .order_by(tool_calls.c.id)
    .limit(100)
)


def _at(now: datetime) -> dict[str, datetime]:
    return {"now": now, "oldest": now - SETTLE_WITHIN, "recent": now - EVERY_MINUTE_WITHIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgenciesWithUnsettled(Query[list[str]]):
    """Agencies with supplier writes whose outcome is due to be looked up."""

    now: datetime

    async def run(self, db: Connection) -> list[str]:
        return [row["tenant_id"] for row in await AGENCIES.fetch(db, **_at(self.now))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled(Query[list[tuple[ToolCall, str | None]]]):
    """An agency's supplier writes whose outcome is due to be looked up, each with its session if that still exists."""

    now: datetime

    async def run(self, db: Connection) -> list[tuple[ToolCall, str | None]]:
        return _calls(await WRITES.fetch(db, tenant_id=self.tenant_id, **_at(self.now)))


def _calls(found: Iterable[Mapping[str, Any]]) -> list[tuple[ToolCall, str | None]]:
    rows = [dict(row) for row in found]
    sessions = [row.pop("session_id") for row in rows]
    return [(ToolCall(**row), session) for row, session in zip(rows, sessions, strict=True)]


PAYMENTS = statement(
    select(*CALL, tool_calls.c.session_id)
    .filter_by(**binds("tenant_id", "tool"))
    .where(
        or_(tool_calls.c.state == "unknown", tool_calls.c.state == "executing"),
        tool_calls.c.bound["booking_id"].astext == bindparam("booking_id"),
    )
    .order_by(tool_calls.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfBooking(Query[list[tuple[ToolCall, str | None]]]):
    """The calls of one tool on a booking that are under way or without outcome, each with its session."""

    tool: str
    booking_id: str

    async def run(self, db: Connection) -> list[tuple[ToolCall, str | None]]:
        return _calls(await PAYMENTS.fetch(db, tenant_id=self.tenant_id, tool=self.tool, booking_id=self.booking_id))


LOCK = statement(select(tool_calls.c.state).where(THIS_CALL).with_for_update(key_share=True))
SETTLE = statement(update(tool_calls).where(THIS_CALL).values(**binds("state", "output", "error", "ended_at")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Command[Outcome | None]):
    """Store the outcome a supplier confirms for a write without one. None if it has been stored meanwhile.

    The transcript keeps what was reported at the time; tool call, audit and our own tables have the outcome.
    """

    call: ToolCall
    record: Operation[Outcome]
    session_id: str | None
    now: datetime

    async def run(self, db: Connection) -> Outcome | None:
        call = {"tenant_id": self.tenant_id, "id": self.call.id}
        if await LOCK.fetchval(db, **call) not in ("unknown", "executing"):
            return None
        outcome = await self.record.run(db)
        if outcome.state == "unknown":  # recorded, but its output does not fit its schema: nothing new to report
            return None
        await SETTLE.execute(
            db, **call, state=outcome.state, output=outcome.to_output(), error=outcome.error, ended_at=self.now
        )
        at = rules.Context(self.tenant_id or "", self.session_id, self.now)
        await audit.append(db, [rules.audit_of_outcome(self.call, outcome, at)])
        return outcome
