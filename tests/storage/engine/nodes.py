"""Nodes of a database, for tests: each a coordinator of its own that runs while it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.waiting import until
from voyagent.actors.domain.placement import SHARDS
from voyagent.actors.foundation.clock import Clock
from voyagent.actors.runtime.periodic import PeriodicTasks
from voyagent.storage.engine.coordinator import Coordinator
from voyagent.storage.engine.ownership import Ownership

LEASE_HOLDERS = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1988
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
CUT = f"SELECT pg_terminate_backend(pid) FROM ({LEASE_HOLDERS}) AS holders"
OWNERS = "SELECT DISTINCT node, epoch FROM shards"


@asynccontextmanager
async def node(url: str, ownership: Ownership | None = None, **more: Any) -> AsyncIterator[Ownership]:
    """A node that runs while this is open."""
    own = ownership or Ownership()
    running = asyncio.create_task(Coordinator(url, own, PeriodicTasks(Clock()), **more).run())
    try:
        yield own
    finally:
        running.cancel()
        await asyncio.wait({running})


async def owning(own: Ownership) -> Ownership:
    """The node, once it owns every shard."""
    await until(lambda: len(own.leases) == SHARDS)
    return own
