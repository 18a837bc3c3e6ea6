"""Somebody who watches a conversation all the time, or as much of it as the line allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

PATIENCE = 15.0


class Viewer:
    """Somebody who watches live, loses the line, and comes back with a cursor: what he has is never lost or doubled."""

    def __init__(self, person: Any, session: str) -> None:
        self.person = person
        self.session = session
        self.log: list[Any] = []
        self.closing_frame: list[Any] = []
        self.stream: Any = None
        self.reading: asyncio.Task[None] | None = None
        self.wakeup = asyncio.Event()

    async def come(self, *, header: bool = False) -> None:
        """Come back with the newest id that was seen."""
        cursor = str(self.log[-1].id if self.log else 0)
        if header:
            self.stream = await self.person.watch(self.session, **{"Last-Event-ID": cursor})
        else:
            self.stream = await self.person.watch(self.session, f"?last_event_id={cursor}")
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while (seen := await self.stream.next()) is not None:
            if seen.id is None:
                self.closing_frame.append(seen)
            else:
                assert seen.id == len(self.log) + 1, (seen.id, len(self.log))
                self.log.append(seen)
            self.wakeup.set()
        self.wakeup.set()

    async def leave(self) -> None:
        """Lose the line."""
        assert self.reading is not None
        self.reading.cancel()
        await asyncio.wait({self.reading})
        self.stream.response.close()

    async def until(self, true: Callable[[], bool], told: Callable[[], object]) -> None:
        """Wait until what has been seen makes something true."""
        assert self.reading is not None
        try:
            async with asyncio.timeout(PATIENCE):
                while not true():
                    self.wakeup.clear()
                    assert not self.reading.done() or self.reading.exception() is None, self.reading.exception()
                    await self.wakeup.wait()
        except TimeoutError:
            raise AssertionError(told()) from None
