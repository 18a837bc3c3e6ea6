"""Statements of a BSP and their reconciliations; tickets are found by the time they were issued."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0021"
down_revision = "0020"

REPORTS = """
CREATE TABLE bsp_reports (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    country CHAR(2) NOT NULL,
    period_start DATE NOT NULL,
    period_end DATE NOT NULL,
    digest TEXT NOT NULL,
    agents JSONB NOT NULL,
    airline TEXT,
    currency CHAR(3) NOT NULL,
    sales_total NUMERIC(28, 4) NOT NULL,
    refund_total NUMERIC(28, 4) NOT NULL,
    commission_total NUMERIC(28, 4) NOT NULL,
    net_remittance NUMERIC(28, 4) NOT NULL,
    transaction_count INTEGER NOT NULL,
    transactions JSONB NOT NULL,
    source_ref TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_bsp_reports PRIMARY KEY (id),
    CONSTRAINT uq_bsp_reports_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_bsp_reports_country_period_start_period_end_digest
        UNIQUE (tenant_id, country, period_start, period_end, digest),
    CONSTRAINT ck_bsp_reports_period CHECK (period_end >= period_start),
    CONSTRAINT ck_bsp_reports_transaction_count CHECK (transaction_count >= 0),
    CONSTRAINT ck_bsp_reports_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT fk_bsp_reports_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
"""

RECONCILIATIONS = """
CREATE TABLE reconciliations (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    report_id UUID NOT NULL,
    digest TEXT NOT NULL,
    matched INTEGER NOT NULL,
    unmatched_external INTEGER NOT NULL,
    unmatched_internal INTEGER NOT NULL,
    discrepancy INTEGER NOT NULL,
    tentative INTEGER NOT NULL,
    items JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_reconciliations PRIMARY KEY (id),
    CONSTRAINT fk_reconciliations_report_id FOREIGN KEY(tenant_id, report_id) REFERENCES bsp_reports (tenant_id, id),
    CONSTRAINT uq_reconciliations_report_id_digest UNIQUE (tenant_id, report_id, digest),
    CONSTRAINT fk_reconciliations_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
"""

ISSUED = "CREATE INDEX ix_tickets_issued_at ON tickets (tenant_id, issued_at)"


def upgrade() -> None:
    """Make the tables with their guards, and the index."""
    for statement in (REPORTS, RECONCILIATIONS, ISSUED):
        op.execute(statement)
    for name in ("bsp_reports", "reconciliations"):
        for statement in guards.protect(metadata.tables[name]):
            op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX ix_tickets_issued_at")
    op.drop_table("reconciliations")
    op.drop_table("bsp_reports")
