"""The idle timeout: a silent stream is closed, one that pings during long thinking is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.rehearsal import Gate, Hang, Rehearsal, Text, Turn
from tests.waiting import Event
from voyagent.actors.agent.llm import messages_api
from voyagent.actors.agent.llm.idle_timeout import IdleTimeout
from voyagent.actors.agent.llm.model import ModelCall

Listen = Callable[..., Coroutine[Any, Any, Any]]
MakeCall = Callable[..., ModelCall]
BRIEF = 0.2


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_api, "IDLE_SECONDS", BRIEF)


@pytest.mark.usefixtures("impatient")
async def test_b27_a_stream_that_falls_silent_after_a_word_is_closed_and_told_as_unavailable(
    rehearsal: Rehearsal, listen: Listen, heard: Any, call_of: MakeCall
) -> None:
    gate = Gate()
    rehearsal.play(Turn(Text.split("One", " two"), gate=gate))
    await gate.release()
    async with asyncio.timeout(10):
        await listen(call_of(), heard)
    assert heard.deltas == ["One"]
    assert heard.failure.code == "model_unavailable"
    received = await rehearsal.received(1)
    async with asyncio.timeout(2):
        await received.left.wait()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("reply", ["before its first word", "before its head"])
async def test_b27_silence_before_the_first_word_is_tried_again(
    reply: str, rehearsal: Rehearsal, listen: Listen, heard: Any, call_of: MakeCall
) -> None:
    silent = Hang(cut=False) if reply == "before its head" else Turn("Never.", gate=Gate())
    rehearsal.play(silent, Turn("Here I am."))
    async with asyncio.timeout(10):
        await listen(call_of(), heard)
    assert heard.text == "Here I am."
    assert rehearsal.count == 2


async def test_a_stream_that_sends_now_and_then_is_not_closed() -> None:
    closed = Event()

    async def close() -> None:
        closed.set()

    silence = IdleTimeout(close, BRIEF)
    for _ in range(4):
        await asyncio.sleep(BRIEF / 2)
        silence.touch()
    assert not closed.is_set()
    async with asyncio.timeout(5):
        await closed.wait()
    silence.end()


async def test_what_is_waited_for_no_more_is_not_closed() -> None:
    closed: list[bool] = []

    async def close() -> None:
        closed.append(True)

    IdleTimeout(close, 0.02).end()
    await asyncio.sleep(0.06)
    assert not closed
