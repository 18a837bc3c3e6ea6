"""The INSERT of events by group commit, fenced by the leases of all sessions in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ...actors.domain.placement import Lease
from .steps import GIVEN_EVENTS, INTO_EVENTS

GIVEN_LEASES: Final = "unnest($8::int[], $9::uuid[], $10::bigint[]) AS lease (shard, node, epoch)"
INSERT: Final = f"""
WITH held AS MATERIALIZED (
    SELECT count(*) AS leases FROM (
        SELECT FROM shards JOIN {GIVEN_LEASES} USING (shard, node, epoch) ORDER BY shard FOR SHARE OF shards
    ) AS locked
)
{INTO_EVENTS} SELECT given.* FROM {GIVEN_EVENTS} AS given, held WHERE held.leases = cardinality($8::int[])
ON CONFLICT (session_id, seq) DO NOTHING
"""  # noqa: S608 -- constants
"""Text: every word of a model passes it, with an array for each column.

The rows of all shards are locked, or nothing is stored: a take-over waits for this statement, and it for a take-over.
"""
LOST: Final = """
SELECT node, shard, epoch FROM unnest($1::int[], $2::uuid[], $3::bigint[]) AS lease (shard, node, epoch)
 WHERE NOT EXISTS (SELECT FROM shards s WHERE (s.shard, s.node, s.epoch) = (lease.shard, lease.node, lease.epoch))
"""
"""A lease that is lost is never held again."""


def lease_columns(leases: Collection[Lease | None]) -> tuple[list[int], list[str], list[int]]:
    """The leases as one array for each column of the statements."""
    held = [lease for lease in leases if lease is not None]
    return [lease.shard for lease in held], [lease.node for lease in held], [lease.epoch for lease in held]
