"""Redis, for what may be lost: every client with a timeout of its own, and a pause after a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ...actors.foundation.clock import Clock

FAILURES = (RedisError, OSError)
"""What Redis fails with; a timeout is an OSError."""


class RedisUnavailable(Exception):
    """Redis failed, or is not asked after it did; the argument is the error's type, which contains no address."""


class RedisClient:
    """A client of one user. It connects when it is first used."""

    def __init__(self, url: str, *, timeout: float, pause: float = 0.0, clock: Clock | None = None) -> None:
        """``timeout``: seconds for connecting and each reply; ``pause``: seconds it is not asked after a failure."""
        self.connection: Redis = Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
        self._pause = pause
        self._clock = clock or Clock()
        self._resume_at = self._clock.monotonic()

    @property
    def is_suspended(self) -> bool:
        """Whether Redis failed a moment ago and is not asked."""
        return self._clock.monotonic() < self._resume_at

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Redis]:
        """The connection. A failure within the block is raised as ``RedisUnavailable``, with its cause."""
        if self.is_suspended:
            raise RedisUnavailable("suspended")
        try:
            yield self.connection
        except FAILURES as error:
            self._resume_at = self._clock.monotonic() + self._pause
            raise RedisUnavailable(type(error).__name__) from error

    async def close(self) -> None:
        """Close the connections."""
        await self.connection.aclose()
