"""What a session's actor starts from, and its stored events after that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...actors.domain.errors import NotFound
from ..engine.operations import Query
from .steps import session_lock

if TYPE_CHECKING:
    from ..engine.connection import Connection


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


OPEN_TURNS = """
SELECT t.id, t.user_id, t.state, encode(t.text_hash, 'hex') AS text_hash, t.input, t.first_event_id, t.pass_event_id,
       t.attempts, t.ran_ms,
       (SELECT count(*) FROM tool_calls c WHERE c.tenant_id = t.tenant_id AND c.turn_id = t.id
               AND c.approval_id IS NOT NULL AND c.state = 'proposed') AS undecided,
       (SELECT count(*) FROM tool_calls c WHERE c.tenant_id = t.tenant_id AND c.turn_id = t.id
               AND NOT (c.approval_id IS NOT NULL AND c.state = 'proposed')
               AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = c.tenant_id AND m.session_id = t.session_id
                                                        AND m.tool_call_id = c.id)) AS unreported
  FROM turns t WHERE t.tenant_id = $1 AND t.session_id = $2 AND t.state IN ('queued', 'running', 'waiting')
 ORDER BY t.queued_at, t.id
"""
"""Text, like all down to ``STATE``: counts and times of other tables for each row, which read better so."""
ENDED_AT = """
coalesce(t.ended_at, (SELECT max(e.created_at) FROM session_events e
                       WHERE e.tenant_id = t.tenant_id AND e.session_id = t.session_id AND e.turn_id = t.id
                         AND e.kind = 'final' AND t.state = 'waiting')) AS ended_at
"""
LAST_BEGUN = f"""
SELECT t.id AS turn_id, t.user_id, encode(t.text_hash, 'hex') AS text_hash, t.queued_at AS at, false AS is_follow_up,
       t.state, t.first_event_id, t.pass_event_id, {ENDED_AT}
  FROM turns t WHERE t.tenant_id = $1 AND t.session_id = $2 ORDER BY t.queued_at DESC, t.id DESC LIMIT 1
"""  # noqa: S608 -- a constant
LAST_FOLLOW_UP = f"""
SELECT t.id AS turn_id, m.user_id, encode(sha256(convert_to(m.content -> 0 ->> 'text', 'UTF8')), 'hex') AS text_hash,
       m.created_at AS at, true AS is_follow_up, t.state, t.first_event_id, t.pass_event_id, {ENDED_AT}
  FROM messages m JOIN turns t ON t.tenant_id = m.tenant_id AND t.id = m.turn_id
 WHERE m.tenant_id = $1 AND m.session_id = $2 AND m.role = 'user'
   AND EXISTS (SELECT FROM messages f WHERE f.tenant_id = m.tenant_id AND f.session_id = m.session_id
                                        AND f.turn_id = m.turn_id AND f.role = 'user' AND f.sequence < m.sequence)
 ORDER BY m.sequence DESC LIMIT 1
"""  # noqa: S608 -- a constant
PENDING_FOLLOW_UP = """
SELECT t.id AS turn_id, (t.input ->> 'user_id')::uuid AS user_id,
       encode(sha256(convert_to(t.input ->> 'follow_up', 'UTF8')), 'hex') AS text_hash,
       (t.input ->> 'at')::timestamptz AS at, true AS is_follow_up, t.state, t.first_event_id, t.pass_event_id,
       NULL::timestamptz AS ended_at
  FROM turns t WHERE t.tenant_id = $1 AND t.session_id = $2 AND t.input ? 'follow_up'
"""
LAST_ACCEPTED = f"({LAST_BEGUN}) UNION ALL ({LAST_FOLLOW_UP}) UNION ALL ({PENDING_FOLLOW_UP})"
"""What a message sent again may be a copy of."""
STATE = f"""
SELECT s.pruned_through,
       coalesce((SELECT max(e.seq) FROM session_events e WHERE e.tenant_id = s.tenant_id AND e.session_id = s.id),
                s.pruned_through) AS last_seq,
       (SELECT json_agg(open) FROM ({OPEN_TURNS}) open) AS turns,
       (SELECT to_json(last) FROM ({LAST_ACCEPTED} ORDER BY at DESC, is_follow_up LIMIT 1) last) AS last,
       ARRAY(SELECT a.expires_at FROM pending_approvals a
              WHERE a.tenant_id = $1 AND a.session_id = $2 AND a.status = 'pending') AS expires
  FROM sessions s WHERE s.tenant_id = $1 AND s.id = $2
"""  # noqa: S608 -- a constant
"""All in one statement, which sees one state: a session that starts waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Query[State]):
    """Load what the session's actor starts from, once all earlier steps have ended. Refusal: ``session_not_found``."""

    session_id: str

    @property
    def lock(self) -> int | None:
        return session_lock(self.session_id)

    async def run(self, db: Connection) -> State:
        row = await db.fetchrow(STATE, self.tenant_id, self.session_id)
        if row is None:
            raise NotFound("session_not_found")
        return State(
            last_seq=row["last_seq"],
            pruned_through=row["pruned_through"],
            turns=tuple(OpenTurn(**_with_hash(each)) for each in row["turns"] or ()),
            last=None if row["last"] is None else _last(row["last"]),
            expires=tuple(row["expires"]),
        )


def _with_hash(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "text_hash": bytes.fromhex(row["text_hash"])}


def _last(row: dict[str, Any]) -> LastMessage:
    times = {name: None if row[name] is None else datetime.fromisoformat(row[name]) for name in ("at", "ended_at")}
    return LastMessage(**_with_hash(row) | times)


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
