"""The names of people on file as they are looked up by: without case, accents and signs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from voyagent.actors.domain.persons import match_key

revision = "0007"
down_revision = "0006"

AT_ONCE = 1_000


def upgrade() -> None:
    """Make them for who is there. The release before writes none: such a person is found by their next change."""
    op.execute("ALTER TABLE passengers ADD COLUMN match_key text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE passengers NO FORCE ROW LEVEL SECURITY")  # the rows of every agency, for this transaction
    db = op.get_bind()
    write = sa.text("UPDATE passengers SET match_key = :key WHERE id = CAST(:id AS uuid)")
    last = "00000000-0000-0000-0000-000000000000"
    read = sa.text("SELECT id::text, full_name FROM passengers WHERE id > CAST(:last AS uuid) ORDER BY id LIMIT :n")
    while rows := db.execute(read, {"last": last, "n": AT_ONCE}).all():
        for row in rows:
            db.execute(write, {"key": match_key(row.full_name), "id": row.id})
        last = rows[-1].id
    op.execute("ALTER TABLE passengers FORCE ROW LEVEL SECURITY")
    op.execute("CREATE INDEX ix_passengers_email_key_match_key ON passengers (tenant_id, email_key, match_key)")


def downgrade() -> None:
    """The release before looks people up by their names as they are written."""
    op.execute("DROP INDEX ix_passengers_email_key_match_key")
    op.execute("ALTER TABLE passengers DROP COLUMN match_key")
