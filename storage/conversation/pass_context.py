"""What a pass of a turn starts or resumes from: the end of the transcript, its calls, and the state of the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Integer, Text, and_, bindparam, case, false, func, or_, select

from ...actors.domain.enquiries import Enquiry
from ...actors.domain.transcript import OUTPUT_LIMIT
from ...actors.domain.turns import LoopState, Message, Spoken, ToolCall
from ..engine.operations import Query
from ..engine.statements import Rows, binds, statement
from ..enquiries import LINKED
from ..tables import enquiries, messages, session_events, tool_calls, turns, users
from .endings import FollowUp
from .steps import MESSAGE, THIS_TURN
from .tool_calls import CALLS_OF_TURN, MAY_ACT

if TYPE_CHECKING:
    from ..engine.connection import Connection

MAX_ENQUIRIES: Final = 5
"""The most enquiries a pass is given, the newest of them."""


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


FIRST_LOOK = 128
"""Messages that are weighed first; four times as many each time they do not suffice."""
_LOOK = bindparam("look", type_=Integer)
_SAID = messages.c.content.cast(Text)
_NEWEST = (
    select(*messages.c["sequence", "role"], _SAID.label("said"))
    .filter_by(**binds("tenant_id", "session_id"))
    .order_by(messages.c.sequence.desc())
    .limit(_LOOK)
    .subquery()
)
_TOKENS = (2 * func.octet_length(_NEWEST.c.said) - func.char_length(_NEWEST.c.said)) // 3
"""`transcript.tokens` of a row, with its ids and names: a little more than a model is given of it."""
_WEIGHED = select(
    *_NEWEST.c["sequence", "role"],
    func.sum(case((_NEWEST.c.role == "tool", func.least(_TOKENS, OUTPUT_LIMIT)), else_=_TOKENS))
    .over(order_by=_NEWEST.c.sequence.desc())
    .label("total"),
).subquery()
_FROM_USER = _WEIGHED.c.role == "user"
_OLDEST = func.min(_WEIGHED.c.sequence).filter(_FROM_USER)
_FITS = func.min(_WEIGHED.c.sequence).filter(_FROM_USER, _WEIGHED.c.total <= bindparam("token_limit", type_=BigInteger))
_FIRST = func.coalesce(_FITS, func.max(_WEIGHED.c.sequence).filter(_FROM_USER), 0)
_START = select(
    _FIRST.label("first"), or_(func.count() < _LOOK, func.coalesce(_OLDEST < _FIRST, false())).label("suffices")
).cte("start")
"""The user's message from which on everything fits into ``token_limit``, and whether enough was weighed to tell."""
MESSAGES = Rows(
    select(*MESSAGE)
    .filter_by(**binds("tenant_id", "session_id"))
    .where(messages.c.sequence >= select(_START.c.first).scalar_subquery())
    .order_by(messages.c.sequence)
)
OWN = Rows(
    select(*messages.c["role", "sequence"]).filter_by(**binds("tenant_id", "turn_id")).order_by(messages.c.sequence)
)
PENDING = Rows(
    select(*tool_calls.c["call_id", "approval_id"])
    .filter_by(**binds("tenant_id", "session_id"), state="proposed")
    .where(tool_calls.c.approval_id.is_not(None))
)
_LINKED = select(enquiries.c.id).filter_by(**binds("tenant_id", "session_id")).exists()
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
CONTEXT = statement(
    select(
        *turns.c["step", "input", "pass_no", "ran_ms"],
        func.coalesce(_USER_ACTIVE, false()).label("user_active"),
        func.coalesce(_CUT, false()).label("cut"),
        select(_START.c.suffices).scalar_subquery().label("suffices"),
        MESSAGES.column.label("messages"),
        OWN.column.label("own"),
        CALLS_OF_TURN.column.label("calls"),
        PENDING.column.label("pending"),
        _LINKED.label("linked"),
    ).where(THIS_TURN)
)
"""All in one statement, which sees one state: it is run before every call of the model."""
USER_ACTIVE = statement(
    select(MAY_ACT).where(users.c.tenant_id == bindparam("tenant_id"), users.c.id == bindparam("id"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPass(Query[PassContext]):
    """Read the end of the transcript, this turn's calls, pending approvals, and the state of the loop.

    ``token_limit`` is the most tokens of the transcript to read; the newest exchange is read in any case.
    """

    session_id: str
    turn_id: str
    token_limit: int

    async def run(self, db: Connection) -> PassContext:
        turn = await self._read(db, FIRST_LOOK)
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        linked = await LINKED.fetch(db, **session, limit=MAX_ENQUIRIES) if turn["linked"] else []
        return PassContext(
            messages=tuple(Message(**row) for row in MESSAGES.read(turn["messages"])),
            own=tuple(Spoken(**row) for row in turn["own"]),
            calls=tuple(ToolCall(**row) for row in CALLS_OF_TURN.read(turn["calls"])),
            pending={row["call_id"]: row["approval_id"] for row in turn["pending"]},
            state=LoopState.from_plain(turn["step"]),
            follow_up=FollowUp.of(turn["input"] or {}),
            pass_no=turn["pass_no"],
            ran_ms=turn["ran_ms"],
            cut=turn["cut"],
            user_active=turn["user_active"],
            enquiries=tuple(map(Enquiry._make, reversed(linked))),
        )

    async def _read(self, db: Connection, look: int) -> Mapping[str, Any]:
        """The turn, with the transcript from the earliest user's message on from which everything fits."""
        turn: Mapping[str, Any] = await CONTEXT.fetchrow(
            db,
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            turn_id=self.turn_id,
            token_limit=self.token_limit,
            look=look,
        )
        return turn if turn["suffices"] else await self._read(db, look * 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class MayAct(Query[bool]):
    """Whether a user may act now: active, and not a viewer."""

    user_id: str

    async def run(self, db: Connection) -> bool:
        return bool(await USER_ACTIVE.fetchval(db, tenant_id=self.tenant_id, id=self.user_id))
