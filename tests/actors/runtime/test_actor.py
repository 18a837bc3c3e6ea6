"""What an actor promises its askers: order, refusals, failures that end it alone, bounds and figures."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Any

import pytest

from tests.actors.runtime.adder import (
    Add,
    Adder,
    AskYourself,
    Break,
    Hold,
    PassOn,
    Slowly,
    WhoAsks,
)
from tests.figures import sample
from voyagent.actors.domain.errors import NotFound, Refusal, Unavailable, WeakPassword
from voyagent.actors.foundation import log
from voyagent.actors.runtime.actor import (
    Actor,
    ActorFailed,
    DeadlineExceeded,
    MailboxFull,
    Ref,
)


async def test_an_ask_is_answered_and_messages_are_handled_in_their_order(start: Any) -> None:
    _, ref = start()
    assert await asyncio.gather(*(ref.ask(Add(1)) for _ in range(5))) == [1, 2, 3, 4, 5]


async def test_messages_sent_before_the_start_is_done_wait_for_it() -> None:
    ref = Adder.start()
    ref.tell(Add(2))
    states = [ref.life.state]
    assert await ref.ask(Add(1)) == 3
    await ref.stop_and_wait(1.0)
    states.append(ref.life.state)
    assert states == ["starting", "ended"]


async def test_a_refusal_is_raised_at_the_asker_and_the_actor_lives_on(start: Any) -> None:
    _, ref = start()
    with pytest.raises(NotFound, match="trip_not_found"):
        await ref.ask(Break(NotFound("trip_not_found")))
    ref.tell(Break(NotFound("trip_not_found")))
    assert await ref.ask(Add(1)) == 1


async def test_a_refusal_raised_many_times_does_not_gather_tracebacks(start: Any) -> None:
    _, ref = start()
    shared = WeakPassword("too_short")
    caught: list[WeakPassword] = []
    for _ in range(3):
        try:
            await ref.ask(Break(shared))
        except WeakPassword as refusal:
            caught.append(refusal)
    assert [refusal.detail for refusal in caught] == [{"error": "password_too_weak", "code": "too_short"}] * 3
    assert len({id(refusal) for refusal in (*caught, shared)}) == 4
    frames = [sum(1 for _ in _frames(refusal)) for refusal in caught]
    assert frames[0] == frames[2]


def _frames(error: BaseException) -> Any:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


@pytest.mark.parametrize("told", [False, True], ids=["asked", "told"])
@pytest.mark.parametrize(
    "error",
    [ValueError("x"), asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
async def test_any_error_ends_that_actor_and_leaves_a_thousand_others_alive(error: BaseException, told: bool) -> None:
    others = [Adder.start() for _ in range(1_000)]
    victim = Adder.start()
    if told:
        victim.tell(Break(error))
    else:
        with pytest.raises(ActorFailed) as caught:
            await victim.ask(Break(error))
        assert caught.value.__cause__ is error
    await asyncio.wait_for(victim.ended(), 5.0)
    assert victim.life.failure is error
    assert not victim.is_alive()
    assert await asyncio.gather(*(other.ask(Add(1)) for other in others)) == [1] * 1_000
    await asyncio.gather(*(other.stop_and_wait(1.0) for other in others))


async def test_a_cancelled_task_awaited_by_a_handler_ends_only_that_actor(start: Any) -> None:
    class Awaiter(Adder):
        async def receive(self, _message: Any) -> Any:
            task = asyncio.create_task(asyncio.Event().wait())
            task.cancel()
            await task

    _, ref = start(Awaiter)
    with pytest.raises(ActorFailed):
        await ref.ask(Add(1))


class Unstartable(Adder):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    async def initialise(self) -> None:
        await asyncio.sleep(0)
        raise self.error


async def test_a_failing_start_tells_every_asker_and_the_watcher() -> None:
    error = SystemExit(1)
    ref = Unstartable.start(error)
    heard: list[BaseException | None] = []
    ref.life.on_terminated = heard.append
    outcomes = await asyncio.gather(*(ref.ask(Add(1)) for _ in range(10)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ActorFailed] * 10
    assert len({id(outcome) for outcome in outcomes}) == 10
    await ref.ended()
    assert heard == [error]
    assert not ref.is_alive()


async def test_a_refused_start_is_what_the_askers_get_and_no_failure() -> None:
    class Homeless(Unstartable):
        pass

    ref = Homeless.start(Unavailable("storage_unavailable", retry_after=3.0))
    outcomes = await asyncio.gather(*(ref.ask(Add(1)) for _ in range(3)), return_exceptions=True)
    assert [(type(o), o.code, o.retry_after) for o in outcomes if isinstance(o, Refusal)] == [
        (Unavailable, "storage_unavailable", 3.0)
    ] * 3
    assert sample("actor_failures_total", actor="Homeless") == 0


async def test_a_full_mailbox_refuses_asks_and_tells_but_never_a_stop(start: Any) -> None:
    class Small(Adder):
        mailbox = 3

    actor, ref = start(Small)
    held = asyncio.ensure_future(ref.ask(Hold()))
    await actor.holding.wait()
    for _ in range(3):
        ref.tell(Add(1))
    with pytest.raises(MailboxFull) as refused:
        await ref.ask(Add(1))
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 1.0)
    with pytest.raises(MailboxFull):
        ref.tell(Add(1))
    assert sample("actor_mailbox_full_total", actor="Small") == 2
    assert sample("actor_mailbox_depth", actor="Small") == 3
    ref.stop_soon()
    actor.gate.set()
    assert await held == "held"
    await ref.ended()
    assert actor.total == 3


def test_a_mailbox_holds_a_thousand_messages() -> None:
    assert Actor.mailbox == 1_000


async def test_an_ask_has_a_deadline_and_the_message_is_handled_all_the_same(start: Any) -> None:
    class Late(Adder):
        pass

    actor, ref = start(Late)
    held = asyncio.ensure_future(ref.ask(Hold()))
    await actor.holding.wait()
    with pytest.raises(DeadlineExceeded, match="deadline_exceeded"):
        await ref.ask(Add(5), within=0.01)
    assert sample("actor_ask_timeouts_total", actor="Late") == 1
    actor.gate.set()
    await held
    assert await ref.ask(Add(0)) == 5


async def test_a_cancelled_asker_cancels_only_its_reply(start: Any) -> None:
    actor, ref = start()
    held = asyncio.ensure_future(ref.ask(Hold()))
    await actor.holding.wait()
    left = asyncio.ensure_future(ref.ask(Add(5)))
    await asyncio.sleep(0)
    left.cancel()
    with suppress(asyncio.CancelledError):
        await left
    actor.gate.set()
    assert await held == "held"
    assert await ref.ask(Add(0)) == 5


async def test_an_actor_that_asks_itself_fails_instead_of_waiting_for_ever(start: Any) -> None:
    _, ref = start()
    with pytest.raises(ActorFailed) as caught:
        await ref.ask(AskYourself())
    assert "asks itself" in str(caught.value.__cause__)


async def test_an_actor_with_many_messages_leaves_turns_to_others(start: Any) -> None:
    actor, ref = start()
    for _ in range(900):
        ref.tell(Add(1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert 0 < actor.total < 900


async def test_an_actor_does_not_inherit_the_request_that_started_it() -> None:
    seen: list[log.Scope] = []

    class Curious(Adder):
        async def initialise(self) -> None:
            seen.append(log.SCOPE.get())

    async def request() -> Ref:
        log.bind(request_id="a")
        return Curious.start()

    ref = await asyncio.create_task(request())
    await ref.stop_and_wait(1.0)
    assert seen == [log.Scope()]


async def test_what_the_runtime_does_moves_the_series_of_the_class(start: Any) -> None:
    class Counted(Adder):
        pass

    actor, ref = start(Counted)
    _, behind = start()
    actor.behind = behind
    actor.gate.set()
    await ref.ask(Add(1))
    await ref.ask(Slowly(1))
    await ref.ask(PassOn(1))
    for message in (Break(NotFound("x")), Slowly(1, NotFound("x")), Break(ValueError("x"))):
        with pytest.raises((NotFound, ActorFailed)):
            await ref.ask(message)
    await ref.ended()
    messages = {
        (message, outcome): sample("actor_messages_total", actor="Counted", message=message, outcome=outcome)
        for message, outcome in itertools.product(("Add", "Slowly", "PassOn", "Break"), ("reply", "refusal", "failure"))
    }
    assert {key: value for key, value in messages.items() if value} == {
        ("Add", "reply"): 1,
        ("Slowly", "reply"): 1,
        ("Slowly", "refusal"): 1,
        ("PassOn", "reply"): 1,
        ("Break", "refusal"): 1,
        ("Break", "failure"): 1,
    }
    assert sample("actor_failures_total", actor="Counted") == 1
    assert sample("actor_handling_seconds_count", actor="Counted") == 6
    assert sample("actors_alive", actor="Counted") == 0


async def test_a_message_carries_the_request_it_was_sent_for_and_no_other(start: Any) -> None:
    async def request(name: str) -> str | None:
        log.bind(request_id=name)
        return await actor_ref.ask(WhoAsks())

    actor_ref: Ref = start()[1]
    assert await asyncio.gather(*(asyncio.create_task(request(name)) for name in "abc")) == ["a", "b", "c"]
    assert await actor_ref.ask(WhoAsks()) is None
