"""The clock a test moves keeps the order and the moments of everything due."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.manual_clock import ManualClock
from voyagent.actors.foundation import log
from voyagent.actors.foundation.clock import Clock


async def test_the_real_clock_is_aware_and_its_timers_run() -> None:
    clock = Clock()
    assert clock.now().utcoffset() == timedelta(0)
    rung = asyncio.Event()
    began = clock.monotonic()
    clock.call_later(0.01, rung.set)
    never = clock.call_later(0.0, rung.set)
    never.cancel()
    await asyncio.wait_for(rung.wait(), 5.0)
    assert clock.monotonic() - began >= 0.009
    await clock.sleep(0)


async def test_what_a_timer_does_is_logged_for_no_request() -> None:
    seen: list[log.Scope] = []
    rung = asyncio.Event()
    log.bind(request_id="r-1")
    Clock().call_later(0.0, lambda: (seen.append(log.SCOPE.get()), rung.set()))
    await asyncio.wait_for(rung.wait(), 5.0)
    assert seen == [log.NOBODY]
    assert log.SCOPE.get() != log.NOBODY


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    rung: list[str] = []
    clock.call_later(1.0, lambda: rung.append("one"))
    await clock.advance(0.999)
    assert rung == []
    await clock.advance(0.001)
    assert rung == ["one"]
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert clock.monotonic() == 1.0


async def test_what_is_due_runs_in_order_and_at_its_own_moment() -> None:
    clock = ManualClock()
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, clock.monotonic()))

    async def sleeping() -> None:
        for _ in range(3):
            await clock.sleep(2.0)
            note("slept")

    task = asyncio.create_task(sleeping())
    clock.call_later(3.0, lambda: note("three"))
    clock.call_later(1.0, lambda: note("one"))
    clock.call_later(1.0, lambda: note("one again"))
    await clock.advance(10.0)
    assert seen == [("one", 1), ("one again", 1), ("slept", 2), ("three", 3), ("slept", 4), ("slept", 6)]
    assert task.done()
    assert clock.pending == 0


async def test_a_cancelled_timer_or_sleeper_leaves_nothing_behind() -> None:
    clock = ManualClock()
    rung: list[int] = []
    timer = clock.call_later(1.0, lambda: rung.append(1))
    sleeping = asyncio.create_task(clock.sleep(1.0))
    await asyncio.sleep(0)
    assert clock.pending == 2
    timer.cancel()
    sleeping.cancel()
    await asyncio.wait({sleeping})
    assert clock.pending == 0
    await clock.advance(2.0)
    assert rung == []
