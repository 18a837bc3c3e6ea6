"""Throttle counts in Redis, which may be slow or absent while the service starts."""

from __future__ import annotations

from typing import Any

import pytest

from voyagent.actors.domain.throttles import BucketKey, Saved
from voyagent.storage.accounts import throttles
from voyagent.storage.accounts.throttles import ThrottleStore
from voyagent.storage.engine.redis import RedisUnavailable

KEY = BucketKey("pair", "sign_in", "somebody")


@pytest.fixture
async def store(redis_url: str) -> Any:
    own = ThrottleStore(redis_url)
    await own.write({KEY: (Saved(3, 1_700_000_000.0), 600.0)})
    yield own
    await own.write({KEY: None})
    await own.close()


async def test_a_read_that_fails_is_repeated_and_nobody_is_forgiven(
    store: ThrottleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_once, failures = ThrottleStore._read_once, iter([RedisUnavailable("TimeoutError")] * 2)

    async def slow(own: ThrottleStore, until: float) -> Any:
        for failure in failures:
            raise failure
        return await read_once(own, until)

    monkeypatch.setattr(ThrottleStore, "_read_once", slow)
    assert (await store.read())[KEY].events == 3
    assert next(failures, None) is None


async def test_a_start_waits_for_redis_no_longer_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttles, "READ_TIMEOUT", 0.3)
    absent = ThrottleStore("redis://127.0.0.1:9/0")
    with pytest.raises(RedisUnavailable):
        await absent.read()
    await absent.close()
