"""Whoever opens something is cancelled at each of its awaits in turn: nothing stays open, nothing stays acquired."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

import pytest

from tests.waiting import Event
from voyagent.actors.domain.errors import Conflict
from voyagent.actors.foundation.clock import Clock
from voyagent.actors.runtime.periodic import PeriodicTasks
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.coordinator import Coordinator
from voyagent.storage.engine.fitness import faults
from voyagent.storage.engine.operations import Command
from voyagent.storage.engine.ownership import Ownership
from voyagent.storage.engine.pool import Engine, connect
from voyagent.storage.migrations import migrate

R = TypeVar("R")
Work = Callable[[], Awaitable[Any]]

OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
IN_TRANSACTION = "SELECT state LIKE 'idle in transaction%' FROM pg_stat_activity WHERE pid = $1"
MOST_AWAITS = 1_000


class CancelledAt(Generic[R]):
    """Awaits ``work`` and has its own task cancelled at the given suspension.

    Early: while it waits. Late: after what it waits for has come, before it runs again.
    """

    def __init__(self, work: Awaitable[R], suspension: int, *, late: bool) -> None:
        self._work = work
        self._suspension = suspension
        self._late = late

    def __await__(self) -> Generator[Any, None, R]:
        inner = self._work.__await__()
        step: Callable[[], Any] = partial(inner.send, None)
        count = 0
        while True:
            try:
                future = step()
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            count += 1
            if count == self._suspension:
                self._cancel(future)
            try:
                yield future
            except BaseException as error:  # noqa: BLE001  # it is the work's to handle
                step = partial(inner.throw, error)
            else:
                step = partial(inner.send, None)

    def _cancel(self, future: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._late and future is not None:
            future.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)


async def cancelled(work: Work, suspension: int, *, late: bool) -> bool:
    """Whether ``work`` was cancelled at that suspension; False if it has fewer."""

    async def run() -> None:
        await CancelledAt(work(), suspension, late=late)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if task.cancelled():
        return True
    task.result()
    return False


async def until_closed(admin: Connection) -> None:
    """Return when nobody else is connected to the database."""
    async with asyncio.timeout(10):
        while await admin.fetchval(OTHERS):  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.001)


async def one_connection(url: str) -> None:
    db = await connect(url)
    try:
        await db.fetchval("SELECT 1")
    finally:
        await db.close()


async def both_pools(url: str) -> None:
    engine = await Engine.open(url, size=2, system_size=1)
    await engine.close()


async def a_check(url: str) -> None:
    assert await faults(url, {}) == []


async def a_migration(url: str) -> None:
    await migrate.upgrade(url)


async def ownership(url: str) -> None:
    """Own the shards, and stop once they are."""
    owned = Event()
    coordinator = Coordinator(url, Ownership(), PeriodicTasks(Clock()), on_owned=owned.set)
    running = asyncio.create_task(coordinator.run())
    try:
        await owned.wait()
    finally:
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("work", [one_connection, both_pools, a_check, a_migration, ownership])
async def test_nothing_stays_open_wherever_its_opening_or_closing_is_cancelled(
    database: Any, admin: Connection, work: Callable[[str], Awaitable[None]], late: bool
) -> None:
    suspension = 1
    while await cancelled(partial(work, database.url), suspension, late=late):
        await until_closed(admin)
        suspension += 1
        assert suspension < MOST_AWAITS
    await until_closed(admin)
    assert suspension > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAgency(Command[None]):
    id: str
    refused: bool

    async def run(self, db: Connection) -> None:
        now = datetime(2026, 11, 23, tzinfo=UTC)
        await db.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'A', $2)", self.id, now)
        if self.refused:
            raise Conflict("refused")


async def run_refused(engine: Engine, operation: Command[None]) -> None:
    with pytest.raises(Conflict):
        await engine.run(operation)


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("refused", [False, True], ids=["committed", "rolled back"])
async def test_no_transaction_stays_open_wherever_an_operation_is_cancelled(
    database: Any, admin: Connection, refused: bool, late: bool
) -> None:
    engine = await Engine.open(database.url, size=1, system_size=1)
    try:
        suspension, again = 1, True
        while again:
            agency = AddAgency(tenant_id=None, id=f"0193f5a0-0000-7000-8000-{suspension:012d}", refused=refused)
            run = partial(run_refused, engine, agency) if refused else partial(engine.run, agency)
            again = await cancelled(run, suspension, late=late)
            async with asyncio.timeout(10), engine.acquire_system() as db:
                assert await admin.fetchval(IN_TRANSACTION, db.get_server_pid()) is False
            suspension += 1
        assert suspension > 2  # it was cancelled at least once
    finally:
        await engine.close()


async def test_a_connection_whose_rollback_is_cancelled_is_not_used_again(
    database: Any, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolling_back = Event()
    execute = Connection.execute

    async def stuck(db: Connection, query: str, *args: Any, **more: Any) -> str:
        if query == "ROLLBACK":
            rolling_back.set()
            await asyncio.Event().wait()
        return await execute(db, query, *args, **more)

    engine = await Engine.open(database.url, size=1, system_size=1)
    try:
        async with engine.acquire_system() as db:
            backend = db.get_server_pid()
        monkeypatch.setattr(Connection, "execute", stuck)
        agency = AddAgency(tenant_id=None, id="0193f5a0-0000-7000-8000-000000000001", refused=True)
        running = asyncio.create_task(engine.run(agency))
        await rolling_back.wait()
        running.cancel()
        await asyncio.wait([running], timeout=4.0)  # the pool would wait five seconds for its own ROLLBACK
        assert running.cancelled()
        monkeypatch.undo()
        async with engine.acquire_system() as db:
            assert db.get_server_pid() != backend
        assert await admin.fetchval("SELECT count(*) FROM tenants") == 0
    finally:
        await engine.close()


async def test_pools_are_closed_when_one_of_their_connections_is_refused(database: Any, admin: Connection) -> None:
    await admin.execute("ALTER ROLE voyagent CONNECTION LIMIT 2")
    try:
        with pytest.raises(Exception, match="storage_unavailable"):
            await Engine.open(database.url, size=4, system_size=1)
        await until_closed(admin)
    finally:
        await admin.execute("ALTER ROLE voyagent CONNECTION LIMIT -1")
