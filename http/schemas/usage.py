"""Requests and responses of ``/reports/usage`` (docs/contract/business.md 8.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from pydantic import Field

from ...actors.tenant import Budget
from ...storage.conversation.usage import Day
from .shared import Query, QueryDate, Reply

FRACTION = Decimal("0.00000001")


class UsageQuery(Query):
    """The first and last UTC day, both inclusive. By default the last thirty days."""

    from_: QueryDate | None = Field(default=None, alias="from")
    to: QueryDate | None = None


class Period(Reply):
    """The first and last day, both inclusive."""

    from_: date = Field(alias="from")
    to: date


class UsageItem(Reply):
    """The calls of one model on one UTC day. ``cost_usd`` is null if any call had no price."""

    date: date
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: str | None


class UsageTotals(Reply):
    """The totals of all items. ``cost_usd`` covers priced calls only."""

    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: str
    unpriced_calls: int


class UsageBudget(Reply):
    """Today's tokens: the limit (null: none), used by completed calls, reserved by running calls."""

    limit: int | None
    used_today: int
    reserved: int


class UsageResponse(Reply):
    """The agency's model usage."""

    tenant_id: str
    period: Period
    items: list[UsageItem]
    totals: UsageTotals
    budget: UsageBudget

    @classmethod
    def of(cls, tenant_id: str, period: Period, days: Sequence[Day], budget: Budget) -> UsageResponse:
        totals = UsageTotals(
            calls=sum(day.calls for day in days),
            input_tokens=sum(day.input_tokens for day in days),
            output_tokens=sum(day.output_tokens for day in days),
            cache_read_tokens=sum(day.cache_read_tokens for day in days),
            cache_write_tokens=sum(day.cache_write_tokens for day in days),
            cost_usd=_dollars(sum((day.cost_usd for day in days), Decimal(0))),
            unpriced_calls=sum(day.unpriced_calls for day in days),
        )
        shown = UsageBudget(limit=budget.limit, used_today=budget.used_today, reserved=budget.reserved)
        return cls(tenant_id=tenant_id, period=period, items=[_item(day) for day in days], totals=totals, budget=shown)


def _item(day: Day) -> UsageItem:
    return UsageItem(
        date=day.date,
        model=day.model,
        calls=day.calls,
        input_tokens=day.input_tokens,
        output_tokens=day.output_tokens,
        cache_read_tokens=day.cache_read_tokens,
        cache_write_tokens=day.cache_write_tokens,
        cost_usd=None if day.unpriced_calls else _dollars(day.cost_usd),
    )


def _dollars(amount: Decimal) -> str:
    return f"{amount.quantize(FRACTION):f}"
