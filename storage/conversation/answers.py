"""The model's answers: a complete one with its tool calls, the next desk, and one that is generated again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ...actors.domain import tool_calls as rules
from ...actors.domain.events import Event
from ...actors.domain.turns import ApprovalAsk, LoopState, ToolCall
from ..engine.statements import binds, statement
from ..tables import turns
from . import tool_calls
from .endings import KEPT_THROUGH, SET_ENDING, Ending, ending_of
from .model_calls import SETTLE, ModelCallUsage, usage_of
from .steps import MERGED_STEP, THIS_TURN, TURN_OF_AGENCY, Step, TranscriptMessage, Written, add_message

if TYPE_CHECKING:
    from ..engine.connection import Connection

_LOOP = {"step": MERGED_STEP, **binds("desk")}
KEEP_STATE = statement(update(turns).where(TURN_OF_AGENCY).values(**_LOOP, attempts=1))
_SETTLED = SETTLE.cte("settled")
GO_ON = statement(update(turns).where(THIS_TURN).values(**_LOOP, attempts=1).add_cte(_SETTLED))
END = statement(SET_ENDING.values(**_LOOP).add_cte(_SETTLED))
"""The turn after an answer, and what the answer cost, in one statement."""


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
            await tool_calls.request_approval(db, self, ask)
        state = self.state
        if state.brief is not None and state.brief_after < 0:
            state = LoopState(desk=state.desk, brief=state.brief, brief_after=place, handoffs=state.handoffs)
        kept = state.plain() | {KEPT_THROUGH: self.after + len(self.events)}
        after = {"step": kept, "desk": state.desk, **usage_of(self.spent)}
        if self.ending is None:
            this = {"tenant_id": self.tenant_id, "session_id": self.session_id, "turn_id": self.turn_id}
            await GO_ON.execute(db, **this, **after)
        else:
            await END.execute(db, **ending_of(self, self.turn_id, self.ending), **after)
        audit_events = [rules.audit_of_request(ask, self.at) for ask in self.asks]
        return await self.write(db, place, self.events, audit_events)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextDesk(Step[None]):
    """Hand a turn over to its next desk, after the text of the one before."""

    turn_id: str
    state: LoopState

    async def run(self, db: Connection) -> Written[None]:
        turn = {"tenant_id": self.tenant_id, "turn_id": self.turn_id}
        await KEEP_STATE.execute(db, **turn, step=self.state.plain(), desk=self.state.desk)
        return await self.write(db, None, ())


VOID_FROM = """
SELECT min(seq) FROM session_events
 WHERE tenant_id = $1 AND session_id = $2 AND turn_id = $3 AND kind = 'text_delta'
   AND seq > greatest($4, (SELECT max(seq) FROM session_events
                            WHERE tenant_id = $1 AND session_id = $2 AND kind <> 'text_delta'))
"""
"""Text: it compares a session's log with itself."""
LOOP_STATE = statement(select(turns.c.step).where(TURN_OF_AGENCY))
KEEP_PLACE = statement(update(turns).where(TURN_OF_AGENCY).values(step=MERGED_STEP))


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartAnswer(Step[None]):
    """Tell viewers that an interrupted answer is generated again: ``error`` ``answer_restarted`` (business 3.4).

    It names the event from which on the text of this turn is void and in no message of the transcript.
    """

    turn_id: str

    async def run(self, db: Connection) -> Written[None]:
        turn = {"tenant_id": self.tenant_id, "turn_id": self.turn_id}
        step = await LOOP_STATE.fetchval(db, **turn) or {}
        scope = (self.tenant_id, self.session_id, self.turn_id, step.get(KEPT_THROUGH, 0))
        void_from = await db.fetchval(VOID_FROM, *scope)
        if void_from is None:
            return Written(None, ())
        why = f"answer_restarted: {void_from} the words from this event on are void, the answer is given again"
        await KEEP_PLACE.execute(db, **turn, step={KEPT_THROUGH: self.after + 1})
        return await self.write(db, None, [Event(kind="error", turn_id=self.turn_id, error_message=why)])
