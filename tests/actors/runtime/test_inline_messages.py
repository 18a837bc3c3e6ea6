"""Express messages are handled as they are sent, and otherwise like any other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tests.figures import counted
from tests.running import actor_of
from tests.waiting import Event
from voyagent.actors.domain.errors import NotFound
from voyagent.actors.foundation import metrics
from voyagent.actors.runtime.actor import Actor, ActorDead, ActorFailed, Message, NoReply


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


class Recorder(Actor):
    inline = frozenset({Note, Delegate})

    def __init__(self, *, opens: asyncio.Event | None = None) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.gate = Event()
        self.slow = Event()
        self.delegated: list[asyncio.Future[Any]] = []
        self.opens = opens

    async def initialise(self) -> None:
        if self.opens is not None:
            await self.opens.wait()

    async def receive(self, message: Any) -> Any:
        if isinstance(message, Slow):
            self.slow.set()
            await self.gate.wait()
            return self.reply_later(self.done())
        return self.receive_inline(message)

    async def done(self) -> str:
        return "done"

    def receive_inline(self, message: Note | Delegate) -> int | NoReply:
        if isinstance(message, Delegate):
            return self.delegate_reply(self.delegated.append)
        if message.text == "unknown":
            raise NotFound("note_not_found")
        if message.text == "defect":
            raise ValueError("x")
        self.notes.append(message.text)
        return len(self.notes)


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


async def test_a_message_being_handled_keeps_its_own_reply() -> None:
    ref = await running()
    desk = desk_of(ref)
    slow = ref.request(Slow())
    await desk.slow.wait()
    lent = ref.request(Delegate())
    assert len(desk.delegated) == 1
    desk.gate.set()
    assert await slow == "done"
    desk.delegated[0].set_result("lent")
    assert await lent == "lent"
    await ref.stop_and_wait(5.0)


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
