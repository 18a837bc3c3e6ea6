"""Visa files."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0013"
down_revision = "0012"

TABLE = """
CREATE TABLE visa_files (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    passenger_id UUID NOT NULL,
    session_id UUID,
    destination_country CHAR(2) NOT NULL,
    visa_category TEXT NOT NULL,
    travel_date DATE,
    status TEXT NOT NULL,
    checklist JSONB NOT NULL,
    application_ref TEXT,
    appointment_at TIMESTAMP WITH TIME ZONE,
    outcome_date DATE,
    notes TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_visa_files PRIMARY KEY (id),
    CONSTRAINT fk_visa_files_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_visa_files_passenger_id FOREIGN KEY(tenant_id, passenger_id) REFERENCES passengers (tenant_id, id),
    CONSTRAINT fk_visa_files_session_id FOREIGN KEY(tenant_id, session_id) REFERENCES sessions (tenant_id, id)
        ON DELETE SET NULL (session_id),
    CONSTRAINT ck_visa_files_status CHECK (status IN ('draft', 'checklist_prepared', 'docs_collecting', 'docs_verified',
        'application_submitted', 'appointment_booked', 'biometrics_done', 'in_process', 'approved', 'rejected',
        'withdrawn'))
)
"""

INDEXES = (
    "CREATE INDEX ix_visa_files_session_id ON visa_files (tenant_id, session_id)",
    (
        "CREATE UNIQUE INDEX uq_visa_files_open ON visa_files"
        " (tenant_id, passenger_id, destination_country, visa_category)"
        " WHERE status NOT IN ('approved', 'rejected', 'withdrawn')"
    ),
)


def upgrade() -> None:
    """Make the table, with its guards."""
    table = metadata.tables["visa_files"]
    for statement in (TABLE, *INDEXES, *guards.protect(table), *guards.touched(table)):
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("visa_files")
