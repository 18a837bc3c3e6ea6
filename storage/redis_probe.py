"""Whether Redis answers: for the health of the service and for whoever sets it up."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

PATIENCE = 2.0


class RedisProbe:
    """One connection kept for asking."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)

    async def answers(self) -> bool:
        """Ask for a ping and say whether the answer came in time."""
        try:
            return bool(await self._redis.ping())
        except (RedisError, OSError):
            return False

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.aclose()
