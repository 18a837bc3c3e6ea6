"""Enquiries."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0009"
down_revision = "0008"

TABLE = """
CREATE TABLE enquiries (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    created_by_user_id UUID NOT NULL,
    customer_name TEXT NOT NULL,
    customer_email TEXT,
    customer_phone TEXT,
    origin TEXT,
    destination TEXT,
    depart_date DATE,
    return_date DATE,
    pax_count INTEGER DEFAULT 1 NOT NULL,
    budget_amount NUMERIC(18, 4),
    budget_currency CHAR(3),
    status TEXT DEFAULT 'new' NOT NULL,
    notes TEXT,
    session_id UUID,
    searched TEXT GENERATED ALWAYS AS (lower(coalesce(customer_name, ''))
        || chr(31) || lower(coalesce(customer_email, ''))
        || chr(31) || lower(coalesce(customer_phone, ''))
        || chr(31) || lower(coalesce(origin, ''))
        || chr(31) || lower(coalesce(destination, ''))) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_enquiries PRIMARY KEY (id),
    CONSTRAINT uq_enquiries_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_enquiries_session_id FOREIGN KEY(tenant_id, session_id) REFERENCES sessions (tenant_id, id)
        ON DELETE SET NULL (session_id),
    CONSTRAINT ck_enquiries_status CHECK (status IN ('new', 'quoted', 'booked', 'cancelled')),
    CONSTRAINT ck_enquiries_pax_count CHECK (pax_count >= 1),
    CONSTRAINT ck_enquiries_budget_amount CHECK (budget_amount >= 0),
    CONSTRAINT ck_enquiries_return_date CHECK (return_date >= depart_date),
    CONSTRAINT ck_enquiries_budget_currency CHECK (budget_currency ~ '^[A-Z]{3}$'),
    CONSTRAINT fk_enquiries_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
"""

INDEXES = (
    "CREATE INDEX ix_enquiries_created_at_id ON enquiries (tenant_id, created_at, id)",
    (
        "CREATE INDEX ix_enquiries_depart_date_status_created_at_id"
        " ON enquiries (tenant_id, depart_date, status, created_at, id)"
    ),
    "CREATE INDEX ix_enquiries_session_id ON enquiries (tenant_id, session_id) WHERE session_id IS NOT NULL",
    "CREATE INDEX ix_enquiries_status_created_at_id ON enquiries (tenant_id, status, created_at, id)",
)


def upgrade() -> None:
    """Make the table with its indexes and guards."""
    table = metadata.tables["enquiries"]
    for statement in (TABLE, *INDEXES, *guards.protect(table), *guards.touched(table)):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table. What it holds is lost."""
    op.execute("DROP TABLE enquiries")
