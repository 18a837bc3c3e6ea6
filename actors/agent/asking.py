"""Model requests: which part of a conversation is sent, what is retried after a refusal, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from ...storage.conversation import pass_context
from ..domain import ids, transcript
from ..domain.turns import TurnError
from ..foundation import metrics
from . import usage
from .desks import DESKS, ORCHESTRATOR_TOOLS
from .llm.model import Answer, Delta, ModelCall, ModelFailed
from .pass_state import PassState, token_limit_of
from .prompts import brief_for, system_prompt
from .tools.catalogue import for_desk

LEAST_RESULT = 512
"""Bytes left of each result where they are too many for one request."""

REPROMPT = "[You have said nothing yet. Tell the user now what came of this, in words.]"
"""Sent to a model that returned no text; it is not stored in the transcript."""

LAST_ROUND = "[No more tools can be called in this turn. Answer now with what you know, and say what is left to do.]"


class PassAborted(Exception):
    """The pass ends with an ``error`` event about ``error``."""

    def __init__(self, error: TurnError) -> None:
        super().__init__(error.line)
        self.error = error


async def ask(work: PassState, loaded: pass_context.PassContext, *, last: bool) -> Answer:
    """The model's answer, with ids of its calls that are new to the conversation. Raises `PassAborted`.

    A request refused for its form or its length is sent once more, shorter and in plain text. In the ``last`` round
    no tool is offered, so that the model has to answer.
    """
    call = _request(work, loaded, last=last)
    reservation = usage.UsageReservation(work.task, work.ports, call)
    over_budget = reservation.reserve()
    if over_budget is not None:
        raise PassAborted(over_budget)
    work.partial, work.reservation = [], reservation
    try:
        with reservation:
            await reservation.store(loaded.pass_no, work.loop.desk)
            answer = await _answer(work, reservation, call, lambda share: _smaller(work, loaded, share, last=last))
            reservation.finish(answer.usage, "ok" if answer.usage.total else "usage_unknown")
    except ModelFailed as failed:
        raise PassAborted(TurnError(failed.code, failed.text)) from failed
    return own_ids(answer, _taken(work, loaded))


async def _answer(
    work: PassState, reservation: usage.UsageReservation, call: ModelCall, smaller: Callable[[float], ModelCall]
) -> Answer:
    """The answer to a request, or to a smaller one if it is refused and can be made smaller."""
    try:
        return await _stream(work, reservation, call)
    except ModelFailed as failed:
        instead = call if failed.share >= 1.0 else smaller(failed.share)
        if instead.messages == call.messages:
            raise
    return await _stream(work, reservation, instead)


async def _stream(work: PassState, reservation: usage.UsageReservation, call: ModelCall) -> Answer:
    """Send one request and publish its answer as it arrives."""
    async with aclosing(work.ports.model.stream(replace(call, meter=reservation.note))) as pieces:
        async for piece in pieces:
            if not isinstance(piece, Delta):
                return piece
            if not work.spoken:
                work.spoken = True
                metrics.TURN_FIRST_DELTA_SECONDS.observe(work.ran_ms / 1000)
            work.partial.append(piece.text)
            await work.ports.recorder.append_text(piece.text)
    raise ModelFailed("model_unavailable", text="the answer had no end")


def _smaller(work: PassState, loaded: pass_context.PassContext, share: float, *, last: bool) -> ModelCall:
    """The smaller request after a refusal; the limit stays for the rest of the pass."""
    sent = sum(transcript.weight(each) for each in transcript.trimmed(loaded.messages, _token_limit(work)))
    work.token_limit, work.plain = int(min(sent, _token_limit(work)) * share), True
    return _request(work, loaded, last=last)


def _token_limit(work: PassState) -> int:
    return token_limit_of(work.task) if work.token_limit is None else work.token_limit


def _request(work: PassState, loaded: pass_context.PassContext, *, last: bool) -> ModelCall:
    state, settings = work.loop, work.task.settings
    tools: Sequence[Mapping[str, Any]] = ORCHESTRATOR_TOOLS
    if state.desk is not None:
        tools = [tool.schema() for tool in for_desk(state.desk)]
    messages = _messages(work, loaded, plain=work.plain or last)
    if work.reprompted or last:
        messages[-1]["content"].append({"type": "text", "text": LAST_ROUND if last else REPROMPT})
    return ModelCall(
        model=work.task.model_name,
        system=system_prompt(DESKS[state.desk or "orchestrator"], settings, work.ports.clock.now(), loaded.enquiries),
        tools=[] if last else [dict(tool) for tool in tools],  # calls without tools on offer are refused: hence plain
        messages=messages,
        max_tokens=work.task.max_tokens,
    )


def _messages(work: PassState, loaded: pass_context.PassContext, *, plain: bool) -> list[dict[str, Any]]:
    """The newest part of the conversation that fits; results are truncated where one exchange is too long."""
    token_limit, state = _token_limit(work), work.loop
    kept = transcript.trimmed(loaded.messages, token_limit)
    shown, limit = sum(transcript.weight(each) for each in kept), transcript.OUTPUT_LIMIT
    while shown > token_limit and limit > LEAST_RESULT:
        limit //= 2
        shown = sum(transcript.weight(each, limit) for each in kept)
    return transcript.for_model(
        kept,
        pending=loaded.pending,
        brief=None if state.brief is None else brief_for(state.brief.goal),
        brief_after=state.brief_after,
        result_limit=limit,
        plain=plain,
    )


def _taken(work: PassState, loaded: pass_context.PassContext) -> set[str]:
    """Ids of the calls in the request and of calls still open."""
    shown = {block.get("id") for each in loaded.messages if each.role == "assistant" for block in each.content}
    return {str(each) for each in shown} | {call.call_id for call in work.calls} | set(loaded.pending)


def own_ids(answer: Answer, taken: set[str]) -> Answer:
    """The answer with new ids for calls whose ids are taken: a result has to match exactly one call."""
    blocks = list(answer.blocks)
    for at in answer.calls:
        if blocks[at]["id"] in taken:
            blocks[at] = blocks[at] | {"id": f"call_{ids.uuid7()}"}
        taken.add(blocks[at]["id"])
    return replace(answer, blocks=blocks)
