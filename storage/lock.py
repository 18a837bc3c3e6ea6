"""One process at a time: an advisory lock on a connection of its own says who serves this database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ..actors import log
from .engine import Connection, connect

TRY: Final = "SELECT pg_try_advisory_lock(1987, 1)"
"""Two numbers: idempotency keys and addresses lock by one."""
PAUSE: Final = 0.5
"""Seconds between attempts to get the lock."""
PULSE: Final = 5.0
"""Seconds between two looks at whether the connection still holds it."""

_log = log.get(__name__)


class OneProcess:
    """Holds the lock as long as its connection lives. ``run`` is to be somebody's task."""

    def __init__(
        self, url: str, lost: Callable[[], Awaitable[None]] | None = None, taken: Callable[[], None] | None = None
    ) -> None:
        """``lost`` is awaited when the lock is gone, before it is taken anew: the place to stop turns.

        ``taken`` is called when it is had.
        """
        self._url = url
        self._taken = taken
        self._lost = lost
        self.held = False

    async def run(self) -> None:
        """Take the lock, hold it, take it again after its connection was lost."""
        told = False
        while True:
            connection: Connection | None = None
            try:
                connection = await connect(self._url, command_timeout=PULSE)
                if await connection.fetchval(TRY):
                    self.held, told = True, False
                    if self._taken is not None:
                        self._taken()
                    _log.info("process_lock_taken")
                    await _until_lost(connection)
                elif not told:
                    told = True
                    _log.warning("process_lock_held_by_another")
            except Exception as error:  # noqa: BLE001  # whatever it is, the lock is not held; the pools report outages
                _log.debug("process_lock_unreachable", reason=f"{type(error).__name__}: {error}")
            finally:
                was_held, self.held = self.held, False
                if connection is not None:
                    connection.terminate()
            if was_held:
                _log.error("process_lock_lost")
                if self._lost is not None:
                    await self._lost()
            await asyncio.sleep(PAUSE)


async def _until_lost(connection: Connection) -> None:
    gone = asyncio.Event()
    connection.add_termination_listener(lambda _connection: gone.set())
    while not gone.is_set():
        try:
            async with asyncio.timeout(PULSE):
                await gone.wait()
        except TimeoutError:
            await connection.fetchval("SELECT 1")
