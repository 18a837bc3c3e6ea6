"""A fixed number of connections to one database, used by turns.

asyncpg's pool makes a task and two timers for each use, which take longer than a small statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self

import asyncpg

if TYPE_CHECKING:
    from .connection import Connection


class Connections:
    """The newest one released is used next; one that was closed is replaced when it is needed.

    What was cancelled on a connection is waited for by its next statement (asyncpg's own rule).
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int, patience: float) -> None:
        """``patience`` is how many seconds to wait for a free connection, and for a new one."""
        self._connect = connect
        self._size = size
        self._patience = patience
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._closing = False

    @classmethod
    async def open(cls, connect: Callable[[], Awaitable[Connection]], size: int, patience: float) -> Self:
        """Connect all of them; when one fails, none stays open."""
        opened = cls(connect, size, patience)
        try:
            outcomes = await asyncio.gather(*(opened._add() for _ in range(size)), return_exceptions=True)
        except BaseException:
            opened.terminate()
            raise
        for failure in filter(None, outcomes):
            opened.terminate()
            raise failure
        return opened

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def busy(self) -> int:
        return len(self._busy)

    async def acquire(self) -> Connection:
        """A connection, to be released in any case. Raises ``TimeoutError``, or whatever connecting raises."""
        self._refuse_if_closing()
        if self._free.locked():
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        else:
            await self._free.acquire()  # at once
        try:
            db = self._newest() or await self._opened()
        except BaseException:
            self._free.release()
            raise
        self._busy.add(db)
        return db

    def release(self, db: Connection) -> None:
        """Give one back. One within a transaction is closed, which rolls back."""
        self._busy.discard(db)
        if not db.is_closed():
            if db.is_in_transaction():
                db.terminate()
            else:
                self._idle.append(db)
        self._free.release()

    async def close(self) -> None:
        """Close each as soon as it is released. No more are handed out from now on."""
        self._closing = True
        for _ in range(self._size):
            await self._free.acquire()
        while self._idle:
            await self._idle.pop().close()

    def terminate(self) -> None:
        """Close all at once, those in use as well."""
        self._closing = True
        for db in (*self._idle, *self._busy):
            db.terminate()
        self._idle.clear()

    def _newest(self) -> Connection | None:
        while self._idle:
            db = self._idle.pop()
            if not db.is_closed():
                return db
        return None

    async def _add(self) -> None:
        self._idle.append(await self._opened())

    async def _opened(self) -> Connection:
        async with asyncio.timeout(self._patience):
            db = await self._connect()
        try:
            self._refuse_if_closing()  # terminated meanwhile
        except asyncpg.InterfaceError:
            db.terminate()
            raise
        return db

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise asyncpg.InterfaceError("the connections are being closed")
