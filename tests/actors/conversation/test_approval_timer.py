"""The alarm for approvals nobody decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.manual_clock import ManualClock
from voyagent.actors.conversation.approval_timer import ApprovalTimer

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


async def test_it_fires_for_the_next_of_them_and_tells_each_passing_once() -> None:
    clock, rung = ManualClock(NOON), []
    deadlines = ApprovalTimer(clock, lambda: rung.append(clock.now()))
    deadlines.set([NOON + timedelta(minutes=15), NOON + timedelta(minutes=5)])
    assert deadlines.any
    assert not deadlines.passed()
    await clock.advance(301)
    assert len(rung) == 1
    assert deadlines.passed()
    assert not deadlines.passed()
    await clock.advance(600)
    assert len(rung) == 2
    assert deadlines.passed()
    assert not deadlines.any


async def test_what_is_set_again_or_forgotten_does_not_fire() -> None:
    clock, rung = ManualClock(NOON), []
    deadlines = ApprovalTimer(clock, lambda: rung.append(clock.now()))
    deadlines.set([NOON + timedelta(minutes=5)])
    deadlines.set([NOON + timedelta(minutes=9)])
    await clock.advance(400)
    assert rung == []
    deadlines.forget()
    await clock.advance(400)
    assert rung == []
