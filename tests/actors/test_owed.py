"""A reply that comes of a future is owed like one that comes of a task."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from voyagent.actors.domain.errors import NotFound
from voyagent.actors.runtime import Actor, ActorDead, ActorFailed, DeadlineExceeded, HandedOver, Message, Ref


@dataclass(frozen=True, slots=True)
class Promise(Message[int]):
    """Answered with what comes of the future."""

    outcome: asyncio.Future[int]


class Debtor(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.counted: list[asyncio.Future[Any]] = []
        self.owing = asyncio.Event()

    async def receive(self, message: Promise) -> HandedOver:
        self.owing.set()
        return self.owed(message.outcome, self.counted.append)


class Hasty(Debtor):
    farewell = 0.01


def actor_of(ref: Ref) -> Debtor:
    found = ref._actor_weakref()
    assert isinstance(found, Debtor)
    return found


async def asked(kind: type[Debtor] = Debtor) -> tuple[Ref, asyncio.Future[int], asyncio.Future[int]]:
    """A debtor, what its reply will come of, and the reply."""
    ref = kind.start()
    outcome: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reply = asyncio.ensure_future(ref.ask(Promise(outcome)))
    await actor_of(ref).owing.wait()
    return ref, outcome, reply


async def test_the_asker_gets_what_comes_of_it_and_it_is_counted() -> None:
    ref, outcome, reply = await asked()
    outcome.set_result(7)
    assert await reply == 7
    assert actor_of(ref).counted == [outcome]
    await ref.stop_and_wait(5.0)


async def test_a_refusal_is_the_askers_affair() -> None:
    ref, outcome, reply = await asked()
    outcome.set_exception(NotFound("gone"))
    with pytest.raises(NotFound, match="gone"):
        await reply
    assert ref.is_alive()
    await ref.stop_and_wait(5.0)


async def test_any_other_error_fails_the_actor_too() -> None:
    ref, outcome, reply = await asked()
    outcome.set_exception(ValueError("x"))
    with pytest.raises(ActorFailed):
        await reply
    await asyncio.wait_for(ref.ended(), 5.0)


async def test_a_stop_waits_for_what_is_owed() -> None:
    ref, outcome, reply = await asked()
    ref.stop_soon()
    with pytest.raises(ActorDead):
        await ref.ask(Promise(outcome))
    outcome.set_result(7)
    assert await reply == 7
    await ref.ended()


async def test_what_outlives_the_farewell_is_cancelled_and_its_asker_told() -> None:
    ref, outcome, reply = await asked(Hasty)
    await ref.stop_and_wait(5.0)
    with pytest.raises(DeadlineExceeded):
        await reply
    assert outcome.cancelled()
