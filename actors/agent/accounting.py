"""What model calls cost: an estimate reserved before, the truth written down after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ...storage import model_calls
from .. import ids, log, metrics
from ..config_values import ModelPrice
from .assembly import Usage
from .model import ModelCall

if TYPE_CHECKING:
    from .loop import Ports, Task

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


Prices = Mapping[str, ModelPrice]


@dataclass(slots=True)
class Spending:
    """One model call's reservation, from before the call to its settlement."""

    ports: Ports
    task: Task
    id: str
    model: str
    reserved: int
    began: float
    refused: str | None = None
    usage: Usage | None = None
    outcome: str = "failed"
    _settled: bool = field(default=False)

    def seen(self, usage: Usage) -> None:
        """What the model has stated so far: all that is known of a call that is cut off."""
        self.usage = usage

    def finish(self, usage: Usage | None, outcome: str) -> None:
        """The call is over; the reservation becomes what was used."""
        if self._settled or self.refused is not None:
            return
        self._settled = True
        self.usage, self.outcome = usage or self.usage, outcome
        used = 0 if self.usage is None else self.usage.total
        self.ports.allowance.settle(self.reserved, used)

    def spent(self) -> model_calls.Spent:
        """As the ledger of model calls keeps it."""
        self.finish(self.usage, self.outcome)
        usage = self.usage or Usage(0, 0, 0, 0)
        price = self.ports.prices.get(self.model)
        cost = None if price is None else cost_of(price, usage)
        if cost is None:
            metrics.MODEL_UNPRICED_CALLS_TOTAL.labels(model=self.model).inc()
            _log.warning("model_price_unknown", model=self.model)
        else:
            metrics.MODEL_COST_USD_TOTAL.labels(model=self.model).inc(float(cost))
        return model_calls.Spent(
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


async def begin(task: Task, ports: Ports, call: ModelCall, pass_no: int, desk: str | None) -> Spending:
    """Reserve the estimate and write the call down as started. ``refused`` says why it may not be made."""
    tokens = call.estimate()
    spending = Spending(ports, task, ids.uuid7(), call.model, tokens, ports.clock.monotonic())
    spending.refused = ports.allowance.reserve(tokens)
    if spending.refused is not None:
        return spending
    await ports.store.ask(
        model_calls.Begin(
            tenant_id=task.tenant_id,
            id=spending.id,
            session_id=task.session_id,
            turn_id=task.turn_id,
            pass_no=pass_no,
            desk=desk,
            model=call.model,
            estimate=tokens,
            now=ports.clock.now(),
        )
    )
    return spending
