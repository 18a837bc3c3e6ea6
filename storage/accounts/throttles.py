"""Throttle counts in Redis, so that they survive a restart. The process's own counts are authoritative."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from ...actors.domain.throttles import BucketKey, Kind, Saved
from ..engine.redis import RedisClient, RedisUnavailable

PREFIX: Final = "voyagent:guard:"
TIMEOUT: Final = 0.5
"""Seconds Redis may take for an answer."""
READ_TIMEOUT: Final = 2.0
"""Seconds start-up waits for all counts; until then it tries again, as Redis may be starting too."""
READ_BACKOFF: Final = 0.1
BATCH: Final = 500

_COUNT: Final = re.compile("[0-9]{1,9}")
"""Larger counts are malformed."""

_KINDS: Final[dict[str, Kind]] = {"pair": "pair", "account": "account", "network": "network", "tenant": "tenant"}


class ThrottleStore:
    """Writes and reads counts. Connects on first use."""

    def __init__(self, url: str) -> None:
        self._redis = RedisClient(url, timeout=TIMEOUT)

    async def read(self) -> dict[BucketKey, Saved]:
        """All counts that have not expired. RedisUnavailable if none could be read within ``READ_TIMEOUT`` seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + READ_TIMEOUT
        while True:
            try:
                return await self._read_once(until)
            except RedisUnavailable:
                if loop.time() + READ_BACKOFF >= until:
                    raise
            await asyncio.sleep(READ_BACKOFF)

    async def _read_once(self, until: float) -> dict[BucketKey, Saved]:
        found: dict[BucketKey, Saved] = {}
        async with self._redis.use() as redis, asyncio.timeout_at(until):
            cursor = 0
            while True:
                cursor, names = await redis.scan(cursor, match=f"{PREFIX}*", count=BATCH)
                values = await redis.mget(names) if names else []
                found |= _read(names, values)
                if not cursor:
                    return found

    async def write(self, changes: Mapping[BucketKey, tuple[Saved, float] | None]) -> None:
        """Store each count with its lifetime in seconds, or delete it. RedisUnavailable after a partial write too."""
        items = iter(changes.items())
        async with self._redis.use() as redis:
            while batch := list(islice(items, BATCH)):
                async with redis.pipeline(transaction=False) as pipe:
                    for key, change in batch:
                        if change is None:
                            pipe.delete(_name(key))
                        else:
                            saved, seconds = change
                            pipe.set(_name(key), f"{saved.events} {saved.last:.3f}", px=max(1, int(seconds * 1000)))
                    await pipe.execute()

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.close()


def _name(key: BucketKey) -> str:
    return f"{PREFIX}{key.kind}:{key.counter}:{key.who}"


def _read(names: Sequence[bytes | str], values: Sequence[bytes | str | None]) -> dict[BucketKey, Saved]:
    return dict(_readable(map(_text, names), map(_text, values)))


def _readable(names: Iterable[str], values: Iterable[str]) -> Iterator[tuple[BucketKey, Saved]]:
    """Skips values in the format of another release."""
    for name, value in zip(names, values, strict=True):
        kind, _, rest = name.removeprefix(PREFIX).partition(":")
        counter, _, who = rest.partition(":")
        events, _, last = value.partition(" ")
        if kind not in _KINDS or not who or not _COUNT.fullmatch(events):
            continue
        try:
            saved = Saved(int(events), float(last))
        except ValueError:
            continue
        if math.isfinite(saved.last):
            yield BucketKey(_KINDS[kind], counter, who), saved


def _text(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
