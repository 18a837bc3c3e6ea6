"""A message whose handling continues with an outcome: as a message of the actor, and answered once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, assert_never

import pytest

from tests.running import actor_of
from voyagent.actors.domain.errors import NotFound
from voyagent.actors.runtime.actor import (
    Actor,
    ActorDead,
    ActorFailed,
    DeadlineExceeded,
    Message,
    NoReply,
    Outcome,
    Recipient,
)


@dataclass(frozen=True, slots=True)
class Count(Message[int]):
    """Answered at once."""


@dataclass(frozen=True, slots=True)
class Fetch(Message[str]):
    """Answered when ``source`` is done."""

    source: asyncio.Future[str]


@dataclass(frozen=True, slots=True)
class FetchTwice(Message[str]):
    """Answered when both are done, the second asked for with the outcome of the first."""

    first: asyncio.Future[str]
    second: asyncio.Future[str]


class Reader(Actor[Count | Fetch | FetchTwice]):
    shutdown_timeout = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[str | None] = []

    async def receive(self, message: Count | Fetch | FetchTwice) -> Any:
        match message:
            case Count():
                return len(self.tasks)
            case Fetch():
                return self.reply_after(message.source, self.fetched)
            case FetchTwice():
                return self.reply_after(self.wait_for(message.first), lambda _: self.again(message.second))
            case _:
                assert_never(message)

    async def wait_for(self, source: asyncio.Future[str]) -> str:
        return await source

    def again(self, source: asyncio.Future[str]) -> NoReply:
        return self.reply_after(source, self.fetched)

    def fetched(self, outcome: Outcome[str]) -> str:
        task = asyncio.current_task()
        self.tasks.append(None if task is None else task.get_name())
        if outcome.value == "missing":
            raise NotFound("missing")
        if outcome.value == "defect":
            raise ValueError("a defect")
        return outcome.value.upper()


def future() -> asyncio.Future[str]:
    return asyncio.get_running_loop().create_future()


@pytest.fixture
async def reader() -> Any:
    ref = Reader.start()
    yield ref
    await ref.stop_and_wait(5.0)


async def test_other_messages_are_handled_meanwhile_and_the_outcome_in_the_actors_task(reader: Recipient) -> None:
    source = future()
    reply = reader.request(Fetch(source))
    assert await reader.ask(Count()) == 0
    source.set_result("x")
    assert await reply == "X"
    assert await reader.ask(Count()) == 1
    assert actor_of(reader, Reader).tasks == ["Reader"]


async def test_a_continuation_may_wait_again(reader: Recipient) -> None:
    first, second = future(), future()
    reply = reader.request(FetchTwice(first, second))
    first.set_result("x")
    assert await reader.ask(Count()) == 0
    second.set_result("y")
    assert await reply == "Y"


async def test_a_refusal_goes_to_the_asker_whoever_made_it(reader: Recipient) -> None:
    own, theirs = future(), future()
    replies = [reader.request(Fetch(own)), reader.request(Fetch(theirs))]
    own.set_result("missing")
    theirs.set_exception(NotFound("gone"))
    for reply, code in zip(replies, ("missing", "gone"), strict=True):
        with pytest.raises(NotFound, match=code):
            await reply
    assert await reader.ask(Count()) == 2


async def test_a_defect_fails_the_actor_and_every_asker_is_answered() -> None:
    ref = Reader.start()
    broken, other = future(), future()
    replies = [ref.request(Fetch(broken)), ref.request(Fetch(other))]
    broken.set_result("defect")
    for reply in replies:
        with pytest.raises(ActorFailed):
            await reply
    await ref.ended()
    with pytest.raises(ActorDead):
        await ref.ask(Count())


async def test_after_a_stop_there_is_time_to_finish() -> None:
    ref = Reader.start()
    first, second = future(), future()
    reply = ref.request(FetchTwice(first, second))
    ref.stop_soon()
    first.set_result("x")
    second.set_result("y")
    assert await reply == "Y"
    await ref.ended()


async def test_after_the_shutdown_timeout_the_asker_is_refused() -> None:
    ref = Reader.start()
    reply = ref.request(Fetch(future()))
    await ref.stop_and_wait(5.0)
    with pytest.raises(DeadlineExceeded):
        await reply


async def test_an_actor_that_waits_is_not_passivated() -> None:
    ref = Reader.start()
    idle: list[int] = []
    ref.life.on_idle = idle.append
    actor = actor_of(ref, Reader)
    source = future()
    reply = ref.request(Fetch(source))
    await ref.ask(Count())
    actor.request_passivation()
    assert idle == []
    source.set_result("x")
    await reply
    actor.request_passivation()
    assert idle == [3], "two messages and an outcome"
    await ref.stop_and_wait(5.0)
