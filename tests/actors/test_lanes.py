"""No agency keeps another from the database, and none its own turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import Event
from voyagent.actors import lanes
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.lanes import Lanes


class Holders:
    """Operations that hold their place until they are let go."""

    def __init__(self, of: Lanes) -> None:
        self.lanes = of
        self.holding: list[tuple[str | None, bool]] = []
        self.tasks: dict[asyncio.Task[None], asyncio.Event] = {}

    def begin(self, agency: str | None, *, step: bool = False) -> asyncio.Task[None]:
        go = Event()

        async def hold() -> None:
            async with self.lanes.slot(agency, step=step):
                self.holding.append((agency, step))
                try:
                    await go.wait()
                finally:
                    self.holding.remove((agency, step))

        task = asyncio.ensure_future(hold())
        self.tasks[task] = go
        return task

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def ten() -> AsyncIterator[Holders]:
    holders = Holders(Lanes(10))
    yield holders
    await holders.end()
    assert not holders.holding
    async with AsyncExitStack() as all_of_them, asyncio.timeout(1.0):
        for place in range(10):
            await all_of_them.enter_async_context(holders.lanes.slot(str(place), step=True))


async def test_an_agency_of_slow_readings_leaves_half_to_the_others_and_its_own_steps_a_way(ten: Holders) -> None:
    for _ in range(30):
        ten.begin("A")
    await ten.settle()
    assert ten.holding.count(("A", False)) == 5
    for _ in range(3):
        ten.begin("B")
    ten.begin("A", step=True)
    await ten.settle()
    assert ten.holding.count(("B", False)) == 3
    assert ("A", True) in ten.holding


async def test_steps_have_places_that_no_reading_takes(ten: Holders) -> None:
    for agency in "ABCDEFGH":
        for _ in range(5):
            ten.begin(agency)
    await ten.settle()
    assert len(ten.holding) == 8
    for agency in "AZ":
        ten.begin(agency, step=True)
    await ten.settle()
    assert sorted(agency for agency, step in ten.holding if step) == ["A", "Z"]


async def test_waiting_agencies_take_turns(ten: Holders) -> None:
    first = [ten.begin(agency) for agency in "XXXXYYYY"]
    for _ in range(20):
        ten.begin("A")
    ten.begin("B")
    ten.begin("C")
    await ten.settle()
    for task in first[:3]:
        ten.tasks[task].set()
    await ten.settle()
    assert sorted(agency for agency, _ in ten.holding if agency in "ABC") == ["A", "B", "C"]


async def test_more_than_may_wait_is_refused_at_once_and_the_others_still_may(
    ten: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "WAITING", 20)
    for _ in range(15):
        ten.begin("A")
    await ten.settle()
    with pytest.raises(Unavailable, match="overloaded") as refused:
        async with ten.lanes.slot("A"):
            pass
    assert refused.value.retry_after
    async with asyncio.timeout(1.0), ten.lanes.slot("B"):
        pass


async def test_who_has_waited_for_too_long_is_refused(ten: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "WAIT_TIMEOUT", 0.01)
    for _ in range(5):
        ten.begin("A")
    await ten.settle()
    with pytest.raises(Unavailable, match="overloaded"):
        async with ten.lanes.slot("A"):
            pass


async def test_an_agency_whose_last_waiter_leaves_as_a_slot_is_released_does_not_wait_behind_nobody() -> None:
    holders = Holders(Lanes(1))
    held = holders.begin("A")
    waiting = holders.begin("A")
    await holders.settle()
    holders.tasks[held].set()
    waiting.cancel()
    await holders.settle()
    async with asyncio.timeout(1.0), holders.lanes.slot("A"):
        pass


Moves = st.lists(
    st.tuples(st.sampled_from(["begin", "end", "cancel", "end+cancel"]), st.sampled_from("ABC"), st.booleans()),
    max_size=60,
)


@given(moves=Moves, size=st.integers(1, 12), settle=st.booleans())
def test_no_order_of_beginnings_ends_and_cancellations_loses_a_place(
    moves: list[tuple[str, str, bool]], size: int, settle: bool
) -> None:
    async def live() -> None:
        holders = Holders(Lanes(size))
        for move, agency, step in moves:
            await _move(holders, move, agency, step)
            if settle:
                await holders.settle()
            assert len(holders.holding) <= size
            for each in "ABC":
                assert holders.holding.count((each, False)) <= max(2, (size + 1) // 2)
        for go in holders.tasks.values():
            go.set()
        async with asyncio.timeout(5.0):
            await asyncio.gather(*holders.tasks, return_exceptions=True)
        holders.tasks.clear()
        for agency in "ABCDEFGHIJKL"[:size]:
            holders.begin(agency, step=True)
        await holders.settle()
        assert len(holders.holding) == size
        await holders.end()

    asyncio.run(live())


async def _move(holders: Holders, move: str, agency: str, step: bool) -> Any:
    if move == "begin":
        holders.begin(agency, step=step)
        await asyncio.sleep(0)
        return
    task = next((task for task in holders.tasks if not task.done()), None)
    if task is not None:
        if "end" in move:
            holders.tasks[task].set()
        if "cancel" in move:
            task.cancel()
