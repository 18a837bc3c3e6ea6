"""Write-behind persistence of throttle counters to Redis, restored at the next start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ...storage.accounts.throttles import ThrottleStore
from ...storage.engine.redis import RedisUnavailable
from ..domain.errors import Unavailable
from ..domain.throttles import BucketKey, Saved, Throttles
from ..foundation import log
from ..foundation.clock import Clock
from ..runtime.actor import Message, Recipient
from ..runtime.periodic import ON_CALL, PeriodicTasks

BACKOFF: Final = 5.0
"""Seconds before the next write after a failure of Redis."""
MAX_DELETIONS: Final = 20_000
"""Pending deletions of removed buckets. Beyond it their keys expire in Redis by TTL."""

_log = log.get(__name__)


Changes = Mapping[BucketKey, tuple[Saved, float] | None]
"""Buckets to write, each with the seconds it is kept; ``None`` for one to delete."""


@dataclass(frozen=True, slots=True)
class TakeChanges(Message[Changes]):
    """What is to be written next; it counts as pending until ``ChangesWritten``."""


@dataclass(frozen=True, slots=True)
class ChangesWritten(Message[None]):
    """Event: the changes taken last were written, or not: Redis failed and may have lost data."""

    stored: bool


class WriteBehind:
    """Collects changed buckets. One write runs at a time; later changes are part of the next.

    Part of the throttle's actor. What its task writes it takes from the actor by messages.
    """

    def __init__(self, url: str, throttles: Throttles, clock: Clock, tasks: PeriodicTasks, owner: Recipient) -> None:
        self._store = ThrottleStore(url)
        self._throttles = throttles
        self._clock = clock
        self._owner = owner
        self._pending: dict[BucketKey, None] = {}
        self._writing: dict[BucketKey, None] = {}
        self._task = tasks.task("throttles", self._round, every=ON_CALL, retry=BACKOFF)

    async def read(self) -> None:
        """Restore the counters of the previous process; none if Redis is unavailable."""
        try:
            stored = await self._store.read()
        except RedisUnavailable as error:
            _log.warning("throttles_read_failed", reason=str(error))
            return
        now = self._clock.now().timestamp()
        for key, saved in sorted(stored.items(), key=lambda item: item[1].last):
            self._throttles.restore(key, saved, now)

    def changed(self, keys: Iterable[BucketKey]) -> None:
        """Have these buckets written with their values at that time."""
        self._remember(keys)
        self._task.call()

    def _remember(self, keys: Iterable[BucketKey]) -> None:
        for key in keys:
            if key in self._pending or len(self._pending) < len(self._throttles) + MAX_DELETIONS:
                self._pending[key] = None

    def take_changes(self) -> Changes:
        """See ``TakeChanges``."""
        self._writing |= self._pending
        self._pending = {}
        now = self._clock.now().timestamp()
        changes: dict[BucketKey, tuple[Saved, float] | None] = {}
        for key in self._writing:
            saved = self._throttles.saved(key)
            left = 0.0 if saved is None else self._throttles.rules.kept(key.kind) - (now - saved.last)
            changes[key] = None if saved is None or left <= 0 else (saved, left)
        return changes

    def written(self, written: ChangesWritten) -> None:
        """See ``ChangesWritten``. After a failure all buckets are written again."""
        if written.stored:
            self._writing = {}
        else:
            self._remember(self._throttles.keys())

    async def run(self) -> None:
        """Write until cancelled."""
        await self._task.run()

    async def _round(self) -> None:
        changes = await self._owner.ask(TakeChanges())
        try:
            await self._store.write(changes)
        except RedisUnavailable as error:
            await self._owner.ask(ChangesWritten(stored=False))
            raise Unavailable("redis_unavailable") from error
        await self._owner.ask(ChangesWritten(stored=True))

    async def close(self, seconds: float) -> None:
        """Write pending changes within ``seconds``; those whose write was cut off are among them."""
        try:
            async with asyncio.timeout(seconds):
                await self._store.write(self.take_changes())
        except (RedisUnavailable, TimeoutError) as error:
            _log.warning("throttles_write_failed", reason=type(error).__name__)
        finally:
            await self._store.close()
