"""A periodic task goes on whatever one of its rounds does, and says how long ago a good one was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.manual_clock import ManualClock
from tests.waiting import Event
from voyagent.actors.domain.errors import Conflict, InternalError, Unavailable
from voyagent.actors.runtime.actor import Actor
from voyagent.actors.runtime.periodic import GRACE_SECONDS, ON_CALL, Items, PeriodicTask, PeriodicTasks

END: dict[str, Callable[[], BaseException]] = {
    "unavailable": lambda: Unavailable("storage_unavailable"),
    "refusal": lambda: Conflict("turn_in_progress"),
    "broken": lambda: InternalError("internal_error"),
    "defect": lambda: ValueError("nobody thought of this"),
    "assertion": AssertionError,
    "stray-cancellation": asyncio.CancelledError,
    "base-exception": GeneratorExit,
    "group": lambda: BaseExceptionGroup("both", [asyncio.CancelledError(), ValueError("too")]),
}


class Rounds:
    """Rounds that end as they are told to, then well."""

    def __init__(self, *ends: BaseException) -> None:
        self.ends = list(ends)
        self.began: list[float] = []
        self.clock = ManualClock()
        self.tasks = PeriodicTasks(self.clock)

    async def round(self) -> None:
        self.began.append(self.clock.monotonic())
        await asyncio.sleep(0)
        if self.ends:
            raise self.ends.pop(0)

    def task(self, **more: Any) -> PeriodicTask:
        return self.tasks.task("test", self.round, **({"every": 60.0} | more))


@pytest.fixture
async def run() -> Any:
    running: list[asyncio.Task[None]] = []

    def start(task: PeriodicTask) -> asyncio.Task[None]:
        running.append(asyncio.ensure_future(task.run()))
        return running[-1]

    yield start
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.parametrize("end", END)
async def test_a_round_that_fails_in_any_way_is_followed_by_another(end: str, run: Any) -> None:
    rounds = Rounds(END[end]())
    task = run(rounds.task())
    await rounds.clock.advance(1.0)
    assert len(rounds.began) == 2
    await rounds.clock.advance(60.0)
    assert rounds.began == [0.0, 1.0, 61.0]
    assert not task.done()


@pytest.mark.parametrize("end", END)
async def test_what_stays_broken_is_overdue_until_a_round_is_good(end: str, run: Any) -> None:
    rounds = Rounds(*(END[end]() for _ in range(100)))
    run(rounds.task())
    await rounds.clock.advance(GRACE_SECONDS + 1)
    standing = rounds.tasks.standings()["test"]
    assert standing.overdue
    assert standing.age == GRACE_SECONDS + 1
    rounds.ends.clear()
    await rounds.clock.advance(60.0)
    standing = rounds.tasks.standings()["test"]
    assert not standing.overdue
    assert standing.age < 60.0


async def test_only_what_is_unavailable_is_asked_for_again_without_a_growing_pause(run: Any) -> None:
    away, broken = Rounds(*[Unavailable("x")] * 9), Rounds(*[ValueError("x")] * 9)
    run(away.task())
    run(broken.task())
    await away.clock.advance(7.0)
    await broken.clock.advance(7.0)
    assert away.began == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert broken.began == [0.0, 1.0, 3.0, 7.0]


async def test_a_task_is_cancelled_within_a_round_and_between_two(run: Any) -> None:
    between, within = Rounds(), Rounds()
    gate = Event()

    async def waits() -> None:
        await gate.wait()

    tasks = [run(between.task()), run(within.tasks.task("waits", waits, every=1.0))]
    await between.clock.advance(1.0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5.0)
    assert all(task.cancelled() for task in tasks)


async def test_a_round_that_swallows_its_cancellation_does_not_keep_the_task_alive(run: Any) -> None:
    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = run(PeriodicTasks(ManualClock()).task("deaf", deaf, every=1.0))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5.0)
    assert task.cancelled()


async def test_a_call_brings_a_round_forward_and_one_during_a_round_is_not_lost(run: Any) -> None:
    rounds = Rounds()
    task = rounds.task()
    run(task)
    await rounds.clock.advance(10.0)
    task.call(2.0)
    task.call(30.0)
    await rounds.clock.advance(2.0)
    assert rounds.began == [0.0, 12.0]


async def test_a_call_during_a_round_is_answered_by_another(run: Any) -> None:
    rounds = Rounds()
    gate = Event()

    async def slow() -> None:
        await rounds.round()
        await gate.wait()

    task = rounds.tasks.task("slow", slow, every=ON_CALL)
    run(task)
    task.call()
    await rounds.clock.advance(1.0)
    assert rounds.began == [0.0]
    task.call()
    gate.set()
    await rounds.clock.advance(1.0)
    assert len(rounds.began) == 2


async def test_calls_do_not_hurry_what_has_failed(run: Any) -> None:
    rounds = Rounds(*[Unavailable("redis_unavailable")] * 3)
    task = rounds.task(every=ON_CALL, retry=5.0)
    run(task)
    for _ in range(15):
        task.call()
        await rounds.clock.advance(1.0)
    assert rounds.began == [0.0, 5.0, 10.0, 15.0]


async def test_a_task_that_calls_itself_leaves_others_their_turn(run: Any) -> None:
    rounds = 0

    async def eager() -> None:
        nonlocal rounds
        rounds += 1
        task.call()

    task = PeriodicTasks(ManualClock()).task("eager", eager, every=1.0)
    run(task)
    for _ in range(10):
        await asyncio.sleep(0)
    assert 3 <= rounds <= 10


async def test_a_task_on_call_is_overdue_only_while_a_call_is_unanswered(run: Any) -> None:
    rounds = Rounds(*[ValueError("x")] * 20)
    task = rounds.task(every=ON_CALL)
    run(task)
    await rounds.clock.advance(1_000.0)
    assert rounds.began == []
    assert not rounds.tasks.standings()["test"].overdue
    task.call()
    await rounds.clock.advance(GRACE_SECONDS + 1)
    assert rounds.tasks.standings()["test"].overdue
    rounds.ends.clear()
    await rounds.clock.advance(60.0)
    assert not rounds.tasks.standings()["test"].overdue
    await rounds.clock.advance(1_000.0)
    assert not rounds.tasks.standings()["test"].overdue


async def test_an_incarnation_that_fails_at_every_start_is_overdue_all_the_same() -> None:
    clock = ManualClock()
    tasks = PeriodicTasks(clock)

    class Fails(Actor):
        async def initialise(self) -> None:
            task = tasks.task("fails", self.work, every=5.0)
            self.spawn(task.run(), name="work")
            raise ValueError("at every start")

        async def work(self) -> None: ...

    for _ in range(20):
        await Fails.start().ended()
        await clock.advance(5.0)
    assert tasks.standings()["fails"].overdue


Ends = st.lists(st.sampled_from(sorted(END)), max_size=8)


@given(ends=Ends, calls=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=5))
def test_no_history_of_failures_and_calls_ends_a_task(ends: list[str], calls: list[tuple[float, float]]) -> None:
    async def live() -> None:
        rounds = Rounds(*(END[end]() for end in ends))
        task = rounds.task()
        running = asyncio.ensure_future(task.run())
        for wait, within in calls:
            await rounds.clock.advance(wait)
            task.call(within)
        await rounds.clock.advance(2_000.0)
        assert not running.done()
        assert rounds.ends == []
        assert not rounds.tasks.standings()["test"].overdue
        assert rounds.clock.monotonic() - rounds.began[-1] <= 60.0
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(live())


Work = Callable[[], Awaitable[None]]


@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize("place", [0, 2, 4])
async def test_an_item_that_fails_keeps_no_other_from_its_turn(end: str, place: int) -> None:
    done: list[int] = []
    items = Items("test")
    for number in range(5):
        with items.one(number=number):
            await asyncio.sleep(0)
            if number == place:
                raise END[end]()  # noqa: RSE102 -- a factory
            done.append(number)
    assert done == [number for number in range(5) if number != place]
    with pytest.raises(BaseException) as told:  # noqa: PT011 -- its type is what is asked
        items.settle()
    assert type(told.value) is type(END[end]())


async def test_what_is_unavailable_to_one_after_another_is_not_asked_of_all() -> None:
    asked = 0
    items = Items("test")

    def ask_all() -> None:
        nonlocal asked
        for _ in range(1_000):
            with items.one():
                asked += 1
                raise Unavailable("storage_unavailable")

    with pytest.raises(Unavailable):
        ask_all()
    assert asked == 3
