"""Keys of digests, stored sealed; and an index of the calls that hold sealed input, which are few."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0022"
down_revision = "0021"

DIGEST_KEYS = """
CREATE TABLE digest_keys (
    id TEXT NOT NULL,
    derived_from TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_digest_keys PRIMARY KEY (id)
)
"""
SEALED_CALLS = "CREATE INDEX ix_tool_calls_id_sealed ON tool_calls (id) WHERE input_sealed IS NOT NULL"


def upgrade() -> None:
    """Make the table with its guards, and the index. The service stores the keys at its next start."""
    op.execute(DIGEST_KEYS)
    for statement in guards.protect(metadata.tables["digest_keys"]):
        op.execute(statement)
    op.execute(SEALED_CALLS)


def downgrade() -> None:
    """Drop them: an earlier release derives the keys from the ring, which has to have those of all codes then."""
    op.execute("DROP INDEX ix_tool_calls_id_sealed")
    op.drop_table("digest_keys")
