"""An idle actor handles inline messages as they are sent: one at a time, in the order of its mailbox."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tests.figures import counted
from tests.running import actor_of
from tests.waiting import Event
from voyagent.actors.domain.errors import NotFound
from voyagent.actors.foundation import log, metrics
from voyagent.actors.runtime.actor import Actor, ActorDead, ActorFailed, Message
from voyagent.actors.runtime.reply import Requested, resolve


@dataclass(frozen=True, slots=True)
class Note(Message[int]):
    """Joins the list; answered with its length."""

    text: str


@dataclass(frozen=True, slots=True)
class Slow(Message[str]):
    """Waits for the gate, then answers by handing its reply on."""


@dataclass(frozen=True, slots=True)
class Delegate(Message[str]):
    """Answered by whoever holds the reply."""


@dataclass(frozen=True, slots=True)
class Lazy(Message[None]):
    """Wrongly declared: its handling awaits."""


class Recorder(Actor):
    inline = (Note, Delegate, Lazy)

    def __init__(self, *, opens: asyncio.Event | None = None) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.gate = Event()
        self.slow = Event()
        self.delegated: list[asyncio.Future[Any]] = []
        self.opens = opens
        self.scope = log.NOBODY

    async def initialise(self) -> None:
        if self.opens is not None:
            await self.opens.wait()

    async def receive(self, message: Any) -> Any:
        if isinstance(message, Slow):
            self.slow.set()
            await self.gate.wait()
            return self.reply_later(self.done())
        if isinstance(message, Lazy):
            return await asyncio.sleep(0)
        self.scope = log.SCOPE.get()
        if isinstance(message, Delegate):
            return self.delegate_reply(self.delegated.append)
        if message.text == "and another":
            self.ref.tell(Note("another"))
        if message.text == "unknown":
            raise NotFound("note_not_found")
        if message.text == "defect":
            raise ValueError("x")
        self.notes.append(message.text)
        return len(self.notes)

    async def done(self) -> str:
        return "done"

    def note_later(self, reply: asyncio.Future[str]) -> None:
        self.when_done(reply, lambda outcome: self.notes.append(outcome.value))


def desk_of(ref: Any) -> Recorder:
    return actor_of(ref, Recorder)


async def running(**given: Any) -> Any:
    ref = Recorder.start(**given)
    while ref.life.state == "starting" and not given:  # noqa: ASYNC110  # nothing tells
        await asyncio.sleep(0)
    return ref


async def test_it_is_handled_before_tell_returns_and_counted() -> None:
    ref = await running()
    before = counted(metrics.ACTOR_MESSAGES_TOTAL, "Recorder", "Note", "reply")
    ref.tell(Note("a"))
    assert desk_of(ref).notes == ["a"]
    assert await ref.ask(Note("b")) == 2
    assert counted(metrics.ACTOR_MESSAGES_TOTAL, "Recorder", "Note", "reply") == before + 2
    assert ref.life.handled == 2
    await ref.stop_and_wait(5.0)


async def test_it_does_not_overtake_other_messages() -> None:
    ref = await running()
    desk = desk_of(ref)
    first, second = ref.request(Slow()), ref.request(Note("behind"))
    assert not desk.notes
    desk.gate.set()
    assert await first == "done"
    assert await second == 1
    await ref.stop_and_wait(5.0)


async def test_it_waits_while_another_message_is_handled() -> None:
    ref = await running()
    desk = desk_of(ref)
    slow = ref.request(Slow())
    await desk.slow.wait()
    lent = ref.request(Delegate())
    assert not desk.delegated
    desk.gate.set()
    assert await slow == "done"
    await asyncio.sleep(0)
    desk.delegated[0].set_result("lent")
    assert await lent == "lent"
    await ref.stop_and_wait(5.0)


async def test_what_its_handling_sends_to_the_actor_itself_comes_behind_it() -> None:
    ref = await running()
    ref.tell(Note("and another"))
    assert desk_of(ref).notes == ["and another"]
    ref.tell(Note("third"))
    assert await ref.ask(Note("last")) == 4
    assert desk_of(ref).notes == ["and another", "another", "third", "last"]
    await ref.stop_and_wait(5.0)


async def test_an_outcome_comes_back_at_once_to_an_idle_actor_and_behind_its_mail_to_a_busy_one() -> None:
    ref = await running()
    desk = desk_of(ref)
    replies: list[Requested[str]] = [Requested() for _ in range(2)]
    for reply in replies:
        desk.note_later(reply)
    resolve(replies[0], "first")
    assert desk.notes == ["first"]
    slow = ref.request(Slow())
    await desk.slow.wait()
    behind = ref.request(Note("mail"))
    resolve(replies[1], "second")
    assert desk.notes == ["first"]
    desk.gate.set()
    assert await slow == "done"
    assert await behind == 2
    assert desk.notes == ["first", "mail", "second"]
    await ref.stop_and_wait(5.0)


async def test_its_handling_has_the_log_scope_of_the_actor_and_the_sender_keeps_its_own() -> None:
    ref = await running()
    desk = desk_of(ref)
    desk.log_scope = log.Scope(tenant="t", session="s")
    log.SCOPE.set(log.Scope(request_id="r"))
    ref.request(Delegate()).cancel()
    assert log.SCOPE.get() == log.Scope(request_id="r")
    assert desk.scope == log.Scope(request_id="r", tenant="t", session="s")
    await ref.stop_and_wait(5.0)


async def test_handling_that_awaits_fails_the_actor_and_its_asker_is_told() -> None:
    ref = await running()
    with pytest.raises(ActorFailed):
        await ref.ask(Lazy())
    await asyncio.wait_for(ref.ended(), 5.0)
    assert isinstance(ref.life.failure, RuntimeError)


async def test_before_the_start_and_after_the_end_it_is_like_any_other() -> None:
    opens = Event()
    ref = await running(opens=opens)
    early = ref.request(Note("early"))
    assert not desk_of(ref).notes
    opens.set()
    assert await early == 1
    await ref.stop_and_wait(5.0)
    with pytest.raises(ActorDead):
        await ref.ask(Note("late"))


async def test_a_refusal_is_the_reply_and_a_defect_ends_the_actor_not_the_sender() -> None:
    ref = await running()
    with pytest.raises(NotFound, match="note_not_found"):
        await ref.ask(Note("unknown"))
    assert ref.is_alive()
    ref.tell(Note("defect"))
    await asyncio.wait_for(ref.ended(), 5.0)
    assert isinstance(ref.life.failure, ValueError)
    again = await running()
    with pytest.raises(ActorFailed):
        await again.ask(Note("defect"))
    await asyncio.wait_for(again.ended(), 5.0)
