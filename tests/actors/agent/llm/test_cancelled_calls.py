"""Cancelling a model call during its stream: the real SDK against the rehearsal server."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.rehearsal import Failure, Gate, Hang, Rehearsal, Text, Turn
from tests.waiting import Event
from voyagent.actors.agent.llm.accumulator import Usage
from voyagent.actors.agent.llm.messages_api import AnthropicModel
from voyagent.actors.agent.llm.model import Delta, ModelCall
from voyagent.actors.foundation.clock import Clock

Listen = Callable[..., Coroutine[Any, Any, Any]]
MakeCall = Callable[..., ModelCall]

WITHIN = 10.0


class StillClock(Clock):
    """Sleeps for ever."""

    def __init__(self) -> None:
        self.asleep = Event()

    async def sleep(self, seconds: float) -> None:
        del seconds
        self.asleep.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("sent", [0, 2])
async def test_b27_cancelling_the_task_closes_the_connection_at_once(
    rehearsal: Rehearsal, listen: Listen, heard: Any, call_of: MakeCall, sent: int
) -> None:
    gate, told = Gate(), list[Usage]()
    rehearsal.play(Turn(Text.split("One", " two", " three"), gate=gate))
    task = asyncio.create_task(listen(call_of(meter=told.append), heard))
    await gate.release(sent)
    await gate.waiting(sent + 1)
    await heard.told(sent)
    received = await rehearsal.received(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        await received.left.wait()
        await received.finished.wait()
    assert not heard.answers
    assert "".join(heard.deltas) == " ".join(["One", "two"][:sent])
    assert sent == 0 or told[-1].input > 0


async def test_cancelling_before_the_server_has_answered_closes_the_connection(
    rehearsal: Rehearsal, listen: Listen
) -> None:
    rehearsal.play(Hang(cut=False))
    task = asyncio.create_task(listen())
    received = await rehearsal.received(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        await received.left.wait()


async def test_leaving_the_generator_closes_the_connection_also_without_aclosing(
    rehearsal: Rehearsal, model: AnthropicModel, call_of: MakeCall
) -> None:
    gate = Gate()
    rehearsal.play(Turn(Text.split("One", " two"), gate=gate))
    await gate.release()

    async def first_word_only() -> str:
        async for piece in model.stream(call_of()):
            return piece.text if isinstance(piece, Delta) else ""
        return ""

    assert await first_word_only() == "One"
    gc.collect()
    received = await rehearsal.received(1)
    async with asyncio.timeout(2):
        await received.left.wait()


async def test_cancelling_during_the_wait_for_a_retry_ends_it(rehearsal: Rehearsal, call_of: MakeCall) -> None:
    clock = StillClock()
    client = AnthropicModel("key", rehearsal.url, clock)
    rehearsal.play(Failure(429, retry_after="20"))
    task = asyncio.create_task(anext(client.stream(call_of())))
    async with asyncio.timeout(WITHIN):
        await clock.asleep.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.close()
    assert rehearsal.count == 1
