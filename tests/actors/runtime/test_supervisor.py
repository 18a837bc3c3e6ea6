"""Children that fail: restarted after pauses, suspended, or the end of their supervisor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.actors.runtime.family import (
    Break,
    Ends,
    Look,
    Number,
    Observed,
    Parent,
    StartOne,
    To,
    Tree,
    Worker,
    break_again,
    broken,
    childless,
    living,
    worker,
)
from tests.figures import sample
from tests.manual_clock import ManualClock
from tests.running import run_actor
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.runtime.actor import ActorFailed, Message, Ref
from voyagent.actors.runtime.supervisor import Child, Escalated, Restart


async def test_a_child_that_fails_is_started_again_after_a_pause(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    ref = await parent.ask(StartOne(worker(observed)))
    assert await ref.ask(Number()) == 1
    restarts = sample("actor_restarts_total", actor="Worker")
    await broken(ref, parent)
    assert await parent.ask(Look("worker")) is None
    await clock.advance(0.05)
    assert await parent.ask(Look("worker")) is None
    await clock.advance(0.06)
    again = await parent.ask(Look("worker"))
    assert again is not None
    assert await again.ask(Number()) == 2
    assert sample("actor_restarts_total", actor="Worker") == restarts + 1
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
    escalations = sample("actor_escalations_total", actor="Worker")
    await parent.ask(StartOne(child))
    for _ in range(5):
        await break_again(parent, clock)
    ref = await living(parent)
    await broken(ref, parent)
    messages: tuple[Message[Any], ...] = (StartOne(child), To(child, Number()), Look("worker"))
    for message in messages:
        with pytest.raises(Unavailable, match="agent_runtime_unavailable") as refused:
            await parent.ask(message)
        assert refused.value.retry_after == pytest.approx(60.0)
    assert (await parent.ask(Tree()))["children"][0]["state"] == "set_aside"
    assert sample("actor_escalations_total", actor="Worker") == escalations + 1
    await clock.advance(59.0)
    with pytest.raises(Unavailable) as refused:
        await parent.ask(To(child, Number()))
    assert refused.value.retry_after == pytest.approx(1.0)
    await clock.advance(1.1)
    assert await parent.ask(To(child, Number())) == 7
    assert parent.is_alive()


async def test_five_failures_spread_over_more_than_thirty_seconds_suspend_nobody(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    await parent.ask(StartOne(worker(observed)))
    for _ in range(12):
        await break_again(parent, clock)
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
    failures = sample("actor_failures_total", actor="Worker")
    parent = Parent.start(clock, (worker(observed, Restart.PERMANENT, escalate=True),))
    await clock.advance(90.0)
    ref = await parent.ask(Look("worker"))
    assert ref is not None
    assert await ref.ask(Number()) == 1
    assert sample("actor_failures_total", actor="Worker") == failures
    await parent.stop_and_wait(5.0)


async def test_an_activation_refused_by_storage_is_dropped_and_its_asker_told(
    parent: Ref, observed: Observed, clock: ManualClock
) -> None:
    observed.start_errors = [Unavailable("storage_unavailable")] * 20
    for _ in range(20):
        with pytest.raises(Unavailable, match="storage_unavailable"):
            await parent.ask(To(worker(observed), Number()))
    await childless(parent)
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


async def test_an_address_finds_the_present_incarnation_and_refuses_in_between(
    clock: ManualClock, observed: Observed
) -> None:
    supervisor = Parent(clock)
    address = supervisor.address("worker")
    with pytest.raises(Unavailable, match="overloaded"):
        await address.ask(Number())
    address.tell(Number())
    supervisor.children = (worker(observed, Restart.PERMANENT, escalate=True),)
    run_actor(supervisor)
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
