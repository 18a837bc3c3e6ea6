"""Statements of a BSP, and what they were reconciled with."""

from __future__ import annotations

from sqlalchemy import CHAR, CheckConstraint, Date, Integer, Numeric, Table, Text, UniqueConstraint

from .columns import Json, Uuid, created_at, currency, metadata, optional, owned, reference, required

Total = Numeric(28, 4)
"""The sum of many amounts of ``Money``."""

bsp_reports = Table(
    "bsp_reports",
    metadata,
    *owned(target=True),
    required("country", CHAR(2)),
    required("period_start", Date),
    required("period_end", Date),
    required("digest", Text),
    required("agents", Json),
    optional("airline", Text),
    required("currency", CHAR(3)),
    required("sales_total", Total),
    required("refund_total", Total),
    required("commission_total", Total),
    required("net_remittance", Total),
    required("transaction_count", Integer),
    required("transactions", Json),
    required("source_ref", Text),
    created_at(),
    UniqueConstraint("tenant_id", "country", "period_start", "period_end", "digest"),
    CheckConstraint("period_end >= period_start", name="period"),
    CheckConstraint("transaction_count >= 0", name="transaction_count"),
    currency("currency"),
)
"""A statement is kept as it was read: nothing of it changes, and one that was sent again changed is another row."""

reconciliations = Table(
    "reconciliations",
    metadata,
    *owned(),
    required("report_id", Uuid),
    required("digest", Text),
    required("matched", Integer),
    required("unmatched_external", Integer),
    required("unmatched_internal", Integer),
    required("discrepancy", Integer),
    required("tentative", Integer),
    required("items", Json),
    created_at(),
    reference("bsp_reports", "report_id"),
    UniqueConstraint("tenant_id", "report_id", "digest"),
)
"""A result is kept once, however often it comes out the same."""
