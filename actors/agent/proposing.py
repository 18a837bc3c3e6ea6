"""Looking at the calls of an answer before they are stored: may each be made, could it succeed, who is to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ...storage import carried_out
from ...storage.conversation import turns
from ..domain import ids
from ..domain.approvals import approval_id
from ..domain.errors import Unavailable
from ..domain.events import Event
from ..domain.masking import hidden
from ..domain.tool_calls import NOT_PERMITTED
from ..domain.turns import ApprovalAsk, ToolCall
from .llm.model import Answer
from .tools.catalogue import for_desk
from .tools.tool import ApprovalProposal, DatabaseTool, InputInvalid, SupplierTool, Tool

if TYPE_CHECKING:
    from .run import Pass

SUMMARY_LIMIT = 1024
"""Characters of what a human reads of a call."""

RECENT = timedelta(hours=24)
"""How long a call that was carried out is mentioned to whoever is asked about an equal one."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A call a model asks for, the events that tell of it, and what a human is asked or what is known already."""

    call: ToolCall
    events: tuple[Event, ...]
    ask: ApprovalAsk | None = None
    outcome: Mapping[str, Any] | None = None


async def propose(work: Pass, answer: Answer) -> list[Proposal]:
    """All calls of an answer, in its order. Of several that would do the same only the first is made."""
    if answer.calls:
        standing = turns.MayAct(tenant_id=work.task.tenant_id, user_id=work.task.user_id)
        work.user_active = await work.ports.store.ask(standing)
    seen: set[bytes] = set()
    return [await _propose(work, answer, at, place, seen) for place, at in enumerate(answer.calls)]


async def _propose(work: Pass, answer: Answer, at: int, place: int, seen: set[bytes]) -> Proposal:
    block, task = answer.blocks[at], work.task
    tool = {each.name: each for each in for_desk(work.state.desk or "")}.get(block["name"])
    call = ToolCall(
        id=ids.uuid7(),
        turn_id=task.turn_id,
        call_id=block["id"],
        tool=block["name"],
        desk=work.state.desk,
        input=hidden(block["input"]),  # no tool reads what is masked
        effect="read" if tool is None else tool.effect,
        user_id=task.user_id,
        position=place,
    )
    asking = work.event("tool_use", call.tool, call.call_id, tool_input=call.input)
    if tool is None:
        return Proposal(call, (asking,), outcome={"error": f"unknown_tool: {call.tool}"})
    if not work.user_active:
        return Proposal(call, (asking,), outcome=NOT_PERMITTED)
    try:
        given = _given(tool, call.input, answer.flaws.get(at))
    except InputInvalid as invalid:
        return Proposal(call, (asking,), outcome={"error": str(invalid)})
    same = tool.name.encode() + tool.likeness(given)
    if same in seen:
        twice = f"duplicate_call: this answer asks for the same '{tool.name}' already; it is done once"
        return Proposal(call, (asking,), outcome={"error": twice})
    seen.add(same)
    if not tool.gated:
        return Proposal(call, (asking,))
    gate = await _gate(work, tool, given)
    if not isinstance(gate, ApprovalProposal):
        return Proposal(call, (asking,), outcome=gate)
    return await _ask(work, tool, given, replace(call, bound=dict(gate.bound)), gate, asking)


def _given(tool: Tool[Any], stored: Mapping[str, Any], flaw: str | None) -> Any:
    """The input as the tool wants it; what could not even be read is no input."""
    if flaw is not None:
        raise InputInvalid(f"Input validation failed for '{tool.name}': {flaw}")
    return tool.parse(stored)


async def _gate(work: Pass, tool: Tool[Any], given: Any) -> ApprovalProposal | dict[str, Any]:
    """What a human is to be asked, or why it cannot be done; looking at it changes nothing, so it may fail softly."""
    try:
        if isinstance(tool, SupplierTool):
            return await tool.check(given, work.tools)
        assert isinstance(tool, DatabaseTool)
        return await work.ports.store.ask(tool.gate(given, work.tools))
    except Unavailable as refused:
        return {"error": f"transient: {refused.code}"}


async def _ask(
    work: Pass, tool: Tool[Any], given: Any, call: ToolCall, gate: ApprovalProposal, asking: Event
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


async def _earlier(work: Pass, tool: Tool[Any], given: Any, bound: Mapping[str, Any]) -> str:
    """What the agency has done of the same in the last day, in front of the summary; empty if nothing."""
    now = work.ports.clock.now()
    recent = carried_out.Recent(tenant_id=work.task.tenant_id, tool=tool.name, since=now - RECENT)
    for deed in await work.ports.store.ask(recent):
        if tool.repeats(given, bound, deed.input, deed.bound):
            return tool.done_already(deed.output if deed.certain else None)
    return ""
