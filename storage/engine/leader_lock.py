"""Leader lock: a session-level advisory lock held on a dedicated connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

from ...actors.foundation import log
from ...actors.foundation.clock import Clock
from ...actors.runtime.periodic import PeriodicTasks
from .connection import Connection
from .errors import StorageUnavailable
from .pool import connect

TRY: Final = "SELECT pg_try_advisory_lock(1987, 1)"
"""The two-key form: idempotency keys and addresses use the one-key form."""
RETRY_INTERVAL: Final = 0.5
"""Seconds between attempts to get the lock."""
CHECK_INTERVAL: Final = 5.0
"""Seconds between two checks of the connection."""
GRACE: Final = 30.0

_log = log.get(__name__)


class LeaderLock:
    """Holds the lock while its connection is open. ``run`` belongs in a task."""

    def __init__(
        self,
        url: str,
        tasks: PeriodicTasks,
        on_lost: Callable[[], Awaitable[None]] | None = None,
        on_elected: Callable[[], None] | None = None,
        *,
        had: bool = False,
    ) -> None:
        """``on_lost`` is awaited after the lock was lost, before it is acquired again: it stops turns.

        ``on_elected`` is called when it is acquired. With ``had`` a previous incarnation held and lost it.
        """
        self._url = url
        self._on_elected = on_elected
        self._on_lost = on_lost
        self._task = tasks.task(
            "process_lock", self._tick, every=RETRY_INTERVAL, retry=RETRY_INTERVAL, grace=GRACE, clock=Clock()
        )
        self._reported = False
        self._lost_pending = had
        self.held = False

    async def run(self) -> None:
        """Acquire and hold the lock; acquire it again after its connection was lost."""
        await self._task.run()

    async def _tick(self) -> None:
        """Report a lost lock, then try once to acquire it, and hold it."""
        if self._lost_pending and self._on_lost is not None:
            await self._on_lost()
        self._lost_pending = False
        connection: Connection | None = None
        stopping = False
        try:
            connection = await connect(self._url, command_timeout=CHECK_INTERVAL)
            if await connection.fetchval(TRY):
                await self._hold(connection)
            elif not self._reported:
                self._reported = True
                _log.warning("leader_lock_refused")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise StorageUnavailable from error
        except asyncio.CancelledError:
            stopping = True
            raise
        finally:
            was_held, self.held = self.held, False
            if connection is not None:
                connection.terminate()
            if was_held and stopping:
                _log.info("leader_lock_released")
            elif was_held:
                self._lost_pending = True
                _log.error("leader_lock_lost")

    async def _hold(self, connection: Connection) -> None:
        """Hold the lock until the connection is lost."""
        gone = asyncio.Event()
        connection.add_termination_listener(lambda _connection: gone.set())
        self.held, self._reported = True, False
        if self._on_elected is not None:
            self._on_elected()
        _log.info("leader_lock_acquired")
        while not gone.is_set():
            self._task.succeeded()
            try:
                async with asyncio.timeout(CHECK_INTERVAL):
                    await gone.wait()
            except TimeoutError:
                await connection.fetchval("SELECT 1")
        raise StorageUnavailable
