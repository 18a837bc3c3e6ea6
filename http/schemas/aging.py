"""Requests and responses of ``/reports/receivables`` and ``/reports/payables`` (docs/contract/business.md 8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from ...actors.domain.aging import Aging, OpenDocument, OpenDocumentList, Reconciliation, Subledger
from ...actors.domain.money import reported
from .shared import ADDITION, Closed, Offset, Query, QueryDate, QueryInt, Reply


class AgingQuery(Query):
    """Issue dates of the documents, both inclusive. ``as_of`` is the last day counted, by default today."""

    from_: QueryDate = Field(alias="from")
    to: QueryDate
    as_of: Annotated[QueryDate | None, ADDITION] = None


class OpenDocumentsQuery(AgingQuery):
    """The window of a report, and which of its documents: of one bucket, currency or party, by its exact name."""

    as_of: QueryDate | None = None
    bucket: Literal["0-30", "31-60", "61-90", "90+"] | None = None
    currency: Annotated[str, Field(max_length=3)] | None = None
    party: Annotated[str, Field(max_length=255)] | None = None
    limit: Annotated[QueryInt, Field(ge=1, le=500)] = 50
    offset: Offset = 0


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


class OpenDocumentResponse(Reply):
    """An invoice or bill with what is outstanding of it. ``age``: days after the due date, negative before it."""

    id: str
    number: str
    reference: str | None
    party_name: str
    issue_date: date
    due_date: date
    age: int
    bucket: Literal["0-30", "31-60", "61-90", "90+"]
    total: MoneyResponse
    outstanding: MoneyResponse
    session_id: str | None

    @classmethod
    def of(cls, found: OpenDocument) -> OpenDocumentResponse:
        return cls.model_validate(
            {
                "id": found.id,
                "number": found.number,
                "reference": found.reference,
                "party_name": found.party_name,
                "issue_date": found.issue_date,
                "due_date": found.due_date,
                "age": found.age,
                "bucket": found.bucket,
                "total": MoneyResponse.of(found.total, found.currency),
                "outstanding": MoneyResponse.of(found.outstanding, found.currency),
                "session_id": found.session_id,
            }
        )


class OpenDocumentsResponse(Reply):
    """A page of open documents, those due first in front."""

    items: list[OpenDocumentResponse]
    total: int
    limit: int
    offset: int

    @classmethod
    def of(cls, page: OpenDocumentList, query: OpenDocumentsQuery) -> OpenDocumentsResponse:
        items = [OpenDocumentResponse.of(each) for each in page.items]
        return cls(items=items, total=page.total, limit=query.limit, offset=query.offset)
