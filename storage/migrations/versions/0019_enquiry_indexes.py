"""Indexes by which enquiries are found and counted by travel dates: one that has them along, one that is small."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"

CREATED = "CREATE INDEX ix_enquiries_created_at_id ON enquiries (tenant_id, created_at, id)"
DEPARTS = "CREATE INDEX ix_enquiries_depart_date_status ON enquiries (tenant_id, depart_date, status)"
BEFORE = (
    "CREATE INDEX ix_enquiries_depart_date_status_created_at_id"
    " ON enquiries (tenant_id, depart_date, status, created_at, id)"
)


def upgrade() -> None:
    """Replace them."""
    op.execute("DROP INDEX ix_enquiries_created_at_id")
    op.execute("DROP INDEX ix_enquiries_depart_date_status_created_at_id")
    op.execute(f"{CREATED} INCLUDE (depart_date, status)")
    op.execute(DEPARTS)


def downgrade() -> None:
    """Put back those of before."""
    op.execute("DROP INDEX ix_enquiries_created_at_id")
    op.execute("DROP INDEX ix_enquiries_depart_date_status")
    op.execute(CREATED)
    op.execute(BEFORE)
