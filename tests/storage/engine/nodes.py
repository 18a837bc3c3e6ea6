"""Nodes of a database, for tests: each a coordinator of its own that runs while it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
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


class Line:
    """A line to Postgres that can go dead: nothing passes any more, and neither end is told."""

    def __init__(self, server: Path, folder: Path) -> None:
        self.folder = folder
        self._server = server
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def go_dead(self) -> None:
        self._open.clear()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Pass on what is sent to the socket in ``folder``."""
        listener = await asyncio.start_unix_server(self._accept, self.folder / self._server.name)
        yield
        listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_unix_connection(self._server)
        for source, target in ((reader, down), (up, writer)):
            self._tasks.add(asyncio.create_task(self._pass_on(source, target)))

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._open.wait()
                target.write(data)
                await target.drain()
        finally:
            target.close()
