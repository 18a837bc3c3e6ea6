"""What operators are told: why an e-mail did not go out, and whether the sealing keys are those of this database."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations.guards import SYSTEM_ROLE

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make them. No agency has a canary: the system role alone reads the table."""
    op.execute("ALTER TABLE outbox ADD COLUMN cause text")
    op.execute(
        """
CREATE TABLE sealing_canaries (
    key_id text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_sealing_canaries PRIMARY KEY (key_id)
)
"""
    )
    op.execute("ALTER TABLE sealing_canaries ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE sealing_canaries FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY system ON sealing_canaries TO {SYSTEM_ROLE} USING (true)")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON sealing_canaries TO {SYSTEM_ROLE}")


def downgrade() -> None:
    """Causes and canaries are made again."""
    op.execute("DROP TABLE sealing_canaries")
    op.execute("ALTER TABLE outbox DROP COLUMN cause")
