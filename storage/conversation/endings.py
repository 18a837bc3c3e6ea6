"""The end of a pass: the turn's next state, and how calls without a reported result are closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...actors.domain import ids
from ...actors.domain import tool_calls as rules
from ...actors.domain.events import Event
from ...actors.domain.transcript import tool_result
from ...actors.domain.turns import ToolCall, TurnError, TurnState
from . import tool_calls
from .model_calls import ModelCallUsage, settle
from .steps import Step, TranscriptMessage, Written, add_message

if TYPE_CHECKING:
    from ..engine.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a pass ends: the turn's next state, and its error if there is one."""

    state: TurnState
    error: TurnError | None = None
    ran_ms: int = 0


END_TURN = """
UPDATE turns SET state = $4, error = $5, ran_ms = ran_ms + $6, attempts = 0,
                 ended_at = CASE WHEN $4 IN ('completed', 'failed', 'cancelled') THEN $7::timestamptz END
 WHERE tenant_id = $1 AND session_id = $2 AND id = $3
"""


async def end_turn(db: Connection, step: Step[Any], turn_id: str, ending: Ending) -> None:
    """Set the turn's state after its pass."""
    error = None if ending.error is None else ending.error.line
    await db.execute(END_TURN, step.tenant_id, step.session_id, turn_id, ending.state, error, ending.ran_ms, step.now)


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

STATE = """
SELECT state, input, step FROM turns WHERE tenant_id = $1 AND session_id = $2 AND id = $3 FOR NO KEY UPDATE
"""

PUBLISHED_TEXT = """
SELECT string_agg(frame::jsonb ->> 'text', '' ORDER BY seq) FROM session_events
 WHERE tenant_id = $1 AND session_id = $2 AND turn_id = $3 AND kind = 'text_delta' AND seq > $4
"""

KEPT = """
UPDATE turns SET step = coalesce(step, '{}'::jsonb) || $3, input = $4 WHERE tenant_id = $1 AND id = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Step[str]):
    """End a pass: completed, waiting, failed or cancelled.

    Returns the turn's state. A pass that has its ``final`` already is left as it is: there is only one.
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
        turn = await db.fetchrow(STATE, self.tenant_id, self.session_id, self.turn_id)
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
        entries = [entry for each in closed for entry in each.entries]
        if ending.state == "cancelled":
            by = None if self.close is None else self.close.by
            entries.append(rules.audit_of_act("turn.cancelled", by, {"turn_id": self.turn_id}, {}, self.at))
        return await self.write(db, str(ending.state), [*events, *self.events], entries)

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
        await db.execute(KEPT, self.tenant_id, self.turn_id, {KEPT_THROUGH: self.after}, left)

    async def _close(self, db: Connection, call: ToolCall, closing: rules.Closing) -> rules.Closed:
        closed = rules.close(call, closing, self.at)
        block = tool_result(call.call_id, call.tool, closed.outcome)
        await add_message(db, self, ids.uuid7(), self.turn_id, TranscriptMessage("tool", [block]))
        if call.state == "executing":
            await tool_calls.lose(db, self, call, closed.outcome)
        elif call.undecided:
            await tool_calls.withdraw(db, self, call, closing.by, closing.reason)
        else:
            await tool_calls.drop(db, self, call, "withdrawn")
        return closed
