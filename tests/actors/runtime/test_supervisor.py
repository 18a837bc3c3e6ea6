"""Children that fail, are restarted, suspended, passivated and stopped; and the messages sent to them meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, assert_never

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.foundation.metrics import REGISTRY
from voyagent.actors.runtime.actor import Actor, ActorDead, ActorFailed, DeadlineExceeded, MailboxFull, Message, Ref
from voyagent.actors.runtime.supervisor import Child, Escalated, Restart, Supervisor


@dataclass
class Observed:
    """What the actors of one test did, in order, and what is to befall them."""

    lines: list[str] = field(default_factory=list)
    start_errors: list[BaseException] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Number(Message[int]):
    """Which incarnation answers."""


@dataclass(frozen=True, slots=True)
class Break(Message[None]):
    error: BaseException = field(default_factory=lambda: ValueError("broken"))


@dataclass(frozen=True, slots=True)
class Hold(Message[int]):
    pass


@dataclass(frozen=True, slots=True)
class Tire(Message[None]):
    """Ask to sleep."""


class Worker(Actor):
    def __init__(self, observed: Observed, name: str = "worker") -> None:
        super().__init__()
        self.observed = observed
        self.name = name

    async def initialise(self) -> None:
        await asyncio.sleep(0)
        if self.observed.start_errors:
            raise self.observed.start_errors.pop(0)
        self.observed.starts += 1
        self.number = self.observed.starts
        self.observed.lines.append(f"{self.name} up")

    async def receive(self, message: Number | Break | Hold | Tire) -> Any:
        match message:
            case Number():
                return self.number
            case Break(error):
                raise error
            case Hold():
                self.observed.holding.set()
                await self.observed.gate.wait()
                return self.number
            case Tire():
                return self.request_passivation()
            case _:
                assert_never(message)

    async def terminate(self, _failure: BaseException | None) -> None:
        await asyncio.sleep(0)
        self.observed.lines.append(f"{self.name} down")


@dataclass(frozen=True, slots=True)
class StartOne(Message[Ref]):
    child: Child


@dataclass(frozen=True, slots=True)
class To(Message[Any]):
    child: Child
    message: Message[Any]


@dataclass(frozen=True, slots=True)
class Look(Message[Ref | None]):
    name: str


@dataclass(frozen=True, slots=True)
class Passivate(Message[None]):
    name: str


@dataclass(frozen=True, slots=True)
class Stop(Message[None]):
    name: str


@dataclass(frozen=True, slots=True)
class Tree(Message[dict[str, Any]]):
    pass


@dataclass(frozen=True, slots=True)
class Fail(Message[None]):
    pass


@dataclass(frozen=True, slots=True)
class Ends(Message[list[tuple[str, BaseException | None]]]):
    """The ends the hook heard of; answered after all that came before."""


class Parent(Supervisor):
    def __init__(self, clock: ManualClock, children: tuple[Child, ...] = ()) -> None:
        super().__init__(clock=clock)
        self.children = children
        self.ends: list[tuple[str, BaseException | None]] = []

    async def initialise(self) -> None:
        for child in self.children:
            await self.start_child(child)

    async def receive(self, message: StartOne | To | Look | Passivate | Stop | Tree | Fail | Ends) -> Any:
        match message:
            case StartOne(child):
                return await self.start_child(child)
            case To(child, inner):
                return self.route(child, inner)
            case Look(name):
                return self.child(name)
            case Passivate(name):
                return self.passivate(name)
            case Stop(name):
                return await self.stop_child(name)
            case Tree():
                return self.tree()
            case Fail():
                raise ValueError("the parent")
            case Ends():
                return self.ends
            case _:
                assert_never(message)

    async def child_ended(self, name: str, failure: BaseException | None) -> None:
        self.ends.append((name, failure))


@pytest.fixture
def observed() -> Observed:
    return Observed()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def parent(clock: ManualClock) -> AsyncIterator[Ref]:
    ref = Parent.start(clock)
    yield ref
    await ref.stop_and_wait(5.0)


def worker(observed: Observed, restart: Restart = Restart.TRANSIENT, **kwargs: Any) -> Child:
    return Child("worker", lambda: Worker.start(observed), restart, **kwargs)


async def broken(ref: Ref, parent: Ref) -> None:
    """Fail a child, and return when its supervisor has noted it."""
    ref.tell(Break())
    await ref.ended()
    await parent.ask(Ends())


def sample(name: str, actor: str) -> float:
    return REGISTRY.get_sample_value(f"voyagent_{name}", {"actor": actor}) or 0.0


async def test_a_child_that_fails_is_started_again_after_a_pause(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    ref = await parent.ask(StartOne(worker(observed)))
    assert await ref.ask(Number()) == 1
    restarts = sample("actor_restarts_total", "Worker")
    await broken(ref, parent)
    assert await parent.ask(Look("worker")) is None
    await clock.advance(0.05)
    assert await parent.ask(Look("worker")) is None
    await clock.advance(0.06)
    again = await parent.ask(Look("worker"))
    assert again is not None
    assert await again.ask(Number()) == 2
    assert sample("actor_restarts_total", "Worker") == restarts + 1
    ((name, failure),) = await parent.ask(Ends())
    assert name == "worker"
    assert isinstance(failure, ValueError)


async def test_a_child_is_started_once_however_often_it_is_wanted(parent: Ref, observed: Observed) -> None:
    first = await parent.ask(StartOne(worker(observed)))
    assert await parent.ask(StartOne(worker(observed))) is first


@pytest.mark.parametrize(
    ("restart", "after_failure", "after_stop"),
    [(Restart.PERMANENT, 2, 2), (Restart.TRANSIENT, 2, 1), (Restart.TEMPORARY, 1, 1)],
    ids=lambda value: value.value if isinstance(value, Restart) else "",
)
@pytest.mark.parametrize("fails", [True, False], ids=["failure", "stop"])
async def test_the_restart_kind_says_which_ends_are_followed_by_a_start(
    parent: Ref,
    observed: Observed,
    clock: ManualClock,
    restart: Restart,
    after_failure: int,
    after_stop: int,
    fails: bool,
) -> None:
    ref = await parent.ask(StartOne(worker(observed, restart)))
    if fails:
        await broken(ref, parent)
    else:
        await ref.stop_and_wait(1.0)
    await clock.advance(1.0)
    assert observed.starts == (after_failure if fails else after_stop)


async def test_pauses_double_up_to_ten_seconds(parent: Ref, observed: Observed, clock: ManualClock) -> None:
    observed.start_errors = [Unavailable("storage_unavailable")] * 12
    await parent.ask(StartOne(worker(observed, Restart.PERMANENT)))
    pauses = []
    for _ in range(12):
        await parent.ask(Ends())
        began = clock.monotonic()
        left = len(observed.start_errors)
        while len(observed.start_errors) == left and observed.starts == 0:
            await clock.advance(0.01)
        pauses.append(clock.monotonic() - began)
    for position, pause in enumerate(pauses[1:], 1):
        full = min(10.0, 0.1 * 2**position)
        assert 0.75 * full - 0.02 <= pause <= full + 0.02


async def test_a_child_that_keeps_failing_is_suspended_for_a_minute_and_tried_again(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    child = worker(observed)
    escalations = sample("actor_escalations_total", "Worker")
    await parent.ask(StartOne(child))
    for _ in range(5):
        await _break_again(parent, clock)
    ref = await living(parent)
    await broken(ref, parent)
    messages: tuple[Message[Any], ...] = (StartOne(child), To(child, Number()), Look("worker"))
    for message in messages:
        with pytest.raises(Unavailable, match="agent_runtime_unavailable") as refused:
            await parent.ask(message)
        assert refused.value.retry_after == pytest.approx(60.0)
    assert (await parent.ask(Tree()))["children"][0]["state"] == "set_aside"
    assert sample("actor_escalations_total", "Worker") == escalations + 1
    await clock.advance(59.0)
    with pytest.raises(Unavailable) as refused:
        await parent.ask(To(child, Number()))
    assert refused.value.retry_after == pytest.approx(1.0)
    await clock.advance(1.1)
    assert await parent.ask(To(child, Number())) == 7
    assert parent.is_alive()


async def living(parent: Ref) -> Ref:
    ref = await parent.ask(Look("worker"))
    assert ref is not None
    return ref


async def _break_again(parent: Ref, clock: ManualClock) -> None:
    ref = await living(parent)
    await broken(ref, parent)
    await clock.advance(2.0)


async def test_five_failures_spread_over_more_than_thirty_seconds_suspend_nobody(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    await parent.ask(StartOne(worker(observed)))
    for _ in range(12):
        await _break_again(parent, clock)
        await clock.advance(5.0)
    assert observed.starts == 13


async def test_a_singleton_that_cannot_start_escalates_after_five_restarts(
    clock: ManualClock, observed: Observed
) -> None:
    observed.start_errors = [ValueError("cannot")] * 7
    parent = Parent.start(clock, (worker(observed, Restart.PERMANENT, escalate=True),))
    await clock.advance(10.0)
    await asyncio.wait_for(parent.ended(), 5.0)
    assert isinstance(parent.life.failure, Escalated)
    assert len(observed.start_errors) == 1


async def test_a_singleton_that_fails_on_messages_never_escalates_and_is_soon_back(
    clock: ManualClock, observed: Observed
) -> None:
    parent = Parent.start(clock, (worker(observed, Restart.PERMANENT, escalate=True),))
    for number in range(1, 20):
        ref = await parent.ask(Look("worker"))
        assert ref is not None
        assert await ref.ask(Number()) == number
        await broken(ref, parent)
        await clock.advance(1.0)
    assert parent.is_alive()
    await parent.stop_and_wait(5.0)


async def test_a_minute_without_storage_at_the_start_ends_nothing_and_counts_nothing(
    clock: ManualClock, observed: Observed
) -> None:
    observed.start_errors = [Unavailable("storage_unavailable")] * 12
    failures = sample("actor_failures_total", "Worker")
    parent = Parent.start(clock, (worker(observed, Restart.PERMANENT, escalate=True),))
    await clock.advance(90.0)
    ref = await parent.ask(Look("worker"))
    assert ref is not None
    assert await ref.ask(Number()) == 1
    assert sample("actor_failures_total", "Worker") == failures
    await parent.stop_and_wait(5.0)


async def test_an_activation_refused_by_storage_is_dropped_and_its_asker_told(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    observed.start_errors = [Unavailable("storage_unavailable")] * 20
    for _ in range(20):
        with pytest.raises(Unavailable, match="storage_unavailable"):
            await parent.ask(To(worker(observed), Number()))
    await _asleep(parent)
    assert await parent.ask(To(worker(observed), Number())) == 1
    assert clock.pending == 0


async def test_a_failing_start_reaches_the_supervisor(parent: Ref, observed: Observed, clock: ManualClock) -> None:
    error = SystemExit(1)
    observed.start_errors = [error]
    with pytest.raises(ActorFailed):
        await parent.ask(To(worker(observed), Number()))
    assert await parent.ask(Ends()) == [("worker", error)]
    await clock.advance(1.0)
    assert await parent.ask(To(worker(observed), Number())) == 1


async def test_a_factory_that_fails_harms_its_asker_only(parent: Ref, observed: Observed, clock: ManualClock) -> None:
    def factory() -> Ref:
        if clock.monotonic() < 5.0:
            raise ValueError("no such supplier")
        return Worker.start(observed)

    child = Child("worker", factory, Restart.TEMPORARY)
    with pytest.raises(ActorFailed):
        await parent.ask(To(child, Number()))
    await clock.advance(10.0)
    assert await parent.ask(To(child, Number())) == 1


async def test_messages_for_a_child_that_waits_to_be_restarted_are_held_for_it(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    child = worker(observed)
    ref = await parent.ask(StartOne(child))
    await broken(ref, parent)
    with pytest.raises(Unavailable, match="overloaded"):
        await parent.ask(StartOne(child))
    asked = asyncio.ensure_future(parent.ask(To(child, Number())))
    await parent.ask(Ends())
    assert not asked.done()
    await clock.advance(1.0)
    assert await asked == 2


async def test_held_messages_are_bounded(parent: Ref, observed: Observed) -> None:
    child = worker(observed)
    ref = await parent.ask(StartOne(child))
    await broken(ref, parent)
    for _ in range(1_000):
        parent.tell(To(child, Number()))
        await asyncio.sleep(0)
    await parent.ask(Ends())
    with pytest.raises(MailboxFull):
        await parent.ask(To(child, Number()))


async def test_held_messages_are_refused_when_its_child_is_suspended_or_its_supervisor_ends(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    child = worker(observed)
    ref = await parent.ask(StartOne(child))
    for _ in range(5):
        await _break_again(parent, clock)
    ref = await living(parent)
    observed.start_errors = [ValueError("x")]
    ref.tell(Break())
    await ref.ended()
    asked = asyncio.ensure_future(parent.ask(To(child, Number())))
    with pytest.raises(Unavailable, match="agent_runtime_unavailable"):
        await asked
    await clock.advance(60.0)
    await parent.ask(Ends())
    asked = asyncio.ensure_future(parent.ask(To(child, Number())))
    await parent.ask(Ends())
    assert not asked.done()
    await parent.stop_and_wait(5.0)
    with pytest.raises(ActorDead):
        await asked


async def test_messages_between_the_last_failure_and_its_verdict_are_refused_with_it(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    class Lingering(Worker):
        async def terminate(self, _failure: BaseException | None) -> None:
            if self.number == 6:
                self.observed.holding.set()
                await self.observed.gate.wait()

    child = Child("worker", lambda: Lingering.start(observed), Restart.TRANSIENT)
    await parent.ask(StartOne(child))
    for _ in range(5):
        await _break_again(parent, clock)
    (await living(parent)).tell(Break())
    await observed.holding.wait()
    asked = asyncio.ensure_future(parent.ask(To(child, Number())))
    await parent.ask(Ends())
    assert not asked.done()
    observed.gate.set()
    with pytest.raises(Unavailable, match="agent_runtime_unavailable"):
        await asked


async def test_children_start_in_order_and_stop_in_reverse_each_awaited(clock: ManualClock, observed: Observed) -> None:
    def one(name: str) -> Child:
        return Child(name, lambda: Worker.start(observed, name), escalate=True)

    parent = Parent.start(clock, (one("a"), one("b"), one("c")))
    await parent.ask(Ends())
    for name in "abc":
        ref = await parent.ask(Look(name))
        assert ref is not None
        await ref.ask(Number())
    await parent.stop_and_wait(5.0)
    assert observed.lines == ["a up", "b up", "c up", "c down", "b down", "a down"]


async def test_who_serves_its_siblings_stops_after_all_of_them_however_old(
    clock: ManualClock, observed: Observed
) -> None:
    def one(name: str, **parts: Any) -> Child:
        return Child(name, lambda: Worker.start(observed, name), escalate=True, **parts)

    children = (one("a"), one("b", serves=True), one("c"), one("d", serves=True))
    parent = Parent.start(clock, children)
    await parent.ask(Ends())
    for name in "abcd":
        ref = await parent.ask(Look(name))
        assert ref is not None
        await ref.ask(Number())
    await parent.stop_and_wait(5.0)
    assert observed.lines[4:] == ["c down", "a down", "d down", "b down"]


async def test_what_works_far_below_is_stopped_before_anything_is_waited_for(
    clock: ManualClock, observed: Observed
) -> None:
    work = Child("work", lambda: Worker.start(observed, "work"), Restart.TEMPORARY)
    middle = Child("middle", lambda: Parent.start(clock, (work,)))
    busy = Child("busy", lambda: Worker.start(observed, "busy"), escalate=True)
    parent = Parent.start(clock, (middle, busy))
    for name, within in (("busy", parent), ("work", await parent.ask(Look("middle")))):
        assert within is not None
        ref = await within.ask(Look(name))
        assert ref is not None
        await ref.ask(Number())
        if name == "busy":
            ref.tell(Hold())
    await observed.holding.wait()
    stopping = asyncio.create_task(parent.stop_and_wait(5.0))
    async with asyncio.timeout(5):
        while "work down" not in observed.lines:  # noqa: ASYNC110 - a observed tells nobody
            await asyncio.sleep(0.01)
    assert "busy down" not in observed.lines
    assert not stopping.done()
    observed.gate.set()
    await stopping


async def test_children_of_a_failed_actor_are_stopped_and_awaited_before_it_starts_again(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    middle = Child("middle", lambda: Parent.start(clock, (worker(observed),)), Restart.PERMANENT)
    ref = await parent.ask(StartOne(middle))
    below = await ref.ask(Look("worker"))
    assert below is not None
    below.tell(Hold())
    await observed.holding.wait()
    ref.tell(Fail())
    await clock.advance(60.0)
    assert observed.lines == ["worker up"]
    assert ref.life.state == "stopping"
    observed.gate.set()
    await ref.ended()
    await parent.ask(Ends())
    assert observed.lines == ["worker up", "worker down"]
    await clock.advance(1.0)
    assert observed.lines == ["worker up", "worker down", "worker up"]


async def test_a_stopped_child_is_gone_and_can_be_started_again(parent: Ref, observed: Observed) -> None:
    child = worker(observed, Restart.PERMANENT)
    await parent.ask(StartOne(child))
    await parent.ask(Stop("worker"))
    assert observed.lines == ["worker up", "worker down"]
    assert (await parent.ask(Tree()))["children_total"] == 0
    assert await parent.ask(Ends()) == [("worker", None)]
    assert await parent.ask(To(child, Number())) == 2


async def test_a_child_that_will_not_stop_is_cancelled_after_its_shutdown_seconds(
    parent: Ref, observed: Observed
) -> None:
    ref = await parent.ask(StartOne(worker(observed, shutdown=0.01)))
    ref.tell(Hold())
    await observed.holding.wait()
    await parent.ask(Stop("worker"))
    assert ref.life.state == "ended"


async def test_a_cancelled_supervisor_leaves_no_child_alive(clock: ManualClock, observed: Observed) -> None:
    parent = Parent.start(clock, (worker(observed), Child("other", lambda: Worker.start(observed, "other"))))
    child = await parent.ask(Look("worker"))
    assert child is not None
    child.tell(Hold())
    await observed.holding.wait()
    await parent.stop_and_wait(0.05)
    assert parent.life.state == "ended"
    assert child.life.state == "ended"
    assert sorted(observed.lines) == ["other down", "other up", "worker down", "worker up"]


async def test_an_address_finds_the_present_incarnation_and_refuses_in_between(
    clock: ManualClock, observed: Observed
) -> None:
    supervisor = Parent(clock)
    address = supervisor.address("worker")
    with pytest.raises(Unavailable, match="overloaded"):
        await address.ask(Number())
    address.tell(Number())
    supervisor.children = (worker(observed, Restart.PERMANENT, escalate=True),)
    supervisor._start_actor_loop()
    parent = supervisor.ref
    await parent.ask(Ends())
    assert await address.ask(Number()) == 1
    with pytest.raises(ActorFailed):
        await address.ask(Break())
    with pytest.raises(Unavailable, match="overloaded"):
        await address.ask(Number())
    await parent.ask(Ends())
    await clock.advance(1.0)
    assert await address.ask(Number()) == 2
    await parent.stop_and_wait(5.0)


async def test_a_passivated_actor_receives_the_message_that_activates_it(parent: Ref, observed: Observed) -> None:
    child = worker(observed)
    passivations = sample("actor_passivations_total", "Worker")
    assert await parent.ask(To(child, Number())) == 1
    await parent.ask(To(child, Tire()))
    await _asleep(parent)
    assert observed.lines == ["worker up", "worker down"]
    assert await parent.ask(To(child, Number())) == 2
    assert sample("actor_passivations_total", "Worker") == passivations + 1
    assert await parent.ask(Ends()) == [("worker", None)]


async def _asleep(parent: Ref) -> None:
    """Return when the supervisor has no child any more."""
    async with asyncio.timeout(5.0):
        while (await parent.ask(Tree()))["children_total"]:
            pass


async def test_messages_that_come_while_an_actor_passivates_go_to_the_next_incarnation(
    parent: Ref, observed: Observed
) -> None:
    child = worker(observed)
    ref = await parent.ask(StartOne(child))
    ref.tell(Hold())
    await observed.holding.wait()
    unread = [asyncio.ensure_future(ref.ask(Number())) for _ in range(3)]
    routed_before = asyncio.ensure_future(parent.ask(To(child, Number())))
    await parent.ask(Ends())
    await parent.ask(Passivate("worker"))
    routed_after = asyncio.ensure_future(parent.ask(To(child, Number())))
    behind_its_back = asyncio.ensure_future(ref.ask(Number()))
    await parent.ask(Ends())
    assert (await parent.ask(Tree()))["children"][0]["state"] == "stopping"
    observed.gate.set()
    assert await asyncio.gather(*unread, routed_before, routed_after, behind_its_back) == [2] * 6
    assert observed.lines == ["worker up", "worker down", "worker up"]


async def test_messages_behind_an_actors_own_stop_start_the_next_incarnation(parent: Ref, observed: Observed) -> None:
    child = worker(observed)
    ref = await parent.ask(StartOne(child))
    ref.tell(Hold())
    await observed.holding.wait()
    ref.stop_soon()
    behind = asyncio.ensure_future(ref.ask(Number()))
    routed = asyncio.ensure_future(parent.ask(To(child, Number())))
    await parent.ask(Ends())
    observed.gate.set()
    assert await asyncio.gather(behind, routed) == [2, 2]


async def test_messages_behind_the_stop_of_a_temporary_child_do_not_make_it_live_again(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    ref = await parent.ask(StartOne(worker(observed, Restart.TEMPORARY)))
    ref.tell(Hold())
    await observed.holding.wait()
    ref.stop_soon()
    behind = asyncio.ensure_future(ref.ask(Number()))
    await asyncio.sleep(0)
    observed.gate.set()
    with pytest.raises(ActorDead):
        await behind
    await _asleep(parent)
    await clock.advance(1.0)
    assert observed.starts == 1


async def test_a_child_that_has_been_asked_to_stop_is_not_taken_for_the_next_one(
    parent: Ref, observed: Observed
) -> None:
    child = worker(observed, Restart.TEMPORARY)
    first = await parent.ask(StartOne(child))
    assert await first.ask(Number()) == 1
    first.stop_soon()
    second = await parent.ask(StartOne(child))
    assert second is not first
    assert await second.ask(Number()) == 2


async def test_an_actor_that_does_not_passivate_is_cancelled_and_its_messages_go_on(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    child = worker(observed)
    parent.tell(To(child, Hold()))
    await observed.holding.wait()
    await parent.ask(Passivate("worker"))
    asked = asyncio.ensure_future(parent.ask(To(child, Number())))
    await parent.ask(Ends())
    await clock.advance(4.9)
    assert not asked.done()
    await clock.advance(0.2)
    assert await asked == 2


async def test_messages_keep_their_order_across_a_passivation(parent: Ref, observed: Observed) -> None:
    seen: list[int] = []

    @dataclass(frozen=True, slots=True)
    class Item(Message[None]):
        number: int

    class Lister(Actor):
        async def receive(self, message: Item | Hold) -> None:
            if isinstance(message, Hold):
                observed.holding.set()
                await observed.gate.wait()
            else:
                seen.append(message.number)

    child = Child("lister", Lister.start, Restart.TRANSIENT)
    parent.tell(To(child, Hold()))
    await observed.holding.wait()
    for number in range(10):
        parent.tell(To(child, Item(number)))
    parent.tell(Passivate("lister"))
    for number in range(10, 20):
        parent.tell(To(child, Item(number)))
    await parent.ask(Ends())
    observed.gate.set()
    await parent.ask(To(child, Item(20)))
    assert seen == list(range(21))


async def test_an_actor_that_has_messages_when_it_requests_passivation_stays_active(
    parent: Ref, observed: Observed
) -> None:
    child = worker(observed)
    ref = await parent.ask(StartOne(child))
    ref.tell(Tire())
    ref.tell(Number())
    assert await ref.ask(Number()) == 1
    await parent.ask(Ends())
    assert await ref.ask(Number()) == 1
    assert observed.lines == ["worker up"]


async def test_an_actor_that_begins_to_await_an_outcome_after_it_requested_passivation_stays_active(
    parent: Ref, observed: Observed
) -> None:
    refs: list[Ref] = []
    outcomes: list[int | None] = []

    class Piping(Worker):
        def await_outcome(self) -> None:
            self.pipe(self.work(), lambda outcome: outcomes.append(outcome.value), name="work")

        async def work(self) -> int:
            await observed.gate.wait()
            return self.number

        async def receive(self, message: Any) -> Any:
            if isinstance(message, Tire):
                self.run_soon(self.await_outcome)  # as a timer does
            return await super().receive(message)

    child = Child("worker", lambda: Piping.start(observed), Restart.TRANSIENT)
    refs.append(await parent.ask(StartOne(child)))
    refs[0].tell(Tire())
    await parent.ask(Ends())
    await parent.ask(Ends())
    observed.gate.set()
    assert await parent.ask(To(child, Number())) == 1
    assert outcomes == [1]


async def test_an_actor_that_waits_for_a_reply_does_not_passivate(parent: Ref, observed: Observed) -> None:
    outcomes: list[int] = []
    reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Waiting(Worker):
        async def receive(self, message: Any) -> Any:
            if isinstance(message, Tire) and not outcomes:
                self.when_done(reply, lambda outcome: outcomes.append(outcome.value))
            return await super().receive(message)

    child = Child("worker", lambda: Waiting.start(observed), Restart.TRANSIENT)
    ref = await parent.ask(StartOne(child))
    ref.tell(Tire())
    await parent.ask(Ends())
    await parent.ask(Ends())
    reply.set_result(7)
    assert await parent.ask(To(child, Number())) == 1
    assert outcomes == [7]
    ref.tell(Tire())
    await ref.ended()
    assert await parent.ask(To(child, Number())) == 2


async def test_no_message_is_lost_while_actors_passivate_ten_thousand_times(parent: Ref, observed: Observed) -> None:
    child = worker(observed)
    asks = []
    for turn in range(10_000):
        asks.append(asyncio.ensure_future(parent.ask(To(child, Number()), within=60.0)))
        if turn % 3 == 0:
            parent.tell(Passivate("worker") if turn % 2 else To(child, Tire()))
        for _ in range(turn % 5 + 1):
            await asyncio.sleep(0)
    numbers = await asyncio.gather(*asks)
    assert numbers == sorted(numbers)
    assert len(numbers) == 10_000
    assert observed.starts > 100


async def test_an_ask_held_too_long_ends_at_its_deadline(parent: Ref, observed: Observed) -> None:
    child = worker(observed)
    await broken(await parent.ask(StartOne(child)), parent)
    with pytest.raises(DeadlineExceeded):
        await parent.ask(To(child, Number()), within=0.01)


async def test_the_tree_shows_every_actor_with_its_figures(parent: Ref, observed: Observed, clock: ManualClock) -> None:
    middle = Child("middle", lambda: Parent.start(clock, (worker(observed),)), Restart.PERMANENT)
    ref = await parent.ask(StartOne(middle))
    leaf = await ref.ask(Look("worker"))
    assert leaf is not None
    await leaf.ask(Number())
    await broken(leaf, ref)
    await clock.advance(1.0)
    tree = await parent.ask(Tree())
    assert list(tree) == [
        "name",
        "class",
        "state",
        "restarts",
        "mailbox",
        "handled",
        "failures",
        "since",
        "children",
        "children_total",
    ]
    assert (tree["name"], tree["class"], tree["state"], tree["children_total"]) == ("root", "Parent", "running", 1)
    (below,) = tree["children"]
    assert (below["name"], below["children_total"]) == ("middle", 1)
    assert below["children"][0] == {
        "name": "worker",
        "class": "Worker",
        "state": "running",
        "restarts": 1,
        "mailbox": 0,
        "handled": 0,
        "failures": 1,
        "since": below["children"][0]["since"],
        "children": [],
        "children_total": 0,
    }
    assert below["since"] == "2026-03-02T09:00:00.000000Z"


async def test_the_tree_lists_at_most_a_hundred_children_of_each(parent: Ref, observed: Observed) -> None:
    for number in range(120):
        await parent.ask(StartOne(Child(f"w{number}", lambda: Worker.start(observed))))
    tree = await parent.ask(Tree())
    assert (len(tree["children"]), tree["children_total"]) == (100, 120)
