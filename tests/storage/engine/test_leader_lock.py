"""The leader lock: lost only when its connection is, released at a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from tests.waiting import Event
from voyagent.actors.foundation.clock import Clock
from voyagent.actors.runtime.periodic import PeriodicTasks
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.leader_lock import LeaderLock

LEADERS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
 WHERE locktype = 'advisory' AND classid = 1987 AND objid = 1
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@asynccontextmanager
async def leading(lock: LeaderLock, elected: asyncio.Event) -> AsyncIterator[None]:
    """Run the lock while this is open; it is held at its start."""
    running = asyncio.create_task(lock.run())
    try:
        async with asyncio.timeout(10.0):
            await elected.wait()
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_stop_releases_the_lock_and_reports_no_loss(database: Any) -> None:
    elected = Event()
    lock = LeaderLock(database.url, PeriodicTasks(Clock()), on_elected=elected.set)
    with structlog.testing.capture_logs() as lines:
        async with leading(lock, elected):
            assert lock.held
    assert not lock.held
    events = [line["event"] for line in lines]
    assert "leader_lock_released" in events
    assert "leader_lock_lost" not in events


async def test_a_connection_that_is_cut_loses_the_lock_and_its_owner_is_called_before_it_is_held_again(
    database: Any, admin: Connection
) -> None:
    elected, lost = Event(), Event()
    held_when_lost: list[bool] = []

    async def on_lost() -> None:
        held_when_lost.append(lock.held)
        lost.set()

    lock = LeaderLock(database.url, PeriodicTasks(Clock()), on_lost, on_elected=elected.set)
    with structlog.testing.capture_logs() as lines:
        async with leading(lock, elected):
            elected.clear()
            assert await admin.fetch(LEADERS)
            async with asyncio.timeout(10.0):
                await lost.wait()
                await elected.wait()
            assert lock.held
    assert held_when_lost == [False]
    assert [line["event"] for line in lines].count("leader_lock_lost") == 1
