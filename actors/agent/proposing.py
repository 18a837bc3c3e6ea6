"""Checks the calls of an answer before they are stored: valid, permitted, feasible, and who has to approve them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from ...storage.conversation import pass_context, recent_calls
from ..domain import ids
from ..domain.approvals import approval_id
from ..domain.errors import Unavailable
from ..domain.events import Event
from ..domain.masking import hidden
from ..domain.outcomes import NOT_PERMITTED, Failed, Outcome
from ..domain.turns import ApprovalAsk, ToolCall
from . import sealed_input
from .llm.model import Answer
from .pass_state import PassState
from .tools.catalogue import for_desk
from .tools.supplier_tool import GATED, GatedSupplierTool
from .tools.tool import ApprovalProposal, GatedDatabaseTool, InputInvalid, Tool

SUMMARY_LIMIT = 1024
"""Characters of an approval's summary."""

RECENT = timedelta(hours=24)
"""How long an executed call is mentioned in the approval summary of an equal one."""

_NO_KEY = Failed("capability_not_supported", "no sealing key is set up here, so no passport number can be kept")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A call the model asks for, its events, and its approval request, or its outcome if that is known already."""

    call: ToolCall
    events: tuple[Event, ...]
    ask: ApprovalAsk | None = None
    outcome: Outcome | None = None


async def propose(work: PassState, answer: Answer) -> list[Proposal]:
    """Proposals for all calls of an answer, in its order. Of several equal calls only the first is made."""
    if answer.calls:
        standing = pass_context.MayAct(tenant_id=work.task.tenant_id, user_id=work.task.user_id)
        work.user_active = await work.ports.store.ask(standing)
    seen: set[bytes] = set()
    return [await _propose(work, answer, at, place, seen) for place, at in enumerate(answer.calls)]


async def _propose(work: PassState, answer: Answer, at: int, place: int, seen: set[bytes]) -> Proposal:
    block, task = answer.blocks[at], work.task
    tool = {each.name: each for each in for_desk(work.loop.desk or "")}.get(block["name"])
    call = ToolCall(
        id=ids.uuid7(),
        turn_id=task.turn_id,
        call_id=block["id"],
        tool=block["name"],
        desk=work.loop.desk,
        input=hidden(block["input"]),  # tools never read masked values
        effect="read" if tool is None else tool.effect,
        user_id=task.user_id,
        position=place,
    )
    asking = work.event("tool_use", call.tool, call.call_id, tool_input=call.input)
    if tool is None:
        return Proposal(call, (asking,), outcome=Failed("unknown_tool", call.tool))
    if not work.user_active:
        return Proposal(call, (asking,), outcome=NOT_PERMITTED)
    try:
        given = _given(tool, sealed_input.revealed(tool, block["input"]), answer.flaws.get(at))
    except InputInvalid as invalid:
        return Proposal(call, (asking,), outcome=invalid.outcome)
    same = tool.name.encode() + tool.likeness(given)
    if same in seen:
        twice = Failed("duplicate_call", f"this answer asks for the same '{tool.name}' already; it is done once")
        return Proposal(call, (asking,), outcome=twice)
    seen.add(same)
    if not isinstance(tool, GATED):
        try:
            sealed = sealed_input.seal(tool, block["input"], call.id, work.tools.sealing)
        except sealed_input.NoKey:
            return Proposal(call, (asking,), outcome=_NO_KEY)
        return Proposal(replace(call, input_sealed=sealed), (asking,))
    gate = await _gate(work, tool, given)
    if not isinstance(gate, ApprovalProposal):
        return Proposal(call, (asking,), outcome=gate)
    return await _ask(work, tool, given, replace(call, bound=dict(gate.bound)), gate, asking)


def _given(tool: Tool[Any], stored: Mapping[str, Any], flaw: str | None) -> Any:
    """The input as the tool's model; unreadable JSON is invalid input."""
    if flaw is not None:
        raise InputInvalid(tool.name, flaw)
    return tool.parse(stored)


async def _gate(
    work: PassState, tool: GatedSupplierTool[Any] | GatedDatabaseTool[Any], given: Any
) -> ApprovalProposal | Outcome:
    """The approval to ask for, or why the call cannot succeed; the check has no effect, so its failure is a result."""
    try:
        if isinstance(tool, GatedSupplierTool):
            return await tool.check(given, work.tools)
        return await work.ports.store.ask(tool.gate(given, work.tools))
    except Unavailable as refused:
        return Failed("transient", refused.code)


async def _ask(
    work: PassState, tool: Tool[Any], given: Any, call: ToolCall, gate: ApprovalProposal, asking: Event
) -> Proposal:
    earlier = await _earlier(work, tool, given, gate.bound)
    work.uses[tool.name] += 1
    asked_as = approval_id(work.task.turn_id, tool.name, work.uses[tool.name])
    call = replace(call, approval_id=asked_as)
    until = work.ports.clock.now() + work.task.approval_ttl
    ask = ApprovalAsk(
        id=asked_as,
        call=call,
        summary=(earlier + gate.summary)[:SUMMARY_LIMIT],
        approver_roles=tuple(sorted(str(role) for role in tool.approvers)),
        expires_at=until if gate.expires_at is None else min(until, gate.expires_at),
    )
    request = work.event("approval_request", call.tool, call.call_id, approval_id=ask.id, approval_summary=ask.summary)
    return Proposal(call, (asking, request), ask=ask)


async def _earlier(work: PassState, tool: Tool[Any], given: Any, bound: Mapping[str, Any]) -> str:
    """A notice for the summary that an equal call was executed in the last day; empty if none was."""
    now = work.ports.clock.now()
    recent = recent_calls.OfTool(tenant_id=work.task.tenant_id, tool=tool.name, since=now - RECENT)
    for previous in await work.ports.store.ask(recent):
        if tool.repeats(given, bound, previous.input, previous.bound):
            return tool.done_already(previous.output if previous.certain else None)
    return ""
