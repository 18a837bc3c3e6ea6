"""Replies that come after the handler has ended: by work beside the actor, and by another actor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.actors.runtime.adder import (
    Add,
    Adder,
    Break,
    Hold,
    PassOn,
    Slowly,
)
from voyagent.actors.domain.errors import NotFound
from voyagent.actors.runtime.actor import (
    ActorDead,
    ActorFailed,
    DeadlineExceeded,
    MailboxFull,
    NoReply,
)


async def test_later_work_answers_while_other_messages_are_handled(start: Any) -> None:
    actor, ref = start()
    slow = asyncio.ensure_future(ref.ask(Slowly(7)))
    await actor.holding.wait()
    assert await ref.ask(Add(1)) == 1
    actor.gate.set()
    assert await slow == 7


async def test_a_refusal_of_later_work_goes_to_the_asker(start: Any) -> None:
    actor, ref = start()
    actor.gate.set()
    with pytest.raises(NotFound, match="gone"):
        await ref.ask(Slowly(7, NotFound("gone")))
    assert await ref.ask(Add(1)) == 1


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), SystemExit(3)], ids=repr)
async def test_an_error_of_later_work_goes_to_the_asker_and_fails_the_actor(start: Any, error: BaseException) -> None:
    actor, ref = start()
    actor.gate.set()
    with pytest.raises(ActorFailed) as caught:
        await ref.ask(Slowly(7, error))
    assert caught.value.__cause__ is error
    await asyncio.wait_for(ref.ended(), 5.0)
    assert actor.end == [error]


async def test_a_stop_lets_later_work_finish(start: Any) -> None:
    actor, ref = start()
    slow = asyncio.ensure_future(ref.ask(Slowly(7)))
    await actor.holding.wait()
    ref.stop_soon()
    with pytest.raises(ActorDead):
        await ref.ask(Add(1))
    actor.gate.set()
    assert await slow == 7
    await ref.ended()
    assert actor.end == [None]


async def test_later_work_that_outlives_the_shutdown_timeout_is_cancelled_and_its_asker_told(start: Any) -> None:
    class Hasty(Adder):
        shutdown_timeout = 0.01

    actor, ref = start(Hasty)
    slow = asyncio.ensure_future(ref.ask(Slowly(7)))
    await actor.holding.wait()
    await ref.stop_and_wait(5.0)
    with pytest.raises(DeadlineExceeded):
        await slow


async def test_a_failure_cancels_later_work_and_its_asker_learns_the_cause(start: Any) -> None:
    actor, ref = start()
    slow = asyncio.ensure_future(ref.ask(Slowly(7)))
    await actor.holding.wait()
    error = ValueError("x")
    ref.tell(Break(error))
    with pytest.raises(ActorFailed) as caught:
        await slow
    assert caught.value.__cause__ is error


async def test_later_work_that_never_began_is_resolved_too(start: Any) -> None:
    class Brisk(Adder):
        async def receive(self, message: Any) -> NoReply:
            answer = self.reply_later(self._slowly(message))
            self.fail(ValueError("x"))
            self.ref.cancel()
            return answer

    _, ref = start(Brisk)
    with pytest.raises((ActorDead, ActorFailed)):
        await asyncio.wait_for(ref.ask(Slowly(7)), 5.0)


async def test_later_is_for_handlers_only(start: Any) -> None:
    actor, _ = start()
    with pytest.raises(RuntimeError, match="handler"):
        actor.reply_later(actor._slowly(Slowly(1)))


async def test_a_forwarded_envelope_is_answered_by_the_last_and_nobody_waits_in_between(start: Any) -> None:
    last, last_ref = start()
    middle, middle_ref = start(behind=last_ref)
    first, first_ref = start(behind=middle_ref)

    class Router(Adder):
        async def receive(self, message: Any) -> NoReply:
            return self.forward(middle_ref, message)

    _, router = start(Router)
    held = asyncio.ensure_future(last_ref.ask(Hold()))
    await last.holding.wait()
    asked = asyncio.ensure_future(router.ask(PassOn(4)))
    assert await middle_ref.ask(Add(0)) == 0
    assert not asked.done()
    last.gate.set()
    assert await asked == 4
    assert await held == "held"
    assert (first.total, middle.total, last.total) == (0, 0, 4)
    assert first_ref.life.handled == 0


async def test_an_envelope_forwarded_to_a_dead_or_full_actor_is_resolved(start: Any) -> None:
    class Tiny(Adder):
        mailbox = 0

    _, dead = start()
    await dead.stop_and_wait(1.0)
    _, full = start(Tiny)
    _, to_dead = start(behind=dead)
    _, to_full = start(behind=full)
    with pytest.raises(ActorDead):
        await to_dead.ask(PassOn(1))
    with pytest.raises(MailboxFull):
        await to_full.ask(PassOn(1))
    assert to_dead.is_alive()
    assert to_full.is_alive()
