"""Checks that a database is fit to serve from, at start-up and for ``doctor``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from ..migrations.migrate import MissingRole, NotAdmitted, Unreachable, told
from . import canary, checks, reach, sealed_columns
from .checks import WRITABLE
from .connection import Connection
from .pool import SYSTEM_ROLE, Engine, connect
from .sealed_columns import Usage

MAX_CLOCK_SKEW: Final = timedelta(seconds=5)
"""Maximum clock skew: half of the default leeway of tokens."""

WRITE: Final = "INSERT INTO sealing_canaries (key_id, sealed, created_at) VALUES ('doctor', '', now())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with its shards. Without ``node``: the shards that nobody owns."""

    node: str | None
    version: str | None
    lives: bool | None
    seconds: float | None
    """To the end of its lease; None if that is over."""
    shards: int
    epoch: int | None


async def faults(url: str, keys: Mapping[str, bytes], *, as_owner: bool = True) -> list[str]:
    """What makes the database at ``url`` unusable for a service with these sealing ``keys``, in sentences.

    ``as_owner``: its role may own the tables, as in development; in production it may not.
    Raises ``Unreachable`` where waiting may help, ``NotAdmitted``, ``reach.TooOld``, ``MissingRole``.
    """
    async with signed_in(url) as db:
        faults_found = await checks.faults(db, as_owner=as_owner)
        who = str(await db.fetchval("SELECT current_user"))
    if faults_found:
        return faults_found
    async with _as_system(url, who) as system:
        return await canary.faults(system, keys)


async def troubles(url: str, now: datetime) -> list[str]:
    """Temporary faults of a fit database: writes fail, or its clock is off. Raises as ``faults``."""
    async with signed_in(url) as db:
        skew = abs(await db.fetchval("SELECT clock_timestamp()") - now)
        if not await db.fetchval(WRITABLE):
            return ["It takes no writes: a standby, or read-only after a failover or with a full disk."]
        who = str(await db.fetchval("SELECT current_user"))
    async with _as_system(url, who) as system:
        try:
            await system.execute(f"BEGIN; {WRITE}; ROLLBACK")
        except asyncpg.PostgresError as error:
            return [f"A write fails: {reach.sentence(error, url)}"]
    seconds = int(skew.total_seconds())
    return (
        [f"Its clock and this machine's are {seconds} s apart: have both set by NTP."] if skew > MAX_CLOCK_SKEW else []
    )


NODES: Final = """
SELECT n.node, n.version, n.until > now() AS lives,
       extract(epoch FROM CASE WHEN n.until > now() THEN n.until - now() END)::float AS seconds,
       count(s.shard) AS shards, max(s.epoch) AS epoch
  FROM shards s FULL JOIN nodes n USING (node)
 GROUP BY 1, 2, n.until ORDER BY shards DESC, n.node
"""


async def nodes(url: str) -> list[Node]:
    """The nodes of the database at ``url``, also dead ones on record, and what they own. Raises as ``faults``."""
    async with signed_in(url) as db:
        who = str(await db.fetchval("SELECT current_user"))
    async with _as_system(url, who) as system:
        if await system.fetchval("SELECT to_regclass('shards') IS NULL"):
            return []
        return [Node(**row) for row in await system.fetch(NODES)]


async def key_usage(url: str) -> Usage:
    """How many values of the database at ``url`` need each sealing key. Raises as ``opened``."""
    async with _system(url) as system:
        return await sealed_columns.usage(system)


async def key_ids(url: str) -> frozenset[str]:
    """The sealing keys that the services of the database at ``url`` have started with. Raises as ``opened``."""
    async with _system(url) as system:
        return await canary.key_ids(system)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Engine]:
    """The database at ``url``, for one command of an operator.

    Raises as ``faults``; ``NotAdmitted`` also for a database that is not this release's, or refuses something later.
    """
    async with _system(url):
        engine = await Engine.open(url, size=1, system_size=1)
    try:
        yield engine
    except asyncpg.PostgresError as error:
        raise told(error, url) from error
    finally:
        await engine.close()


@asynccontextmanager
async def _system(url: str) -> AsyncIterator[Connection]:
    """A connection of the system role to a database of this release."""
    async with signed_in(url) as db:
        if faults_found := await checks.faults(db):
            raise NotAdmitted(" ".join(faults_found))
        who = str(await db.fetchval("SELECT current_user"))
    async with _as_system(url, who) as system:
        yield system


@contextmanager
def _told(url: str, db: Connection | None = None) -> Iterator[None]:
    """What Postgres refuses, or how it is lost, in a sentence."""
    try:
        yield
    except reach.FAILURES as error:
        raise told(error, url, db) from error


@asynccontextmanager
async def signed_in(url: str) -> AsyncIterator[Connection]:
    """A connection to a Postgres new enough. Raises ``Unreachable``, ``NotAdmitted``, ``reach.TooOld``."""
    with _told(url):
        db = await connect(url)
    async with _told_and_closed(url, db):
        yield db


@asynccontextmanager
async def _told_and_closed(url: str, db: Connection) -> AsyncIterator[None]:
    try:
        with _told(url, db):
            yield
    finally:
        await db.close()


@asynccontextmanager
async def _as_system(url: str, who: str) -> AsyncIterator[Connection]:
    try:
        db = await connect(url, role=SYSTEM_ROLE)
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as error:
        raise MissingRole(who) from error
    except reach.FAILURES as error:
        raise Unreachable(reach.sentence(error, url)) from error
    async with _told_and_closed(url, db):
        yield db


FOREIGN: Final = """
SELECT relname FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT pg_has_role(relowner, 'USAGE')
 ORDER BY relname LIMIT 3
"""


async def foreign_tables(db: Connection) -> list[str]:
    """Tables that the role of ``db`` could not change, which a migration may have to; a few of them."""
    return [row["relname"] for row in await db.fetch(FOREIGN)]
