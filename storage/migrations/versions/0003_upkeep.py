"""Indexes for the hourly retention job."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

INDEXES = {
    "ix_users_id_unproven": "users (id) WHERE NOT email_verified AND released_at IS NULL",
    "ix_auth_families_revoked_at": "auth_families (revoked_at) WHERE revoked_at IS NOT NULL",
    "ix_auth_families_expires_at": "auth_families (expires_at)",
    "ix_one_time_tokens_expires_at": "one_time_tokens (expires_at)",
    "ix_outbox_created_at_settled": "outbox (created_at) WHERE state <> 'due'",
}


def upgrade() -> None:
    """Make them."""
    for name, on in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {on}")


def downgrade() -> None:
    """Drop the indexes: the job is slower without them, but correct."""
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
