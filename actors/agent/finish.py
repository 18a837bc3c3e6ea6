"""The end of a pass: its events, and closing calls without a reported result when the turn ends for good."""

from __future__ import annotations

from typing import Any

from ...storage.conversation import endings
from ..domain import ids
from ..domain.audit import Author
from ..domain.events import Event
from ..domain.tool_calls import Closing
from ..domain.turns import TurnError
from .pass_state import PassState


def ending(
    work: PassState, state: Any, error: TurnError | None, *, keep_pending_approvals: bool, by: Author | None
) -> endings.End:
    """The step that ends a pass. Where the turn ends for good, all of its calls are closed.

    With ``keep_pending_approvals`` a failed pass keeps its undecided approvals, and its turn waits for them.
    """
    task, turn_id = work.task, work.task.turn_id
    events = [] if error is None else [Event(kind="error", turn_id=turn_id, error_message=error.line)]
    close = None
    if error is not None and state in ("failed", "cancelled"):
        close = Closing(error, "cancelled" if state == "cancelled" else error.code, by)
    return endings.End(
        tenant_id=task.tenant_id,
        session_id=task.session_id,
        turn_id=turn_id,
        ending=endings.Ending(state=state, error=error, ran_ms=work.ran_ms),
        events=(*events, Event(kind="final", turn_id=turn_id)),
        partial="".join(work.partial) or None,
        partial_id=ids.uuid7(),
        close=close,
        keep_pending_approvals=keep_pending_approvals,
        spent=None if work.reservation is None else work.reservation.spent(),
    )
