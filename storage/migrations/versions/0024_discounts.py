"""Discounts of invoice lines. Lines of earlier releases have none."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Add the columns with their checks."""
    op.execute("ALTER TABLE invoice_lines ADD COLUMN discount NUMERIC(18, 4) NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE invoice_lines ADD COLUMN discount_reason TEXT")
    op.execute(
        "ALTER TABLE invoice_lines ADD CONSTRAINT ck_invoice_lines_discount CHECK (discount BETWEEN 0 AND subtotal)"
    )
    op.execute(
        "ALTER TABLE invoice_lines ADD CONSTRAINT ck_invoice_lines_discount_reason"
        " CHECK (discount_reason IS NULL OR discount > 0)"
    )


def downgrade() -> None:
    """Drop them. Totals are without discounts, and stay."""
    op.execute("ALTER TABLE invoice_lines DROP COLUMN discount_reason")
    op.execute("ALTER TABLE invoice_lines DROP COLUMN discount")
