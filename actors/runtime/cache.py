"""A bounded cache of what an actor reads elsewhere: entries expire, and concurrent reads of a key are one.

``cachetools`` has the bound and the expiry; shared reads, and evicting one that is under way, are what it lacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ..foundation.clock import Clock
from .reply import Outcome, settle

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
V = TypeVar("V")


class Pipe(Protocol):
    """``Actor.pipe`` of the actor that owns the cache."""

    def __call__(
        self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str, finish: bool = False
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Cached(Generic[V]):
    """What was read, which may be ``None``, and when the read began."""

    value: V
    read_at: float


class SingleFlightCache(Generic[K, V]):
    """Part of an actor and changed by its messages alone. Beyond ``max_entries`` the oldest entry is evicted."""

    def __init__(self, pipe: Pipe, clock: Clock, *, fresh_seconds: float, max_entries: int) -> None:
        self._pipe = pipe
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._max_entries = max_entries
        self._entries: dict[K, Cached[V]] = {}
        self._reads: dict[K, asyncio.Future[V]] = {}

    @property
    def reading(self) -> int:
        """Number of reads under way."""
        return len(self._reads)

    def get(self, key: K) -> Cached[V] | None:
        """The entry, unless it is missing or stale."""
        entry = self._entries.get(key)
        if entry is None or self._clock.monotonic() - entry.read_at >= self._fresh_seconds:
            return None
        return entry

    def is_reading(self, key: K) -> bool:
        """Whether ``read`` would join a read under way."""
        return key in self._reads

    def read(self, key: K, read: Callable[[], Coroutine[Any, Any, V]]) -> asyncio.Future[V]:
        """Begin a read, or join the one under way. A failed one is not cached.

        The future is shared: tasks await it with ``asyncio.shield``.
        """
        reply = self._reads.get(key)
        if reply is None:
            reply = self._reads[key] = asyncio.get_running_loop().create_future()
            then = partial(self._read, key, reply, self._clock.monotonic())
            self._pipe(read(), then, name="read", finish=True)
        return reply

    def evict(self, matches: Callable[[K], bool]) -> None:
        """Evict the entries of keys that match; reads under way may be stale and are not cached."""
        for kept in (self._entries, self._reads):
            for key in [key for key in kept if matches(key)]:
                del kept[key]

    def evict_one(self, key: K) -> None:
        """``evict`` of this key alone, which looks at no other."""
        self._entries.pop(key, None)
        self._reads.pop(key, None)

    def _read(self, key: K, reply: asyncio.Future[V], read_at: float, outcome: Outcome[V]) -> None:
        if self._reads.get(key) is reply:
            del self._reads[key]
            if outcome.error is None:
                self._keep(key, Cached(outcome.value, read_at))
        settle(reply, outcome)

    def _keep(self, key: K, entry: Cached[V]) -> None:
        self._entries.pop(key, None)
        if len(self._entries) >= self._max_entries:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = entry
