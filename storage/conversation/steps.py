"""Steps: the rows of one stage of a turn and the events that report it, in one transaction.

A session writes one step after another. Events are stored before they are published, and all stored events are
published, so recovery never has to find out which of the two happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Self, TypeVar

from sqlalchemy import and_, bindparam, func, insert, select, update

from ...actors.domain import audit as audits
from ...actors.domain import tool_calls as rules
from ...actors.domain.events import Event
from .. import audit
from ..engine.operations import Command
from ..engine.statements import binds, statement
from ..schema.columns import Json
from ..tables import messages, turns

if TYPE_CHECKING:
    from ..engine.connection import Connection

R = TypeVar("R")

UNSTAMPED: Final = datetime.min.replace(tzinfo=UTC)


class EventRow(NamedTuple):
    """One numbered event of a session's log, in the order of its columns. ``data`` is the line its frame carries."""

    tenant_id: str
    session_id: str
    seq: int
    turn_id: str
    kind: str
    data: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Written(Generic[R]):
    """The result of a step: its reply, and the events it stored, ready to be published."""

    reply: R
    rows: tuple[EventRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Command[Written[R]]):
    """A command on one session's turn: data, until it is stamped with its position in the log.

    ``after`` is the newest event id so far; its own events are numbered from there.
    """

    session_id: str
    after: int = 0
    now: datetime = UNSTAMPED

    def stamped(self, after: int, now: datetime) -> Self:
        """The same step with its position in the log."""
        return replace(self, after=after, now=now)

    @property
    def at(self) -> rules.Context:
        """The session and the time, for events and audit events of its tool calls."""
        assert self.tenant_id is not None
        return rules.Context(self.tenant_id, self.session_id, self.now)

    @property
    def lock(self) -> int | None:
        return session_lock(self.session_id)

    def number(self, events: Sequence[Event]) -> tuple[EventRow, ...]:
        """Number ``events``, in the order of the log."""
        assert self.tenant_id is not None
        return tuple(
            EventRow(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                seq=self.after + place,
                turn_id=event.turn_id,
                kind=event.kind,
                data=event.data(self.session_id, self.now),
                created_at=self.now,
            )
            for place, event in enumerate(events, start=1)
        )

    async def write(
        self, db: Connection, reply: R, events: Sequence[Event], audit_events: Sequence[audits.AuditEvent] = ()
    ) -> Written[R]:
        """Store the events and, as the last statement, the audit events."""
        rows = self.number(events)
        if rows:
            await db.execute(INSERT_EVENTS, *columns(rows))
        if audit_events:
            await audit.append(db, audit_events)
        return Written(reply, rows)


def session_lock(session_id: str) -> int:
    """The advisory lock of a session's steps.

    Loading a session takes it too, and so waits for unfinished steps of an earlier actor.
    """
    return int.from_bytes(sha256(f"voyagent.session\n{session_id}".encode()).digest()[:8], "big", signed=True)


MESSAGE = messages.c["id", "sequence", "turn_id", "role", "content", "user_id", "created_at"]
"""The columns of a ``domain.turns.Message``."""

TURN_OF_AGENCY = and_(turns.c.tenant_id == bindparam("tenant_id"), turns.c.id == bindparam("turn_id"))
THIS_TURN = and_(TURN_OF_AGENCY, turns.c.session_id == bindparam("session_id"))
MERGED_STEP = turns.c.step.concat(bindparam("step", type_=Json))
"""The state of a turn's loop with some of its keys replaced."""

SET_INPUT = statement(update(turns).where(TURN_OF_AGENCY).values(**binds("input")))

INTO_EVENTS = "INSERT INTO session_events (tenant_id, session_id, seq, turn_id, kind, frame, created_at)"
GIVEN_EVENTS = "unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])"
INSERT_EVENTS = f"{INTO_EVENTS} SELECT * FROM {GIVEN_EVENTS}"  # noqa: S608 -- constants
"""Text: each step runs it, with an array for each column."""


def columns(rows: Sequence[EventRow]) -> tuple[tuple[Any, ...], ...]:
    """The rows, at least one, as one array per column for ``unnest``."""
    return tuple(zip(*rows, strict=True))


@dataclass(frozen=True, slots=True)
class TranscriptMessage:
    """A new message of the transcript. ``content`` is a list of blocks (business 2.7)."""

    role: str
    content: list[Mapping[str, Any]]
    user_id: str | None = None
    tool_call_id: str | None = None


_NEXT = select(
    bindparam("message_id", type_=messages.c.id.type),
    bindparam("tenant_id", type_=messages.c.tenant_id.type),
    bindparam("session_id", type_=messages.c.session_id.type),
    bindparam("turn_id", type_=messages.c.turn_id.type),
    bindparam("user_id", type_=messages.c.user_id.type),
    func.coalesce(func.max(messages.c.sequence), 0) + 1,
    bindparam("role", type_=messages.c.role.type),
    bindparam("content", type_=messages.c.content.type),
    bindparam("tool_call_id", type_=messages.c.tool_call_id.type),
    bindparam("now", type_=messages.c.created_at.type),
).filter_by(**binds("tenant_id", "session_id"))
NEW_MESSAGE = insert(messages).from_select(
    [
        *("id", "tenant_id", "session_id", "turn_id", "user_id"),
        *("sequence", "role", "content", "tool_call_id", "created_at"),
    ],
    _NEXT,
)
"""It makes the sequence it stores."""
INSERT_MESSAGE = statement(NEW_MESSAGE.returning(messages.c.sequence))


async def add_message(db: Connection, step: Step[Any], message_id: str, turn_id: str, line: TranscriptMessage) -> int:
    """Append to the transcript; returns the message's sequence. Steps of a session are serial: there are no gaps."""
    place: int = await INSERT_MESSAGE.fetchval(db, **message_of(step, message_id, turn_id, line))
    return place


def message_of(step: Step[Any], message_id: str, turn_id: str, line: TranscriptMessage) -> dict[str, Any]:
    """The parameters of ``NEW_MESSAGE``."""
    return {
        "message_id": message_id,
        "tenant_id": step.tenant_id,
        "session_id": step.session_id,
        "turn_id": turn_id,
        "user_id": line.user_id,
        "role": line.role,
        "content": line.content,
        "tool_call_id": line.tool_call_id,
        "now": step.now,
    }
