"""Streams outlive the request that opened them: a watch tells them when their person is no longer welcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakSet

from ..domain.identity import Principal


class AccessWatch:
    """One stream's watch over its principal. It ends with the last reference to it."""

    __slots__ = ("__weakref__", "_lost", "principal", "when_lost")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.when_lost: Callable[[], None] | None = None
        """Called once it has, where a task that waits for it would be one too many: there are thousands of streams."""
        self._lost = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        """Whether family, key, person or agency has ended."""
        return self._lost.is_set()

    async def lost(self) -> None:
        """Return when it has."""
        await self._lost.wait()

    def lose(self) -> None:
        """For the owner of the cache alone."""
        self._lost.set()
        if self.when_lost is not None:
            self.when_lost()


class AccessWatches:
    """All watches held by somebody."""

    def __init__(self) -> None:
        self._held: WeakSet[AccessWatch] = WeakSet()

    def add(self, principal: Principal) -> AccessWatch:
        """Begin to watch ``principal``."""
        watching = AccessWatch(principal)
        self._held.add(watching)
        return watching

    def lose(self, gone: Callable[[Principal], bool]) -> None:
        """Tell the streams of all principals of which ``gone`` holds."""
        for watching in list(self._held):
            if gone(watching.principal):
                watching.lose()

    def held(self) -> list[AccessWatch]:
        """Those that are not lost yet."""
        return [watching for watching in self._held if not watching.is_lost]
