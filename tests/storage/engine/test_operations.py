"""Operations on real connections: whom they serve, what is tried again, and what never is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests.waiting import Event
from voyagent.actors.domain.errors import Conflict, NotFound, Refusal
from voyagent.storage.embedded.servers import EmbeddedServers
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.errors import CommitLost, StorageUnavailable
from voyagent.storage.engine.operations import Command, Query, Snapshot, Write
from voyagent.storage.engine.pool import Engine, connect, plain_url

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TENANT = "0193f5a0-0000-7000-8000-00000000000a"
OTHER = "0193f5a0-0000-7000-8000-00000000000b"

Work = Callable[[Connection], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Query[Any]):
    work: Work

    async def run(self, db: Connection) -> Any:
        return await self.work(db)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Write[Any]):
    work: Work

    async def run(self, db: Connection) -> Any:
        return await self.work(db)


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Snapshot[Any]):
    work: Work

    async def run(self, db: Connection) -> Any:
        return await self.work(db)


@dataclass(frozen=True, slots=True, kw_only=True)
class Do(Command[Any]):
    work: Work
    runs: list[int] = field(default_factory=list)

    async def run(self, db: Connection) -> Any:
        self.runs.append(1)
        return await self.work(db)


def value(sql: str, *args: Any) -> Work:
    return lambda db: db.fetchval(sql, *args)


ADD_AGENCY = "INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Asha Travels', $2) RETURNING id"


def agency(tenant: str) -> Work:
    return value(ADD_AGENCY, tenant, NOW)


async def test_ids_are_text_and_json_is_plain(engine: Engine) -> None:
    sent = {"word": "naïve “quotes” \\ \n", "list": [1, None, True], "deep": {"a": {}}}

    async def echo(db: Connection) -> Any:
        return await db.fetchrow(
            "SELECT $1::uuid AS id, $2::jsonb AS json, $3::uuid[] AS ids, $4::jsonb[] AS list, $5::timestamptz AS at",
            TENANT.upper(),
            sent,
            [OTHER, None],
            [sent, {}],
            NOW,
        )

    row = await engine.run(Read(tenant_id=None, work=echo))
    assert tuple(row) == (TENANT, sent, [OTHER, None], [sent, {}], NOW)


async def test_system_work_runs_as_the_system_role_and_an_agencys_does_not(engine: Engine) -> None:
    who = value("SELECT current_user::text")
    assert await engine.run(Read(tenant_id=None, work=who)) == "voyagent_system"
    assert await engine.run(Read(tenant_id=TENANT, work=who)) == "voyagent"


async def test_each_operation_serves_its_own_agency_on_whatever_connection(database: Any) -> None:
    engine = await Engine.open(database.url, size=2, system_size=1)
    served = value("SELECT current_setting('voyagent.tenant_id')")
    asked = [(TENANT, OTHER)[place % 2] for place in range(40)]
    kinds = (Read, View, Do)
    told = await asyncio.gather(
        *(engine.run(kinds[place % 3](tenant_id=tenant, work=served)) for place, tenant in enumerate(asked))
    )
    await engine.close()
    assert told == asked


async def test_a_rollback_does_not_change_whom_a_connection_serves(database: Any) -> None:
    engine = await Engine.open(database.url, size=1, system_size=1)
    await engine.run(Do(tenant_id=TENANT, work=agency(TENANT)))

    async def refuse(db: Connection) -> None:
        raise Conflict("no")

    with pytest.raises(Conflict):
        await engine.run(Do(tenant_id=OTHER, work=refuse))
    assert await engine.run(Read(tenant_id=TENANT, work=value("SELECT id FROM tenants"))) == TENANT
    assert await engine.run(Read(tenant_id=OTHER, work=value("SELECT id FROM tenants"))) is None
    await engine.close()


async def test_an_interrupted_change_of_agency_is_not_believed(database: Any) -> None:
    db = await connect(database.url)
    await db.serve(TENANT)
    change = asyncio.ensure_future(db.serve(OTHER))
    await asyncio.wait({change}, timeout=0)  # sent, not answered
    change.cancel()
    with suppress(asyncio.CancelledError):
        await change
    await db.serve(TENANT)
    assert await db.fetchval("SELECT current_setting('voyagent.tenant_id')") == TENANT
    await db.close()


async def test_a_refusal_undoes_the_command(engine: Engine) -> None:
    async def add_and_refuse(db: Connection) -> None:
        await agency(TENANT)(db)
        raise NotFound("session_not_found")

    with pytest.raises(NotFound):
        await engine.run(Do(tenant_id=TENANT, work=add_and_refuse))
    assert await engine.run(Read(tenant_id=TENANT, work=value("SELECT count(*) FROM tenants"))) == 0


async def test_defaults_of_the_database_change_nothing(database: Any, admin: Connection) -> None:
    """An operator's, for other programs: a command sees what was committed, and bytes within JSON can be read."""
    for name, chosen in {"default_transaction_isolation": "serializable", "bytea_output": "escape"}.items():
        await admin.execute(f"ALTER DATABASE {database.name} SET {name} = '{chosen}'")
    engine = await Engine.open(database.url, size=1, system_size=1)
    shown = value("SELECT to_json('\\x00ff'::bytea)::text || ' ' || current_setting('transaction_isolation')")
    told = '"\\\\x00ff" read committed'
    for tenant in (TENANT, None):
        assert await engine.run(Read(tenant_id=tenant, work=shown)) == told
        assert await engine.run(Do(tenant_id=tenant, work=shown)) == told
    await engine.close()


async def test_a_snapshot_sees_one_moment_and_writes_nothing(engine: Engine) -> None:
    async def count_around_a_birth(db: Connection) -> list[int]:
        before = await db.fetchval("SELECT count(*) FROM tenants")
        await engine.run(Do(tenant_id=TENANT, work=agency(TENANT)))
        return [before, await db.fetchval("SELECT count(*) FROM tenants")]

    assert await engine.run(View(tenant_id=TENANT, work=count_around_a_birth)) == [0, 0]
    with pytest.raises(StorageUnavailable):  # as from a database that takes no writes: nothing tells the two apart
        await engine.run(View(tenant_id=OTHER, work=agency(OTHER)))


async def test_a_known_constraint_is_a_refusal_and_an_unknown_one_a_defect(engine: Engine, world: Any) -> None:
    tenant, email = world["tenants"]["id"], "asha@example.com"
    join = "INSERT INTO users (id, tenant_id, email, created_at, role) VALUES ($1, $2, $3, $4, $5)"
    await engine.run(Do(tenant_id=tenant, work=value(join, str(uuid.uuid4()), tenant, email, NOW, "agent")))
    with pytest.raises(Conflict, match="email_already_registered"):
        await engine.run(Do(tenant_id=tenant, work=value(join, str(uuid.uuid4()), tenant, email, NOW, "agent")))
    with pytest.raises(asyncpg.CheckViolationError):
        await engine.run(Do(tenant_id=tenant, work=value(join, str(uuid.uuid4()), tenant, "new@a.in", NOW, "king")))


async def test_a_command_that_goes_on_after_a_failed_statement_is_not_taken_for_done(engine: Engine) -> None:
    async def swallow(db: Connection) -> None:
        await agency(TENANT)(db)
        with suppress(asyncpg.UniqueViolationError):
            await agency(TENANT)(db)

    with pytest.raises(RuntimeError, match="rolled back"):
        await engine.run(Do(tenant_id=TENANT, work=swallow))


async def test_conflicting_transactions_are_run_again(engine: Engine) -> None:
    await engine.run(Do(tenant_id=TENANT, work=agency(TENANT)))

    async def raise_both(db: Connection) -> None:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        seen = await db.fetchval("SELECT display_name FROM tenants")
        await db.execute("UPDATE tenants SET display_name = $1", seen + "!")

    both = [Do(tenant_id=TENANT, work=raise_both) for _ in range(3)]
    await asyncio.gather(*map(engine.run, both))
    name = await engine.run(Read(tenant_id=TENANT, work=value("SELECT display_name FROM tenants")))
    assert name == "Asha Travels!!!"


@pytest.fixture
async def found_soon(admin: Connection) -> None:
    """Deadlocks are looked for after 20 ms and not a second, by connections that are made from now on."""
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '20ms'")


async def test_a_deadlock_is_run_again(found_soon: None, engine: Engine) -> None:
    for tenant in (TENANT, OTHER):
        await engine.run(Do(tenant_id=tenant, work=agency(tenant)))
    both_have_one = asyncio.Barrier(2)

    def cross(first: str, second: str) -> Do:
        async def lock_both(db: Connection) -> None:
            await db.execute("UPDATE tenants SET display_name = display_name || '+' WHERE id = $1", first)
            if len(crossing.runs) == 1:
                await both_have_one.wait()
            await db.execute("UPDATE tenants SET display_name = display_name || '+' WHERE id = $1", second)

        crossing = Do(tenant_id=None, work=lock_both)
        return crossing

    commands = [cross(TENANT, OTHER), cross(OTHER, TENANT)]
    await asyncio.gather(*map(engine.run, commands))
    names = await engine.run(Read(tenant_id=None, work=value("SELECT array_agg(display_name) FROM tenants")))
    assert names == ["Asha Travels++"] * 2
    assert sorted(len(command.runs) for command in commands) == [1, 2]


async def kill_me(db: Connection) -> Any:
    return await db.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_work_whose_connection_died_before_commit_is_done_once_more(engine: Engine) -> None:
    async def die_at_first(db: Connection) -> Any:
        await agency(TENANT)(db)
        return await kill_me(db) if len(command.runs) == 1 else "done"

    command = Do(tenant_id=TENANT, work=die_at_first)
    assert await engine.run(command) == "done"
    assert len(command.runs) == 2


async def test_a_write_whose_connection_died_is_run_again(engine: Engine) -> None:
    runs: list[str] = []

    async def add_and_die_at_first(db: Connection) -> Any:
        runs.append(await db.execute(f"{ADD_AGENCY.removesuffix(' RETURNING id')} ON CONFLICT DO NOTHING", TENANT, NOW))
        return await kill_me(db) if len(runs) == 1 else "done"

    assert await engine.run(Note(tenant_id=TENANT, work=add_and_die_at_first)) == "done"
    assert runs == ["INSERT 0 1", "INSERT 0 0"]


async def test_work_that_kills_each_connection_is_given_up(engine: Engine) -> None:
    command = Do(tenant_id=TENANT, work=kill_me)
    with pytest.raises(StorageUnavailable, match="storage_unavailable"):
        await engine.run(command)
    assert len(command.runs) == 3
    assert await engine.run(Read(tenant_id=TENANT, work=value("SELECT 1"))) == 1


async def test_an_idle_connection_killed_behind_our_back_is_replaced_unseen(engine: Engine, admin: Connection) -> None:
    killed = await admin.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert killed == 6
    for _ in range(8):
        assert await engine.run(Do(tenant_id=TENANT, work=value("SELECT 1"))) == 1


@pytest.fixture
async def cut(servers: EmbeddedServers, database: Any, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a proxy that passes a COMMIT on to Postgres and then cuts the line instead of bringing the answer."""
    target = next(Path(servers.postgres.url().partition("host=")[2]).glob(".s.PGSQL.*[0-9]"))
    loop = asyncio.get_running_loop()
    lines: set[asyncio.Task[None]] = set()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(str(target))

        async def back() -> None:
            while data := await there_reader.read(65536):
                if lost.is_set():
                    break
                writer.write(data)
            writer.transport.abort()

        lost = Event()
        answer = loop.create_task(back())
        try:
            while data := await reader.read(65536):
                if b"COMMIT" in data:
                    lost.set()
                there_writer.write(data)
            there_writer.close()
            await answer
        finally:  # a line may be cancelled anywhere, and leaves nothing open
            answer.cancel()
            there_writer.transport.abort()
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = loop.create_task(join(reader, writer))
        lines.add(task)

    server = await asyncio.start_unix_server(accept, tmp_path / target.name)
    yield f"postgresql://voyagent@/{database.name}?host={tmp_path}"
    server.close()
    for line in lines:
        line.cancel()
    await asyncio.gather(*lines, return_exceptions=True)


async def test_a_lost_commit_is_never_run_again(cut: str, engine: Engine) -> None:
    through = await Engine.open(cut, size=1, system_size=1)
    command = Do(tenant_id=TENANT, work=agency(TENANT))
    with pytest.raises(CommitLost, match="storage_unavailable"):
        await through.run(command)
    assert len(command.runs) == 1
    assert await engine.run(Read(tenant_id=TENANT, work=value("SELECT count(*) FROM tenants"))) == 1
    await through.close()


async def test_what_a_snapshot_has_read_is_answered_though_its_end_is_lost(cut: str) -> None:
    """Nothing was written, so nothing is unknown."""
    through = await Engine.open(cut, size=1, system_size=1)
    with capture_logs() as logs:
        assert await through.run(View(tenant_id=TENANT, work=value("SELECT 1"))) == 1
        assert await through.run(Read(tenant_id=TENANT, work=value("SELECT 2"))) == 2
    assert [line["event"] for line in logs if line["log_level"] == "error"] == []
    await through.close()


async def test_a_statement_that_takes_too_long_is_unavailable_and_not_tried_again(database: Any) -> None:
    engine = await Engine.open(database.url, size=1, system_size=1, command_timeout=0.7)
    command = Do(tenant_id=TENANT, work=value("SELECT pg_sleep(60)"))
    with pytest.raises(StorageUnavailable):
        await engine.run(command)
    assert len(command.runs) == 1
    assert await engine.run(Read(tenant_id=TENANT, work=value("SELECT 1"))) == 1
    await engine.close()


async def test_a_cancelled_operation_leaves_no_transaction_behind(database: Any) -> None:
    engine = await Engine.open(database.url, size=1, system_size=1)
    begun = Event()

    async def hang(db: Connection) -> None:
        await agency(TENANT)(db)
        begun.set()
        await asyncio.Event().wait()

    work = asyncio.ensure_future(engine.run(Do(tenant_id=TENANT, work=hang)))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert await engine.run(Do(tenant_id=TENANT, work=agency(TENANT))) == TENANT
    await engine.close()


async def test_both_pools_are_closed_at_once(database: Any) -> None:
    """One after the other they would take twice the time that a stop has for a database that does not answer."""
    engine = await Engine.open(database.url, size=1, system_size=1)
    begun, go_on = Event(), Event()

    async def use(db: Connection) -> Any:
        begun.set()
        await go_on.wait()
        return await db.fetchval("SELECT 1")

    used = asyncio.create_task(engine.run(Read(tenant_id=TENANT, work=use)))
    await begun.wait()
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await engine.run(Read(tenant_id=None, work=value("SELECT 1")))
    go_on.set()
    assert await used == 1
    await closing


async def test_nobody_to_connect_to_is_storage_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="storage_unavailable"):
        await Engine.open(f"postgresql+asyncpg://voyagent@/voyagent?host={tmp_path}")


def test_a_url_loses_the_driver_and_nothing_else() -> None:
    assert plain_url("postgresql+asyncpg://u:p+q@h:1/d?host=/a+b") == "postgresql://u:p+q@h:1/d?host=/a+b"
