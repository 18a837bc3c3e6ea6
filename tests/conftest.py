"""What tests stand on: one real Postgres and Redis a run, a database of its own for each test, a clock to move."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from hypothesis import HealthCheck, settings

from tests.manual_clock import ManualClock
from tests.operator_calls import PREPARED
from voyagent.actors.database import StorageActor
from voyagent.actors.domain import ids
from voyagent.actors.runtime.ref import Ref
from voyagent.storage.embedded.servers import OWNER, SUPERUSER, SYSTEM, EmbeddedServers
from voyagent.storage.migrations import migrate

settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")  # how long it takes says nothing here: time belongs into the bench

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NUMBERS = itertools.count(1)
SERVICE = "voyagent_service"
"""The service's role where it is not the owner's."""
MEMORY, SPACE = Path("/dev/shm"), 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated, empty database of one test's own."""

    name: str
    url: str
    """As the service: no superuser, held by row-level security."""
    admin_url: str
    """As the superuser: sees the rows of every agency."""


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServers]:
    """Postgres and Redis for the whole run. A test that stops one must start it again."""
    folder = in_memory() or tmp_path_factory.mktemp("servers")
    try:
        async with EmbeddedServers(folder, fast=True) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
async def prepared() -> AsyncIterator[None]:
    """The process that runs commands has ended when the tests have."""
    yield
    await PREPARED.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with large counts take as long as they take; another one that waits for ever fails by its time limit."""
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.timeout(0))


def in_memory() -> Path | None:
    """A folder that is no disk, where there is one with space: each test copies a database of hundreds of files."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < SPACE:
        return None
    return Path(tempfile.mkdtemp(prefix="voyagent-tests-", dir=MEMORY))


class Cluster:
    """The superuser's connection, on which databases are made and dropped; opened again after a test cut it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._db: asyncpg.Connection | None = None

    async def run(self, statement: str) -> None:
        """Run one statement."""
        if self._db is None or self._db.is_closed():
            self._db = await asyncpg.connect(self._url)
        await self._db.execute(statement)

    async def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            await self._db.close()


@pytest.fixture(scope="session")
async def cluster(servers: EmbeddedServers) -> AsyncIterator[Cluster]:
    """To make databases on."""
    made = Cluster(servers.postgres.url(SUPERUSER, SUPERUSER))
    yield made
    await made.close()


@pytest.fixture(scope="session")
async def template(servers: EmbeddedServers, cluster: Cluster) -> str:
    """The name of a database that is migrated once and then only copied."""
    name = "template_voyagent"
    await cluster.run(f"CREATE DATABASE {name} OWNER {OWNER}")
    await migrate.upgrade(servers.postgres.url(OWNER, name))
    return name


@pytest.fixture
async def database(servers: EmbeddedServers, cluster: Cluster, template: str) -> AsyncIterator[Database]:
    """A copy of the template, gone after the test."""
    name = f"test_{next(NUMBERS)}"
    await cluster.run(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} STRATEGY file_copy")
    yield Database(name, servers.postgres.url(OWNER, name), servers.postgres.url(SUPERUSER, name))
    await cluster.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def production_database(servers: EmbeddedServers, database: Database) -> Database:
    """The same database as in production: the service's role owns nothing. ``database.url`` is the owner's then."""
    admin = await asyncpg.connect(database.admin_url)
    if not await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", SERVICE):
        await admin.execute(f"CREATE ROLE {SERVICE} LOGIN; GRANT {SYSTEM} TO {SERVICE} WITH INHERIT FALSE, SET TRUE")
    await admin.close()
    url = servers.postgres.url(SERVICE, database.name)
    await migrate.upgrade(database.url, url)
    return Database(database.name, url, database.admin_url)


@pytest.fixture
async def empty_database(servers: EmbeddedServers, cluster: Cluster) -> AsyncIterator[Database]:
    """A database without any table: for migrations."""
    name = f"test_{next(NUMBERS)}"
    await cluster.run(f"CREATE DATABASE {name} OWNER {OWNER}")
    yield Database(name, servers.postgres.url(OWNER, name), servers.postgres.url(SUPERUSER, name))
    await cluster.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def redis_url(servers: EmbeddedServers) -> AsyncIterator[str]:
    """An empty Redis, emptied again."""
    yield servers.redis_url
    client = redis.asyncio.from_url(servers.redis_url)
    await client.flushall()
    await client.aclose()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon until it is told."""
    return ManualClock(NOON)


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency with one person, one conversation and one turn in it, and the storage that keeps them."""

    tenant_id: str
    user_id: str
    session_id: str
    turn_id: str
    store: Ref
    db: asyncpg.Connection
    """As the superuser."""

    async def call(self, tool: str) -> str:
        """A row of the ledger for one call of ``tool``; its id is the key."""
        call_id = ids.uuid7()
        await self.db.execute(
            """INSERT INTO tool_calls (id, tenant_id, session_id, turn_id, call_id, tool, input, input_hash, effect,
                                       user_id, created_at)
               VALUES ($1, $2, $3, $4, $1::uuid::text, $5, '{}', $6, 'irreversible', $7, $8)""",
            call_id,
            self.tenant_id,
            self.session_id,
            self.turn_id,
            tool,
            "0" * 64,
            self.user_id,
            NOON,
        )
        return call_id


@pytest.fixture
async def agency(database: Database) -> AsyncIterator[Agency]:
    """An agency on a real database, served by a real StorageActor."""
    store = StorageActor.start(database.url, size=8)
    db = await asyncpg.connect(database.admin_url)
    yield await new_agency(store, db)
    await db.close()
    await store.stop_and_wait(5.0)


@pytest.fixture
async def other_agency(agency: Agency) -> Agency:
    """A second one on the same database."""
    return await new_agency(agency.store, agency.db)


async def new_agency(store: Ref, db: asyncpg.Connection) -> Agency:
    tenant, user, session, turn = ids.uuid7(), ids.uuid7(), ids.uuid7(), ids.turn_id()
    await db.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Rao Travels', $2)", tenant, NOON)
    await db.execute(
        "INSERT INTO users (id, tenant_id, email, created_at) VALUES ($1, $2, $3, $4)",
        user,
        tenant,
        f"{user}@example.com",
        NOON,
    )
    await db.execute(
        "INSERT INTO sessions (id, tenant_id, actor_id, created_at) VALUES ($1, $2, $3, $4)",
        session,
        tenant,
        user,
        NOON,
    )
    await db.execute(
        """INSERT INTO turns (id, tenant_id, session_id, user_id, state, text_hash, queued_at)
           VALUES ($1, $2, $3, $4, 'running', '', $5)""",
        turn,
        tenant,
        session,
        user,
        NOON,
    )
    return Agency(tenant, user, session, turn, store, db)
