"""Messages for a child that passivates, stops or waits to be restarted: held for its next incarnation, or refused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tests.actors.runtime.family import (
    Break,
    Ends,
    Hold,
    Number,
    Observed,
    Passivate,
    StartOne,
    Tire,
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
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.runtime.actor import Actor, ActorDead, DeadlineExceeded, MailboxFull, Message, Ref
from voyagent.actors.runtime.supervisor import Child, Restart


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
        await break_again(parent, clock)
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
        await break_again(parent, clock)
    (await living(parent)).tell(Break())
    await observed.holding.wait()
    asked = asyncio.ensure_future(parent.ask(To(child, Number())))
    await parent.ask(Ends())
    assert not asked.done()
    observed.gate.set()
    with pytest.raises(Unavailable, match="agent_runtime_unavailable"):
        await asked


async def test_a_passivated_actor_receives_the_message_that_activates_it(parent: Ref, observed: Observed) -> None:
    child = worker(observed)
    passivations = sample("actor_passivations_total", actor="Worker")
    assert await parent.ask(To(child, Number())) == 1
    await parent.ask(To(child, Tire()))
    await childless(parent)
    assert observed.lines == ["worker up", "worker down"]
    assert await parent.ask(To(child, Number())) == 2
    assert sample("actor_passivations_total", actor="Worker") == passivations + 1
    assert await parent.ask(Ends()) == [("worker", None)]


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
    await childless(parent)
    await clock.advance(1.0)
    assert observed.starts == 1


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
