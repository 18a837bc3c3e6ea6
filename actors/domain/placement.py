"""Placement: agencies are hashed to shards, and a shard has one owner at a time, numbered by its epoch."""

from __future__ import annotations

from typing import Final, NamedTuple
from zlib import crc32

SHARDS: Final = 256
"""Never to be changed: stored rows and other nodes count on it."""


class Lease(NamedTuple):
    """The right of a node to write for the agencies of one shard. A new owner gets the next epoch."""

    node: str
    shard: int
    epoch: int


def shard_of(tenant_id: str) -> int:
    """The shard of an agency. CRC-32, as proxies compute it too (IEEE 802.3)."""
    return crc32(tenant_id.lower().encode()) % SHARDS
