"""Journals in the order of their days and ids, in which they are exported."""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"

BEFORE = "CREATE INDEX ix_journals_entry_date ON journals (tenant_id, entry_date)"
AFTER = "CREATE INDEX ix_journals_entry_date_id ON journals (tenant_id, entry_date, id)"


def upgrade() -> None:
    """Replace the index of days alone."""
    op.execute("DROP INDEX ix_journals_entry_date")
    op.execute(AFTER)


def downgrade() -> None:
    """Put it back."""
    op.execute("DROP INDEX ix_journals_entry_date_id")
    op.execute(BEFORE)
