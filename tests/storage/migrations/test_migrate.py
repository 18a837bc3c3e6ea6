"""Migrations: they make the tables the code knows, guarded, or nothing at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from voyagent.storage.embedded.servers import EmbeddedServers
from voyagent.storage.engine.pool import Connection, Engine, connect, newest_migration, plain_url
from voyagent.storage.migrations import migrate
from voyagent.storage.tables import metadata

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


async def catalogue(url: str) -> dict[str, set[Any]]:
    db = await connect(url)
    try:
        return {sql: {tuple(row) for row in await db.fetch(sql)} for sql in (COLUMNS, CONSTRAINTS, INDEXES)}
    finally:
        await db.close()


async def test_the_migrations_make_exactly_the_tables_the_code_knows(database: Any, empty_database: Any) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(plain_url(empty_database.url))
    )
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    migrated, known = await catalogue(database.url), await catalogue(empty_database.url)
    for sql in (COLUMNS, CONSTRAINTS, INDEXES):
        assert migrated[sql] - known[sql] == set()
        assert known[sql] - migrated[sql] == set()
    assert len(migrated[COLUMNS]) == sum(len(table.columns) for table in metadata.tables.values())


async def test_every_table_is_guarded(admin: Connection) -> None:
    guarded = await admin.fetch("""
        SELECT c.relname FROM pg_class c WHERE c.relrowsecurity AND c.relforcerowsecurity
           AND ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid ORDER BY 1) = '{system,tenant}'
    """)
    assert {row["relname"] for row in guarded} | {"sealing_canaries"} == set(metadata.tables)


def test_migrations_sort_by_name_in_one_line() -> None:
    script = ScriptDirectory(str(migrate.MIGRATIONS))
    line = [revision.revision for revision in reversed(list(script.walk_revisions()))]
    files = sorted(path.name.partition("_")[0] for path in (migrate.MIGRATIONS / "versions").glob("*.py"))
    assert line == files
    assert newest_migration() == files[-1]


async def test_migrating_again_changes_nothing(database: Any) -> None:
    before = await catalogue(database.url)
    await migrate.upgrade(database.url)
    assert await catalogue(database.url) == before


@pytest.fixture
async def stranger(servers: EmbeddedServers) -> AsyncIterator[Any]:
    """A role with a database of its own that nobody has granted the system role."""
    cluster = await connect(servers.admin_url)
    await cluster.execute("CREATE ROLE stranger LOGIN")
    await cluster.execute("CREATE DATABASE strange OWNER stranger")
    yield cluster
    await cluster.execute("DROP DATABASE strange WITH (FORCE)")
    await cluster.execute("DROP ROLE stranger")
    await cluster.close()


async def test_people_on_file_are_found_by_their_names_after_the_migration_as_well(empty_database: Any) -> None:
    """As the owner of the tables, whom row-level security binds like anybody else."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(plain_url(empty_database.url))
    )

    def to_the_release_before(connection: Any) -> None:
        config = Config()
        config.set_main_option("script_location", str(migrate.MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")

    async with engine.begin() as connection:
        await connection.run_sync(to_the_release_before)
    await engine.dispose()
    db = await asyncpg.connect(empty_database.admin_url)
    tenants = ["01a20b55-82b8-7224-a4f3-8780048d6e8" + each for each in "12"]
    for place, tenant in enumerate(tenants):
        await db.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Rao', now())", tenant)
        await db.execute(
            "INSERT INTO passengers (id, tenant_id, full_name, created_at)"
            " SELECT gen_random_uuid(), $1, $2 || ' ' || n, now() FROM generate_series(1, 600) n",
            tenant,
            ("Seán O'Brien", "José Núñez")[place],
        )
    await migrate.upgrade(empty_database.url)
    keys = "SELECT count(DISTINCT match_key) FROM passengers WHERE match_key ~ $1"
    assert await db.fetchval(keys, "^seanobrien[0-9]+$") == await db.fetchval(keys, "^josenunez[0-9]+$") == 600
    forced = "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'passengers'"
    assert await db.fetchval(forced) is True
    await db.close()


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
