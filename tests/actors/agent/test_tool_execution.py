"""A supplier's write, once begun, is awaited to its outcome even if its pass is cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.waiting import Event
from voyagent.actors.agent.tool_execution import _uninterrupted, settle
from voyagent.actors.domain.outcomes import Outcome, Succeeded
from voyagent.actors.domain.turns import ToolCall
from voyagent.storage.engine.sealing import Sealing


async def begun(work: Any) -> tuple[asyncio.Task[Any], asyncio.Event, list[str]]:
    """A pass that waits for a write, what lets the write end, and whether it has."""
    answer, ended = Event(), []

    async def write() -> Outcome:
        await answer.wait()
        ended.append("written")
        return BOOKED

    waiting = asyncio.create_task(_uninterrupted(work, write()))
    await asyncio.sleep(0)
    return waiting, answer, ended


async def test_b53_a_write_comes_to_its_outcome_however_often_its_pass_is_cancelled() -> None:
    waiting, answer, ended = await begun(SimpleNamespace(abandoned=False))
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == ["written"]


async def test_a_pass_whose_actor_is_stopped_does_not_wait_for_it() -> None:
    work = SimpleNamespace(abandoned=False)
    waiting, answer, ended = await begun(work)
    work.abandoned = True
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == []
    answer.set()


async def test_an_undisturbed_write_answers_and_its_failure_is_the_pass_s() -> None:
    waiting, answer, _ = await begun(SimpleNamespace(abandoned=False))
    answer.set()
    assert await waiting == BOOKED

    async def fails() -> Outcome:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await _uninterrupted(SimpleNamespace(abandoned=False), fails())  # type: ignore[arg-type]


async def test_the_failure_of_a_cancelled_pass_s_write_is_the_cause_of_its_end() -> None:
    answer = Event()

    async def fails() -> Outcome:
        await answer.wait()
        raise ValueError("no")

    waiting = asyncio.create_task(_uninterrupted(SimpleNamespace(abandoned=False), fails()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    answer.set()
    with pytest.raises(asyncio.CancelledError) as ended:
        await waiting
    assert isinstance(ended.value.__cause__, ValueError)


async def test_a_call_under_way_that_this_release_cannot_read_is_unknown_and_not_failed() -> None:
    call = ToolCall(
        id="c-1",
        turn_id="t-1",
        call_id="toolu_1",
        tool="book_flight",
        desk="ticketing_visa",
        input={"seat": "12A"},
        effect="irreversible",
        user_id="u-1",
        position=0,
        driver="house",
    )
    for state, expected in (("executing", "unknown"), ("approved", "failed")):
        for odd in ({}, {"tool": "book_train"}, {"desk": "accounting"}):
            stored = replace(call, state=state, **odd)  # type: ignore[arg-type]
            outcome = await settle(WORK, stored, None)  # type: ignore[arg-type]
            assert outcome.state == expected, (state, odd)


async def test_a_call_whose_sealed_input_cannot_be_opened_does_not_run() -> None:
    sealed = Sealing({"one": bytes(32)}).seal(b"{}", table="tool_calls", column="input_sealed", row="c-2")
    call = ToolCall(
        id="c-1",
        turn_id="t-1",
        call_id="toolu_1",
        tool="upsert_passenger",
        desk="ticketing_visa",
        input={"full_name": "Asha Rao", "passport_number": "***4567"},
        effect="reversible",
        user_id="u-1",
        position=0,
        input_sealed=sealed,
    )
    outcome = await settle(WORK, call, None)  # type: ignore[arg-type]
    assert outcome.state == "failed"
    assert str(outcome.error).startswith("not_run: ")


async def write(step: Any) -> Any:
    """Take a step and answer the outcome it would store."""
    return step.result


BOOKED = Succeeded({"booked": "yes"})

WORK = SimpleNamespace(
    user_active=True,
    ports=SimpleNamespace(recorder=SimpleNamespace(write=write)),
    tools=SimpleNamespace(sealing=Sealing({})),
    task=SimpleNamespace(tenant_id="a-1", session_id="s-1", user_id="u-1"),
)
