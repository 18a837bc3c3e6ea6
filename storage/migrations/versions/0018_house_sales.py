"""What orders of the embedded inventory have taken of its seats and rooms. Orders of earlier releases take nothing."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0018"
down_revision = "0017"

TABLE = """
CREATE TABLE house_sales (
    tenant_id UUID NOT NULL,
    item TEXT NOT NULL,
    order_id UUID NOT NULL,
    units INTEGER NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_house_sales PRIMARY KEY (tenant_id, item, order_id),
    CONSTRAINT fk_house_sales_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_house_sales_order_id FOREIGN KEY(tenant_id, order_id) REFERENCES house_orders (tenant_id, id)
        ON DELETE CASCADE,
    CONSTRAINT ck_house_sales_units CHECK (units > 0)
)
"""


def upgrade() -> None:
    """Make the table, with its guards, and the key it refers to."""
    op.execute("ALTER TABLE house_orders ADD CONSTRAINT uq_house_orders_id UNIQUE (tenant_id, id)")
    op.execute(TABLE)
    op.execute("CREATE INDEX ix_house_sales_order_id ON house_sales (tenant_id, order_id)")
    for statement in guards.protect(metadata.tables["house_sales"]):
        op.execute(statement)


def downgrade() -> None:
    """Drop them; nothing runs out any more."""
    op.drop_table("house_sales")
    op.execute("ALTER TABLE house_orders DROP CONSTRAINT uq_house_orders_id")
