"""Usage and cost of model calls: an estimate is reserved before, the actual usage is settled after."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Self

from ...storage.conversation import model_calls
from ..domain import ids
from ..domain.turns import TurnError
from ..foundation import log, metrics
from ..foundation.config_values import ModelPrice
from .llm.accumulator import Usage
from .llm.model import ModelCall
from .ports import Ports, Task

_log = log.get(__name__)
_MILLION = Decimal(1_000_000)
_FRACTION = Decimal("0.00000001")


def cost_of(price: ModelPrice, usage: Usage) -> Decimal:
    """The cost in USD, eight decimals; prices are per million tokens."""
    cost = (
        usage.input * price.input
        + usage.output * price.output
        + usage.cache_read * price.cache_read
        + usage.cache_write * price.cache_write
    ) / _MILLION
    return cost.quantize(_FRACTION, ROUND_HALF_UP)


class UsageReservation:
    """One model call's reservation, from before the call to its settlement.

    A context manager: however the call ends, its reservation is released and its usage is counted.
    """

    def __init__(self, task: Task, ports: Ports, call: ModelCall) -> None:
        self.task = task
        self.ports = ports
        self.id = ids.uuid7()
        self.model = call.model
        self.estimate = call.estimate()
        self.began = ports.clock.monotonic()
        self.usage: Usage | None = None
        self.outcome = "failed"
        self._reserved = 0
        self._spent: model_calls.ModelCallUsage | None = None

    def reserve(self) -> TurnError | None:
        """Reserve the estimate, or return why the call may not be made."""
        refused = self.ports.budget.reserve(self.estimate)
        self._reserved = self.estimate if refused is None else 0
        return refused

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish(None, "failed")

    async def store(self, pass_no: int, desk: str | None) -> None:
        """Store the call as started, at its estimate."""
        begin = model_calls.Begin(
            tenant_id=self.task.tenant_id,
            id=self.id,
            session_id=self.task.session_id,
            turn_id=self.task.turn_id,
            pass_no=pass_no,
            desk=desk,
            model=self.model,
            estimate=self.estimate,
            now=self.ports.clock.now(),
        )
        await self.ports.store.ask(begin)

    def note(self, usage: Usage) -> None:
        """Note the usage reported so far: all that is known of a call that is cut off."""
        self.usage = usage

    def finish(self, usage: Usage | None, outcome: str) -> None:
        """Settle the reservation with the actual usage. Only the first call counts."""
        if not self._reserved:
            return
        reserved, self._reserved = self._reserved, 0
        self.usage, self.outcome = usage or self.usage, outcome
        used = 0 if self.usage is None else self.usage.total
        self.ports.budget.settle(reserved, used)

    def spent(self) -> model_calls.ModelCallUsage:
        """The usage as stored with the model call; its cost is counted once, however often its pass is ended."""
        if self._spent is None:
            self._spent = self._counted()
        return self._spent

    def _counted(self) -> model_calls.ModelCallUsage:
        self.finish(self.usage, self.outcome)
        usage = self.usage or Usage(0, 0, 0, 0)
        price = self.ports.prices.get(self.model)
        cost = None if price is None else cost_of(price, usage)
        if cost is None:
            metrics.MODEL_UNPRICED_CALLS_TOTAL.labels(model=self.model).inc()
            _log.warning("model_price_unknown", model=self.model)
        else:
            metrics.MODEL_COST_USD_TOTAL.labels(model=self.model).inc(float(cost))
        return model_calls.ModelCallUsage(
            id=self.id,
            model=self.model,
            outcome=self.outcome,
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            cost_usd=cost,
            duration_ms=int((self.ports.clock.monotonic() - self.began) * 1000),
        )
