"""Writing behind: what changed in the throttles goes to Redis in its own time, and is read again at the next start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from ...storage.accounts.throttles import RedisUnavailable, ThrottleStore
from ..domain.errors import Unavailable
from ..domain.throttles import BucketKey, Saved, Throttles
from ..foundation import log
from ..foundation.clock import Clock
from ..runtime.periodic import ON_CALL, PeriodicTasks

PAUSE: Final = 5.0
"""Seconds Redis is left alone after it failed."""
MAX_GONE: Final = 20_000
"""Names of buckets that are no more and still to be deleted. Beyond it Redis forgets them by their own lapse."""

_log = log.get(__name__)


class WriteBehind:
    """Knows what is to be written. One write is under way at most; what changes meanwhile goes with the next."""

    def __init__(self, url: str, throttles: Throttles, clock: Clock, tasks: PeriodicTasks) -> None:
        self._store = ThrottleStore(url)
        self._throttles = throttles
        self._clock = clock
        self._waiting: dict[BucketKey, None] = {}
        self._task = tasks.task("throttles", self._round, every=ON_CALL, retry=PAUSE)

    async def read(self) -> None:
        """Take up the counts of the process before. Without Redis there are none."""
        try:
            found = await self._store.read()
        except RedisUnavailable as error:
            _log.warning("throttles_read_failed", reason=str(error))
            return
        now = self._clock.now().timestamp()
        for key, saved in sorted(found.items(), key=lambda item: item[1].last):
            self._throttles.restore(key, saved, now)

    def changed(self, keys: Iterable[BucketKey]) -> None:
        """These are to be written as they are by then."""
        self._remember(keys)
        self._task.call()

    def _remember(self, keys: Iterable[BucketKey]) -> None:
        for key in keys:
            if key in self._waiting or len(self._waiting) < len(self._throttles) + MAX_GONE:
                self._waiting[key] = None

    async def run(self) -> None:
        """Write for ever. After a failure all is written again: Redis may have lost what it had."""
        await self._task.run()

    async def _round(self) -> None:
        try:
            await self._write()
        except RedisUnavailable as error:
            self._remember(self._throttles.keys())
            raise Unavailable("redis_unavailable") from error

    async def close(self, seconds: float) -> None:
        """Write what is left, if Redis takes it in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._write()
        except (RedisUnavailable, TimeoutError) as error:
            _log.warning("throttles_write_failed", reason=type(error).__name__)
        finally:
            await self._store.close()

    async def _write(self) -> None:
        now = self._clock.now().timestamp()
        taken, self._waiting = self._waiting, {}
        changes: dict[BucketKey, tuple[Saved, float] | None] = {}
        for key in taken:
            saved = self._throttles.saved(key)
            left = 0.0 if saved is None else self._throttles.rules.kept(key.kind) - (now - saved.last)
            changes[key] = None if saved is None or left <= 0 else (saved, left)
        try:
            await self._store.write(changes)
        except BaseException:  # a stop in the middle of it as well
            self._waiting = taken | self._waiting
            raise
