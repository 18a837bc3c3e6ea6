"""What an actor promises, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, assert_never

import pytest
from pykka.messages import _ActorStop
from structlog.testing import capture_logs

from voyagent.actors.domain.errors import NotFound, Refusal, Unavailable, WeakPassword
from voyagent.actors.foundation import log
from voyagent.actors.foundation.log import LogThrottle
from voyagent.actors.foundation.metrics import REGISTRY
from voyagent.actors.runtime.actor import (
    Actor,
    ActorDead,
    ActorFailed,
    DeadlineExceeded,
    MailboxFull,
    Message,
    NoReply,
    Ref,
)


@dataclass(frozen=True, slots=True)
class Add(Message[int]):
    amount: int


@dataclass(frozen=True, slots=True)
class Break(Message[None]):
    error: BaseException


@dataclass(frozen=True, slots=True)
class Hold(Message[str]):
    """Stay in the handler until the gate opens."""


@dataclass(frozen=True, slots=True)
class Slowly(Message[int]):
    """Answer later, when the gate opens."""

    amount: int
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class PassOn(Message[int]):
    amount: int


@dataclass(frozen=True, slots=True)
class SpawnAndBreak(Message[None]):
    error: BaseException


@dataclass(frozen=True, slots=True)
class WhoAsks(Message[str | None]):
    """The request on whose behalf the handler runs."""


@dataclass(frozen=True, slots=True)
class AskYourself(Message[int]):
    pass


Known = Add | Break | Hold | Slowly | PassOn | SpawnAndBreak | WhoAsks | AskYourself


class Adder(Actor):
    def __init__(self, *, behind: Ref | None = None) -> None:
        super().__init__()
        self.total = 0
        self.behind = behind
        self.holding = asyncio.Event()
        self.gate = asyncio.Event()
        self.end: list[BaseException | None] = []
        self.idler: asyncio.Task[Any] | None = None

    async def receive(self, message: Known) -> Any:
        match message:
            case Add(amount):
                self.total += amount
                return self.total
            case Break(error):
                raise error
            case Hold():
                return await self._hold()
            case Slowly():
                return self.reply_later(self._slowly(message))
            case PassOn(amount):
                assert self.behind is not None
                return self.forward(self.behind, Add(amount))
            case SpawnAndBreak(error):
                return self._spawn(error)
            case WhoAsks():
                return log.SCOPE.get().request_id
            case AskYourself():
                return await self.ref.ask(Add(1))
            case _:
                assert_never(message)

    async def _hold(self) -> str:
        self.holding.set()
        await self.gate.wait()
        return "held"

    async def _slowly(self, message: Slowly) -> int:
        await self._hold()
        if message.error is not None:
            raise message.error
        return message.amount

    def _spawn(self, error: BaseException) -> None:
        async def work() -> None:
            raise error

        async def idle() -> None:
            await asyncio.Event().wait()

        self.idler = self.spawn(idle(), name="idle")
        self.spawn(work(), name="work")

    async def terminate(self, failure: BaseException | None) -> None:
        self.end.append(failure)


@pytest.fixture
async def started() -> AsyncIterator[list[Ref]]:
    refs: list[Ref] = []
    yield refs
    for ref in refs:
        await ref.stop_and_wait(1.0)


@pytest.fixture
def start(started: list[Ref]) -> Any:
    """Starts an actor that is stopped after the test; answers it with its ref."""

    def begin(cls: type[Actor] = Adder, **kwargs: Any) -> tuple[Any, Ref]:
        actor = cls(**kwargs)
        actor._start_actor_loop()
        started.append(actor.ref)
        return actor, actor.ref

    return begin


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"voyagent_{name}", labels) or 0.0


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
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    actor = Patient()
    actor._start_actor_loop()
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


async def test_an_actor_with_many_messages_leaves_turns_to_others(start: Any) -> None:
    actor, ref = start()
    for _ in range(900):
        ref.tell(Add(1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert 0 < actor.total < 900


async def test_an_idle_actor_nobody_holds_lives_on() -> None:
    ended = asyncio.Event()

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
    actor._start_actor_loop()
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
