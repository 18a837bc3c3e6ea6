"""Chat sessions: create, list, read, rename and delete them, and load what a session's actor starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...actors.domain import audit as audits
from ...actors.domain.errors import NotFound, Unprocessable
from ...actors.domain.turns import Message
from .. import audit
from ..engine.operations import Command, Query, Snapshot
from . import approvals
from .steps import session_fence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.pool import Connection

CREATE = """
INSERT INTO sessions (id, tenant_id, actor_id, actor_kind, title, created_at, updated_at)
VALUES ($1, $2, $3, 'human', NULL, $4, $4)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Command[str]):
    """Create a session. Returns its id."""

    session_id: str
    user_id: str
    now: datetime

    async def run(self, db: Connection) -> str:
        await db.execute(CREATE, self.session_id, self.tenant_id, self.user_id, self.now)
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


PAGE = """
SELECT s.id, s.title, s.created_at,
       (SELECT count(*) FROM messages m WHERE m.tenant_id = s.tenant_id AND m.session_id = s.id) AS message_count
  FROM sessions s WHERE s.tenant_id = $1 ORDER BY s.created_at DESC, s.id DESC LIMIT $2 OFFSET $3
"""
TOTAL = "SELECT count(*) FROM sessions WHERE tenant_id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Snapshot[Sessions]):
    """The agency's sessions, newest first."""

    limit: int
    offset: int

    async def run(self, db: Connection) -> Sessions:
        rows = await db.fetch(PAGE, self.tenant_id, self.limit, self.offset)
        total = await db.fetchval(TOTAL, self.tenant_id)
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


ONE = """
SELECT s.id AS session_id, s.tenant_id, s.actor_id, s.title, s.created_at,
       (SELECT count(*) FROM messages m WHERE m.tenant_id = s.tenant_id AND m.session_id = s.id) AS message_count,
       coalesce((SELECT max(e.seq) FROM session_events e WHERE e.session_id = s.id), s.pruned_through) AS last_event_id,
       (SELECT t.id FROM turns t WHERE t.tenant_id = s.tenant_id AND t.session_id = s.id AND t.state = 'running')
           AS running_turn_id
  FROM sessions s WHERE s.tenant_id = $1 AND s.id = $2
"""
WAITING = """
SELECT id AS approval_id, tool_name, summary, expires_at FROM pending_approvals
 WHERE tenant_id = $1 AND session_id = $2 AND status = 'pending' AND expires_at > $3 ORDER BY requested_at, id
"""


async def summary(db: Connection, tenant_id: str | None, session_id: str, now: datetime) -> Summary:
    """Read the summary. Refusal: ``session_not_found``."""
    row = await db.fetchrow(ONE, tenant_id, session_id)
    if row is None:
        raise NotFound("session_not_found")
    waiting = await db.fetch(WAITING, tenant_id, session_id, now)
    return Summary(**row, pending_approvals=tuple(Waiting(**each) for each in waiting))


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Snapshot[Summary]):
    """The summary of one session."""

    session_id: str
    now: datetime

    async def run(self, db: Connection) -> Summary:
        return await summary(db, self.tenant_id, self.session_id, self.now)


TITLE = "SELECT title FROM sessions WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE"
"""Events can be written meanwhile: their foreign key only waits for a deletion."""
LAST_TITLE = "SELECT title FROM sessions WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
RENAME = "UPDATE sessions SET title = $3 WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename(Command[Summary]):
    """Give a session another title; audited if it changed. Refusals: ``session_not_found``, then ``title_empty``."""

    session_id: str
    title: str
    entry: audits.AuditEvent
    now: datetime

    async def run(self, db: Connection) -> Summary:
        row = await db.fetchrow(TITLE, self.tenant_id, self.session_id)
        if row is None:
            raise NotFound("session_not_found")
        title = self.title.strip()
        if not title:
            raise Unprocessable("title_empty")
        if title != row["title"]:
            await db.execute(RENAME, self.tenant_id, self.session_id, title)
        renamed = await summary(db, self.tenant_id, self.session_id, self.now)
        if title != row["title"]:
            await audit.append(db, [_with(self.entry, {"from": row["title"], "to": title})])
        return renamed


UNDECIDED = """
UPDATE tool_calls SET state = 'failed', error = 'session_deleted', ended_at = $3
 WHERE tenant_id = $1 AND session_id = $2 AND state IN ('proposed', 'approved')
"""
PENDING_COUNT = """
SELECT count(*) FROM pending_approvals WHERE tenant_id = $1 AND session_id = $2 AND status = 'pending'
"""
MESSAGE_COUNT = "SELECT count(*) FROM messages WHERE tenant_id = $1 AND session_id = $2"
DELETE = "DELETE FROM sessions WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Command[None]):
    """Delete a session with its transcript, log, turns and approvals; its effects elsewhere stay."""

    session_id: str
    entry: audits.AuditEvent
    now: datetime

    async def run(self, db: Connection) -> None:
        row = await db.fetchrow(LAST_TITLE, self.tenant_id, self.session_id)
        if row is None:
            raise NotFound("session_not_found")
        messages = await db.fetchval(MESSAGE_COUNT, self.tenant_id, self.session_id)
        pending = await db.fetchval(PENDING_COUNT, self.tenant_id, self.session_id)
        await db.execute(UNDECIDED, self.tenant_id, self.session_id, self.now)
        await db.execute(DELETE, self.tenant_id, self.session_id)
        about = {"title": row["title"], "message_count": messages, "pending_approvals": pending}
        await audit.append(db, [_with(self.entry, about)])


def _with(entry: audits.AuditEvent, inputs: Mapping[str, Any]) -> audits.AuditEvent:
    return replace(entry, inputs={**entry.inputs, **inputs})


@dataclass(frozen=True, slots=True)
class Transcript:
    """A page of messages in ascending order, and the cursor of the older ones."""

    items: tuple[Message, ...]
    total: int
    next_before: str | None


BEFORE = "SELECT sequence FROM messages WHERE tenant_id = $1 AND session_id = $2 AND id = $3"
MESSAGE_PAGE = """
SELECT id, sequence, turn_id, role, content, user_id, created_at FROM messages
 WHERE tenant_id = $1 AND session_id = $2 AND ($3::int IS NULL OR sequence < $3) ORDER BY sequence DESC LIMIT $4
"""
EXISTS = "SELECT true FROM sessions WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages(Snapshot[Transcript]):
    """The newest ``limit`` messages older than ``before``. Refusals: ``session_not_found``, ``invalid_before``."""

    session_id: str
    limit: int
    before: str | None

    async def run(self, db: Connection) -> Transcript:
        if await db.fetchval(EXISTS, self.tenant_id, self.session_id) is None:
            raise NotFound("session_not_found")
        place = None
        if self.before is not None:
            place = await db.fetchval(BEFORE, self.tenant_id, self.session_id, self.before)
            if place is None:
                raise Unprocessable("invalid_before")
        rows = await db.fetch(MESSAGE_PAGE, self.tenant_id, self.session_id, place, self.limit + 1)
        total = await db.fetchval(MESSAGE_COUNT, self.tenant_id, self.session_id)
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


HEAD = """
SELECT s.pruned_through,
       coalesce((SELECT max(e.seq) FROM session_events e WHERE e.session_id = s.id), s.pruned_through) AS last_seq
  FROM sessions s WHERE s.tenant_id = $1 AND s.id = $2
"""
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
        head = await db.fetchrow(HEAD, self.tenant_id, self.session_id)
        if head is None:
            raise NotFound("session_not_found")
        turns = await db.fetch(OPEN_TURNS, self.tenant_id, self.session_id)
        accepted = [
            LastMessage(**row)
            for query in (LAST_BEGUN, LAST_FOLLOW_UP, PENDING_FOLLOW_UP)
            for row in await db.fetch(query, self.tenant_id, self.session_id)
        ]
        expires = await db.fetch(approvals.EXPIRES, self.tenant_id, self.session_id)
        return State(
            last_seq=head["last_seq"],
            pruned_through=head["pruned_through"],
            turns=tuple(OpenTurn(**row) for row in turns),
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
