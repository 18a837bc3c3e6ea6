"""Throttle counts in Redis, so that they survive a restart. The process's own counts are authoritative."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ...actors.domain.throttles import BucketKey, Kind, Saved

PREFIX: Final = "voyagent:guard:"
TIMEOUT: Final = 0.5
"""Seconds Redis may take for an answer."""
READ_TIMEOUT: Final = 2.0
"""Seconds start-up waits for all counts."""
BATCH: Final = 500

_COUNT: Final = re.compile("[0-9]{1,9}")
"""Larger counts are malformed."""

_KINDS: Final[dict[str, Kind]] = {"pair": "pair", "account": "account", "network": "network", "tenant": "tenant"}


class RedisUnavailable(Exception):
    """Redis could not read or write the counts; the argument is the cause."""


class ThrottleStore:
    """Writes and reads counts. Connects on first use."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)

    async def read(self) -> dict[BucketKey, Saved]:
        """All counts that have not expired. RedisUnavailable, also if it takes too long."""
        found: dict[BucketKey, Saved] = {}
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                cursor = 0
                while True:
                    cursor, names = await self._redis.scan(cursor, match=f"{PREFIX}*", count=BATCH)
                    values = await self._redis.mget(names) if names else []
                    found |= _read(names, values)
                    if not cursor:
                        return found
        except (RedisError, OSError) as error:  # a timeout is an OSError
            raise RedisUnavailable(type(error).__name__) from error

    async def write(self, changes: Mapping[BucketKey, tuple[Saved, float] | None]) -> None:
        """Store each count with its lifetime in seconds, or delete it. RedisUnavailable after a partial write too."""
        items = iter(changes.items())
        try:
            while batch := list(islice(items, BATCH)):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for key, change in batch:
                        if change is None:
                            pipe.delete(_name(key))
                        else:
                            saved, seconds = change
                            pipe.set(_name(key), f"{saved.events} {saved.last:.3f}", px=max(1, int(seconds * 1000)))
                    await pipe.execute()
        except (RedisError, OSError) as error:
            raise RedisUnavailable(type(error).__name__) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


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
