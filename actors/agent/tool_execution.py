"""Executes tool calls, each once, and stores their outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from typing import Any

from ...storage.conversation import tool_calls
from ...storage.engine.operations import Operation
from ...storage.engine.sealing import NotOpened
from ..domain import ids
from ..domain.errors import Refusal, Unavailable
from ..domain.outcomes import NOT_PERMITTED, Failed, Outcome, Unknown
from ..domain.tool_calls import denial
from ..domain.turns import ToolCall
from ..foundation import log, metrics
from ..runtime.actor import ActorFailed
from . import sealed_input
from .pass_state import PassState
from .tools.catalogue import CATALOGUE
from .tools.supplier_tool import GATED, Executed, SupplierTool
from .tools.tool import DatabaseTool, GatedDatabaseTool, InputInvalid, ReadTool, Tool

_log = log.get(__name__)

RECORDING_BACKOFF = (0.1, 0.5, 2.0)
"""Seconds between attempts to record what a supplier has done."""


async def settle(work: PassState, call: ToolCall, outcome: Outcome | None) -> Outcome:
    """Conclude one call: store its denial, or execute it. Returns its outcome as stored."""
    if outcome is not None:
        return await _conclude(work, call, outcome)
    denied: Outcome | None = denial(call)
    if denied is None and not work.user_active and call.state != "executing":
        denied = NOT_PERMITTED
    if denied is not None:
        return await _conclude(work, call, denied)
    tool = CATALOGUE.get(call.tool)
    unreadable = _unreadable(work, tool, call)
    if unreadable is not None and call.state == "executing":  # it has begun: no refusal may deny that
        return await _conclude(work, call, Unknown(f"{call.tool} was under way, and this release cannot look it up"))
    if unreadable is not None:
        return await _conclude(work, call, unreadable)
    assert tool is not None  # an unknown one is unreadable
    began = work.ports.clock.monotonic()
    try:
        outcome = await _execute(work, tool, call)
    finally:
        took = work.ports.clock.monotonic() - began
        metrics.TOOL_CALL_DURATION_SECONDS.labels(tool=tool.name).observe(took)
    metrics.TOOL_CALLS_TOTAL.labels(tool=tool.name, outcome=outcome.state).inc()
    return outcome


def _unreadable(work: PassState, tool: Tool[Any] | None, call: ToolCall) -> Outcome | None:
    """Why a stored call may not run: checks at proposal time are lost if the pass was cut off after them."""
    if tool is None or call.desk not in tool.desks:
        return Failed("unknown_tool", call.tool)
    try:
        tool.parse(sealed_input.opened(call, work.tools.sealing))
    except InputInvalid as invalid:
        return invalid.outcome
    except NotOpened:
        _log.error("tool_input_not_opened", tool=call.tool, call_id=call.id)
        return Failed("not_run", f"the input of '{call.tool}' cannot be opened; ask for it again")
    if isinstance(tool, GATED) and call.approval_id is None:
        return Failed("not_run", f"'{call.tool}' was cut off before anybody was asked; ask for it again")
    return None


async def _execute(work: PassState, tool: Tool[Any], call: ToolCall) -> Outcome:
    given = tool.parse(sealed_input.opened(call, work.tools.sealing))
    if isinstance(tool, ReadTool):
        return await _conclude(work, call, await _read(call, tool.read(given, work.tools)))
    if isinstance(tool, DatabaseTool):
        return await _execute_in_database(work, tool, call, given)
    assert isinstance(tool, SupplierTool)
    return await _uninterrupted(work, _execute_at_supplier(work, tool, call, given))


async def _uninterrupted(work: PassState, writing: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Await a supplier's write to its outcome, however often the pass is cancelled meanwhile.

    Only a pass whose actor is stopped abandons it: its outcome is looked up when the turn is resumed.
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
        raise cancelled from task.exception()
    return task.result()


async def _read(call: ToolCall, reading: Awaitable[Outcome]) -> Outcome:
    """A read's outcome. A failure is reported to the model as a code; its cause is logged."""
    try:
        return await reading
    except Unavailable as refused:
        return Failed("transient", refused.code)
    except ActorFailed as failure:
        _log.error("tool_failed", tool=call.tool, exc_info=failure)
        return Failed("internal_error", "the tool failed")


async def _execute_in_database(work: PassState, tool: DatabaseTool[Any], call: ToolCall, given: Any) -> Outcome:
    task, message_id = work.task, ids.uuid7()
    plan = tool.plan(given, work.tools, call.id)
    bind = tool.gate(given, work.tools) if isinstance(tool, GatedDatabaseTool) else None
    return await work.ports.recorder.write(
        tool_calls.Perform(
            tenant_id=task.tenant_id,
            session_id=task.session_id,
            call=call,
            message_id=message_id,
            plan=plan,
            bind=bind,
        )
    )


async def _execute_at_supplier(work: PassState, tool: SupplierTool[Any], call: ToolCall, given: Any) -> Outcome:
    """Execute a supplier's write in two transactions: the intent is stored before the supplier is asked."""
    task, again = work.task, call.state == "executing"
    if not again or call.driver is None:
        call = replace(call, driver=await tool.driver(given, call.bound or {}, work.tools))
    if not again:
        begun = await work.ports.recorder.write(
            tool_calls.Begin(
                tenant_id=task.tenant_id,
                session_id=task.session_id,
                call=call,
                driver=call.driver or "none",
            )
        )
        if begun.refused is not None:
            return await _conclude(work, call, begun.refused)
        again = begun.begun_before
    try:
        placed = await tool.place(given, call.bound or {}, call.id, work.tools, again=again)
    except Unavailable:
        raise
    except (Refusal, ActorFailed) as broken:  # our own fault, unknown whether before or after the supplier's answer
        _log.error("supplier_write_aborted", tool=call.tool, call_id=call.id, exc_info=broken)
        raise Unavailable("storage_unavailable") from broken
    if not isinstance(placed, Executed):
        return await _conclude(work, call, placed)
    return await _record(work, call, tool.record(given, placed, call, work.tools))


async def _record(work: PassState, call: ToolCall, record: Operation[Outcome]) -> Outcome:
    """Record what a supplier has done, with retries.

    If the whole step cannot be stored, the booking alone is, and the call stays ``executing``: the resumed turn looks
    its outcome up.
    """
    for backoff in RECORDING_BACKOFF:
        try:
            return await _write_result(work, call, record)
        except Unavailable:
            raise
        except Refusal as broken:
            _log.error("supplier_outcome_recording_failed", tool=call.tool, call_id=call.id, refusal=broken.code)
            await work.ports.clock.sleep(backoff)
    try:
        await work.ports.store.ask(record)
    except Refusal as broken:
        _log.error("booking_recording_failed", tool=call.tool, call_id=call.id, refusal=broken.code)
    raise Unavailable("storage_unavailable")


async def _conclude(work: PassState, call: ToolCall, outcome: Outcome) -> Outcome:
    return await _write_result(work, call, outcome)


async def _write_result(work: PassState, call: ToolCall, result: Outcome | Operation[Outcome]) -> Outcome:
    task, message_id = work.task, ids.uuid7()
    return await work.ports.recorder.write(
        tool_calls.Result(
            tenant_id=task.tenant_id,
            session_id=task.session_id,
            call=call,
            message_id=message_id,
            result=result,
        )
    )
