"""Migrations: they make the tables the code knows, guarded, or nothing at all."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from voyagent.storage.embedded.servers import SUPERUSER, EmbeddedServers
from voyagent.storage.engine.checks import newest_migration
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import Engine, connect, plain_url
from voyagent.storage.migrations import migrate, revisions
from voyagent.storage.tables import metadata

OWN = {"sealing_canaries", "digest_keys", "nodes", "shards"}
"""Tables that belong to no agency."""

COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated,
       pg_get_expr(d.adbin, d.adrelid)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace AND contype NOT IN ('n', 't')
   AND conrelid <> coalesce(to_regclass('alembic_version'), 0)
"""
INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""

GUARDS = """
SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
 WHERE NOT t.tgisinternal
 UNION ALL SELECT tablename, policyname, concat(roles, cmd, qual, with_check) FROM pg_policies
 UNION ALL SELECT c.relname, 'grants', c.relacl::text FROM pg_class c WHERE c.relkind = 'r'
   AND c.relnamespace = 'public'::regnamespace
"""
FUNCTIONS = "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
ALL = (COLUMNS, CONSTRAINTS, INDEXES, GUARDS, FUNCTIONS)


async def catalogue(url: str) -> dict[str, set[Any]]:
    db = await connect(url)
    try:
        return {sql: {tuple(row) for row in await db.fetch(sql)} for sql in ALL}
    finally:
        await db.close()


async def differences(url: str) -> list[Any]:
    """What Alembic finds different between the database and the metadata, types and defaults included."""

    def compare(connection: Any) -> list[Any]:
        compared = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=compared), metadata))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(plain_url(url)))
    async with engine.connect() as connection:
        found = await connection.run_sync(compare)
    await engine.dispose()
    return found


async def test_a_migrated_database_has_exactly_the_tables_of_the_metadata(database: Any) -> None:
    assert await differences(database.url) == []
    migrated = await catalogue(database.url)
    assert len(migrated[COLUMNS]) == sum(len(table.columns) for table in metadata.tables.values())


@pytest.mark.parametrize(
    ("deed", "found"),
    [
        ("ALTER TABLE users ADD COLUMN nickname text", "remove_column"),
        ("ALTER TABLE users DROP COLUMN unverified_since", "add_column"),
        ("ALTER TABLE users ALTER COLUMN display_name TYPE varchar(80)", "modify_type"),
        ("ALTER TABLE users ALTER COLUMN display_name SET NOT NULL", "modify_nullable"),
        ("ALTER TABLE users ALTER COLUMN role SET DEFAULT 'viewer'", "modify_default"),
        ("DROP INDEX ix_users_external_id", "add_index"),
        ("ALTER TABLE invites DROP CONSTRAINT uq_invites_token_hash", "add_constraint"),
        ("ALTER TABLE invites DROP CONSTRAINT fk_invites_accepted_user_id", "add_fk"),
        ("CREATE TABLE notes (id uuid PRIMARY KEY)", "remove_table"),
    ],
)
async def test_the_comparison_finds(deed: str, found: str, database: Any, admin: Connection) -> None:
    await admin.execute(deed)
    assert found in str(await differences(database.url))


async def test_checks_and_actions_of_foreign_keys_are_those_of_the_metadata(database: Any, empty_database: Any) -> None:
    """What Alembic does not compare."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(plain_url(empty_database.url))
    )
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    migrated, declared = await catalogue(database.url), await catalogue(empty_database.url)
    assert migrated[CONSTRAINTS] == declared[CONSTRAINTS]
    assert migrated[INDEXES] == declared[INDEXES]


async def test_every_table_is_guarded(admin: Connection) -> None:
    guarded = await admin.fetch("""
        SELECT c.relname FROM pg_class c WHERE c.relrowsecurity AND c.relforcerowsecurity
           AND ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid ORDER BY 1) = '{system,tenant}'
    """)
    assert {row["relname"] for row in guarded} | OWN == set(metadata.tables)


def test_migrations_sort_by_name_in_one_line() -> None:
    script = ScriptDirectory(str(revisions.FOLDER))
    line = [revision.revision for revision in reversed(list(script.walk_revisions()))]
    files = sorted(path.name.partition("_")[0] for path in (revisions.FOLDER / "versions").glob("*.py"))
    assert line == files
    assert newest_migration() == files[-1]
    assert files[0] == revisions.FIRST


async def test_migrating_again_changes_nothing(database: Any) -> None:
    before = await catalogue(database.url)
    await migrate.upgrade(database.url)
    await revisions.run(lambda: asyncpg.connect(plain_url(database.url)), migrate.ONE_AT_A_TIME)
    assert await catalogue(database.url) == before


def config_of(connection: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", str(revisions.FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def test_a_database_of_the_first_release_becomes_what_a_new_one_is(
    database: Any, world: Any, admin: Connection
) -> None:
    """Each later migration makes what the metadata has, and takes it away again, with rows in every table."""
    assert world.keys() >= metadata.tables.keys() - OWN
    await admin.execute("UPDATE tickets SET total = NULL")
    new = await catalogue(database.url)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(plain_url(database.url))
    )
    for turn in (
        lambda c: command.downgrade(config_of(c), revisions.FIRST),
        lambda c: command.upgrade(config_of(c), "head"),
    ):
        async with engine.begin() as connection:
            await connection.run_sync(turn)
        if await newest(database.url) == revisions.FIRST:
            assert await catalogue(database.url) != new
    await engine.dispose()
    assert await newest(database.url) == newest_migration()
    assert await catalogue(database.url) == new
    assert await differences(database.url) == []


async def test_daily_totals_are_made_of_the_lines_that_are_there(database: Any, world: Any) -> None:
    """Of every agency, whose rows the owner of the tables cannot see otherwise."""
    totals = "SELECT tenant_id, account_id, currency, entry_date, debit, credit FROM daily_totals"
    line = world["journal_lines"]
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(plain_url(database.url))
    )
    for turn in (
        lambda c: command.downgrade(config_of(c), "0009"),
        lambda c: command.upgrade(config_of(c), "head"),
    ):
        async with engine.begin() as connection:
            await connection.run_sync(turn)
    await engine.dispose()
    db = await connect(database.admin_url)
    [row] = await db.fetch(totals)
    await db.close()
    day, amount = world["journals"]["entry_date"], line["debit"]
    assert tuple(row) == (line["tenant_id"], line["account_id"], line["currency"], day, amount, amount)


async def newest(url: str) -> Any:
    db = await connect(url)
    try:
        return await db.fetchval("SELECT version_num FROM alembic_version")
    finally:
        await db.close()


LATER = f"""
from alembic import op
revision, down_revision = "9999", "{newest_migration()}"
def upgrade(): op.execute("ALTER TABLE users ADD COLUMN later text")
"""


async def test_a_later_migration_runs_on_databases_of_earlier_releases_alone(
    database: Any, empty_database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new one has all of it from the metadata."""
    folder = shutil.copytree(revisions.FOLDER, tmp_path / "migrations")
    (folder / "versions" / "9999_later.py").write_text(LATER)
    monkeypatch.setattr(revisions, "FOLDER", folder)
    for url, added in ((database.url, 1), (empty_database.url, 0)):
        db = await asyncpg.connect(plain_url(url))
        for _again in range(2):
            await revisions.run(lambda url=url: asyncpg.connect(plain_url(url)), migrate.ONE_AT_A_TIME)
            assert await db.fetchval("SELECT version_num FROM alembic_version") == "9999"
            assert await db.fetchval("SELECT count(*) FROM pg_attribute WHERE attname = 'later'") == added
        await db.close()


async def test_a_database_of_a_later_release_is_served_as_it_is(
    database: Any, admin: Connection, engine: Engine
) -> None:
    """Its migrations work with the release before, which is started again if the later one is given up."""
    await admin.execute("UPDATE alembic_version SET version_num = '9999'")
    await migrate.upgrade(database.url)
    assert await newest(database.url) == "9999"
    assert await engine.check() == []


async def test_of_processes_that_migrate_at_once_one_makes_the_tables(empty_database: Any) -> None:
    await asyncio.gather(*(migrate.upgrade(empty_database.url) for _ in range(4)))
    assert await differences(empty_database.url) == []


async def test_a_start_without_migrations_that_are_due_loads_no_alembic(database: Any) -> None:
    upgrade = f"import asyncio, run, sys; asyncio.run(run.migrate.upgrade({database.url!r})); print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", upgrade, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    loaded = (await process.communicate())[0].decode().split()
    assert process.returncode == 0
    assert "sqlalchemy.sql" in loaded
    assert {"alembic", "sqlalchemy.orm"} & set(loaded) == set()


@pytest.fixture
async def stranger(servers: EmbeddedServers) -> AsyncIterator[Any]:
    """A role with a database of its own that nobody has granted the system role."""
    cluster = await connect(servers.postgres.url(SUPERUSER, SUPERUSER))
    await cluster.execute("CREATE ROLE stranger LOGIN")
    await cluster.execute("CREATE DATABASE strange OWNER stranger")
    yield cluster
    await cluster.execute("DROP DATABASE strange WITH (FORCE)")
    await cluster.execute("DROP ROLE stranger")
    await cluster.close()


@pytest.mark.parametrize("grant", [None, "WITH INHERIT TRUE, SET TRUE"])
async def test_without_the_system_role_it_stops_and_says_what_to_do(
    grant: str | None, stranger: Connection, servers: EmbeddedServers
) -> None:
    url = servers.postgres.url("stranger", "strange")
    if grant is not None:
        await stranger.execute(f"GRANT voyagent_system TO stranger {grant}")
    with pytest.raises(migrate.MissingRole) as told:
        await migrate.upgrade(url)
    lines = str(told.value).splitlines()[1:]
    assert lines == [
        "CREATE ROLE voyagent_system NOLOGIN;",
        "GRANT voyagent_system TO stranger WITH INHERIT FALSE, SET TRUE;",
    ]
    assert (await catalogue(url))[COLUMNS] == set()
    await stranger.execute(lines[1])
    await migrate.upgrade(url)
    assert (await catalogue(url))[COLUMNS] != set()


async def test_a_service_that_does_not_own_the_tables_may_use_them(
    database: Any, stranger: Connection, servers: EmbeddedServers
) -> None:
    url = servers.postgres.url("stranger", database.name)
    with pytest.raises(migrate.MissingRole):
        await migrate.upgrade(database.url, url)
    await stranger.execute("GRANT voyagent_system TO stranger WITH INHERIT FALSE, SET TRUE")
    await migrate.upgrade(database.url, url)
    engine = await Engine.open(url, size=1, system_size=1)
    try:
        assert await engine.check() == []
    finally:
        await engine.close()
    db = await connect(url)
    try:
        await db.serve("0193f5a0-0000-7000-8000-000000000001")
        assert await db.fetch("SELECT FROM sessions") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("UPDATE audit_events SET kind = 'x'")
    finally:
        await db.close()
        owner = await connect(database.admin_url)
        await owner.execute("DROP OWNED BY stranger")
        await owner.close()


async def test_an_unmigrated_database_is_called_unfit(empty_database: Any) -> None:
    engine = await Engine.open(empty_database.url, size=1, system_size=1)
    assert await engine.check() == ["The tables are missing: run the migrations."]
    await engine.close()


@pytest.mark.parametrize(
    ("deed", "fault"),
    [
        ("UPDATE alembic_version SET version_num = '0000'", "older than this release"),
        ("ALTER TABLE passengers NO FORCE ROW LEVEL SECURITY", "without forced row-level security"),
        ("DROP POLICY tenant ON tenants; CREATE POLICY tenant ON tenants USING (true)", "serves no agency sees rows"),
    ],
)
async def test_a_database_that_would_leak_or_lag_is_called_unfit(
    deed: str, fault: str, database: Any, admin: Connection, world: Any, engine: Engine
) -> None:
    assert await engine.check() == []
    await admin.execute(deed)
    assert fault in (await engine.check())[0]


async def test_a_superuser_does_not_serve(database: Any) -> None:
    engine = await Engine.open(database.admin_url, size=1, system_size=1)
    faults = await engine.check()
    await engine.close()
    assert any("does not bind" in fault for fault in faults)
