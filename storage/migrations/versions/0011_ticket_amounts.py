"""Tickets whose own amount the supplier does not state."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Let the amount be unknown."""
    op.execute("ALTER TABLE tickets ALTER COLUMN total DROP NOT NULL")


def downgrade() -> None:
    """The release before reads no amounts; those unknown become 0."""
    op.execute("ALTER TABLE tickets NO FORCE ROW LEVEL SECURITY")  # the rows of every agency, for this transaction
    op.execute("UPDATE tickets SET total = 0 WHERE total IS NULL")
    op.execute("ALTER TABLE tickets FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE tickets ALTER COLUMN total SET NOT NULL")
