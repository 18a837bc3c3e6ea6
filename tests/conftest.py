"""What tests stand on: one real Postgres and Redis a run, a database of its own for each test, a clock to move."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import pytest
import redis.asyncio

from voyagent.actors.clock import ManualClock
from voyagent.storage import migrate
from voyagent.storage.embedded import OWNER, SUPERUSER, EmbeddedServers

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated, empty database of one test's own."""

    name: str
    url: str
    """As the service: no superuser, held by row-level security."""
    admin_url: str
    """As the superuser: to look behind the curtain."""


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServers]:
    """Postgres and Redis for the whole run. A test that stops one must start it again."""
    folder = tmp_path_factory.mktemp("servers")
    async with EmbeddedServers(folder, fast=True) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def template(servers: EmbeddedServers) -> str:
    """The name of a database that is migrated once and then only copied."""
    name = "template_voyagent"
    await as_superuser(servers, f"CREATE DATABASE {name} OWNER {OWNER}")
    await migrate.upgrade(servers.postgres.url(OWNER, name))
    return name


@pytest.fixture
async def database(servers: EmbeddedServers, template: str) -> AsyncIterator[Database]:
    """A copy of the template, gone after the test."""
    name = f"test_{next(NUMBERS)}"
    await as_superuser(servers, f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} STRATEGY file_copy")
    yield Database(name, servers.postgres.url(OWNER, name), servers.postgres.url(SUPERUSER, name))
    await as_superuser(servers, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_database(servers: EmbeddedServers) -> AsyncIterator[Database]:
    """A database without any table: for migrations."""
    name = f"test_{next(NUMBERS)}"
    await as_superuser(servers, f"CREATE DATABASE {name} OWNER {OWNER}")
    yield Database(name, servers.postgres.url(OWNER, name), servers.postgres.url(SUPERUSER, name))
    await as_superuser(servers, f"DROP DATABASE {name} WITH (FORCE)")


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


async def as_superuser(servers: EmbeddedServers, statement: str) -> None:
    """Run one statement on the cluster."""
    db = await asyncpg.connect(servers.admin_url)
    try:
        await db.execute(statement)
    finally:
        await db.close()
