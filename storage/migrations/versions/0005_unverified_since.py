"""Since when an address has been unverified."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Count from what was counted from until now."""
    op.execute("ALTER TABLE users ADD COLUMN unverified_since timestamptz")
    op.execute("ALTER TABLE users NO FORCE ROW LEVEL SECURITY")  # the rows of every agency, for this transaction
    op.execute("UPDATE users SET unverified_since = coalesce(email_changed_at, created_at) WHERE NOT email_verified")
    op.execute("ALTER TABLE users FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE INDEX ix_one_time_tokens_email_kept ON one_time_tokens (email)"
        " WHERE kind IN ('undo', 'undo_reset') AND used_at IS NULL"
    )
    op.execute("CREATE INDEX ix_outbox_recipient_kind_created_at ON outbox (recipient, kind, created_at)")
    op.execute("DROP INDEX ix_users_former_email")


def downgrade() -> None:
    """The release before counts from the last move."""
    op.execute("CREATE INDEX ix_users_former_email ON users (former_email) WHERE former_email IS NOT NULL")
    op.execute("DROP INDEX ix_outbox_recipient_kind_created_at")
    op.execute("DROP INDEX ix_one_time_tokens_email_kept")
    op.execute("ALTER TABLE users DROP COLUMN unverified_since")
