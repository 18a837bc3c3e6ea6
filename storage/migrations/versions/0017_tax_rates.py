"""Tax rates, as dated rows."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0017"
down_revision = "0016"

TABLE = """
CREATE TABLE tax_rates (
    tenant_id UUID NOT NULL,
    regime TEXT NOT NULL,
    code TEXT NOT NULL,
    jurisdiction TEXT DEFAULT '' NOT NULL,
    supply TEXT DEFAULT 'standard' NOT NULL,
    holds_from DATE NOT NULL,
    rate_bps INTEGER,
    set_by UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_tax_rates PRIMARY KEY (tenant_id, regime, code, jurisdiction, supply, holds_from),
    CONSTRAINT ck_tax_rates_regime CHECK (regime IN ('gst_india', 'vat_uk', 'vat_eu', 'vat_uae', 'gst_sg', 'sst_my',
        'sales_tax_us', 'none')),
    CONSTRAINT ck_tax_rates_code CHECK (code = upper(code) AND char_length(code) BETWEEN 1 AND 32),
    CONSTRAINT ck_tax_rates_supply CHECK (supply ~ '^[a-z][a-z0-9_]{0,31}$'),
    CONSTRAINT ck_tax_rates_rate_bps CHECK (rate_bps BETWEEN 0 AND 100000),
    CONSTRAINT fk_tax_rates_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
"""


def upgrade() -> None:
    """Make the table, with its guards. An agency's first rates come when it is first asked for them."""
    table = metadata.tables["tax_rates"]
    for statement in (TABLE, *guards.protect(table), *guards.touched(table)):
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("tax_rates")
