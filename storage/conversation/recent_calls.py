"""Tool calls an agency executed lately, in all its sessions: an approver is told of an equal one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, or_, select

from ..engine.operations import Query
from ..engine.statements import statement
from ..tables import bookings, tool_calls

if TYPE_CHECKING:
    from ..engine.connection import Connection

_SUCCEEDED = tool_calls.c.state == "succeeded"
_ITS_BOOKING = and_(bookings.c.tenant_id == tool_calls.c.tenant_id, bookings.c.tool_call_id == tool_calls.c.id)
RECENT = statement(
    select(*tool_calls.c["input", "bound", "output"], _SUCCEEDED.label("certain"))
    .select_from(tool_calls.outerjoin(bookings, _ITS_BOOKING))
    .where(
        tool_calls.c.tenant_id == bindparam("tenant_id"),
        tool_calls.c.tool == bindparam("tool"),
        tool_calls.c.state.in_(("succeeded", "unknown", "executing")),
        func.coalesce(*tool_calls.c["ended_at", "started_at", "created_at"]) > bindparam("since"),
        or_(bookings.c.status.is_(None), bookings.c.status.not_in(("cancelled", "failed"))),
    )
    .order_by(_SUCCEEDED.desc(), tool_calls.c.created_at.desc())
    .limit(1000)
)


@dataclass(frozen=True, slots=True)
class RecentCall:
    """A call that was executed; where it is not ``certain``, its outcome is unknown."""

    input: dict[str, Any]
    bound: dict[str, Any] | None
    output: dict[str, Any] | None
    certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OfTool(Query[list[RecentCall]]):
    """Calls of one tool executed since then whose booking still stands: certain ones first, then the newest."""

    tool: str
    since: datetime

    async def run(self, db: Connection) -> list[RecentCall]:
        rows = await RECENT.fetch(db, tenant_id=self.tenant_id, tool=self.tool, since=self.since)
        return [RecentCall(**row) for row in rows]
