"""Statements of a BSP as an agency has fetched them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.bsp import Report
from ..engine.operations import Command, Query
from ..engine.statements import binds, statement
from ..tables import bsp_reports

if TYPE_CHECKING:
    from ..engine.connection import Connection

_KEY = ("tenant_id", "country", "period_start", "period_end", "digest")
_READ = ("country", "period_start", "period_end", "agents", "airline", "currency", "transactions", "source_ref")
INSERT = statement(
    insert(bsp_reports)
    .values(
        **binds(*_KEY, "id", "agents", "airline", "currency", "sales_total", "refund_total", "commission_total"),
        **binds("net_remittance", "transaction_count", "transactions", "source_ref", "created_at"),
    )
    .on_conflict_do_nothing(index_elements=_KEY)
)
FIND = statement(select(bsp_reports.c.id).filter_by(**binds(*_KEY)))
READ = statement(select(*bsp_reports.c[_READ]).filter_by(**binds("tenant_id", "id")))


def row_of(report: Report) -> dict[str, Any]:
    """A report as it is stored. A long one takes a while."""
    totals = report.totals[report.currency]
    data = report.model_dump(mode="json", include={"agents", "transactions"})
    return data | {
        "country": report.country,
        "period_start": report.period_start,
        "period_end": report.period_end,
        "digest": report.digest,
        "airline": report.airline,
        "currency": report.currency,
        "sales_total": totals.sales.amount,
        "refund_total": totals.refunds.amount,
        "commission_total": totals.commission.amount,
        "net_remittance": totals.net.amount,
        "transaction_count": len(report.transactions),
        "source_ref": report.source_ref,
    }


def report_of(row: Mapping[str, Any]) -> Report:
    """The report of a stored row. A long one takes a while."""
    return Report.model_validate(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Command[str]):
    """Keep a report, of ``row_of``, and return its id: that of the same one if it was kept before."""

    id: str
    row: Mapping[str, Any]
    now: datetime

    async def run(self, db: Connection) -> str:
        await INSERT.execute(db, **self.row, tenant_id=self.tenant_id, id=self.id, created_at=self.now)
        key = {name: self.row[name] for name in _KEY if name != "tenant_id"}
        kept: str = await FIND.fetchval(db, **key, tenant_id=self.tenant_id)
        return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Query[Mapping[str, Any] | None]):
    """A report of the agency, for ``report_of``."""

    id: str

    async def run(self, db: Connection) -> Mapping[str, Any] | None:
        row = await READ.fetchrow(db, tenant_id=self.tenant_id, id=self.id)
        return None if row is None else dict(row)
