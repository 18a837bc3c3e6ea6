"""Streams outlive the request that opened them: a watch tells them when their person is no longer welcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakSet

from ..domain.identity import Principal


class AccessWatch:
    """One stream's watch over its principal. It ends with the last reference to it."""

    __slots__ = ("__weakref__", "_revoked", "on_revoked", "principal")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.on_revoked: Callable[[], None] | None = None
        """Called once it has, where a task that waits for it would be one too many: there are thousands of streams."""
        self._revoked = asyncio.Event()

    @property
    def is_revoked(self) -> bool:
        """Whether family, key, person or agency has ended."""
        return self._revoked.is_set()

    async def revoked(self) -> None:
        """Return when it has."""
        await self._revoked.wait()

    def revoke(self) -> None:
        """For the owner of the cache alone."""
        self._revoked.set()
        if self.on_revoked is not None:
            self.on_revoked()


class AccessWatches:
    """All watches held by somebody."""

    def __init__(self) -> None:
        self._held: WeakSet[AccessWatch] = WeakSet()

    def add(self, principal: Principal) -> AccessWatch:
        """Begin to watch ``principal``."""
        watch = AccessWatch(principal)
        self._held.add(watch)
        return watch

    def revoke(self, matches: Callable[[Principal], bool]) -> None:
        """Tell the streams of all principals of which ``matches`` holds."""
        for watch in list(self._held):
            if matches(watch.principal):
                watch.revoke()

    def held(self) -> list[AccessWatch]:
        """Those that are not lost yet."""
        return [watch for watch in self._held if not watch.is_revoked]
