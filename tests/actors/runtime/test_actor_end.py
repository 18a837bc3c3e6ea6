"""How an actor ends: by a stop, a failure or a cancellation, with its tasks ended and its messages resolved."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from pykka.messages import _ActorStop
from structlog.testing import capture_logs

from tests.actors.runtime.adder import (
    Add,
    Adder,
    Break,
    Hold,
    SpawnAndBreak,
)
from tests.figures import sample
from tests.running import run_actor
from tests.waiting import Event
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.foundation.log import LogThrottle
from voyagent.actors.runtime.actor import (
    ActorDead,
    ActorFailed,
    Ref,
)


async def test_an_actor_whose_task_is_cancelled_from_outside_resolves_its_messages_and_shuts_down(start: Any) -> None:
    actor, ref = start()
    held = asyncio.create_task(ref.ask(Hold()))
    await actor.holding.wait()
    waiting = asyncio.create_task(ref.ask(Add(1)))
    await asyncio.sleep(0)
    ref.cancel()
    assert isinstance((await asyncio.gather(held, return_exceptions=True))[0], ActorFailed)
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], ActorDead)
    await ref.ended()
    assert len(actor.end) == 1


async def test_of_100_000_asks_that_race_with_stops_and_failures_none_is_left_unresolved() -> None:
    outcomes: list[BaseException | None] = []
    with capture_logs():
        for turn in range(1_000):
            ref = Adder.start()
            asks = [asyncio.ensure_future(_ask_after(place % 5, ref)) for place in range(100)]
            end = asyncio.ensure_future(_end_amid(ref, turn))
            done, pending = await asyncio.wait(asks, timeout=30.0)
            assert not pending
            outcomes += [ask.exception() for ask in done]
            await end
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert sum(kinds.values()) == 100_000
    assert set(kinds) <= {type(None), ActorDead, ActorFailed}
    assert min(kinds[type(None)], kinds[ActorDead]) > 10_000


async def _end_amid(ref: Ref, turn: int) -> None:
    """End an actor while its mail is coming in: by a stop, an error, or a cancellation."""
    for _ in range(turn % 4):
        await asyncio.sleep(0)
    if turn % 3 == 0:
        ref.stop_soon(unread=turn % 2 == 0)
    elif turn % 3 == 1:
        with suppress(ActorFailed, ActorDead):
            await ref.ask(Break(ValueError("race")))
    else:
        ref.cancel()
    await ref.ended()


async def _ask_after(turns: int, ref: Ref) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return await ref.ask(Add(1), within=60.0)


async def test_messages_unread_when_a_handler_fails_may_be_sent_again(start: Any) -> None:
    actor, ref = start()
    held = asyncio.ensure_future(ref.ask(Hold()))
    await actor.holding.wait()
    guilty = asyncio.ensure_future(ref.ask(Break(ValueError("x"))))
    innocent = asyncio.ensure_future(ref.ask(Add(1)))
    await asyncio.sleep(0)
    actor.gate.set()
    outcomes = await asyncio.gather(held, guilty, innocent, return_exceptions=True)
    assert outcomes[0] == "held"
    assert isinstance(outcomes[1], ActorFailed)
    assert isinstance(outcomes[2], Unavailable)
    assert outcomes[2].code == "overloaded"


async def test_an_ask_of_a_dead_actor_is_refused_at_once(start: Any) -> None:
    _, ref = start()
    await ref.stop_and_wait(1.0)
    with pytest.raises(ActorDead):
        await ref.ask(Add(1))


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), KeyboardInterrupt()], ids=repr)
async def test_an_error_in_an_own_task_fails_the_actor_which_cancels_the_others(
    start: Any, error: BaseException
) -> None:
    actor, ref = start()
    ref.tell(SpawnAndBreak(error))
    await asyncio.wait_for(ref.ended(), 5.0)
    assert ref.life.failure is error
    assert actor.idler.cancelled()
    assert actor.end == [error]


async def test_a_stop_cancels_own_tasks_before_it_shuts_down(start: Any) -> None:
    class Keeper(Adder):
        async def initialise(self) -> None:
            self.idler = self.spawn(asyncio.Event().wait(), name="idle")

        async def terminate(self, failure: BaseException | None) -> None:
            assert self.idler is not None
            self.end.append(failure)
            self.was_cancelled = self.idler.cancelled()

    actor, ref = start(Keeper)
    assert await ref.ask(Add(1)) == 1
    await ref.stop_and_wait(1.0)
    assert actor.was_cancelled
    assert actor.end == [None]


async def test_an_own_task_that_is_cancelled_by_its_actor_is_no_failure(start: Any) -> None:
    actor, ref = start()
    task = actor.spawn(asyncio.Event().wait(), name="idle")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert await ref.ask(Add(1)) == 1


async def test_a_shutdown_that_fails_or_hangs_does_not_keep_the_actor() -> None:
    class Clinging(Adder):
        shutdown_timeout = 0.01

        async def terminate(self, _failure: BaseException | None) -> None:
            await asyncio.Event().wait()

    ref = Clinging.start()
    with capture_logs() as lines:
        await asyncio.wait_for(ref.stop_and_wait(5.0), 5.0)
    assert [(line["event"], line["part"]) for line in lines] == [("actor_shutdown_failed", "terminate")]
    assert ref.life.state == "ended"


async def test_a_task_that_ends_at_the_last_cancellation_is_not_reported_as_left() -> None:
    class Patient(Adder):
        shutdown_timeout = 0.01

    async def cling() -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    actor = Patient()
    run_actor(actor)
    task = actor.spawn(cling(), name="clinging")
    await actor.ref.ask(Add(1))
    with capture_logs() as lines:
        await actor.ref.stop_and_wait(5.0)
    assert task.cancelled()
    assert lines == []


async def test_an_actor_that_does_not_stop_in_time_is_cancelled_where_it_stands(start: Any) -> None:
    actor, ref = start()
    held = asyncio.ensure_future(ref.ask(Hold()))
    await actor.holding.wait()
    await ref.stop_and_wait(0.01)
    assert ref.life.state == "ended"
    with pytest.raises(ActorFailed):
        await held


async def test_a_stop_comes_after_the_messages_sent_before_it(start: Any) -> None:
    actor, ref = start()
    for _ in range(200):
        ref.tell(Add(1))
    await ref.stop_and_wait(5.0)
    assert actor.total == 200


async def test_an_idle_actor_nobody_holds_lives_on() -> None:
    ended = Event()

    class Lonely(Adder):
        async def terminate(self, _failure: BaseException | None) -> None:
            ended.set()

    ref = Lonely.start()
    await ref.ask(Add(1))
    inbox = ref.inbox
    del ref
    gc.collect()
    await asyncio.sleep(0)
    assert not ended.is_set()
    assert sample("actors_alive", actor="Lonely") == 1
    inbox.put(_Stop())
    await asyncio.wait_for(ended.wait(), 5.0)


async def test_an_actor_at_work_that_nobody_holds_is_not_collected() -> None:
    actor = Adder()
    run_actor(actor)
    actor.ref.tell(Hold())
    await actor.holding.wait()
    kept = weakref.ref(actor)
    actor.ref.meter.mailboxes.clear()
    del actor
    gc.collect()
    still = kept()
    assert still is not None
    still.gate.set()
    await still.ref.stop_and_wait(1.0)


async def test_an_abandoned_reply_says_nothing_to_the_loop(start: Any) -> None:
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        _, ref = start()
        await ref.stop_and_wait(1.0)
        ref.stop(block=False)
        ref.ask(object(), block=False)
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert complaints == []


class _Stop:
    """Pykka's envelope with Pykka's stop in it."""

    def __init__(self) -> None:
        self.message = _ActorStop()
        self.reply_to = None


async def test_dead_letters_are_counted_and_the_first_ten_are_logged(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Departed(Adder):
        pass

    monkeypatch.setattr("voyagent.actors.runtime.envelope._log_throttle", LogThrottle(first=10, pause=300.0))
    actor, ref = start(Departed)
    held = asyncio.ensure_future(ref.ask(Hold()))
    await actor.holding.wait()
    ref.stop_soon()
    for _ in range(5):
        ref.tell(Add(1))
    with capture_logs() as lines:
        actor.gate.set()
        await held
        await ref.ended()
        for _ in range(20):
            ref.tell(Add(1))
    assert sample("dead_letters_total", actor="Departed") == 25
    dead = [line for line in lines if line["event"] == "dead_letter"]
    assert len(dead) == 10
    assert dead[0] == {
        "event": "dead_letter",
        "log_level": "warning",
        "source": "voyagent.actors.runtime.envelope",
        "actor": "Departed",
        "message": "Add",
    }
