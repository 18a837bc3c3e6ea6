"""The coordinator of a node: registers it, renews its lease, and claims the shards of nodes that are gone.

All of it is on one connection of its own, with an advisory lock: when the process ends, the lock goes with the
connection, and another node takes over at once. A node that is paused or cut off keeps its lock but not its lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any, Final

import asyncpg

from ...actors.domain.placement import Lease
from ...actors.foundation import log, metrics
from ...actors.foundation.clock import Clock
from ...actors.runtime.periodic import ON_CALL, PeriodicTasks
from .connection import Connection
from .errors import StorageUnavailable
from .ownership import Ownership
from .pool import SYSTEM_ROLE, application_of, connect

TTL: Final = 5.0
"""Seconds a lease lasts from each heartbeat, by the database's clock."""
BEAT: Final = 1.0
"""Seconds between heartbeats."""
TRUST: Final = 0.8 * TTL
"""Seconds a node relies on its lease, counted from before the heartbeat was sent."""
RETRY: Final = 0.5
"""Seconds between attempts to connect, and to claim."""
GRACE: Final = 8.0
"""Seconds after a start of Postgres in which no node is declared dead: others may still be reconnecting."""
ANSWER: Final = 2 * TTL
"""Seconds in which the database has to answer a heartbeat; after that the connection is given up."""
LOCK: Final = 2.5
"""Seconds for a lock, and for a pause within a transaction: one that is paused must hold nobody up."""
RELEASE: Final = 1.5
"""Seconds to give the shards up at a stop; after that they are claimed as from a killed process."""
TASK_GRACE: Final = 30.0

ALONE, OF_NODE = 1987, 1988
"""First keys of the advisory locks. Releases without leases hold (1987, 1) exclusively, nodes share it."""

JOIN: Final = """
INSERT INTO nodes (node, version, until) VALUES ($1, $2, now() + $3)
    ON CONFLICT (node) DO UPDATE SET until = EXCLUDED.until RETURNING key
"""
"""Text, like all statements here: they are about locks, backends and the server's clock."""
LOCKS: Final = f"SELECT pg_try_advisory_lock_shared({ALONE}, 1), pg_try_advisory_lock({OF_NODE}, $1)"
HOLDERS: Final = f"""
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = {OF_NODE} AND objsubid = 2 AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608 -- constants
END_HOLDER: Final = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE pg_has_role(usesysid, 'USAGE') AND pid IN ({HOLDERS} AND objid = $1 AND pid <> pg_backend_pid())
"""  # noqa: S608 -- constants
RENEW: Final = "UPDATE nodes SET until = now() + $2 WHERE node = $1"
HELD: Final = "SELECT array_agg(shard) AS shards, array_agg(epoch) AS epochs FROM shards WHERE node = $1"
"""One row, which is compared with the one before: 256 new leases each second would be most of an idle process."""
IS_DEAD: Final = f"""
until > '-infinity' AND now() - pg_postmaster_start_time() > $2
   AND (until <= now() OR NOT EXISTS ({HOLDERS} AND objid = nodes.key))
"""
DEAD: Final = f"SELECT node FROM nodes WHERE node <> $1 AND {IS_DEAD}"  # noqa: S608 -- constants
BURY: Final = f"UPDATE nodes SET until = '-infinity' WHERE node = ANY($1) AND {IS_DEAD} RETURNING node"  # noqa: S608
END_BACKENDS: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE application_name = ANY($1) AND pg_has_role(usesysid, 'USAGE') AND datname = current_database()
"""
"""Only what this role may end: others end by themselves after the limit on idling in a transaction."""
CLAIM: Final = """
UPDATE shards SET node = $1, epoch = epoch + 1
 WHERE node IS NULL OR NOT EXISTS (SELECT FROM nodes n WHERE n.node = shards.node AND n.until > '-infinity')
RETURNING shard, epoch
"""
GIVE_UP: Final = "UPDATE shards SET node = NULL WHERE node = $1"
LEAVE: Final = "DELETE FROM nodes WHERE node = $1"
TIDY: Final = """
DELETE FROM nodes n WHERE until < now() - interval '1 hour' AND NOT EXISTS (SELECT FROM shards s WHERE s.node = n.node)
"""
"""One that was declared dead, or that nobody has missed for an hour."""

_log = log.get(__name__)


class Coordinator:
    """Keeps ``ownership`` true. ``run`` belongs in a task; when that is cancelled the shards are given up."""

    def __init__(
        self,
        url: str,
        ownership: Ownership,
        tasks: PeriodicTasks,
        *,
        version: str = "",
        alone: bool = False,
        on_lost: Callable[[frozenset[int]], Awaitable[None]] | None = None,
        on_owned: Callable[[], None] | None = None,
    ) -> None:
        """``on_lost`` is awaited after shards were lost, before they are owned again: it stops their agencies.

        ``on_owned`` is called when shards were claimed, or are relied on again. A server that this process has started
        is used by it ``alone``: nobody has to be waited for.
        """
        self._url = url
        self._ownership = ownership
        self._version = version
        self._grace = timedelta(seconds=0.0 if alone else GRACE)
        self._on_lost = on_lost
        self._on_owned = on_owned
        self._task = tasks.task("lease", self._round, every=RETRY, retry=RETRY, grace=TASK_GRACE, clock=Clock())
        self._stops = tasks.task("agency_stops", self._stop_dropped, every=ON_CALL, retry=RETRY, clock=Clock())
        self._reported = False
        self._known: frozenset[Lease] = frozenset()
        """The leases as they were last read, whether or not the connection has been lost since."""
        self._read: tuple[Any, frozenset[Lease]] = None, frozenset()
        """The row they were read from, and the leases in it."""
        metrics.SHARDS_OWNED.set_function(lambda: len(ownership.leases))
        metrics.LEASE_AGE_SECONDS.set_function(lambda: ownership.age)

    async def run(self) -> None:
        """Own what is free until cancelled; begin again after the connection was lost."""
        stops = asyncio.get_running_loop().create_task(self._stops.run(), name="agency_stops")
        try:
            await self._task.run()
        finally:
            stops.cancel()
            await asyncio.wait({stops})

    async def _round(self) -> None:
        """Connect, join, and renew until the connection is lost."""
        connection: Connection | None = None
        try:
            connection = await connect(
                self._url,
                role=SYSTEM_ROLE,
                application=application_of(self._ownership.node),
                command_timeout=ANSWER,
                lock_timeout=LOCK,
                idle_timeout=LOCK,
            )
            await self._serve(connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise StorageUnavailable from error
        except asyncio.CancelledError:
            had = self._ownership.drop()
            if connection is not None:
                await self._release(connection)
            if had:
                _log.info("shards_given_up", node=self._ownership.node)
            raise
        finally:
            if self._ownership.drop():
                _log.error("lease_connection_lost", node=self._ownership.node)
            if connection is not None:
                connection.terminate()
            self._stop_soon()

    async def _serve(self, connection: Connection) -> None:
        """Renew the lease each second while the connection lasts. Raises when it is lost, or does not answer in time.

        Meanwhile the node ceases to rely on its lease by itself. A heartbeat that is late is good all the same, if no
        other node has claimed the shards.
        """
        gone = asyncio.Event()
        connection.add_termination_listener(lambda _connection: gone.set())
        if not await self._join(connection):
            return
        known = 0
        while not gone.is_set():
            ownership = self._ownership
            sent_at = ownership.now()
            held = await self._renew(connection)
            self._confirm(held, sent_at)
            if not held:
                held = await self._claim(connection)
                self._confirm(held, sent_at)  # the lease is as old as its heartbeat, however long the claim has taken
            self._report(known, len(ownership.leases), held)
            known = len(ownership.leases)
            self._task.succeeded()
            try:
                async with asyncio.timeout(BEAT if held else RETRY):
                    await gone.wait()
            except TimeoutError:
                continue
        raise StorageUnavailable

    def _confirm(self, held: frozenset[Lease], sent_at: float) -> None:
        """Rely on what the database has said. Lost shards are counted, and their agencies are stopped."""
        ownership = self._ownership
        ownership.confirm(held, sent_at, sent_at + TRUST)
        lost, self._known = self._known - held, held
        if lost:
            metrics.SHARD_MOVES_TOTAL.labels("lost").inc(len(lost))
            _log.error("shards_lost", node=ownership.node, shards=len(lost))
        self._stop_soon()

    def _report(self, known: int, owned: int, held: Collection[Lease]) -> None:
        if owned and not known:
            self._reported = False
            _log.info("shards_owned", node=self._ownership.node, shards=owned)
            if self._on_owned is not None:
                self._on_owned()
        elif not held and not self._reported:
            self._reported = True
            _log.warning("shards_owned_by_another_node", node=self._ownership.node)

    def _stop_soon(self) -> None:
        if self._ownership.dropped:
            self._stops.call()

    async def _stop_dropped(self) -> None:
        """Have the agencies of dropped shards stopped. The lease is renewed meanwhile."""
        dropped = self._ownership.dropped
        if dropped and self._on_lost is not None:
            await self._on_lost(dropped)
        self._ownership.stopped(dropped)

    async def _join(self, connection: Connection) -> bool:
        """Register this node, and take its lock. False while a release without leases serves the database.

        The lock may still be held by a connection that was cut off without an end: that is ended, and joining retried.
        """
        await connection.execute(
            "SET synchronous_commit = off"
        )  # a heartbeat waits for no disk, nor has to outlive one
        await connection.execute(TIDY)
        await connection.execute("BEGIN")
        key = await connection.fetchval(JOIN, self._ownership.node, self._version, timedelta(seconds=TTL))
        shared, own = await connection.fetchrow(LOCKS, key)
        await connection.execute("COMMIT")
        if not own:
            await connection.execute("SET ROLE NONE")
            await connection.execute(END_HOLDER, key)
            raise StorageUnavailable
        if not shared:
            self._report(0, 0, [])
        return bool(shared)

    async def _renew(self, connection: Connection) -> frozenset[Lease]:
        """Renew the lease, then read what this node owns. Two statements: the second sees what the first waited for."""
        node = self._ownership.node
        if await connection.execute(RENEW, node, timedelta(seconds=TTL)) != "UPDATE 1":
            raise StorageUnavailable
        row = await connection.fetchrow(HELD, node)
        before, held = self._read
        if row != before:
            held = frozenset(Lease(node, *one) for one in zip(row["shards"] or (), row["epochs"] or (), strict=True))
            self._read = row, held
        return held

    async def _claim(self, connection: Connection) -> frozenset[Lease]:
        """Claim all shards without a living owner, in one transaction.

        Whoever lost them is declared dead first, and its connections are ended: a transaction that was paused in the
        middle holds its shard's row.
        """
        node = self._ownership.node
        dead = [row["node"] for row in await connection.fetch(DEAD, node, self._grace)]
        await connection.execute("BEGIN; SET LOCAL synchronous_commit = on")
        buried = [row["node"] for row in await connection.fetch(BURY, dead, self._grace)] if dead else []
        if buried:
            await connection.execute("SET LOCAL ROLE NONE")
            await connection.execute(END_BACKENDS, [application_of(each) for each in buried])
            await connection.execute(f"SET LOCAL ROLE {SYSTEM_ROLE}")
        claimed = frozenset(Lease(node, *row) for row in await connection.fetch(CLAIM, node))
        await connection.execute("COMMIT")
        if buried:
            _log.warning("nodes_declared_dead", node=node, dead=buried)
        if claimed:
            metrics.SHARD_MOVES_TOTAL.labels("claimed").inc(len(claimed))
        return claimed

    async def _release(self, connection: Connection) -> None:
        """Give the shards up, so that the next node need not wait. What fails is left to the lock."""
        try:
            async with asyncio.timeout(RELEASE):
                await connection.execute(GIVE_UP, self._ownership.node)
                await connection.execute(LEAVE, self._ownership.node)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            _log.warning("shards_not_given_up", reason=f"{type(error).__name__}: {error}")
