"""Counts outlast a restart, and nobody waits for a Redis that is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from tests.service.throttles.attempts import HOME, PASSWORD, WRONG, Harness


async def test_r11_the_count_goes_on_when_redis_is_gone_in_the_middle(harness: Harness, servers: Any) -> None:
    assert [(await harness.sign_in(WRONG)).status for _ in range(3)] == [401] * 3
    await servers.redis.stop()
    try:
        assert [(await harness.sign_in(WRONG)).status for _ in range(4)] == [401] * 3 + [429]
        assert (await harness.sign_in(PASSWORD)).status == 429
        assert (await harness.sign_in(WRONG, "203.0.113.9")).status == 401
    finally:
        await servers.redis.start()
    await harness.clock.advance(2)
    assert (await harness.sign_in(WRONG)).status == 401
    assert (await harness.sign_in(WRONG)).wait == 4


async def test_r11_a_restart_forgives_nobody_and_redis_holds_no_address(
    desks: Callable[..., Any], redis_url: str
) -> None:
    async with desks() as harness:
        await harness.sign_up()
        assert [(await harness.sign_in(WRONG)).status for _ in range(7)] == [401] * 6 + [429]
    async with Redis.from_url(redis_url) as redis:
        names = [name.decode() for name in await redis.keys("voyagent:guard:*")]
        assert names
        assert not any("asha" in name or HOME in name for name in names)
        expiries = [await redis.ttl(name) for name in names]
        assert all(0 < seconds <= 3600 for seconds in expiries)
    async with desks() as harness:
        assert (await harness.sign_in(PASSWORD)).short == (429, "too_many_attempts")
        assert (await harness.sign_in(PASSWORD, "203.0.113.9")).status == 200
    async with desks(VOYAGENT_REDIS_URL="") as harness:
        assert (await harness.sign_in(PASSWORD)).status == 200


async def test_r11_without_redis_people_come_in_stay_and_leave_as_ever(desks: Callable[..., Any], servers: Any) -> None:
    await servers.redis.stop()
    try:
        async with desks() as harness:
            await harness.sign_up()
            first = (await harness.sign_in(PASSWORD)).body
            harness.token = first["access_token"]
            pair = (await harness.send("/auth/refresh", {"refresh_token": first["refresh_token"]})).body
            assert (await harness.send("/auth/sign-out", {}, bearer=True)).status == 204
            for path, sent in (("/auth/totp/setup", None), ("/auth/send-verification-email", None)):
                assert (await harness.send(path, sent, bearer=True)).status == 401
            told = await harness.send("/auth/refresh", {"refresh_token": pair["refresh_token"]})
            assert told.short == (401, "invalid_refresh_token")
            second, third = [(await harness.sign_in(PASSWORD)).body for _ in range(2)]
            harness.token = second["access_token"]
            async with harness.http.get(
                "/auth/sessions", headers={"Authorization": f"Bearer {harness.token}"}
            ) as answer:
                items = (await answer.json())["items"]
            for other in (item["id"] for item in items if not item["current"]):
                assert (await harness.send(f"/auth/sessions/{other}/revoke", bearer=True)).status == 204
            harness.token = third["access_token"]
            assert (await harness.send("/auth/totp/setup", bearer=True)).status == 401
            told = await harness.send("/auth/refresh", {"refresh_token": third["refresh_token"]})
            assert told.short == (401, "invalid_refresh_token")
            assert [(await harness.sign_in(WRONG)).status for _ in range(7)] == [401] * 6 + [429]
    finally:
        await servers.redis.start()
