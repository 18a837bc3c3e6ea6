"""Chat sessions: create, list, read, rename and delete them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import NotFound, Unprocessable
from .. import audit
from ..engine.operations import Command, Snapshot
from ..engine.statements import binds, statement
from ..tables import messages, pending_approvals, session_events, sessions, tool_calls, turns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.connection import Connection

THIS_SESSION = and_(sessions.c.tenant_id == bindparam("tenant_id"), sessions.c.id == bindparam("session_id"))
ID_IF_IT_EXISTS = select(sessions.c.id).where(THIS_SESSION).scalar_subquery()
"""The id of a session, or NULL: what refers to it may be stored after it was deleted."""

CREATE = statement(insert(sessions).values(**binds("id", "tenant_id", "actor_id", "created_at")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Command[str]):
    """Create a session. Returns its id."""

    session_id: str
    user_id: str
    now: datetime

    async def run(self, db: Connection) -> str:
        await CREATE.execute(
            db, id=self.session_id, tenant_id=self.tenant_id, actor_id=self.user_id, created_at=self.now
        )
        return self.session_id


@dataclass(frozen=True, slots=True)
class Waiting:
    """An undecided approval in a summary."""

    approval_id: str
    tool_name: str
    summary: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A session's summary (business 2.3)."""

    session_id: str
    tenant_id: str
    actor_id: str
    message_count: int
    pending_approvals: tuple[Waiting, ...]
    title: str | None
    created_at: datetime
    last_event_id: int
    running_turn_id: str | None


_MESSAGES_OF = and_(messages.c.tenant_id == sessions.c.tenant_id, messages.c.session_id == sessions.c.id)
COUNTED = select(func.count()).select_from(messages).where(_MESSAGES_OF).scalar_subquery()
"""How many messages a session of a list has."""
_NEWEST_EVENT = (
    select(func.max(session_events.c.seq)).where(session_events.c.session_id == sessions.c.id).scalar_subquery()
)
LAST_EVENT_ID = func.coalesce(_NEWEST_EVENT, sessions.c.pruned_through)
_RUNNING_TURN_ID = (
    select(turns.c.id)
    .where(turns.c.tenant_id == sessions.c.tenant_id, turns.c.session_id == sessions.c.id, turns.c.state == "running")
    .scalar_subquery()
)
ONE = statement(
    select(
        sessions.c.id.label("session_id"),
        *sessions.c["tenant_id", "actor_id", "title", "created_at"],
        COUNTED.label("message_count"),
        LAST_EVENT_ID.label("last_event_id"),
        _RUNNING_TURN_ID.label("running_turn_id"),
    ).where(THIS_SESSION)
)
WAITING = statement(
    select(
        pending_approvals.c.id.label("approval_id"),
        *pending_approvals.c["tool_name", "summary", "expires_at"],
    )
    .filter_by(**binds("tenant_id", "session_id"), status="pending")
    .where(pending_approvals.c.expires_at > bindparam("now"))
    .order_by(pending_approvals.c.requested_at, pending_approvals.c.id)
)


async def summary(db: Connection, tenant_id: str | None, session_id: str, now: datetime) -> Summary:
    """Read the summary. Refusal: ``session_not_found``."""
    row = await ONE.fetchrow(db, tenant_id=tenant_id, session_id=session_id)
    if row is None:
        raise NotFound("session_not_found")
    waiting = await WAITING.fetch(db, tenant_id=tenant_id, session_id=session_id, now=now)
    return Summary(**row, pending_approvals=tuple(Waiting(**each) for each in waiting))


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Snapshot[Summary]):
    """The summary of one session."""

    session_id: str
    now: datetime

    async def run(self, db: Connection) -> Summary:
        return await summary(db, self.tenant_id, self.session_id, self.now)


TITLE = statement(select(sessions.c.title).where(THIS_SESSION).with_for_update(key_share=True))
"""Events can be written meanwhile: their foreign key only waits for a deletion."""
LAST_TITLE = statement(select(sessions.c.title).where(THIS_SESSION).with_for_update())
RENAME = statement(update(sessions).where(THIS_SESSION).values(**binds("title")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename(Command[Summary]):
    """Give a session another title; audited if it changed. Refusals: ``session_not_found``, then ``title_empty``."""

    session_id: str
    title: str
    audit_event: audits.AuditEvent
    now: datetime

    async def run(self, db: Connection) -> Summary:
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        row = await TITLE.fetchrow(db, **session)
        if row is None:
            raise NotFound("session_not_found")
        title = self.title.strip()
        if not title:
            raise Unprocessable("title_empty")
        if title != row["title"]:
            await RENAME.execute(db, **session, title=title)
        renamed = await summary(db, self.tenant_id, self.session_id, self.now)
        if title != row["title"]:
            await audit.append(db, [_with(self.audit_event, {"from": row["title"], "to": title})])
        return renamed


END_CALLS = statement(
    update(tool_calls)
    .filter_by(**binds("tenant_id", "session_id"))
    .where(tool_calls.c.state.in_(("proposed", "approved")))
    .values(state="failed", error="session_deleted", **binds("ended_at"))
)
PENDING_COUNT = statement(
    select(func.count()).select_from(pending_approvals).filter_by(**binds("tenant_id", "session_id"), status="pending")
)
MESSAGE_COUNT = statement(select(func.count()).select_from(messages).filter_by(**binds("tenant_id", "session_id")))
DELETE = statement(delete(sessions).where(THIS_SESSION))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Command[None]):
    """Delete a session with its transcript, log, turns and approvals; its effects elsewhere stay."""

    session_id: str
    audit_event: audits.AuditEvent
    now: datetime

    async def run(self, db: Connection) -> None:
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        row = await LAST_TITLE.fetchrow(db, **session)
        if row is None:
            raise NotFound("session_not_found")
        message_count = await MESSAGE_COUNT.fetchval(db, **session)
        pending = await PENDING_COUNT.fetchval(db, **session)
        await END_CALLS.execute(db, **session, ended_at=self.now)
        await DELETE.execute(db, **session)
        about = {"title": row["title"], "message_count": message_count, "pending_approvals": pending}
        await audit.append(db, [_with(self.audit_event, about)])


def _with(audit_event: audits.AuditEvent, inputs: Mapping[str, Any]) -> audits.AuditEvent:
    return replace(audit_event, inputs={**audit_event.inputs, **inputs})
