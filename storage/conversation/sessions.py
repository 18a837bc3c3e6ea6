"""Chat sessions: create, list, read, rename and delete them, and load what a session's actor starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, and_, bindparam, delete, func, insert, or_, select, true, update

from ...actors.domain import audit as audits
from ...actors.domain.errors import NotFound, Unprocessable
from ...actors.domain.turns import Message
from .. import audit
from ..engine.operations import Command, Query, Snapshot
from ..engine.statements import binds, statement
from ..tables import messages, pending_approvals, session_events, sessions, tool_calls, turns
from . import approvals
from .steps import MESSAGE, session_fence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.pool import Connection

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
class ListItem:
    """A session in a list."""

    id: str
    title: str | None
    created_at: datetime
    message_count: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """One page of sessions and how many there are."""

    items: tuple[ListItem, ...]
    total: int


_MESSAGES_OF = and_(messages.c.tenant_id == sessions.c.tenant_id, messages.c.session_id == sessions.c.id)
_MESSAGE_COUNT = select(func.count()).select_from(messages).where(_MESSAGES_OF).scalar_subquery()

PAGE = statement(
    select(*sessions.c["id", "title", "created_at"], _MESSAGE_COUNT.label("message_count"))
    .filter_by(**binds("tenant_id"))
    .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
TOTAL = statement(select(func.count()).select_from(sessions).filter_by(**binds("tenant_id")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Snapshot[Sessions]):
    """The agency's sessions, newest first."""

    limit: int
    offset: int

    async def run(self, db: Connection) -> Sessions:
        rows = await PAGE.fetch(db, tenant_id=self.tenant_id, limit=self.limit, offset=self.offset)
        total = await TOTAL.fetchval(db, tenant_id=self.tenant_id)
        return Sessions(tuple(ListItem(**row) for row in rows), total)


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


_NEWEST_EVENT = (
    select(func.max(session_events.c.seq)).where(session_events.c.session_id == sessions.c.id).scalar_subquery()
)
_LAST_EVENT_ID = func.coalesce(_NEWEST_EVENT, sessions.c.pruned_through)
_RUNNING_TURN_ID = (
    select(turns.c.id)
    .where(turns.c.tenant_id == sessions.c.tenant_id, turns.c.session_id == sessions.c.id, turns.c.state == "running")
    .scalar_subquery()
)
ONE = statement(
    select(
        sessions.c.id.label("session_id"),
        *sessions.c["tenant_id", "actor_id", "title", "created_at"],
        _MESSAGE_COUNT.label("message_count"),
        _LAST_EVENT_ID.label("last_event_id"),
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
    entry: audits.AuditEvent
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
            await audit.append(db, [_with(self.entry, {"from": row["title"], "to": title})])
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
    entry: audits.AuditEvent
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
        await audit.append(db, [_with(self.entry, about)])


def _with(entry: audits.AuditEvent, inputs: Mapping[str, Any]) -> audits.AuditEvent:
    return replace(entry, inputs={**entry.inputs, **inputs})


@dataclass(frozen=True, slots=True)
class Transcript:
    """A page of messages in ascending order, and the cursor of the older ones."""

    items: tuple[Message, ...]
    total: int
    next_before: str | None


BEFORE = statement(select(messages.c.sequence).filter_by(**binds("tenant_id", "session_id", "id")))
_BEFORE = bindparam("before", type_=Integer)
MESSAGE_PAGE = statement(
    select(*MESSAGE)
    .filter_by(**binds("tenant_id", "session_id"))
    .where(or_(_BEFORE.is_(None), messages.c.sequence < _BEFORE))
    .order_by(messages.c.sequence.desc())
    .limit(bindparam("limit"))
)
EXISTS = statement(select(true()).select_from(sessions).where(THIS_SESSION))


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages(Snapshot[Transcript]):
    """The newest ``limit`` messages older than ``before``. Refusals: ``session_not_found``, ``invalid_before``."""

    session_id: str
    limit: int
    before: str | None

    async def run(self, db: Connection) -> Transcript:
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        if await EXISTS.fetchval(db, **session) is None:
            raise NotFound("session_not_found")
        place = None
        if self.before is not None:
            place = await BEFORE.fetchval(db, **session, id=self.before)
            if place is None:
                raise Unprocessable("invalid_before")
        rows = await MESSAGE_PAGE.fetch(db, **session, before=place, limit=self.limit + 1)
        total = await MESSAGE_COUNT.fetchval(db, **session)
        items = tuple(Message(**row) for row in reversed(rows[: self.limit]))
        return Transcript(items, total, items[0].id if len(rows) > self.limit else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn:
    """An unfinished turn. ``decided``: some of its calls wait to be executed or reported."""

    id: str
    user_id: str
    state: str
    text_hash: bytes
    input: dict[str, Any]
    first_event_id: int | None
    pass_event_id: int | None
    attempts: int
    ran_ms: int
    queued_at: datetime
    undecided: int
    unreported: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastMessage:
    """The last accepted message: a sender who repeats it may rejoin the turn it began or followed up on."""

    turn_id: str
    user_id: str
    text_hash: bytes
    at: datetime
    is_follow_up: bool
    state: str
    first_event_id: int | None
    pass_event_id: int | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that a session's actor starts from."""

    last_seq: int
    pruned_through: int
    turns: tuple[OpenTurn, ...]
    last: LastMessage | None
    expires: tuple[datetime, ...]


HEAD = statement(select(sessions.c.pruned_through, _LAST_EVENT_ID.label("last_seq")).where(THIS_SESSION))
OPEN_TURNS = """
SELECT t.id, t.user_id, t.state, t.text_hash, t.input, t.first_event_id, t.pass_event_id, t.attempts, t.ran_ms,
       t.queued_at,
       (SELECT count(*) FROM tool_calls c WHERE c.tenant_id = t.tenant_id AND c.turn_id = t.id
               AND c.approval_id IS NOT NULL AND c.state = 'proposed') AS undecided,
       (SELECT count(*) FROM tool_calls c WHERE c.tenant_id = t.tenant_id AND c.turn_id = t.id
               AND NOT (c.approval_id IS NOT NULL AND c.state = 'proposed')
               AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = c.tenant_id AND m.session_id = t.session_id
                                                        AND m.tool_call_id = c.id)) AS unreported
  FROM turns t WHERE t.tenant_id = $1 AND t.session_id = $2 AND t.state IN ('queued', 'running', 'waiting')
 ORDER BY t.queued_at, t.id
"""
"""Text, like the next three: counts and times of other tables for each row, which read better so."""
ENDED_AT = """
coalesce(t.ended_at, (SELECT max(e.created_at) FROM session_events e
                       WHERE e.tenant_id = t.tenant_id AND e.session_id = t.session_id AND e.turn_id = t.id
                         AND e.kind = 'final' AND t.state = 'waiting')) AS ended_at
"""
LAST_BEGUN = f"""
SELECT t.id AS turn_id, t.user_id, t.text_hash, t.queued_at AS at, false AS is_follow_up, t.state, t.first_event_id,
       t.pass_event_id, {ENDED_AT}
  FROM turns t WHERE t.tenant_id = $1 AND t.session_id = $2 ORDER BY t.queued_at DESC, t.id DESC LIMIT 1
"""  # noqa: S608 -- a constant
LAST_FOLLOW_UP = f"""
SELECT t.id AS turn_id, m.user_id, sha256(convert_to(m.content -> 0 ->> 'text', 'UTF8')) AS text_hash,
       m.created_at AS at, true AS is_follow_up, t.state, t.first_event_id, t.pass_event_id, {ENDED_AT}
  FROM messages m JOIN turns t ON t.tenant_id = m.tenant_id AND t.id = m.turn_id
 WHERE m.tenant_id = $1 AND m.session_id = $2 AND m.role = 'user'
   AND EXISTS (SELECT FROM messages f WHERE f.tenant_id = m.tenant_id AND f.session_id = m.session_id
                                        AND f.turn_id = m.turn_id AND f.role = 'user' AND f.sequence < m.sequence)
 ORDER BY m.sequence DESC LIMIT 1
"""  # noqa: S608 -- a constant
PENDING_FOLLOW_UP = """
SELECT t.id AS turn_id, (t.input ->> 'user_id')::uuid AS user_id,
       sha256(convert_to(t.input ->> 'follow_up', 'UTF8')) AS text_hash, (t.input ->> 'at')::timestamptz AS at,
       true AS is_follow_up, t.state, t.first_event_id, t.pass_event_id, NULL::timestamptz AS ended_at
  FROM turns t WHERE t.tenant_id = $1 AND t.session_id = $2 AND t.input ? 'follow_up'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Snapshot[State]):
    """Load what the session's actor starts from, once all earlier steps have ended. Refusal: ``session_not_found``."""

    session_id: str

    @property
    def fence(self) -> int | None:
        return session_fence(self.session_id)

    async def run(self, db: Connection) -> State:
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        head = await HEAD.fetchrow(db, **session)
        if head is None:
            raise NotFound("session_not_found")
        unfinished = await db.fetch(OPEN_TURNS, self.tenant_id, self.session_id)
        accepted = [
            LastMessage(**row)
            for query in (LAST_BEGUN, LAST_FOLLOW_UP, PENDING_FOLLOW_UP)
            for row in await db.fetch(query, self.tenant_id, self.session_id)
        ]
        expires = await approvals.EXPIRES.fetch(db, **session)
        return State(
            last_seq=head["last_seq"],
            pruned_through=head["pruned_through"],
            turns=tuple(OpenTurn(**row) for row in unfinished),
            last=max(accepted, key=lambda message: message.at, default=None),
            expires=tuple(row["expires_at"] for row in expires),
        )


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as it was stored."""

    seq: int
    turn_id: str
    kind: str
    data: str
    created_at: datetime


REPLAY = """
SELECT seq, turn_id, kind, frame AS data, created_at FROM session_events
 WHERE tenant_id = $1 AND session_id = $2 AND seq > $3 AND seq <= $4 ORDER BY seq LIMIT $5
"""
"""Text: every viewer that reconnects runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay(Query[list[Logged]]):
    """Events after ``after``, up to ``through``, in order."""

    session_id: str
    after: int
    through: int
    limit: int = 500

    async def run(self, db: Connection) -> list[Logged]:
        rows = await db.fetch(REPLAY, self.tenant_id, self.session_id, self.after, self.through, self.limit)
        return [Logged(**row) for row in rows]
