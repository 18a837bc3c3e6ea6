"""A reservation of tokens is settled once, however its call ends; usage has a price or is counted as unpriced."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.figures import counted
from tests.manual_clock import ManualClock
from voyagent.actors.agent.llm.accumulator import Usage
from voyagent.actors.agent.llm.model import ModelCall
from voyagent.actors.agent.run import Ports, Task
from voyagent.actors.agent.usage import UsageReservation, cost_of
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.domain.turns import TurnError
from voyagent.actors.foundation import metrics
from voyagent.actors.foundation.config_values import ModelPrice
from voyagent.storage.conversation import model_calls

AGENCY = "0193f5a0-0000-7000-8000-00000000000a"
PRICE = ModelPrice(
    input=Decimal(3),
    output=Decimal(15),
    cache_read=Decimal("0.3"),
    cache_write=Decimal("3.75"),
    as_of=date(2026, 1, 1),
)
TASK = Task(
    tenant_id=AGENCY,
    session_id=AGENCY,
    turn_id="turn_0",
    user_id=AGENCY,
    settings=TenantSettings(tenant_id=AGENCY),
    model_name="claude-test",
    max_tokens=1000,
    approval_ttl=timedelta(minutes=15),
)
CALL = ModelCall(
    model="claude-test", max_tokens=1000, system="", tools=[], messages=[{"role": "user", "content": "hello"}]
)


class Budget:
    """A budget of so many tokens."""

    def __init__(self, limit: int = 10**6) -> None:
        self.limit = limit
        self.reserved = self.used = 0

    def reserve(self, tokens: int) -> TurnError | None:
        if self.used + self.reserved + tokens > self.limit:
            return TurnError("daily_budget_exceeded", "")
        self.reserved += tokens
        return None

    def settle(self, reserved: int, used: int) -> None:
        self.reserved -= reserved
        self.used += used


class Store:
    """Keeps what it is asked to store, or is unavailable."""

    def __init__(self, *, available: bool = True) -> None:
        self.available = available
        self.stored: list[Any] = []

    async def ask(self, message: Any, within: float = 10.0) -> None:
        assert within > 0
        if not self.available:
            raise Unavailable("storage_unavailable")
        self.stored.append(message)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that a test moves."""
    return ManualClock()


def reservation(clock: ManualClock, budget: Budget, store: Store) -> UsageReservation:
    unused: Any = None
    ports = Ports(
        model=unused,
        recorder=unused,
        store=store,  # type: ignore[arg-type]  # only asked here
        budget=budget,
        clock=clock,
        prices={"claude-test": PRICE},
        context=unused,
    )
    return UsageReservation(TASK, ports, CALL)


async def test_a_reservation_is_released_even_if_nothing_more_can_be_stored(clock: ManualClock) -> None:
    budget = Budget()
    call = reservation(clock, budget, Store(available=False))
    assert call.reserve() is None
    assert budget.reserved == call.estimate > 1000
    with pytest.raises(Unavailable), call:
        await call.store(1, None)
    assert (budget.reserved, budget.used) == (0, 0)


async def test_a_call_is_stored_at_its_estimate_before_it_is_made(clock: ManualClock) -> None:
    store = Store()
    call = reservation(clock, Budget(), store)
    call.reserve()
    await call.store(3, "hotels")
    [begun] = store.stored
    assert isinstance(begun, model_calls.Begin)
    assert (begun.id, begun.pass_no, begun.desk, begun.estimate) == (call.id, 3, "hotels", call.estimate)


def test_what_does_not_fit_into_the_budget_reserves_nothing(clock: ManualClock) -> None:
    budget = Budget(limit=100)
    call = reservation(clock, budget, Store())
    refused = call.reserve()
    assert refused is not None
    assert refused.code == "daily_budget_exceeded"
    with call:
        assert budget.reserved == 0
    assert (budget.reserved, budget.used) == (0, 0)


def test_a_call_that_is_cut_off_counts_what_it_had_reported(clock: ManualClock) -> None:
    budget = Budget()
    call = reservation(clock, budget, Store())
    call.reserve()
    with call:
        call.note(Usage(100, 20, 3, 4))
    assert (budget.reserved, budget.used) == (0, 127)
    assert call.spent().outcome == "failed"


def test_only_the_first_settlement_counts(clock: ManualClock) -> None:
    budget = Budget()
    call = reservation(clock, budget, Store())
    call.reserve()
    with call:
        call.finish(Usage(10, 5, 0, 0), "ok")
        call.finish(Usage(99, 99, 99, 99), "failed")
    spent = call.spent()
    assert (budget.reserved, budget.used) == (0, 15)
    assert (spent.outcome, spent.input_tokens, spent.output_tokens) == ("ok", 10, 5)


def test_all_four_kinds_of_tokens_have_their_price_to_eight_decimals() -> None:
    assert cost_of(PRICE, Usage(1_000_000, 0, 0, 0)) == Decimal("3.00000000")
    assert cost_of(PRICE, Usage(0, 1_000_000, 0, 0)) == Decimal("15.00000000")
    assert cost_of(PRICE, Usage(1, 1, 1, 1)) == Decimal("0.00002205")


async def test_a_model_without_a_price_has_no_cost_and_is_counted(clock: ManualClock) -> None:
    call = reservation(clock, Budget(), Store())
    call.model = "claude-unpriced"
    before = counted(metrics.MODEL_UNPRICED_CALLS_TOTAL, "claude-unpriced")
    await clock.advance(2.5)
    spent = call.spent()
    assert (spent.cost_usd, spent.duration_ms) == (None, 2500)
    assert counted(metrics.MODEL_UNPRICED_CALLS_TOTAL, "claude-unpriced") == before + 1
    assert reservation(clock, Budget(), Store()).spent().cost_usd == Decimal(0)


def test_a_call_is_counted_once_however_often_its_pass_is_ended(clock: ManualClock) -> None:
    """A pass that is interrupted while its end is being stored is ended again."""
    call = reservation(clock, Budget(), Store())
    call.reserve()
    before = counted(metrics.MODEL_COST_USD_TOTAL, "claude-test")
    with call:
        call.finish(Usage(input=1_000_000), "ok")
    assert call.spent() == call.spent()
    assert counted(metrics.MODEL_COST_USD_TOTAL, "claude-test") == before + 3
