"""The rules of tool calls: their denials, their events and their audit events.

Every function takes the call as stored; ``Context`` is its agency and session, and the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .audit import AuditEvent, Author, Status
from .events import Event
from .masking import masked
from .outcomes import NOT_PERMITTED, Failed, Outcome, Rejected, Unknown, Unsuccessful
from .turns import ApprovalAsk, ToolCall, TurnError


@dataclass(frozen=True, slots=True)
class Context:
    """The agency and session of an action, and its time."""

    tenant_id: str
    session_id: str | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Closing:
    """Why the calls of an ended turn are closed, and by whom; ``error`` is for the model, ``reason`` for people."""

    error: TurnError
    reason: str
    by: Author | None


def denial(call: ToolCall) -> Failed | Rejected | None:
    """The outcome of a call that was rejected, expired or withdrawn."""
    if call.state != "failed":
        return None
    if call.error == "expired":
        return Failed("approval_expired", f"nobody decided '{call.tool}' in time")
    if call.error == "rejected":
        return Rejected(call.tool, call.reason)
    return Failed(call.error or "withdrawn", "the call will not run")


def result_events(call: ToolCall, outcome: Outcome) -> Sequence[Event]:
    """The events of a result: the decision first if an approval was requested, then the output."""
    about: dict[str, Any] = {"turn_id": call.turn_id, "tool_name": call.tool, "tool_call_id": call.call_id}
    events = []
    if call.approval_id is not None and call.state != "failed":
        events.append(Event(kind="approval_granted", approval_id=call.approval_id, **about))
    elif call.approval_id is not None:
        why = call.error if call.error in ("rejected", "expired") else "withdrawn"
        denied = Event(
            kind="approval_denied", approval_id=call.approval_id, error_message=why, text=call.reason, **about
        )
        events.append(denied)
    return [*events, Event(kind="tool_result", tool_output=outcome.to_output(), **about)]


def audit_of_result(call: ToolCall, outcome: Outcome, at: Context, *, starts: bool) -> Sequence[AuditEvent]:
    """The audit events of a call with an effect; reads and invalid calls have none.

    ``starts``: effect and outcome are one transaction, so ``started`` is written with the outcome.
    """
    if call.effect == "read":
        return []
    if call.state == "failed":
        return [audit_event(call, "rejected", at, outcome, call.error)]
    if outcome == NOT_PERMITTED:
        return [audit_event(call, "rejected", at, outcome, NOT_PERMITTED.code)]
    if call.driver is None and not starts:
        return []
    end = audit_of_outcome(call, outcome, at)
    return [audit_event(call, "started", at), end] if starts else [end]


def audit_of_outcome(call: ToolCall, outcome: Outcome, at: Context) -> AuditEvent:
    """The audit event of a call's outcome."""
    status: Status = "succeeded" if outcome.state == "succeeded" else "failed"
    return audit_event(call, status, at, outcome, outcome.error)


def audit_event(
    call: ToolCall, status: Status, at: Context, outcome: Outcome | None = None, error: str | None = None
) -> AuditEvent:
    """An audit event of a tool call."""
    output = {} if outcome is None else outcome.to_output()
    named = {name: value for name, value in output.items() if name.endswith("_id") and isinstance(value, str)}
    denied = call.state == "failed"
    event = AuditEvent.by_agent(
        call.tool,
        at.tenant_id,
        call.user_id,
        at.now,
        status=status,
        inputs=masked(call.input),
        refs={"tool_call_id": call.id, "turn_id": call.turn_id, "session_id": at.session_id, **named},
        approval_required=call.approval_id is not None,
    )
    return replace(
        event,
        driver=call.driver,
        outputs=masked(output),
        error=error,
        approved_by=None if denied else call.decided_by,
        approved_at=None if denied else call.decided_at,
        completed_at=None if status == "started" else at.now,
    )


def audit_of_request(ask: ApprovalAsk, at: Context) -> AuditEvent:
    """``approval.requested``: the agent asks for an approval."""
    return AuditEvent.by_agent(
        "approval.requested",
        at.tenant_id,
        ask.call.user_id,
        at.now,
        status="succeeded",
        inputs={
            "approval_id": ask.id,
            "session_id": at.session_id,
            "tool_name": ask.call.tool,
            "expires_at": ask.expires_at.isoformat(),
        },
        refs={"approval_id": ask.id, "tool_call_id": ask.call.id},
        approval_required=True,
    )


@dataclass(frozen=True, slots=True)
class Closed:
    """The events and audit events of a call closed with its turn; ``outcome`` is for the transcript."""

    outcome: Unsuccessful
    events: Sequence[Event] = ()
    audit_events: Sequence[AuditEvent] = ()


def close(call: ToolCall, closing: Closing, at: Context) -> Closed:
    """Close one call without a reported result: executing, rejected, expired, granted or undecided."""
    if call.state == "executing":
        unknown = Unknown(f"{call.tool} was under way when its turn ended; look it up by hand")
        return Closed(unknown, result_events(call, unknown), (audit_event(call, "failed", at, unknown, Unknown.code),))
    outcome = denial(call) or Failed(closing.error.code, closing.error.text)
    if call.approval_id is None:
        return Closed(outcome)
    audit_events = [audit_event(call, "rejected", at, outcome, call.error or "withdrawn")]
    if call.undecided:
        audit_events.insert(0, _audit_of_withdrawal(call, closing, at))
    return Closed(outcome, (_denied(call, closing.reason),), audit_events)


def _denied(call: ToolCall, why: str) -> Event:
    withdrawn = call.error not in ("rejected", "expired")
    return Event(
        kind="approval_denied",
        turn_id=call.turn_id,
        tool_name=call.tool,
        tool_call_id=call.call_id,
        approval_id=call.approval_id,
        error_message="withdrawn" if withdrawn else call.error,
        text=why if withdrawn else call.reason,
    )


def _audit_of_withdrawal(call: ToolCall, closing: Closing, at: Context) -> AuditEvent:
    about = {
        "approval_id": call.approval_id,
        "session_id": at.session_id,
        "tool_name": call.tool,
        "reason": closing.reason,
    }
    refs = {"approval_id": call.approval_id, "tool_call_id": call.id}
    return audit_of_act("approval.rejected", closing.by, about, refs, at)


def audit_of_act(
    kind: str, by: Author | None, about: Mapping[str, Any], refs: Mapping[str, Any], at: Context
) -> AuditEvent:
    """The audit event of an action on a turn by a person, or by the turn's limits."""
    if by is None:
        return AuditEvent.by_system(kind, at.tenant_id, at.now, inputs=about, refs=refs)
    return AuditEvent.by_person(kind, at.tenant_id, by.user_id, by.origin, at.now, inputs=about, refs=refs)
