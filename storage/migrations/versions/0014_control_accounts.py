"""Control accounts take lines of their documents alone; an account stays what it is."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the triggers. Lines that are there are not judged again."""
    for statement in (guards.CONTROLLED, guards.CONTROL, guards.SAME_ACCOUNT, guards.SAME):
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TRIGGER control ON journal_lines")
    op.execute("DROP FUNCTION voyagent_controlled")
    op.execute("DROP TRIGGER same ON ledger_accounts")
    op.execute("DROP FUNCTION voyagent_same_account")
