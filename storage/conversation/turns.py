"""Turns: accept a message, begin its passes, and find turns with work to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select, update

from ...actors.domain.events import Event
from ...actors.domain.turns import Started, TurnError
from ..engine import idempotency
from ..engine.operations import Query, Snapshot
from ..engine.statements import any_of, binds, statement
from ..tables import pending_approvals, sessions, turns
from .endings import Ending, end_turn
from .sessions import THIS_SESSION
from .steps import NEW_MESSAGE, SET_INPUT, THIS_TURN, Step, TranscriptMessage, Written, add_message, message_of

if TYPE_CHECKING:
    from ..engine.connection import Connection

_TURN = insert(turns).values(
    **binds("tenant_id", "session_id", "user_id", "state", "text_hash", "input", "idempotency_key", "started_at"),
    id=bindparam("turn_id"),
    queued_at=bindparam("now"),
    first_event_id=bindparam("event_id"),
    pass_event_id=bindparam("event_id"),
    pass_no=1,
    attempts=1,
)
_NAME = update(sessions).where(THIS_SESSION, sessions.c.title.is_(None)).values(**binds("title")).cte("named")
QUEUE_TURN = statement(_TURN.add_cte(_NAME))
BEGIN_TURN = statement(NEW_MESSAGE.add_cte(_TURN.cte("turn"), _NAME))
"""The turn and its message in one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept(Step[bool]):
    """Accept a user's message: from here on the turn is guaranteed a visible end.

    Returns whether it was: under a ``key`` that was used before nothing is written.
    """

    turn_id: str
    user_id: str
    text: str
    text_hash: bytes
    title: str
    message_id: str
    queued: bool
    key: idempotency.IdempotencyKey | None = None

    async def run(self, db: Connection) -> Written[bool]:
        if self.key is not None and await idempotency.claim(db, self.key, Started, self.now) is not None:
            return Written(reply=False, rows=())
        turn = {
            "tenant_id": self.tenant_id,
            "session_id": self.session_id,
            "turn_id": self.turn_id,
            "user_id": self.user_id,
            "text_hash": self.text_hash,
            "idempotency_key": None if self.key is None else self.key.key,
            "title": self.title,
            "now": self.now,
        }
        if self.queued:
            waits = {"state": "queued", "input": {"text": self.text}, "event_id": None, "started_at": None}
            await QUEUE_TURN.execute(db, **turn | waits)
        else:
            starts = {"state": "running", "input": {}, "event_id": self.after + 1, "started_at": self.now}
            line = TranscriptMessage("user", [{"type": "text", "text": self.text}], user_id=self.user_id)
            await BEGIN_TURN.execute(db, **turn | starts | message_of(self, self.message_id, self.turn_id, line))
        if self.key is not None:
            await idempotency.keep(db, self.key, Started, Started((self.turn_id,)), self.now)
        return Written(reply=True, rows=())


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What is stored about a posted message.

    ``started`` is what its key has started, ``first_event_id`` where that began in the log; ``decidable``: an approval
    in its map is still undecided.
    """

    started: Started | None
    first_event_id: int | None
    decidable: bool


FIRST_EVENT = statement(select(turns.c.first_event_id).where(THIS_TURN))
DECIDABLE = statement(
    select(
        select(pending_approvals.c.id)
        .filter_by(**binds("tenant_id", "session_id"), status="pending")
        .where(any_of(pending_approvals.c.id, "approval_ids"), pending_approvals.c.expires_at > bindparam("now"))
        .exists()
    )
)


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
        kept = None if self.key is None else await idempotency.find(db, self.key, Started, self.now)
        started, first_event_id, decidable = None if kept is None else kept.value, None, False
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        if started is not None:
            first_event_id = await FIRST_EVENT.fetchval(db, **session, turn_id=started.turn_ids[0])
        if self.approval_ids:
            ids = list(self.approval_ids)
            decidable = await DECIDABLE.fetchval(db, **session, approval_ids=ids, now=self.now)
        return LookedUp(started, first_event_id, decidable)


START_TURN = """
UPDATE turns SET state = 'running', started_at = coalesce(started_at, $4),
                 first_event_id = coalesce(first_event_id, $5), attempts = $6,
                 pass_event_id = CASE WHEN state = 'running' THEN coalesce(pass_event_id, $5) ELSE $5 END,
                 pass_no = pass_no + $7,
                 input = CASE WHEN state = 'queued' THEN '{}'::jsonb ELSE input END
 WHERE tenant_id = $1 AND session_id = $2 AND id = $3 AND state IN ('queued', 'waiting', 'running')
"""
"""Text: most columns keep or change their value by the state before."""


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


WAITING_TURN = statement(
    select(*turns.c["state", "input"])
    .where(THIS_TURN, turns.c.state.in_(("queued", "waiting")))
    .with_for_update(key_share=True)
)


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
        row = await WAITING_TURN.fetchrow(
            db, tenant_id=self.tenant_id, session_id=self.session_id, turn_id=self.turn_id
        )
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFollowUp(Step[None]):
    """Add the message sent with decisions to the transcript, after the results."""

    turn_id: str
    user_id: str
    text: str
    message_id: str

    async def run(self, db: Connection) -> Written[None]:
        await SET_INPUT.execute(db, tenant_id=self.tenant_id, turn_id=self.turn_id, input={})
        line = TranscriptMessage("user", [{"type": "text", "text": self.text}], user_id=self.user_id)
        await add_message(db, self, self.message_id, self.turn_id, line)
        return await self.write(db, None, ())


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
"""Text: three questions to several tables, united."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished(Query[list[tuple[str, str]]]):
    """Sessions (tenant, session) with work to do: unfinished turns, decided calls, expired approvals."""

    now: datetime

    async def run(self, db: Connection) -> list[tuple[str, str]]:
        return [(row["tenant_id"], row["session_id"]) for row in await db.fetch(UNFINISHED, self.now)]
