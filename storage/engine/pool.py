"""Connections to Postgres and how operations run on them.

Two pools. On the first a connection serves one agency at a time and row-level security shows it nothing else; the
second, small, runs as role ``voyagent_system``: sign-in, look-ups by token, sweeps.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Self, TypeVar
from uuid import UUID

import asyncpg

from ...actors.domain.errors import Refusal
from ...actors.domain.placement import Lease
from ...actors.foundation import log, metrics
from ...actors.foundation.backoff import Backoff
from . import checks, errors
from .connection import Connection
from .connections import Connections
from .operations import Command, Operation, Snapshot
from .reach import require_version

R = TypeVar("R")

SYSTEM_ROLE: Final = "voyagent_system"
SIZE: Final = 10
"""Connections that serve agencies: two cores keep few more than that busy."""
SYSTEM_SIZE: Final = 4
COMMAND_TIMEOUT: Final = 15.0
"""Seconds for one statement; longer than any ask timeout."""
_CONNECT_TIMEOUT: Final = 5.0
_CLOSE_TIMEOUT: Final = 3.0
_ATTEMPTS: Final = 5
"""Attempts of a transaction that conflicts with others."""
_CONNECTIONS: Final = 3
"""Broken connections allowed for one operation, which may itself be the cause."""
_BACKOFF: Final = Backoff(first=0.02, longest=0.5, jitter=0.8)
_BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_log = log.get(__name__)
_unreachable_log = log.LogThrottle(first=5, pause=30.0)


def plain_url(url: str) -> str:
    """The URL as asyncpg reads it: without the driver that SQLAlchemy wants named."""
    scheme, colon, rest = url.partition(":")
    return f"{scheme.partition('+')[0]}{colon}{rest}"


def application_of(node: str | None) -> str:
    """The name of a node's connections in ``pg_stat_activity``."""
    return "voyagent" if node is None else f"voyagent {node}"


async def connect(
    url: str,
    *,
    role: str | None = None,
    application: str = application_of(None),
    command_timeout: float = COMMAND_TIMEOUT,
    lock_timeout: float | None = None,
    idle_timeout: float | None = None,
) -> Connection:
    """One connection outside the pools, prepared like theirs. ``idle_timeout`` is for one within a transaction."""
    options = _options(role, command_timeout, application)
    for limit, seconds in (("lock_timeout", lock_timeout), ("idle_in_transaction_session_timeout", idle_timeout)):
        if seconds is not None:
            options["server_settings"][limit] = f"{int(seconds * 1000)}ms"
    connection = await asyncpg.connect(plain_url(url), connection_class=Connection, **options)
    try:
        await _prepare(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


def _options(role: str | None, command_timeout: float, application: str) -> dict[str, Any]:
    settings = {
        "application_name": application,
        "TimeZone": "UTC",
        "bytea_output": "hex",
        "default_transaction_isolation": "read committed",
        "jit": "off",
        "statement_timeout": f"{int(command_timeout * 1000) - 500}ms",
        "lock_timeout": f"{int(command_timeout * 1000) // 2}ms",
        "idle_in_transaction_session_timeout": "30s",
    }
    if role is not None:
        settings["role"] = role
    return {"server_settings": settings, "timeout": _CONNECT_TIMEOUT, "command_timeout": command_timeout}


async def _prepare(connection: asyncpg.Connection) -> None:
    """Ids travel as ``str``, json and jsonb as what ``json`` makes of them. Raises ``TooOld``."""
    require_version(connection)
    await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str)
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_dump, decoder=json.loads)


_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Engine:
    """Runs operations, each on a connection that sees what it may see."""

    def __init__(self, tenants: Connections, system: Connections, *, leased: bool = False) -> None:
        """With ``leased`` whatever writes without lease is a defect, unless it says why it needs none."""
        self._tenants = tenants
        self._system = system
        self._leased = leased

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        size: int = SIZE,
        system_size: int = SYSTEM_SIZE,
        command_timeout: float = COMMAND_TIMEOUT,
        node: str | None = None,
    ) -> Self:
        """Connect both pools; all connections are made now and stay. Refusal: ``storage_unavailable``.

        Those of a ``node`` carry its id, and its commands need a lease.
        """
        opened: list[Connections] = []
        try:
            for role, count in ((None, size), (SYSTEM_ROLE, system_size)):
                one = partial(
                    connect, url, role=role, application=application_of(node), command_timeout=command_timeout
                )
                opened.append(await Connections.open(one, count, _CONNECT_TIMEOUT))
        except BaseException as error:
            for pool in opened:
                pool.terminate()
            if isinstance(error, Exception):
                raise _unreachable(error) from error
            raise
        engine = cls(*opened, leased=node is not None)
        for state, count_of in (("idle", engine._idle), ("busy", engine._busy)):
            metrics.STORAGE_CONNECTIONS.labels(state).set_function(count_of)
        return engine

    def terminate(self) -> None:
        """Terminate all connections immediately."""
        for pool in (self._tenants, self._system):
            pool.terminate()

    async def close(self) -> None:
        """Close all connections; those in use after a grace period."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await asyncio.gather(self._tenants.close(), self._system.close())
        finally:
            self.terminate()

    async def run(self, operation: Operation[R], still_asked: Callable[[], bool] = lambda: True) -> R:
        """Run ``operation``; retry after conflicts and after connections that broke before COMMIT.

        One that takes a lock is skipped (``storage_unavailable``) when ``still_asked`` is false at an attempt. Raises
        the operation's refusals, ``not_ready`` when its lease is lost, ``storage_unavailable``, and any other error
        unchanged.
        """
        if self._leased and operation.lease is None and operation.needs_lease:
            raise RuntimeError(f"{operation.label} has no lease, and does not say why it needs none")
        for attempt in range(1, _ATTEMPTS + 1):
            if operation.lock is not None and not still_asked():
                raise errors.StorageUnavailable
            try:
                return await self._attempt(operation)
            except _ConnectionBroken as broken:
                reason, cause = "connection", broken.__cause__
            except asyncpg.PostgresError as error:
                refusal = errors.refusal(error)
                if refusal is not None:
                    raise refusal from error
                retry = errors.retry_reason(error)
                if retry is None:
                    raise
                reason, cause = retry, error
            if reason == "connection" and attempt >= _CONNECTIONS:
                raise errors.StorageUnavailable from cause
            metrics.STORAGE_RETRIES_TOTAL.labels(reason).inc()
            await asyncio.sleep(_BACKOFF.pause(attempt))
        raise errors.StorageUnavailable

    async def _attempt(self, operation: Operation[R]) -> R:
        tenant = operation.tenant_id
        pool = self._system if tenant is None else self._tenants
        db = await _acquire(pool)
        try:
            if tenant is not None:
                await db.serve(tenant)
            if isinstance(operation, Command):
                return await _transact(db, operation, _begin(operation))
            if operation.lock is not None:  # taken before the statement, which takes its snapshot at once
                await db.execute(f"SELECT {_lock(operation.lock)}")
            if isinstance(operation, Snapshot):
                return await _transact(db, operation, _BEGIN_SNAPSHOT)
            return await operation.run(db)
        except Refusal:
            raise
        except Exception as error:
            if errors.is_held(error) and not db.is_closed():
                _log.warning("operation_lock_timed_out", operation=operation.label)
                raise errors.StorageUnavailable from error
            if not _is_broken(db, error):
                raise
            db.terminate()
            _log.warning("operation_interrupted", operation=operation.label, reason=f"{type(error).__name__}: {error}")
            raise (errors.StorageUnavailable if errors.is_timeout(error) else _ConnectionBroken) from error
        finally:
            pool.release(db)

    @asynccontextmanager
    async def acquire_system(self) -> AsyncIterator[Connection]:
        """A connection of the system pool, for what is no operation."""
        db = await _acquire(self._system)
        try:
            yield db
        finally:
            self._system.release(db)

    async def check(self, *, as_owner: bool = True) -> list[str]:
        """What makes this database unable to serve, in sentences; else nothing. Refusal: ``storage_unavailable``."""
        db = await _acquire(self._tenants)
        try:
            return await checks.faults(db, as_owner=as_owner)
        finally:
            self._tenants.release(db)

    def _idle(self) -> int:
        return self._tenants.idle + self._system.idle

    def _busy(self) -> int:
        return self._tenants.busy + self._system.busy


class _ConnectionBroken(Exception):
    """The connection failed an operation before anything was committed."""


async def _acquire(pool: Connections) -> Connection:
    """A connection of ``pool``. Refusal: ``storage_unavailable``."""
    try:
        return await pool.acquire()
    except Exception as error:
        raise _unreachable(error) from error


def _begin(operation: Operation[Any]) -> str:
    """BEGIN, the lock and the fence in one message: a simple query, so their numbers are part of its text.

    The lock comes first: the fence holds a row that a take-over waits for.
    """
    calls = [] if operation.lock is None else [_lock(operation.lock)]
    if operation.lease is not None:
        calls.append(_fence(operation.lease))
    return f"BEGIN; SELECT {', '.join(calls)}" if calls else "BEGIN"


def _lock(number: int) -> str:
    return f"pg_advisory_xact_lock({number:d})"


def _fence(lease: Lease) -> str:
    return f"voyagent_fence({lease.shard:d}, '{UUID(lease.node)}', {lease.epoch:d})"


async def _transact(db: Connection, operation: Operation[R], begin: str) -> R:
    """BEGIN, the operation, COMMIT. Raises ``CommitLost`` when the outcome of a command's COMMIT is unknown."""
    try:
        await db.execute(begin)
        reply = await operation.run(db)
    except BaseException as error:
        if not _is_broken(db, error):
            await _roll_back(db)
        raise
    try:
        outcome = await db.execute("COMMIT")
    except BaseException as error:
        if isinstance(error, asyncpg.PostgresError) and not _is_broken(db, error):
            raise  # refused by the server, a conflict or a deferred constraint: rolled back
        db.terminate()
        if not isinstance(error, Exception):
            raise
        reason = f"{type(error).__name__}: {error}"
        if isinstance(operation, Snapshot):  # it has written nothing, and what it has read holds
            _log.warning("connection_lost", reason=reason)
            return reply
        _log.error("commit_lost", operation=operation.label, reason=reason)
        raise errors.CommitLost from error
    if outcome != "COMMIT":
        raise RuntimeError(f"{operation.label} went on after a failed statement and was rolled back")
    return reply


async def _roll_back(db: Connection) -> None:
    """Roll back; if that fails or is cancelled, the connection is terminated and the server rolls back."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await db.execute("ROLLBACK")
    except BaseException as error:
        db.terminate()
        if not isinstance(error, Exception):
            raise
        _log.warning("connection_lost", reason=f"{type(error).__name__}: {error}")  # the caller is told why it came


def _is_broken(db: Connection, error: BaseException) -> bool:
    if db.is_closed():
        return True
    return errors.is_connection_error(error) or (errors.is_timeout(error) and not errors.is_held(error))


def _unreachable(error: Exception) -> errors.StorageUnavailable:
    if _unreachable_log.allows():
        _log.warning("database_unreachable", reason=f"{type(error).__name__}: {error}")
    return errors.StorageUnavailable()
