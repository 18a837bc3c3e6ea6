"""An agency's turn limits and token budget."""

from __future__ import annotations

from tests.manual_clock import ManualClock
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.domain.turns import TurnError
from voyagent.actors.quota import Quota


def quota(clock: ManualClock, **limits: int) -> Quota:
    return Quota(TenantSettings(tenant_id="a", **limits), clock)


async def test_b43_the_windows_slide_and_refused_turns_do_not_count(clock: ManualClock) -> None:
    own = quota(clock, rate_limit_per_minute=2, rate_limit_per_hour=3)
    assert [own.admit() for _ in range(3)] == [None, None, TurnError("rate_limited", "minute")]
    await clock.advance(61)
    assert [own.admit(), own.admit()] == [None, TurnError("rate_limited", "hour")]
    await clock.advance(3600)
    assert own.admit() is None


def test_b43_reservations_count_until_they_are_settled(clock: ManualClock) -> None:
    own = quota(clock, daily_token_budget=100)
    assert own.reserve(60) is None
    assert own.reserve(60) == TurnError("daily_budget_exceeded", "limit=100 used=60")
    own.settle(60, 10)
    assert own.reserve(90) is None
    assert own.admit() == TurnError("daily_budget_exceeded", "limit=100 used=100")


async def test_a_new_day_begins_with_nothing_used(clock: ManualClock) -> None:
    own = quota(clock, daily_token_budget=100)
    own.restore([30.0], 100)
    assert own.admit() is not None
    await clock.advance(12 * 3600)
    assert own.admit() is None


async def test_b43_a_turn_refused_for_its_tokens_does_not_count_as_a_turn(clock: ManualClock) -> None:
    own = quota(clock, daily_token_budget=100, rate_limit_per_minute=1)
    own.restore([], 100)
    assert own.admit() == own.admit() == TurnError("daily_budget_exceeded", "limit=100 used=100")
    own.settle(0, -100)
    assert own.admit() is None


def test_b43_a_restart_remembers_the_last_hours_turns(clock: ManualClock) -> None:
    own = quota(clock, rate_limit_per_minute=1)
    own.restore([59.0], 0)
    assert own.admit() == TurnError("rate_limited", "minute")
