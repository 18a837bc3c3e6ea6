"""Turns: accept a message, store the model's answers, and load what a pass starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ...actors.domain import tool_calls as rules
from ...actors.domain.events import Event
from ...actors.domain.transcript import OUTPUT_LIMIT
from ...actors.domain.turns import ApprovalAsk, LoopState, Message, ToolCall, TurnError
from ..engine import idempotency
from ..engine.operations import Query, Snapshot
from . import tool_calls
from .endings import KEPT_THROUGH, Ending, FollowUp, end_turn
from .model_calls import ModelCallUsage, settle
from .steps import Step, TranscriptMessage, Written, add_message

if TYPE_CHECKING:
    from ..engine.pool import Connection

NO_PLACE = 2**31 - 1

NAME_SESSION = """
UPDATE sessions SET title = $3 WHERE tenant_id = $1 AND id = $2 AND title IS NULL
"""

INSERT_TURN = """
INSERT INTO turns (id, tenant_id, session_id, user_id, state, text_hash, input, pass_no, first_event_id, pass_event_id,
                   attempts, idempotency_key, queued_at, started_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8, 1, $9, $10, $11)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept(Step[idempotency.Stored | None]):
    """Accept a user's message: from here on the turn is guaranteed a visible end.

    Returns None, or what was stored under the same ``key`` before: then nothing is written.
    """

    turn_id: str
    user_id: str
    text: str
    text_hash: bytes
    title: str
    message_id: str
    queued: bool
    key: idempotency.IdempotencyKey | None = None
    reply: idempotency.Stored | None = None

    async def run(self, db: Connection) -> Written[idempotency.Stored | None]:
        if self.key is not None:
            earlier = await idempotency.claim(db, self.key, self.now)
            if earlier is not None:
                return Written(earlier, ())
        await db.execute(
            INSERT_TURN,
            self.turn_id,
            self.tenant_id,
            self.session_id,
            self.user_id,
            "queued" if self.queued else "running",
            self.text_hash,
            {"text": self.text} if self.queued else {},
            None if self.queued else self.after + 1,
            None if self.key is None else self.key.key,
            self.now,
            None if self.queued else self.now,
        )
        if not self.queued:
            line = TranscriptMessage("user", [{"type": "text", "text": self.text}], user_id=self.user_id)
            await add_message(db, self, self.message_id, self.turn_id, line)
        await db.execute(NAME_SESSION, self.tenant_id, self.session_id, self.title)
        if self.key is not None and self.reply is not None:
            await idempotency.keep(db, self.key, self.reply, self.now)
        return Written(None, ())


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What is stored about a posted message.

    ``kept`` is what its key has started, ``first_event_id`` where that began in the log; ``decidable``: an approval in
    its map is still undecided.
    """

    kept: idempotency.Stored | None
    first_event_id: int | None
    decidable: bool


FIRST_EVENT = "SELECT first_event_id FROM turns WHERE tenant_id = $1 AND session_id = $2 AND id = $3"
DECIDABLE = """
SELECT EXISTS (SELECT FROM pending_approvals WHERE tenant_id = $1 AND session_id = $2 AND id = ANY ($3)
                                               AND status = 'pending' AND expires_at > $4)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp(Snapshot[LookedUp]):
    """Read what a message's idempotency key has started, and whether its map of decisions decides anything.

    Refusal: ``idempotency_key_reused``.
    """

    session_id: str
    key: idempotency.IdempotencyKey | None
    approval_ids: Sequence[str]
    now: datetime

    async def run(self, db: Connection) -> LookedUp:
        kept = None if self.key is None else await idempotency.find(db, self.key, self.now)
        first_event_id = None
        if kept is not None:
            turn_id = json.loads(kept.body)["turns"][0]
            first_event_id = await db.fetchval(FIRST_EVENT, self.tenant_id, self.session_id, turn_id)
        scope = (self.tenant_id, self.session_id, list(self.approval_ids), self.now)
        decidable = bool(self.approval_ids) and bool(await db.fetchval(DECIDABLE, *scope))
        return LookedUp(kept, first_event_id, decidable)


START_TURN = """
UPDATE turns SET state = 'running', started_at = coalesce(started_at, $4),
                 first_event_id = coalesce(first_event_id, $5), attempts = $6,
                 pass_event_id = CASE WHEN state = 'running' THEN coalesce(pass_event_id, $5) ELSE $5 END,
                 pass_no = pass_no + $7,
                 input = CASE WHEN state = 'queued' THEN '{}'::jsonb ELSE input END
 WHERE tenant_id = $1 AND session_id = $2 AND id = $3 AND state IN ('queued', 'waiting', 'running')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Step[None]):
    """Begin a pass of a turn that was queued, waited for approvals, or was interrupted by a restart.

    ``text`` is a queued message that is not in the transcript yet.
    """

    turn_id: str
    user_id: str
    attempts: int
    new_pass: bool
    text: str | None = None
    message_id: str | None = None

    async def run(self, db: Connection) -> Written[None]:
        await db.execute(
            START_TURN,
            self.tenant_id,
            self.session_id,
            self.turn_id,
            self.now,
            self.after + 1,
            self.attempts,
            1 if self.new_pass else 0,
        )
        if self.text is not None and self.message_id is not None:
            line = TranscriptMessage("user", [{"type": "text", "text": self.text}], user_id=self.user_id)
            await add_message(db, self, self.message_id, self.turn_id, line)
        return await self.write(db, None, ())


WAITING_TURN = """
SELECT state, input FROM turns
 WHERE tenant_id = $1 AND session_id = $2 AND id = $3 AND state IN ('queued', 'waiting') FOR NO KEY UPDATE
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonStart(Step[str]):
    """End a pass whose start was refused: stores ``error`` and ``final``. Returns the turn's state.

    A queued message stays in the transcript, unanswered. A turn that waited for approvals still
    does, with its decisions.
    """

    turn_id: str
    user_id: str
    message_id: str
    error: TurnError

    async def run(self, db: Connection) -> Written[str]:
        row = await db.fetchrow(WAITING_TURN, self.tenant_id, self.session_id, self.turn_id)
        state = "waiting" if row is None else str(row["state"])
        if state == "queued":
            state = "failed"
            line = TranscriptMessage("user", [{"type": "text", "text": row["input"]["text"]}], user_id=self.user_id)
            await add_message(db, self, self.message_id, self.turn_id, line)
            await end_turn(db, self, self.turn_id, Ending(state="failed", error=self.error))
        events = (
            Event(kind="error", turn_id=self.turn_id, error_message=self.error.line),
            Event(kind="final", turn_id=self.turn_id),
        )
        return await self.write(db, state, events)


CLEAR_FOLLOW_UP = "UPDATE turns SET input = $3 WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFollowUp(Step[None]):
    """Add the message sent with decisions to the transcript, after the results."""

    turn_id: str
    user_id: str
    text: str
    message_id: str

    async def run(self, db: Connection) -> Written[None]:
        await db.execute(CLEAR_FOLLOW_UP, self.tenant_id, self.turn_id, {})
        line = TranscriptMessage("user", [{"type": "text", "text": self.text}], user_id=self.user_id)
        await add_message(db, self, self.message_id, self.turn_id, line)
        return await self.write(db, None, ())


KEEP_STATE = """
UPDATE turns SET step = coalesce(step, '{}'::jsonb) || $3, desk = $4, attempts = 1 WHERE tenant_id = $1 AND id = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Step[int]):
    """Store a complete answer of the model: message, tool calls, the approvals they need, and the cost.

    Returns the sequence of the last message written. ``own`` are result blocks of calls without a tool (handoff,
    clarify).
    """

    turn_id: str
    message_id: str
    content: list[Mapping[str, Any]]
    events: tuple[Event, ...]
    state: LoopState
    calls: tuple[ToolCall, ...] = ()
    asks: tuple[ApprovalAsk, ...] = ()
    own: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    spent: ModelCallUsage | None = None
    ending: Ending | None = None

    async def run(self, db: Connection) -> Written[int]:
        place = 0
        if self.content:
            place = await add_message(
                db, self, self.message_id, self.turn_id, TranscriptMessage("assistant", self.content)
            )
        for message_id, block in self.own:
            place = await add_message(db, self, message_id, self.turn_id, TranscriptMessage("tool", [block]))
        for call in self.calls:
            await tool_calls.propose(db, self, call)
        for ask in self.asks:
            await tool_calls.ask(db, self, ask)
        state = self.state
        if state.brief is not None and state.brief_after < 0:
            state = LoopState(desk=state.desk, brief=state.brief, brief_after=place, handoffs=state.handoffs)
        kept = state.plain() | {KEPT_THROUGH: self.after + len(self.events)}
        await db.execute(KEEP_STATE, self.tenant_id, self.turn_id, kept, state.desk)
        if self.spent is not None:
            await settle(db, self.tenant_id, self.spent)
        if self.ending is not None:
            await end_turn(db, self, self.turn_id, self.ending)
        entries = [rules.audit_of_request(ask, self.at) for ask in self.asks]
        return await self.write(db, place, self.events, entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextDesk(Step[None]):
    """Hand a turn over to its next desk, after the text of the one before."""

    turn_id: str
    state: LoopState

    async def run(self, db: Connection) -> Written[None]:
        await db.execute(KEEP_STATE, self.tenant_id, self.turn_id, self.state.plain(), self.state.desk)
        return await self.write(db, None, ())


VOID_FROM = """
SELECT min(seq) FROM session_events
 WHERE tenant_id = $1 AND session_id = $2 AND turn_id = $3 AND kind = 'text_delta'
   AND seq > greatest($4, (SELECT max(seq) FROM session_events
                            WHERE tenant_id = $1 AND session_id = $2 AND kind <> 'text_delta'))
"""
LOOP_STATE = "SELECT step FROM turns WHERE tenant_id = $1 AND id = $2"
KEEP_PLACE = "UPDATE turns SET step = coalesce(step, '{}'::jsonb) || $3 WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartAnswer(Step[None]):
    """Tell viewers that an interrupted answer is generated again: ``error`` ``answer_restarted`` (business 3.4).

    It names the event from which on the text of this turn is void and in no message of the transcript.
    """

    turn_id: str

    async def run(self, db: Connection) -> Written[None]:
        step = await db.fetchval(LOOP_STATE, self.tenant_id, self.turn_id) or {}
        scope = (self.tenant_id, self.session_id, self.turn_id, step.get(KEPT_THROUGH, 0))
        void_from = await db.fetchval(VOID_FROM, *scope)
        if void_from is None:
            return Written(None, ())
        why = f"answer_restarted: {void_from} the words from this event on are void, the answer is given again"
        await db.execute(KEEP_PLACE, self.tenant_id, self.turn_id, {KEPT_THROUGH: self.after + 1})
        return await self.write(db, None, [Event(kind="error", turn_id=self.turn_id, error_message=why)])


class Spoken(NamedTuple):
    """A message's role and its sequence in the transcript."""

    role: str
    sequence: int


@dataclass(frozen=True, slots=True)
class PassContext:
    """All that a pass needs to start or to resume.

    ``messages`` are the newest of the session, starting with a user's message; ``own`` lists all of this turn's.
    """

    messages: tuple[Message, ...]
    own: tuple[Spoken, ...]
    calls: tuple[ToolCall, ...]
    pending: Mapping[str, str]
    state: LoopState
    follow_up: FollowUp | None
    pass_no: int
    ran_ms: int
    cut: bool
    user_active: bool


SIZES = """
SELECT sequence, role, (2 * octet_length(said) - char_length(said)) / 3 AS tokens
  FROM (SELECT sequence, role, content::text AS said FROM messages
         WHERE tenant_id = $1 AND session_id = $2 AND sequence < $3 ORDER BY sequence DESC LIMIT $4) newest
 ORDER BY sequence DESC
"""
"""`transcript.tokens` of each row, with its ids and names: a little more than a model is given of it."""
MESSAGES = """
SELECT id, sequence, turn_id, role, content, user_id, created_at FROM messages
 WHERE tenant_id = $1 AND session_id = $2 AND sequence >= $3 ORDER BY sequence
"""
OWN = "SELECT role, sequence FROM messages WHERE tenant_id = $1 AND turn_id = $2 ORDER BY sequence"
FIRST_LOOK = 128
"""Messages whose sizes are read first; four times as many each time they do not suffice."""
TURN = "SELECT step, input, pass_no, ran_ms, user_id FROM turns WHERE tenant_id = $1 AND session_id = $2 AND id = $3"
PENDING = """
SELECT c.call_id, c.approval_id FROM tool_calls c
 WHERE c.tenant_id = $1 AND c.session_id = $2 AND c.approval_id IS NOT NULL AND c.state = 'proposed'
"""
NEWEST_KIND = """
SELECT kind, turn_id FROM session_events WHERE session_id = $2 AND tenant_id = $1 ORDER BY seq DESC LIMIT 1
"""
USER_ACTIVE = "SELECT is_active AND role <> 'viewer' FROM users WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPass(Snapshot[PassContext]):
    """Read the end of the transcript, this turn's calls, pending approvals, and the state of the loop.

    ``room`` is the most tokens of the transcript to read; the newest exchange is read in any case.
    """

    session_id: str
    turn_id: str
    room: int

    async def run(self, db: Connection) -> PassContext:
        first = await self._first(db)
        messages = await db.fetch(MESSAGES, self.tenant_id, self.session_id, first)
        own = await db.fetch(OWN, self.tenant_id, self.turn_id)
        turn = await db.fetchrow(TURN, self.tenant_id, self.session_id, self.turn_id)
        calls = await tool_calls.calls_of(db, self.tenant_id, self.turn_id)
        pending = await db.fetch(PENDING, self.tenant_id, self.session_id)
        newest = await db.fetchrow(NEWEST_KIND, self.tenant_id, self.session_id)
        active = await db.fetchval(USER_ACTIVE, self.tenant_id, turn["user_id"])
        return PassContext(
            messages=tuple(Message(**row) for row in messages),
            own=tuple(Spoken(*row) for row in own),
            calls=calls,
            pending={row["call_id"]: row["approval_id"] for row in pending},
            state=LoopState.from_plain(turn["step"]),
            follow_up=FollowUp.of(turn["input"] or {}),
            pass_no=turn["pass_no"],
            ran_ms=turn["ran_ms"],
            cut=newest is not None and newest["kind"] == "text_delta" and newest["turn_id"] == self.turn_id,
            user_active=bool(active),
        )

    async def _first(self, db: Connection) -> int:
        """The sequence of the earliest user's message from which on everything fits into ``room``."""
        left, before, count = self.room, NO_PLACE, FIRST_LOOK
        first: int | None = None
        while sizes := await db.fetch(SIZES, self.tenant_id, self.session_id, before, count):
            for row in sizes:
                left -= row["tokens"] if row["role"] != "tool" else min(row["tokens"], OUTPUT_LIMIT)
                if row["role"] == "user":
                    if left < 0 and first is not None:
                        return first
                    first = row["sequence"]
            before, count = sizes[-1]["sequence"], count * 4
        return first or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MayAct(Query[bool]):
    """Whether a user may act now: active, and not a viewer."""

    user_id: str

    async def run(self, db: Connection) -> bool:
        return bool(await db.fetchval(USER_ACTIVE, self.tenant_id, self.user_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished(Query[list[tuple[str, str]]]):
    """Sessions (tenant, session) with work to do: unfinished turns, decided calls, expired approvals."""

    now: datetime

    async def run(self, db: Connection) -> list[tuple[str, str]]:
        return [(row["tenant_id"], row["session_id"]) for row in await db.fetch(UNFINISHED, self.now)]


UNFINISHED = """
SELECT tenant_id, session_id FROM turns WHERE state IN ('queued', 'running')
 UNION
SELECT tenant_id, session_id FROM pending_approvals WHERE status = 'pending' AND expires_at <= $1
 UNION
SELECT t.tenant_id, t.session_id FROM turns t
 WHERE t.state = 'waiting' AND (
       NOT EXISTS (SELECT FROM tool_calls c WHERE c.tenant_id = t.tenant_id AND c.turn_id = t.id
                                              AND c.approval_id IS NOT NULL AND c.state = 'proposed')
       OR EXISTS (SELECT FROM tool_calls c
                   WHERE c.tenant_id = t.tenant_id AND c.turn_id = t.id
                     AND NOT (c.approval_id IS NOT NULL AND c.state = 'proposed')
                     AND NOT EXISTS (SELECT FROM messages m
                                      WHERE m.tenant_id = c.tenant_id AND m.session_id = t.session_id
                                        AND m.tool_call_id = c.id)))
 LIMIT 10000
"""
