"""Nodes with their leases, the owner of each shard, and the fence of commands."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0020"
down_revision = "0019"

NODES = """
CREATE TABLE nodes (
    node UUID NOT NULL,
    key INTEGER GENERATED ALWAYS AS IDENTITY,
    slot TEXT,
    address TEXT,
    version TEXT NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    leaving BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_nodes PRIMARY KEY (node),
    CONSTRAINT uq_nodes_key UNIQUE (key)
) WITH (fillfactor = 50)
"""
SHARDS = """
CREATE TABLE shards (
    shard SMALLINT NOT NULL,
    node UUID,
    epoch BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_shards PRIMARY KEY (shard),
    CONSTRAINT ck_shards_shard CHECK (shard BETWEEN 0 AND 255)
) WITH (fillfactor = 50)
"""
FENCE = """
CREATE FUNCTION voyagent_fence(of_shard integer, of_node uuid, of_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM shards WHERE shard = of_shard AND node = of_node AND epoch = of_epoch FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'shard % is not held by node % in epoch %', of_shard, of_node, of_epoch USING ERRCODE = 'VY001';
    END IF;
END $$
"""
FENCED = (
    "CREATE POLICY fence ON shards FOR SELECT USING (true)",
    "CREATE POLICY fence_lock ON shards FOR UPDATE USING (true) WITH CHECK (false)",
)


def upgrade() -> None:
    """Make the tables with their guards; no shard has an owner yet."""
    tables = (metadata.tables["nodes"], metadata.tables["shards"])
    for statement in (NODES, SHARDS, FENCE, "INSERT INTO shards (shard) SELECT generate_series(0, 255)"):
        op.execute(statement)
    for table in tables:
        for statement in guards.protect(table):
            op.execute(statement)
    for statement in FENCED:
        op.execute(statement)


def downgrade() -> None:
    """Drop them: an earlier release serves under its lock alone."""
    op.execute("DROP FUNCTION voyagent_fence")
    op.drop_table("shards")
    op.drop_table("nodes")
