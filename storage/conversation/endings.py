"""The end of a pass: the turn's next state, and how calls without a reported result are closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from ...actors.domain import ids
from ...actors.domain import tool_calls as rules
from ...actors.domain.events import Event
from ...actors.domain.transcript import tool_result
from ...actors.domain.turns import ToolCall, TurnError, TurnState
from ..engine.statements import binds, statement
from ..tables import turns
from . import tool_calls
from .model_calls import ModelCallUsage, settle
from .steps import MERGED_STEP, THIS_TURN, TURN_OF_AGENCY, Step, TranscriptMessage, Written, add_message

if TYPE_CHECKING:
    from ..engine.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a pass ends: the turn's next state, and its error if there is one."""

    state: TurnState
    error: TurnError | None = None
    ran_ms: int = 0


ENDED = frozenset({"completed", "failed", "cancelled"})
"""States of a turn that is over."""
SET_ENDING = (
    update(turns)
    .where(THIS_TURN)
    .values(
        **binds("state", "error", "ended_at"),
        ran_ms=turns.c.ran_ms + bindparam("ran_ms"),
        attempts=0,
    )
)
END_TURN = statement(SET_ENDING)


async def end_turn(db: Connection, step: Step[Any], turn_id: str, ending: Ending) -> None:
    """Set the turn's state after its pass."""
    await END_TURN.execute(db, **ending_of(step, turn_id, ending))


def ending_of(step: Step[Any], turn_id: str, ending: Ending) -> dict[str, Any]:
    """The parameters of ``SET_ENDING``."""
    return {
        "tenant_id": step.tenant_id,
        "session_id": step.session_id,
        "turn_id": turn_id,
        "state": ending.state,
        "error": None if ending.error is None else ending.error.line,
        "ran_ms": ending.ran_ms,
        "ended_at": step.now if ending.state in ENDED else None,
    }


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A message sent with decisions, and its author: the resumed pass adds it after the results."""

    text: str
    user_id: str

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> FollowUp | None:
        """From the JSON that ``approvals.Decide`` keeps with the turn."""
        return cls(kept["follow_up"], kept["user_id"]) if "follow_up" in kept else None


KEPT_THROUGH = "kept_through"
"""Key in a turn's ``step``: the event up to which all published text is in the transcript."""

STATE = statement(select(*turns.c["state", "input", "step"]).where(THIS_TURN).with_for_update(key_share=True))

PUBLISHED_TEXT = """
SELECT string_agg(frame::jsonb ->> 'text', '' ORDER BY seq) FROM session_events
 WHERE tenant_id = $1 AND session_id = $2 AND turn_id = $3 AND kind = 'text_delta' AND seq > $4
"""
"""Text: the frame is JSON in a column of text."""

KEPT = statement(update(turns).where(TURN_OF_AGENCY).values(step=MERGED_STEP, **binds("input")))


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Step[str]):
    """End a pass: completed, waiting, failed or cancelled.

    Returns the turn's state. A pass that already has its ``final`` is unchanged: a pass has exactly one.
    ``partial`` is the published text of an incomplete answer; it is kept. ``close`` closes each call without a reported
    result, in the state in which the transaction finds it; undecided approvals are withdrawn. With
    ``keep_pending_approvals`` a turn with such calls waits instead of failing: they can still be decided.
    Where the turn ends for good, text that the event log has and the transcript lacks is kept, and so is a follow-up
    message that is not yet in the transcript.
    """

    turn_id: str
    ending: Ending
    events: tuple[Event, ...]
    partial: str | None = None
    partial_id: str | None = None
    close: rules.Closing | None = None
    keep_pending_approvals: bool = False
    spent: ModelCallUsage | None = None

    async def run(self, db: Connection) -> Written[str]:
        turn = await STATE.fetchrow(db, tenant_id=self.tenant_id, session_id=self.session_id, turn_id=self.turn_id)
        if turn is None or turn["state"] != "running":
            return Written("None" if turn is None else str(turn["state"]), ())
        await self._keep_text(db, turn)
        ending, closed = self.ending, list[rules.Closed]()
        calls = [] if self.close is None else await tool_calls.calls_of(db, self.tenant_id, self.turn_id)
        unreported = [call for call in calls if not call.reported]
        if self.keep_pending_approvals and unreported:
            ending = replace(ending, state="waiting")
        elif self.close is not None:
            closed = [await self._close(db, call, self.close) for call in unreported]
        waits = ending.state == "waiting"
        await self._mark_transcript_complete(db, turn, None if waits else FollowUp.of(turn["input"] or {}))
        if self.spent is not None:
            await settle(db, self.tenant_id, self.spent)
        await end_turn(db, self, self.turn_id, ending)
        events = [event for each in closed for event in each.events]
        audit_events = [audit_event for each in closed for audit_event in each.audit_events]
        if ending.state == "cancelled":
            by = None if self.close is None else self.close.by
            audit_events.append(rules.audit_of_act("turn.cancelled", by, {"turn_id": self.turn_id}, {}, self.at))
        return await self.write(db, str(ending.state), [*events, *self.events], audit_events)

    async def _keep_text(self, db: Connection, turn: Mapping[str, Any]) -> None:
        """Keep the text of an incomplete answer: that of this pass, else what the event log has of a lost one."""
        text = self.partial
        if text is None and self.close is not None:
            since = (turn["step"] or {}).get(KEPT_THROUGH, 0)
            text = await db.fetchval(PUBLISHED_TEXT, self.tenant_id, self.session_id, self.turn_id, since)
        if text and self.partial_id is not None:
            message = TranscriptMessage("assistant", [{"type": "text", "text": text}])
            await add_message(db, self, self.partial_id, self.turn_id, message)

    async def _mark_transcript_complete(
        self, db: Connection, turn: Mapping[str, Any], follow_up: FollowUp | None
    ) -> None:
        """Mark the transcript as complete; add a pending follow-up message for the next turn's model."""
        left = turn["input"] or {}
        if follow_up is not None:
            message = TranscriptMessage("user", [{"type": "text", "text": follow_up.text}], user_id=follow_up.user_id)
            await add_message(db, self, ids.uuid7(), self.turn_id, message)
            left = {}
        step = {KEPT_THROUGH: self.after}
        await KEPT.execute(db, tenant_id=self.tenant_id, turn_id=self.turn_id, step=step, input=left)

    async def _close(self, db: Connection, call: ToolCall, closing: rules.Closing) -> rules.Closed:
        closed = rules.close(call, closing, self.at)
        block = tool_result(call.call_id, call.tool, closed.outcome)
        message = TranscriptMessage("tool", [block], tool_call_id=call.id)
        await add_message(db, self, ids.uuid7(), self.turn_id, message)
        if call.state == "executing":
            await tool_calls.mark_unknown(db, self, call, closed.outcome)
        elif call.undecided:
            await tool_calls.withdraw(db, self, call, closing.by, closing.reason)
        else:
            await tool_calls.close(db, self, call, "withdrawn")
        return closed
