"""What a pass of a turn starts or resumes from: the end of the transcript, its calls, and the state of the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, false, func, select

from ...actors.domain.enquiries import Enquiry
from ...actors.domain.transcript import OUTPUT_LIMIT
from ...actors.domain.turns import LoopState, Message, Spoken, ToolCall
from ..engine.operations import Query, Snapshot
from ..engine.statements import binds, statement
from ..enquiries import LINKED
from ..tables import messages, session_events, tool_calls, turns, users
from .endings import FollowUp
from .steps import MESSAGE, THIS_TURN
from .tool_calls import MAY_ACT, calls_of

if TYPE_CHECKING:
    from ..engine.connection import Connection

MAX_ENQUIRIES: Final = 5
"""The most enquiries a pass is given, the newest of them."""

AFTER_ALL: Final = 2**31 - 1
"""A sequence that no message has."""


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
    enquiries: tuple[Enquiry, ...] = ()
    """The enquiries linked to the session now."""


SIZES = """
SELECT sequence, role, (2 * octet_length(said) - char_length(said)) / 3 AS tokens
  FROM (SELECT sequence, role, content::text AS said FROM messages
         WHERE tenant_id = $1 AND session_id = $2 AND sequence < $3 ORDER BY sequence DESC LIMIT $4) newest
 ORDER BY sequence DESC
"""
"""`transcript.tokens` of each row, with its ids and names: a little more than a model is given of it.

Text: an estimate made of bytes and characters, over the newest rows only.
"""
MESSAGES = statement(
    select(*MESSAGE)
    .filter_by(**binds("tenant_id", "session_id"))
    .where(messages.c.sequence >= bindparam("first"))
    .order_by(messages.c.sequence)
)
OWN = statement(
    select(*messages.c["role", "sequence"]).filter_by(**binds("tenant_id", "turn_id")).order_by(messages.c.sequence)
)
FIRST_LOOK = 128
"""Messages whose sizes are read first; four times as many each time they do not suffice."""
_USER_ACTIVE = (
    select(MAY_ACT).where(users.c.tenant_id == turns.c.tenant_id, users.c.id == turns.c.user_id).scalar_subquery()
)
_CUT = (
    select(and_(session_events.c.kind == "text_delta", session_events.c.turn_id == turns.c.id))
    .where(session_events.c.tenant_id == turns.c.tenant_id, session_events.c.session_id == turns.c.session_id)
    .order_by(session_events.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
TURN = statement(
    select(
        *turns.c["step", "input", "pass_no", "ran_ms"],
        func.coalesce(_USER_ACTIVE, false()).label("user_active"),
        func.coalesce(_CUT, false()).label("cut"),
    ).where(THIS_TURN)
)
PENDING = statement(
    select(*tool_calls.c["call_id", "approval_id"])
    .filter_by(**binds("tenant_id", "session_id"), state="proposed")
    .where(tool_calls.c.approval_id.is_not(None))
)
USER_ACTIVE = statement(
    select(MAY_ACT).where(users.c.tenant_id == bindparam("tenant_id"), users.c.id == bindparam("id"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPass(Snapshot[PassContext]):
    """Read the end of the transcript, this turn's calls, pending approvals, and the state of the loop.

    ``token_limit`` is the most tokens of the transcript to read; the newest exchange is read in any case.
    """

    session_id: str
    turn_id: str
    token_limit: int

    async def run(self, db: Connection) -> PassContext:
        first = await self._first(db)
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        transcript = await MESSAGES.fetch(db, **session, first=first)
        own = await OWN.fetch(db, tenant_id=self.tenant_id, turn_id=self.turn_id)
        turn = await TURN.fetchrow(db, **session, turn_id=self.turn_id)
        calls = await calls_of(db, self.tenant_id, self.turn_id)
        pending = await PENDING.fetch(db, **session)
        linked = await LINKED.fetch(db, **session, limit=MAX_ENQUIRIES)
        return PassContext(
            messages=tuple(Message(**row) for row in transcript),
            own=tuple(Spoken(*row) for row in own),
            calls=calls,
            pending={row["call_id"]: row["approval_id"] for row in pending},
            state=LoopState.from_plain(turn["step"]),
            follow_up=FollowUp.of(turn["input"] or {}),
            pass_no=turn["pass_no"],
            ran_ms=turn["ran_ms"],
            cut=turn["cut"],
            user_active=turn["user_active"],
            enquiries=tuple(map(Enquiry._make, reversed(linked))),
        )

    async def _first(self, db: Connection) -> int:
        """The sequence of the earliest user's message from which on everything fits into ``token_limit``."""
        left, before, count = self.token_limit, AFTER_ALL, FIRST_LOOK
        first: int | None = None
        while sizes := await db.fetch(SIZES, self.tenant_id, self.session_id, before, count):
            for row in sizes:
                left -= row["tokens"] if row["role"] != "tool" else min(row["tokens"], OUTPUT_LIMIT)
                if row["role"] == "user":
                    if left < 0 and first is not None:
                        return first
                    first = row["sequence"]
            if len(sizes) < count:
                break
            before, count = sizes[-1]["sequence"], count * 4
        return first or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MayAct(Query[bool]):
    """Whether a user may act now: active, and not a viewer."""

    user_id: str

    async def run(self, db: Connection) -> bool:
        return bool(await USER_ACTIVE.fetchval(db, tenant_id=self.tenant_id, id=self.user_id))
