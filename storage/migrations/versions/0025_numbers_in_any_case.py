"""Numbers of documents and references of vendors that differ in case alone are one."""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"

KEYS = (
    ("invoices", "number", "number_key"),
    ("bills", "number", "number_key"),
    ("bills", "vendor_reference", "reference_key"),
)


def upgrade() -> None:
    """Make the columns and their constraints. Fails, and changes nothing, where two documents differ in case alone."""
    for table, column, key in KEYS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {key} TEXT GENERATED ALWAYS AS (upper({column})) STORED")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT uq_{table}_{key} UNIQUE (tenant_id, {key})")
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT uq_{table}_{column}")


def downgrade() -> None:
    """Drop them: numbers are different again if their case is."""
    for table, column, key in KEYS:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT uq_{table}_{column} UNIQUE (tenant_id, {column})")
        op.execute(f"ALTER TABLE {table} DROP COLUMN {key}")
