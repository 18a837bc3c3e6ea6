"""Requests and responses of ``/reports/receivables`` and ``/reports/payables`` (docs/contract/business.md 8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from ...actors.domain.aging import Aging, Reconciliation, Subledger
from ...actors.domain.money import reported
from .shared import ADDITION, Closed, Query, QueryDate, Reply


class AgingQuery(Query):
    """Issue dates of the documents, both inclusive. ``as_of`` is the last day counted, by default today."""

    from_: QueryDate = Field(alias="from")
    to: QueryDate
    as_of: Annotated[QueryDate | None, ADDITION] = None


class PeriodResponse(Closed):
    """The first and last day, both inclusive."""

    from_: date = Field(alias="from")
    to: date


class MoneyResponse(Closed):
    """An amount in one currency."""

    amount: str = Field(json_schema_extra={"pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"})
    currency: str

    @classmethod
    def of(cls, amount: Decimal, currency: str) -> MoneyResponse:
        return cls(amount=reported(amount, currency), currency=currency)


class AgingBucket(Closed):
    """The open documents of some ages: ``0-30`` days after the due date or not due, ``31-60``, ``61-90``, ``90+``."""

    bucket: str
    count: int
    amount: MoneyResponse


class PartyAmount(Closed):
    """What is outstanding of one party."""

    name: str
    amount: MoneyResponse


class ReconciliationResponse(Reply):
    """All open documents of a currency, whatever the window, against the balance of their control account."""

    aging_total: str
    control_account: str
    difference: str

    @classmethod
    def of(cls, found: Reconciliation, currency: str) -> ReconciliationResponse:
        return cls(
            aging_total=reported(found.aging_total, currency),
            control_account=reported(found.control_account, currency),
            difference=reported(found.difference, currency),
        )


class OtherAging(Reply):
    """The aging of one further currency."""

    currency: str
    total_outstanding: MoneyResponse
    aging_buckets: list[AgingBucket]
    not_due: MoneyResponse
    top_debtors: list[PartyAmount]
    top_creditors: list[PartyAmount]
    reconciliation: ReconciliationResponse

    @classmethod
    def of(cls, found: Aging, side: Subledger) -> OtherAging:
        return cls(currency=found.currency, **_figures(found, side))


class AgingReportResponse(Closed):
    """Open documents by age, in one currency; others follow in ``other_currencies``. Currencies are never added."""

    tenant_id: str
    period: PeriodResponse
    as_of: Annotated[date, ADDITION]
    total_outstanding: MoneyResponse
    aging_buckets: list[AgingBucket]
    not_due: Annotated[MoneyResponse, ADDITION]
    top_debtors: list[PartyAmount]
    top_creditors: list[PartyAmount]
    reconciliation: Annotated[ReconciliationResponse, ADDITION]
    other_currencies: Annotated[list[OtherAging], ADDITION]

    @classmethod
    def of(
        cls, tenant_id: str, query: AgingQuery, as_of: date, side: Subledger, found: Sequence[Aging]
    ) -> AgingReportResponse:
        header, *others = found
        return cls(
            tenant_id=tenant_id,
            period=PeriodResponse.model_validate({"from": query.from_, "to": query.to}),
            as_of=as_of,
            **_figures(header, side),
            other_currencies=[OtherAging.of(each, side) for each in others],
        )


def _figures(found: Aging, side: Subledger) -> dict[str, Any]:
    """The fields that all currencies have. Of the two lists of parties the other side's is empty."""
    currency = found.currency
    parties = [PartyAmount(name=each.name, amount=MoneyResponse.of(each.amount, currency)) for each in found.top]
    return {
        "total_outstanding": MoneyResponse.of(found.total_outstanding, currency),
        "aging_buckets": [
            AgingBucket(bucket=each.name, count=each.count, amount=MoneyResponse.of(each.amount, currency))
            for each in found.buckets
        ],
        "not_due": MoneyResponse.of(found.not_due, currency),
        "top_debtors": parties if side == "receivables" else [],
        "top_creditors": parties if side == "payables" else [],
        "reconciliation": ReconciliationResponse.of(found.reconciliation, currency),
    }
