"""A client of Redis that fails is left alone for a while."""

from __future__ import annotations

import pytest

from tests.manual_clock import ManualClock
from voyagent.storage.engine.redis import RedisClient, RedisUnavailable


async def test_what_is_written_is_read(redis_url: str) -> None:
    client = RedisClient(redis_url, timeout=2.0)
    async with client.use() as redis:
        await redis.set("test:redis", b"x", px=1_000)
        assert await redis.get("test:redis") == b"x"
    await client.close()


async def test_a_failure_has_its_cause_and_is_followed_by_a_pause(clock: ManualClock) -> None:
    client = RedisClient("redis://127.0.0.1:1", timeout=0.5, pause=5.0, clock=clock)
    for _ in range(2):
        with pytest.raises(RedisUnavailable, match="ConnectionError"):
            async with client.use() as redis:
                await redis.get("x")
        with pytest.raises(RedisUnavailable, match="suspended"):
            async with client.use() as redis:
                pytest.fail("it is not asked")
        await clock.advance(5.0)
    assert not client.is_suspended
    await client.close()


async def test_a_defect_is_no_failure_of_redis(redis_url: str) -> None:
    client = RedisClient(redis_url, timeout=2.0, pause=5.0)
    with pytest.raises(ValueError, match="a defect"):
        async with client.use():
            raise ValueError("a defect")
    assert not client.is_suspended
    await client.close()
