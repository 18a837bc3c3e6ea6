"""Watches the access of open streams: each stream is notified when its principal's access is revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakSet

from ..domain.identity import Principal


class AccessWatch:
    """Whether one stream's principal still has access. Garbage-collected with its last reference."""

    __slots__ = ("__weakref__", "_revoked", "on_revoked", "principal")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.on_revoked: Callable[[], None] | None = None
        """Called on revocation: cheaper than a waiting task for each of thousands of streams."""
        self._revoked = asyncio.Event()

    @property
    def is_revoked(self) -> bool:
        """Whether login session, API key, user or agency has ended."""
        return self._revoked.is_set()

    async def revoked(self) -> None:
        """Wait until access is revoked."""
        await self._revoked.wait()

    def revoke(self) -> None:
        """Mark access as revoked. Called by the owner of the principal cache only."""
        self._revoked.set()
        if self.on_revoked is not None:
            self.on_revoked()


class AccessWatches:
    """All watches that are still referenced."""

    def __init__(self) -> None:
        self._held: WeakSet[AccessWatch] = WeakSet()

    def add(self, principal: Principal) -> AccessWatch:
        """A new watch of ``principal``."""
        watch = AccessWatch(principal)
        self._held.add(watch)
        return watch

    def revoke(self, matches: Callable[[Principal], bool]) -> None:
        """Revoke every watch whose principal satisfies ``matches``."""
        for watch in list(self._held):
            if matches(watch.principal):
                watch.revoke()

    def held(self) -> list[AccessWatch]:
        """Watches that are not revoked yet."""
        return [watch for watch in self._held if not watch.is_revoked]
