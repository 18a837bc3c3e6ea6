"""The owner of the database: refusals in time, Postgres found again, and one process at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests import waiting
from tests.waiting import Event
from voyagent.actors import lanes
from voyagent.actors.database import REPORTS, Append, Faults, Probe, Serves, StorageActor
from voyagent.actors.domain.errors import Conflict, Refusal, Unavailable
from voyagent.actors.domain.placement import SHARDS
from voyagent.actors.foundation import metrics
from voyagent.actors.runtime.actor import Ref
from voyagent.storage.conversation.steps import EventRow
from voyagent.storage.embedded.servers import EmbeddedServers
from voyagent.storage.engine import checks
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.errors import OperationFailed
from voyagent.storage.engine.operations import Command, Query, Report
from voyagent.storage.engine.ownership import Ownership
from voyagent.storage.engine.pool import connect
from voyagent.storage.migrations import migrate

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TENANT = "0193f5a0-0000-7000-8000-00000000000a"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOne(Query[int]):
    async def run(self, db: Connection) -> int:
        return int(await db.fetchval("SELECT 1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Command[Any]):
    work: Callable[[], Awaitable[Any]]

    async def run(self, db: Connection) -> Any:  # noqa: ARG002  # what it does is the test's
        return await self.work()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum(Report[None]):
    begun: Callable[[], None]
    until: asyncio.Event

    async def run(self, db: Connection) -> None:
        await db.fetchval("SELECT 1")
        self.begun()
        await self.until.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Misspelt(Query[None]):
    async def run(self, db: Connection) -> None:
        await db.execute("SELEKT 1")


Start = Callable[..., Ref]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    refs: list[Ref] = []

    def begin(url: str | None, **more: Any) -> Ref:
        refs.append(StorageActor.start(url, **{"size": 2, "system_size": 1} | more))
        return refs[-1]

    yield begin
    for ref in refs:
        await ref.stop_and_wait(5)


@pytest.fixture
async def store(start: Start, database: Any) -> Ref:
    return start(database.url)


async def until_it_works(store: Ref) -> None:
    """Ask until there is an answer; each refusal in between must come in time."""
    async with asyncio.timeout(10):
        while True:
            try:
                await store.ask(AskOne(tenant_id=TENANT), within=5)
            except Unavailable as refusal:
                if refusal.code != "storage_unavailable":
                    raise
            else:
                return


async def held(store: Ref) -> bool:
    return await store.ask(Serves())


async def test_without_a_database_everything_is_refused(start: Start) -> None:
    store = start(None)
    row = EventRow(TENANT, TENANT, 1, "t", "text_delta", "x", NOW)
    for message in (AskOne(tenant_id=TENANT), AskOne(tenant_id=None), Append((row,))):
        with pytest.raises(Unavailable, match="storage_unavailable"):
            await store.ask(message)
    assert await store.ask(Probe()) is False
    assert await held(store) is False
    assert await store.ask(Faults()) == ("No database is configured.",)


async def test_an_operation_is_a_message(store: Ref) -> None:
    assert await store.ask(AskOne(tenant_id=TENANT)) == 1
    assert await store.ask(AskOne(tenant_id=None)) == 1
    assert await store.ask(Probe()) is True
    assert await store.ask(Faults()) == ()


async def test_a_refusal_comes_back_as_it_was_raised(store: Ref) -> None:
    async def refuse() -> None:
        raise Conflict("already_done")

    with pytest.raises(Conflict, match="already_done"):
        await store.ask(Work(tenant_id=TENANT, work=refuse))


async def test_a_defect_in_an_operation_is_its_askers_affair(store: Ref) -> None:
    async def divide() -> float:
        return 1 / 0

    with pytest.raises(OperationFailed, match="internal_error"):
        await store.ask(Misspelt(tenant_id=TENANT))
    with pytest.raises(OperationFailed):
        await store.ask(Work(tenant_id=TENANT, work=divide))
    mixed = [EventRow(TENANT, session, 1, "t", "text_delta", "x", NOW) for session in ("a", "b")]
    with pytest.raises(OperationFailed):
        await store.ask(Append(tuple(mixed)))
    assert store.is_alive()
    assert await store.ask(AskOne(tenant_id=TENANT)) == 1


async def test_operations_are_counted_by_class(store: Ref) -> None:
    def count(operation: str, outcome: str) -> float:
        labels = {"operation": operation, "outcome": outcome}
        return metrics.REGISTRY.get_sample_value("voyagent_storage_operations_total", labels) or 0.0

    before = count("AskOne", "ok"), count("Misspelt", "failed")
    await store.ask(AskOne(tenant_id=TENANT))
    with pytest.raises(Refusal):
        await store.ask(Misspelt(tenant_id=TENANT))
    assert (count("AskOne", "ok"), count("Misspelt", "failed")) == (before[0] + 1, before[1] + 1)


async def test_waiting_is_bounded_and_one_kind_of_work_never_waits_for_the_other(
    store: Ref, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "WAITING", 6)
    inside = asyncio.Semaphore(0)
    go_on = Event()

    async def hold() -> str:
        inside.release()
        await go_on.wait()
        return "done"

    asked = [asyncio.ensure_future(store.ask(Work(tenant_id=TENANT, work=hold))) for _ in range(5)]
    for _ in range(2):
        await inside.acquire()
    assert await store.ask(AskOne(tenant_id=None)) == 1
    with pytest.raises(Unavailable, match="overloaded"):
        await store.ask(AskOne(tenant_id=TENANT))
    go_on.set()
    assert await asyncio.gather(*asked) == ["done"] * 5


async def test_waiting_is_bounded_in_time(store: Ref, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "WAIT_TIMEOUT", 0.05)
    go_on = Event()
    asked = [asyncio.ensure_future(store.ask(Work(tenant_id=None, work=go_on.wait))) for _ in range(2)]
    done, _ = await asyncio.wait(asked, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    assert [str(each.exception()) for each in done] == ["overloaded"]
    go_on.set()
    assert sum(each.result() is True for each in (await asyncio.wait(asked))[0] if not each.exception()) == 1


async def test_b24_an_unavailable_postgres_is_refused_in_time_and_found_again(
    start: Start, servers: EmbeddedServers, database: Any
) -> None:
    store = start(database.url)
    assert await store.ask(AskOne(tenant_id=TENANT)) == 1
    await servers.postgres.stop()
    try:
        for tenant in (TENANT, None):
            with pytest.raises(Unavailable, match="storage_unavailable"):
                await store.ask(AskOne(tenant_id=tenant), within=5)
        late = start(database.url)
        with pytest.raises(Unavailable, match="storage_unavailable"):
            await late.ask(AskOne(tenant_id=TENANT), within=5)
        assert await late.ask(Probe()) is False
        assert await late.ask(Faults()) == ("The database cannot be reached.",)
    finally:
        await servers.postgres.start()
    await until_it_works(store)
    await until_it_works(late)
    assert await late.ask(Faults()) == ()


async def test_an_unmigrated_database_is_refused_until_it_is_migrated(start: Start, empty_database: Any) -> None:
    store = start(empty_database.url)
    with pytest.raises(Unavailable, match="storage_unavailable"):
        await store.ask(AskOne(tenant_id=TENANT))
    assert await store.ask(Faults()) == ("The tables are missing: run the migrations.",)
    await migrate.upgrade(empty_database.url)
    await until_it_works(store)


async def test_a_defect_in_the_checks_of_a_database_is_shown_and_the_database_not_served(
    start: Start, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def divide(*_given: Any, **_named: Any) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr(checks, "faults", divide)
    with capture_logs() as lines:
        store = start(database.url)
        assert await store.ask(Faults()) == ("The database could not be checked: ZeroDivisionError.",)
    with pytest.raises(Unavailable, match="storage_unavailable"):
        await store.ask(AskOne(tenant_id=TENANT))
    shown = [line["exc_info"] for line in lines if line["event"] == "database_check_interrupted"]
    assert isinstance(shown[0], ZeroDivisionError)
    monkeypatch.undo()
    await until_it_works(store)


async def test_events_are_stored_through_it(store: Ref, admin: Connection) -> None:
    await admin.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'A', $2)", TENANT, NOW)
    await admin.execute(
        "INSERT INTO sessions (id, tenant_id, actor_id, created_at) VALUES ($1, $1, $1, $2)", TENANT, NOW
    )
    await store.ask(Append((EventRow(TENANT, TENANT, 1, "t", "text_delta", "x", NOW),)))
    assert await admin.fetchval("SELECT frame FROM session_events") == "x"


@pytest.fixture
async def admin(database: Any) -> AsyncIterator[Connection]:
    connection = await connect(database.admin_url)
    yield connection
    await connection.close()


async def until_held(store: Ref) -> None:
    async with asyncio.timeout(10):
        while not await held(store):
            pass


async def test_one_process_serves_a_database_at_a_time(start: Start, database: Any) -> None:
    first = start(database.url, ownership=Ownership())
    await until_held(first)
    second = start(database.url, ownership=Ownership())
    await second.ask(AskOne(tenant_id=TENANT))
    assert await held(second) is False
    await first.stop_and_wait(5)
    await until_held(second)


async def test_turns_are_stopped_before_their_shards_are_owned_again_and_the_lease_is_renewed_meanwhile(
    start: Start, database: Any, admin: Connection
) -> None:
    lost, stopped = Event(), Event()
    ownership = Ownership()

    async def stop_turns(shards: frozenset[int]) -> None:
        assert shards == frozenset(range(SHARDS))
        lost.set()
        await stopped.wait()

    store = start(database.url, ownership=ownership, shards_lost=stop_turns)
    await until_held(store)
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    await asyncio.wait_for(lost.wait(), 5)
    assert await held(store) is False
    renewed = "SELECT until > $1 FROM nodes"
    until = await admin.fetchval("SELECT max(until) FROM nodes")
    await waiting.until(lambda: admin.fetchval(renewed, until))
    assert await held(store) is False
    stopped.set()
    await until_held(store)
    assert await admin.fetchval("SELECT array_agg(DISTINCT epoch) FROM shards") == [1]


async def test_reports_delay_neither_their_agencys_other_work_nor_another_agencys_reports(
    start: Start, database: Any
) -> None:
    store = start(database.url, size=10)
    begun: asyncio.Queue[str] = asyncio.Queue()
    other = TENANT[:-1] + "b"
    first, end = Event(), Event()

    def report(tenant: str, until: Event = end) -> asyncio.Future[Any]:
        wanted = Sum(tenant_id=tenant, begun=partial(begun.put_nowait, tenant), until=until)
        return asyncio.ensure_future(store.ask(wanted))

    asked = [*(report(TENANT, first) for _ in range(REPORTS)), *(report(TENANT) for _ in range(6 - REPORTS))]
    async with asyncio.timeout(5):
        assert [await begun.get() for _ in range(REPORTS)] == [TENANT] * REPORTS
    asked.append(report(other))
    for _ in range(20):
        assert await store.ask(AskOne(tenant_id=TENANT)) == 1
    assert begun.empty(), "the rest waits without a connection"
    first.set()
    async with asyncio.timeout(5):
        order = [await begun.get() for _ in range(REPORTS)]
    assert other in order, "agencies take turns"
    end.set()
    await asyncio.gather(*asked)
    order += [begun.get_nowait() for _ in range(begun.qsize())]
    assert sorted(order) == [*[TENANT] * (6 - REPORTS), other]
