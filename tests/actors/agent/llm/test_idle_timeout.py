"""The idle timeout: a silent stream is closed, one that pings during long thinking is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.manual_clock import ManualClock
from tests.rehearsal import Gate, Hang, Rehearsal, Text, Turn
from tests.waiting import until
from voyagent.actors.agent.llm import messages_api
from voyagent.actors.agent.llm.idle_timeout import IdleTimeout
from voyagent.actors.agent.llm.messages_api import IDLE_SECONDS, LONGEST_WAIT
from voyagent.actors.agent.llm.model import ModelCall

Listen = Callable[..., Coroutine[Any, Any, Any]]
MakeCall = Callable[..., ModelCall]


@pytest.fixture
def clock() -> ManualClock:
    """The model's: a stream is silent for as long as a test says."""
    return ManualClock()


async def test_b27_a_stream_that_falls_silent_after_a_word_is_closed_and_told_as_unavailable(
    rehearsal: Rehearsal, listen: Listen, heard: Any, call_of: MakeCall, clock: ManualClock
) -> None:
    gate = Gate()
    rehearsal.play(Turn(Text.split("One", " two"), gate=gate))
    await gate.release()
    listening = asyncio.create_task(listen(call_of(), heard))
    await heard.told(1)
    await clock.advance(IDLE_SECONDS)
    await asyncio.wait_for(listening, 10)
    assert heard.deltas == ["One"]
    assert heard.failure.code == "model_unavailable"
    received = await rehearsal.received(1)
    await asyncio.wait_for(received.left.wait(), 10)


async def test_b27_silence_before_the_first_word_is_tried_again(
    rehearsal: Rehearsal, listen: Listen, heard: Any, call_of: MakeCall, clock: ManualClock
) -> None:
    rehearsal.play(Turn("Never.", gate=Gate()), Turn("Here I am."))
    listening = asyncio.create_task(listen(call_of(), heard))
    await until(lambda: clock.pending)
    await clock.advance(IDLE_SECONDS)
    await until(lambda: clock.pending)
    await clock.advance(LONGEST_WAIT)
    await asyncio.wait_for(listening, 10)
    assert heard.text == "Here I am."
    assert rehearsal.count == 2


async def test_b27_silence_before_the_head_of_an_answer_is_tried_again(
    rehearsal: Rehearsal,
    listen: Listen,
    heard: Any,
    call_of: MakeCall,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rehearsal.play(Hang(cut=False), Turn("Here I am."))
    with monkeypatch.context() as impatient:
        impatient.setattr(messages_api, "IDLE_SECONDS", 0.1)
        listening = asyncio.create_task(listen(call_of(), heard))
        await until(lambda: clock.pending)
    await clock.advance(LONGEST_WAIT)
    await asyncio.wait_for(listening, 10)
    assert heard.text == "Here I am."
    assert rehearsal.count == 2


class Stream:
    """What is closed after it was silent for two minutes."""

    def __init__(self, clock: ManualClock) -> None:
        self.closed = False
        self.timeout = IdleTimeout(self.close, 120.0, clock)

    async def close(self) -> None:
        self.closed = True


async def test_a_stream_that_sends_now_and_then_is_not_closed(clock: ManualClock) -> None:
    stream = Stream(clock)
    for _ in range(4):
        await clock.advance(119.0)
        stream.timeout.touch()
    await clock.advance(119.0)
    assert not stream.closed
    await clock.advance(1.0)
    assert stream.closed
    assert clock.pending == 0


async def test_what_is_waited_for_no_more_is_not_closed(clock: ManualClock) -> None:
    stream = Stream(clock)
    stream.timeout.end()
    await clock.advance(1000.0)
    assert not stream.closed
