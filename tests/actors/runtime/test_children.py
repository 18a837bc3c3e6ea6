"""The order in which children start and stop, who waits for whom, and the tree that shows them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.actors.runtime.family import (
    Ends,
    Fail,
    Hold,
    Look,
    Number,
    Observed,
    Parent,
    StartOne,
    Stop,
    To,
    Tree,
    Worker,
    broken,
    worker,
)
from tests.manual_clock import ManualClock
from tests.waiting import until
from voyagent.actors.runtime.actor import Ref
from voyagent.actors.runtime.supervisor import Child, Restart


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
    await until(lambda: "work down" in observed.lines)
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
    assert below["since"] == "2026-11-23T12:00:00.000000Z"


async def test_the_tree_lists_at_most_a_hundred_children_of_each(parent: Ref, observed: Observed) -> None:
    for number in range(120):
        await parent.ask(StartOne(Child(f"w{number}", lambda: Worker.start(observed))))
    tree = await parent.ask(Tree())
    assert (len(tree["children"]), tree["children_total"]) == (100, 120)
