"""The country that issued a passenger's passport."""

from __future__ import annotations

from alembic import op
from sqlalchemy import CHAR, Column

revision = "0016"
down_revision = "0015"

BEFORE = (
    "id",
    "tenant_id",
    "full_name",
    "match_key",
    "given_name",
    "family_name",
    "title",
    "type",
    "gender",
    "email",
    "phone",
    "date_of_birth",
    "nationality",
    "passport_sealed",
    "passport_key_id",
    "passport_index",
    "passport_expiry",
)
AFTER = ("created_at", "updated_at")


def upgrade() -> None:
    """Add the column; who is on file has none."""
    op.execute("DROP TRIGGER touched ON passengers")
    op.add_column("passengers", Column("passport_country", CHAR(2), nullable=True))
    op.execute(_touched(*BEFORE, "passport_country", *AFTER))


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TRIGGER touched ON passengers")
    op.drop_column("passengers", "passport_country")
    op.execute(_touched(*BEFORE, *AFTER))


def _touched(*columns: str) -> str:
    """The trigger that keeps ``updated_at``: it compares the columns by their names, since others are generated."""
    old, new = (", ".join(f"{row}.{name}" for name in columns) for row in ("OLD", "NEW"))
    return (
        f"CREATE TRIGGER touched BEFORE UPDATE ON passengers FOR EACH ROW WHEN (ROW({old}) IS DISTINCT FROM ROW({new}))"
        " EXECUTE FUNCTION voyagent_touch()"
    )
