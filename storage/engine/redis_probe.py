"""Probes Redis with a write and a read, for health checks and ``doctor``."""

from __future__ import annotations

import secrets
from datetime import timedelta

from .redis import FAILURES, RedisClient

TIMEOUT = 2.0
KEY_TTL = timedelta(seconds=30)


class ValueLost(Exception):
    """Redis replies, but does not return the value that was set."""


class RedisProbe:
    """Probes Redis over one connection."""

    def __init__(self, url: str) -> None:
        self._redis = RedisClient(url, timeout=TIMEOUT)
        self._key = f"voyagent:probe:{secrets.token_hex(8)}"

    async def works(self) -> bool:
        """Set a key and get it again. Raises RedisError, OSError, ``ValueLost``."""
        value = secrets.token_hex(8).encode()
        redis = self._redis.connection
        await redis.set(self._key, value, px=KEY_TTL)
        if await redis.get(self._key) != value:
            raise ValueLost
        return True

    async def trouble(self) -> str | None:
        """The error's type name, which contains no address; None if it works."""
        try:
            await self.works()
        except (*FAILURES, ValueLost) as error:
            return type(error).__name__
        return None

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.close()
