"""Numbers of the tickets that the embedded inventory has issued."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, PrimaryKeyConstraint
from sqlalchemy.dialects.postgresql import UUID

from voyagent.storage.migrations import guards

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the table, with its guards."""
    table = op.create_table(
        "house_counters",
        Column("tenant_id", UUID, ForeignKey("tenants.id", name="fk_house_counters_tenant_id"), nullable=False),
        Column("tickets", BigInteger, nullable=False),
        PrimaryKeyConstraint("tenant_id", name="pk_house_counters"),
    )
    for statement in guards.protect(table):
        op.execute(statement)


def downgrade() -> None:
    """Drop it; numbers begin from the first again."""
    op.drop_table("house_counters")
