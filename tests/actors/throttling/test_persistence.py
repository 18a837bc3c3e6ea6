"""What the throttles write behind: each changed bucket with what is left of its time, again after a failure."""

from __future__ import annotations

from typing import Any

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.domain.throttles import BucketKey, Rules, Throttles
from voyagent.actors.runtime.periodic import PeriodicTasks
from voyagent.actors.throttling.persistence import ChangesWritten, WriteBehind

NOWHERE = "redis://127.0.0.1:1/0"
"""Nobody listens there."""


def key(text: str) -> BucketKey:
    return BucketKey("network", "sign_in", text)


@pytest.fixture
def throttles() -> Throttles:
    return Throttles(Rules())


@pytest.fixture
def behind(throttles: Throttles, clock: ManualClock) -> WriteBehind:
    nobody: Any = None
    return WriteBehind(NOWHERE, throttles, clock, PeriodicTasks(clock), nobody)


def charge(throttles: Throttles, clock: ManualClock, text: str) -> BucketKey:
    throttles.charge(key(text), clock.now().timestamp())
    return key(text)


async def test_a_changed_bucket_is_written_with_what_is_left_of_its_time(
    throttles: Throttles, behind: WriteBehind, clock: ManualClock
) -> None:
    one = charge(throttles, clock, "192.0.2.0/24")
    behind.changed([one])
    await clock.advance(60)
    saved, left = behind.take_changes()[one] or (None, 0)
    assert saved == throttles.saved(one)
    assert left == throttles.rules.kept("network") - 60


async def test_a_bucket_whose_time_is_over_is_deleted(
    throttles: Throttles, behind: WriteBehind, clock: ManualClock
) -> None:
    one = charge(throttles, clock, "192.0.2.0/24")
    behind.changed([one])
    await clock.advance(throttles.rules.kept("network"))
    assert behind.take_changes() == {one: None}


async def test_what_was_written_is_not_written_again(
    throttles: Throttles, behind: WriteBehind, clock: ManualClock
) -> None:
    behind.changed([charge(throttles, clock, "192.0.2.0/24")])
    assert len(behind.take_changes()) == 1
    behind.written(ChangesWritten(stored=True))
    assert behind.take_changes() == {}


async def test_a_write_that_was_not_confirmed_is_part_of_the_next(
    throttles: Throttles, behind: WriteBehind, clock: ManualClock
) -> None:
    first, second = (charge(throttles, clock, text) for text in ("192.0.2.0/24", "198.51.100.0/24"))
    behind.changed([first])
    behind.take_changes()
    behind.changed([second])
    assert behind.take_changes().keys() == {first, second}


async def test_after_a_failure_everything_is_written_again(
    throttles: Throttles, behind: WriteBehind, clock: ManualClock
) -> None:
    first, second = (charge(throttles, clock, text) for text in ("192.0.2.0/24", "198.51.100.0/24"))
    behind.changed([first])
    behind.take_changes()
    behind.written(ChangesWritten(stored=False))
    assert behind.take_changes().keys() == {first, second}


async def test_redis_that_is_unavailable_at_the_start_leaves_the_throttles_empty(
    throttles: Throttles, behind: WriteBehind
) -> None:
    await behind.read()
    assert len(throttles) == 0
    await behind.close(1.0)
