"""All tables, made from the metadata, with their guards: where every new database begins."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0007"
down_revision = None


def upgrade() -> None:
    """Make them. ``migrate`` passes over later migrations then: they are for databases of earlier releases."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    for statement in guards.everything(metadata):
        op.execute(statement)


def downgrade() -> None:
    """Irreversible: this is the first migration."""
    raise RuntimeError("The first tables are not taken away: restore a backup.")
