"""Delegated replies are tracked like those of tasks: counted, awaited at a stop, refused after the timeout."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tests.running import actor_of
from voyagent.actors.domain.errors import NotFound
from voyagent.actors.runtime.actor import Actor, ActorDead, DeadlineExceeded, MailboxFull, Message, NoReply, Ref
from voyagent.actors.runtime.supervisor import NamedRef


@dataclass(frozen=True, slots=True)
class Delegate(Message[int]):
    """Answered by whoever holds the reply."""


@dataclass(frozen=True, slots=True)
class Reject(Message[int]):
    """Cannot even be handed on."""


class Delegator(Actor):
    mailbox = 2

    def __init__(self) -> None:
        super().__init__()
        self.counted: list[asyncio.Future[Any]] = []
        self.replies: list[asyncio.Future[int]] = []
        self.held = asyncio.Semaphore(0)

    async def receive(self, message: Delegate | Reject) -> NoReply:
        return self.delegate_reply(self.hold if isinstance(message, Delegate) else self.reject, self.counted.append)

    def hold(self, reply: asyncio.Future[int]) -> None:
        self.replies.append(reply)
        self.held.release()

    def reject(self, _: asyncio.Future[int]) -> None:
        raise NotFound("gone")


class Hasty(Delegator):
    shutdown_timeout = 0.01


async def asked(kind: type[Delegator] = Delegator) -> tuple[Ref, asyncio.Future[int], asyncio.Future[int]]:
    """A delegator, the reply as it was delegated, and as it was asked for."""
    ref = kind.start()
    reply = ref.request(Delegate())
    await actor_of(ref, Delegator).held.acquire()
    return ref, actor_of(ref, Delegator).replies[0], reply


async def test_the_asker_gets_what_is_set_and_it_is_counted() -> None:
    ref, delegated, reply = await asked()
    counted = actor_of(ref, Delegator).counted
    delegated.set_result(7)
    assert await reply == 7
    await ref.stop_and_wait(5.0)
    assert counted == [reply]


async def test_an_error_is_the_askers_affair() -> None:
    ref, delegated, reply = await asked()
    delegated.set_exception(NotFound("gone"))
    with pytest.raises(NotFound, match="gone"):
        await reply
    assert ref.is_alive()
    await ref.stop_and_wait(5.0)


async def test_what_cannot_be_handed_on_is_refused() -> None:
    ref = Delegator.start()
    with pytest.raises(NotFound, match="gone"):
        await ref.ask(Reject())
    assert actor_of(ref, Delegator).counted == []
    await ref.stop_and_wait(5.0)


async def test_nobody_has_to_wait_for_the_reply() -> None:
    ref = Delegator.start()
    ref.tell(Delegate())
    counted, replies = actor_of(ref, Delegator).counted, actor_of(ref, Delegator).replies
    await actor_of(ref, Delegator).held.acquire()
    replies[0].set_result(7)
    await ref.stop_and_wait(5.0)
    assert counted == replies


async def test_a_stop_waits_for_what_is_owed() -> None:
    ref, delegated, reply = await asked()
    ref.stop_soon()
    with pytest.raises(ActorDead):
        await ref.ask(Delegate())
    delegated.set_result(7)
    assert await reply == 7
    await ref.ended()


async def test_what_outlives_the_shutdown_timeout_is_refused() -> None:
    ref, _, reply = await asked(Hasty)
    await ref.stop_and_wait(5.0)
    with pytest.raises(DeadlineExceeded):
        await reply


async def test_a_request_that_is_not_taken_is_refused_in_its_reply() -> None:
    ref = Delegator.start()
    address = NamedRef("delegator")
    with pytest.raises(ActorDead):
        await address.request(Delegate())
    address.points_to(ref)
    posted = [address.request(Delegate()) for _ in range(3)]
    with pytest.raises(MailboxFull):
        await posted[2]
    for _ in range(2):
        await actor_of(ref, Delegator).held.acquire()
    for reply in actor_of(ref, Delegator).replies:
        reply.set_result(7)
    assert await asyncio.gather(*posted[:2]) == [7, 7]
    await ref.stop_and_wait(5.0)
    with pytest.raises(ActorDead):
        await ref.request(Delegate())
