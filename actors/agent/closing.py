"""Ending a pass: what is told, and what becomes of calls nothing was told of when a turn is over for good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...storage import endings
from .. import ids
from ..domain import transcript
from ..domain.audit import Author, Entry
from ..domain.events import Event
from ..domain.turns import Call
from .carrying import Output, denial, entry, teller

if TYPE_CHECKING:
    from .loop import Pass, Task


def ending(
    work: Pass, state: Any, error: str | None, *, spare: bool, by: Author | None
) -> Callable[[int, datetime], endings.End]:
    """The step that ends a pass. Where the turn is over for good, nothing of it is left open.

    With ``spare`` a failed pass leaves alone what humans were asked: its turn waits for them.
    """
    task, turn_id = work.task, work.task.turn_id
    events = [] if error is None else [Event(kind="error", turn_id=turn_id, error_message=error)]
    events.append(Event(kind="final", turn_id=turn_id))
    over = state in ("failed", "cancelled")
    why = "cancelled" if state == "cancelled" else (error or "failed").partition(":")[0]
    partial_id, partial = ids.uuid7(), "".join(work.partial) or None
    spent = None if work.spending is None else work.spending.spent()
    return lambda after, now: endings.End(
        tenant_id=task.tenant_id,
        session_id=task.session_id,
        after=after,
        now=now,
        turn_id=turn_id,
        ending=endings.Ending(state=state, error=error, ran_ms=work.ran_ms),
        events=tuple(events),
        partial=partial,
        partial_id=partial_id,
        close=(lambda call, at: _close(task, call, at, error or "cancelled", why, by)) if over else None,
        spare=spare,
        user_id=None if by is None else by.user_id,
        reason=why,
        entries=(_cancelled(task, now, by),) if state == "cancelled" else (),
        spent=spent,
    )


def _close(task: Task, call: Call, now: datetime, error: str, why: str, by: Author | None) -> endings.Closing:
    """One call nothing was told of: lost under way, refused or lapsed unread, granted or not even decided."""
    output = _last_word(call, error)
    unanswered = (ids.uuid7(), transcript.tool_result(call.call_id, call.tool, output))
    if call.state == "executing":
        lost = entry(task, call, now, "failed", output, "outcome_unknown")
        return endings.Closing(events=teller(call)(output), unanswered=unanswered, lost=output, entries=(lost,))
    if call.approval_id is None:
        return endings.Closing(unanswered=unanswered)
    entries = [entry(task, call, now, "rejected", output, call.error or "withdrawn")]
    if call.undecided:
        entries.insert(0, _withdrawn(task, call, now, why, by))
    return endings.Closing(events=(_denied(call, why),), unanswered=unanswered, entries=entries)


def _last_word(call: Call, error: str) -> Output:
    """What the model reads of the call, should the conversation go on."""
    if call.state == "executing":
        return {"error": f"outcome_unknown: {call.tool} was under way when its turn ended; look it up by hand"}
    return denial(call) or {"error": error}


def _denied(call: Call, why: str) -> Event:
    taken_back = call.error not in ("rejected", "expired")
    return Event(
        kind="approval_denied",
        turn_id=call.turn_id,
        tool_name=call.tool,
        tool_call_id=call.call_id,
        approval_id=call.approval_id,
        error_message="withdrawn" if taken_back else call.error,
        text=why if taken_back else call.reason,
    )


def _withdrawn(task: Task, call: Call, now: datetime, why: str, by: Author | None) -> Entry:
    about = {"approval_id": call.approval_id, "session_id": task.session_id, "tool_name": call.tool, "reason": why}
    refs = {"approval_id": call.approval_id, "tool_call_id": call.id}
    return _act(task, now, "approval.rejected", by, about, refs)


def _cancelled(task: Task, now: datetime, by: Author | None) -> Entry:
    return _act(task, now, "turn.cancelled", by, {"turn_id": task.turn_id}, {})


def _act(task: Task, now: datetime, kind: str, by: Author | None, about: dict[str, Any], refs: dict[str, Any]) -> Entry:
    """The audit entry of what a person did to a turn, or of what its limits did."""
    return Entry(
        id=ids.uuid7(),
        tenant_id=task.tenant_id,
        created_at=now,
        kind=kind,
        status="succeeded",
        actor_kind="human" if by else "system",
        actor_id=by.user_id if by else None,
        inputs={**(by.origin.inputs() if by else {}), **about},
        entity_refs=refs,
    )
