"""Carrying calls out, once, and writing down what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...storage import ledger
from .. import ids, log, metrics
from ..domain.audit import Entry
from ..domain.events import Event
from ..domain.masking import masked
from ..domain.turns import Ask, Call
from ..runtime import ActorFailed
from .tools.catalogue import CATALOGUE
from .tools.tool import InputInvalid, Order, Plan, Reading, Tool

if TYPE_CHECKING:
    from .loop import Pass, Task

_log = log.get(__name__)

Output = Mapping[str, Any]


async def settle(work: Pass, call: Call, outcome: Output | None) -> Output:
    """Bring one call to its end: tell a denial, or run it. Answers its output as stored."""
    if outcome is not None:
        return await _conclude(work, call, outcome)
    denied = denial(call)
    if denied is not None:
        return await _conclude(work, call, denied)
    tool = CATALOGUE.get(call.tool)
    unfit = _unfit(tool, call)
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
    task, driver = work.task, await tool.driver(given, call.bound or {}, work.tools)
    call, refused = replace(call, driver=driver), None
    if call.state != "executing":
        refused = await work.ports.recorder.write(
            lambda after, now: ledger.Begin(
                tenant_id=task.tenant_id,
                session_id=task.session_id,
                after=after,
                now=now,
                call=call,
                driver=driver,
                account=lambda: [entry(task, call, now, "started", {}, None)],
            )
        )
    elif not await tool.repeatable(given, call.bound or {}, work.tools):
        refused = {"error": f"outcome_unknown: {call.tool} was under way when the service stopped; look it up by hand"}
    if refused is not None:
        return await _conclude(work, call, refused)
    again = call.state == "executing"
    placed = await tool.place(given, call.bound or {}, call.id, work.tools, again=again)
    if isinstance(placed, Mapping):
        return await _conclude(work, call, placed)
    return await _conclude(work, call, {}, tool.record(given, placed, call, work.tools))


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
        if call.driver is None and not start:
            return []
        ok = ledger.verdict(output) == "succeeded"
        error = None if ok else str(output.get("error") or output.get("reason") or output.get("error_code"))
        end = entry(task, call, now, "succeeded" if ok else "failed", output, error)
        return [entry(task, call, now, "started", {}, None), end] if start else [end]

    return account


def entry(task: Task, call: Call, now: datetime, status: Any, output: Output, error: str | None) -> Entry:
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
