"""Carrying calls out, once, and writing down what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ...storage import ledger
from ...storage.operations import Operation
from .. import ids, log, metrics
from ..domain.audit import Entry
from ..domain.errors import Refusal, Unavailable
from ..domain.events import Event
from ..domain.masking import masked
from ..domain.turns import Ask, Call
from ..runtime import ActorFailed
from .tools.catalogue import CATALOGUE
from .tools.tool import InputInvalid, Order, Plan, Reading, Tool, lost

if TYPE_CHECKING:
    from .loop import Pass, Task

_log = log.get(__name__)

Output = Mapping[str, Any]

NOT_PERMITTED: Output = {
    "error": "permission_denied",
    "detail": "The person who asked for this may not act any more.",
}

RECORDING_PAUSES = (0.1, 0.5, 2.0)
"""Seconds between the attempts at writing down what a supplier has done."""


class Whose(Protocol):
    """Whom an audit entry is about."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def session_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...


async def settle(work: Pass, call: Call, outcome: Output | None) -> Output:
    """Bring one call to its end: tell a denial, or run it. Answers its output as stored."""
    if outcome is not None:
        return await _conclude(work, call, outcome)
    denied = denial(call)
    if denied is None and not work.user_active and call.state != "executing":
        denied = NOT_PERMITTED
    if denied is not None:
        return await _conclude(work, call, denied)
    tool = CATALOGUE.get(call.tool)
    unfit = _unfit(tool, call)
    if unfit is not None and call.state == "executing":  # it has begun, so nobody may say that it did not
        return await _conclude(work, call, lost(f"{call.tool} was under way, and this release cannot look it up"))
    if unfit is not None:
        return await _conclude(work, call, unfit)
    began = work.ports.clock.monotonic()
    try:
        output = await _carry_out(work, tool, call)
    finally:
        took = work.ports.clock.monotonic() - began
        metrics.TOOL_CALL_DURATION_SECONDS.labels(tool=call.tool if tool else "unknown").observe(took)
    metrics.TOOL_CALLS_TOTAL.labels(tool=call.tool if tool else "unknown", outcome=ledger.verdict(output)).inc()
    return output


def denial(call: Call) -> Output | None:
    """What the model reads of a call a human refused, nobody decided in time, or was taken back."""
    if call.state != "failed":
        return None
    if call.error == "expired":
        return {"error": f"approval_expired: nobody decided '{call.tool}' in time"}
    if call.error == "rejected":
        return {"error": f"Approval denied for tool '{call.tool}'.", "reason": call.reason}
    return {"error": f"{call.error or 'withdrawn'}: the call will not run"}


def _unfit(tool: Tool[Any] | None, call: Call) -> Output | None:
    """Why a stored call may not run: what was found when it was proposed is lost if the pass was cut off behind it."""
    if tool is None or call.desk not in tool.desks:
        return {"error": f"unknown_tool: {call.tool}"}
    try:
        tool.parse(call.input)
    except InputInvalid as invalid:
        return {"error": str(invalid)}
    if tool.gated and call.approval_id is None:
        return {"error": f"not_run: '{call.tool}' was cut off before anybody was asked; ask for it anew"}
    return None


async def _carry_out(work: Pass, tool: Tool[Any] | None, call: Call) -> Output:
    if tool is None:
        return await _conclude(work, call, {"error": f"unknown_tool: {call.tool}"})
    given = tool.parse(call.input)
    if isinstance(tool, Reading):
        return await _conclude(work, call, await _guarded(call, tool.read(given, work.tools)))
    if isinstance(tool, Plan):
        return await _perform(work, tool, call, given)
    assert isinstance(tool, Order)
    return await _unbroken(work, _order(work, tool, call, given))


async def _unbroken(work: Pass, writing: Coroutine[Any, Any, Output]) -> Output:
    """A supplier's write, once begun, comes to its outcome however often the pass is cancelled meanwhile.

    Only a pass whose actor is stopped leaves it behind: its outcome is looked up when the turn is carried on.
    """
    task = asyncio.get_running_loop().create_task(writing, name="supplier.write")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as again:
            cancelled = again
            if work.abandoned:
                raise
    if cancelled is not None:
        raise cancelled
    return task.result()


async def _guarded(call: Call, reading: Any) -> Output:
    """A reading's output; its failure is the model's to hear about, its cause the log's."""
    try:
        output: Output = await reading
    except Unavailable as refused:
        return {"error": f"transient: {refused.code}"}
    except ActorFailed as failure:
        _log.error("tool_failed", tool=call.tool, exc_info=failure)
        return {"error": "internal_error: the tool failed"}
    return output


async def _perform(work: Pass, tool: Plan[Any], call: Call, given: Any) -> Output:
    task, message_id = work.task, ids.uuid7()
    plan = tool.plan(given, work.tools, call.id)
    bind = tool.gate(given, work.tools) if tool.gated else None
    return await work.ports.recorder.write(
        lambda after, now: ledger.Perform(
            tenant_id=task.tenant_id,
            session_id=task.session_id,
            after=after,
            now=now,
            call=call,
            message_id=message_id,
            plan=plan,
            bind=bind,
            tell=teller(call),
            account=_accountant(task, call, now, start=True),
        )
    )


async def _order(work: Pass, tool: Order[Any], call: Call, given: Any) -> Output:
    """A supplier's write, in two steps: the intent is stored before the supplier is asked."""
    task, again = work.task, call.state == "executing"
    if not again or call.driver is None:
        call = replace(call, driver=await tool.driver(given, call.bound or {}, work.tools))
    if not again:
        begun = await work.ports.recorder.write(
            lambda after, now: ledger.Begin(
                tenant_id=task.tenant_id,
                session_id=task.session_id,
                after=after,
                now=now,
                call=call,
                driver=call.driver or "none",
                account=lambda: [entry(task, call, now, "started", {}, None)],
            )
        )
        if begun.refused is not None:
            return await _conclude(work, call, begun.refused)
        again = begun.again
    try:
        placed = await tool.place(given, call.bound or {}, call.id, work.tools, again=again)
    except Unavailable:
        raise
    except (Refusal, ActorFailed) as broken:  # ours, and nobody knows before or behind the supplier's answer
        _log.error("order_not_placed", tool=call.tool, call_id=call.id, exc_info=broken)
        raise Unavailable("storage_unavailable") from broken
    if isinstance(placed, Mapping):
        return await _conclude(work, call, placed)
    return await _enter(work, call, tool.record(given, placed, call, work.tools))


async def _enter(work: Pass, call: Call, record: Operation[dict[str, Any]]) -> Output:
    """Write down what a supplier has done, whatever is in the way of it.

    Where the whole step cannot be written, the booking at least is, and the call stays ``executing``: its turn is
    carried on, looks it up and comes to its end.
    """
    for pause in RECORDING_PAUSES:
        try:
            return await _conclude(work, call, {}, record)
        except Unavailable:
            raise
        except Refusal as broken:
            _log.error("order_not_entered", tool=call.tool, call_id=call.id, refusal=broken.code)
            await work.ports.clock.sleep(pause)
    try:
        await work.ports.store.ask(record)
    except Refusal as broken:
        _log.error("booking_not_entered", tool=call.tool, call_id=call.id, refusal=broken.code)
    raise Unavailable("storage_unavailable")


async def _conclude(work: Pass, call: Call, output: Output, record: Any = None) -> Output:
    task, message_id = work.task, ids.uuid7()
    return await work.ports.recorder.write(
        lambda after, now: ledger.Result(
            tenant_id=task.tenant_id,
            session_id=task.session_id,
            after=after,
            now=now,
            call=call,
            message_id=message_id,
            output=output,
            record=record,
            tell=teller(call),
            account=_accountant(task, call, now, start=False),
        )
    )


def teller(call: Call) -> Callable[[Output], Sequence[Event]]:
    """Makes the events of a result: the verdict first if a human was asked, then what came of it."""

    def tell(output: Output) -> Sequence[Event]:
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
        return [*events, Event(kind="tool_result", tool_output=dict(output), **about)]

    return tell


def _accountant(task: Task, call: Call, now: datetime, *, start: bool) -> Callable[[Output], Sequence[Entry]]:
    """The audit of a call with an effect; readings, and calls that were never valid, leave none."""

    def account(output: Output) -> Sequence[Entry]:
        if call.effect == "read":
            return []
        if call.state == "failed":
            return [entry(task, call, now, "rejected", output, call.error)]
        if output.get("error") == NOT_PERMITTED["error"]:
            return [entry(task, call, now, "rejected", output, "permission_denied")]
        if call.driver is None and not start:
            return []
        end = outcome(task, call, now, output)
        return [entry(task, call, now, "started", {}, None), end] if start else [end]

    return account


def outcome(task: Whose, call: Call, now: datetime, output: Output) -> Entry:
    """The audit entry of what came of a call."""
    ok = ledger.verdict(output) == "succeeded"
    error = None if ok else str(output.get("error") or output.get("reason") or output.get("error_code"))
    return entry(task, call, now, "succeeded" if ok else "failed", output, error)


def entry(task: Whose, call: Call, now: datetime, status: Any, output: Output, error: str | None) -> Entry:
    """The audit entry of a tool's call."""
    return Entry(
        id=ids.uuid7(),
        tenant_id=task.tenant_id,
        created_at=now,
        kind=call.tool,
        status=status,
        actor_kind="agent",
        actor_id=task.user_id,
        driver=call.driver,
        inputs=masked(call.input),
        outputs=masked(output),
        entity_refs={
            "tool_call_id": call.id,
            "turn_id": call.turn_id,
            "session_id": task.session_id,
            **{name: value for name, value in output.items() if name.endswith("_id") and isinstance(value, str)},
        },
        error=error,
        approval_required=call.approval_id is not None,
        approved_by=call.decided_by if call.state != "failed" else None,
        approved_at=call.decided_at if call.state != "failed" else None,
        completed_at=None if status == "started" else now,
    )


def requested(task: Task, ask: Ask, now: datetime) -> Entry:
    """``approval.requested``: the agent asks a human."""
    return Entry(
        id=ids.uuid7(),
        tenant_id=task.tenant_id,
        created_at=now,
        kind="approval.requested",
        status="succeeded",
        actor_kind="agent",
        actor_id=task.user_id,
        inputs={
            "approval_id": ask.id,
            "session_id": task.session_id,
            "tool_name": ask.call.tool,
            "expires_at": ask.expires_at.isoformat(),
        },
        entity_refs={"approval_id": ask.id, "tool_call_id": ask.call.id},
        approval_required=True,
    )
