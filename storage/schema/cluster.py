"""The nodes that serve the database, and which of them owns which shard of the agencies."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from .columns import Time, Uuid, metadata, optional, required

nodes = Table(
    "nodes",
    metadata,
    required("node", Uuid),
    required("key", Integer, Identity(always=True)),
    optional("slot", Text),
    optional("address", Text),
    required("version", Text),
    required("until", Time),
    required("leaving", Boolean, default="false"),
    PrimaryKeyConstraint("node"),
    UniqueConstraint("key"),
    postgresql_with={"fillfactor": 50},
)
"""A node is one process, from its start to its end. ``until`` is its lease, by the database's clock; ``key`` the number
of its advisory lock. ``slot`` and ``address`` are for several nodes."""

shards = Table(
    "shards",
    metadata,
    Column("shard", SmallInteger, nullable=False, autoincrement=False),
    optional("node", Uuid),
    required("epoch", BigInteger, default="0"),
    PrimaryKeyConstraint("shard"),
    CheckConstraint("shard BETWEEN 0 AND 255", name="shard"),
    postgresql_with={"fillfactor": 50},
)
"""The owner of each shard, and how often it has changed. Space in each page is left for updates in place."""
