"""Probes: cheap for anonymous callers, mute about causes, right about readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from tests.manual_clock import ManualClock
from tests.waiting import Event
from voyagent.actors.domain.errors import Unavailable
from voyagent.http.health import DATABASE, REDIS, Health, Probe

if TYPE_CHECKING:
    from tests.http.conftest import Serve

Check = Callable[[], Awaitable[bool]]


class Part:
    """A part that works or not, and counts how often it was looked at."""

    def __init__(self, answer: bool | Exception = True) -> None:
        self.answer = answer
        self.looks = 0

    async def look(self) -> bool:
        self.looks += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def never() -> bool:
    await asyncio.Event().wait()
    return True


async def works() -> bool:
    return True


async def fails() -> bool:
    return False


async def test_health_asks_nothing(serve: Serve, clock: ManualClock) -> None:
    part = Part()
    client = await serve(health=Health(clock, process_status=lambda: "down", required={DATABASE: part.look}))

    answer = await client.send("GET", "/health")

    assert (answer.status, answer.raw, part.looks) == (200, b'{"status":"ok"}', 0)
    assert (await client.send("GET", "/health/live")).raw == b'{"status":"ok"}'


async def test_the_parts_answer_when_they_work(serve: Serve, clock: ManualClock) -> None:
    health = Health(clock, process_status=lambda: "ok", required={DATABASE: works}, optional={REDIS: works})
    client = await serve(health=health)

    assert (await client.send("GET", "/health/db")).json == {"status": "ok", "select_1": 1}
    assert (await client.send("GET", "/health/redis")).json == {"status": "ok", "ping": True}


async def test_parts_that_are_not_configured_are_named_by_their_variable(serve: Serve, clock: ManualClock) -> None:
    client = await serve(health=Health(clock, process_status=lambda: "ok"))

    database, redis = [await client.send("GET", f"/health/{part}") for part in ("db", "redis")]

    assert (database.status, database.detail) == (503, "VOYAGENT_DB_URL is not configured.")
    assert (redis.status, redis.detail) == (503, "VOYAGENT_REDIS_URL is not configured.")
    assert database.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    "trouble", [False, Unavailable("storage_unavailable"), OSError("connect to db.internal:5432 failed")]
)
async def test_r50_a_part_that_is_unavailable_is_told_without_its_cause(
    serve: Serve, clock: ManualClock, trouble: bool | Exception
) -> None:
    look = Part(trouble).look
    client = await serve(
        health=Health(clock, process_status=lambda: "ok", required={DATABASE: look}, optional={REDIS: look})
    )

    assert (await client.send("GET", "/health/db")).json == {"detail": "db unreachable"}
    assert (await client.send("GET", "/health/redis")).json == {"detail": "redis unreachable"}


async def test_r50_a_thousand_calls_look_once(serve: Serve, clock: ManualClock) -> None:
    part = Part()
    client = await serve(health=Health(clock, process_status=lambda: "ok", required={DATABASE: part.look}))

    for _ in range(20):
        await asyncio.gather(*(client.send("GET", "/health/db") for _ in range(50)))

    assert part.looks == 1


async def test_a_result_is_shared_for_a_second_and_then_looked_for_again(clock: ManualClock) -> None:
    part = Part()
    probe = Probe("part", part.look, clock)

    assert await probe.works()
    part.answer = False
    await clock.advance(0.9)
    assert await probe.works()
    await clock.advance(0.2)
    assert not await probe.works()
    assert part.looks == 2


async def test_a_caller_that_leaves_does_not_end_the_look_others_wait_for(clock: ManualClock) -> None:
    go = Event()

    async def slow() -> bool:
        await go.wait()
        return True

    probe = Probe("part", slow, clock)
    first, second = asyncio.ensure_future(probe.works()), asyncio.ensure_future(probe.works())
    await asyncio.sleep(0)
    first.cancel()
    go.set()

    assert await second


async def test_what_does_not_answer_in_time_is_unavailable(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voyagent.http.health.WAIT_SECONDS", 0.01)

    assert not await Probe("part", never, clock).works()


@pytest.mark.parametrize(
    ("standing", "database", "redis", "status", "checks"),
    [
        ("ok", works, works, 200, {"service": "ok", "database": "ok", "redis": "ok"}),
        ("ok", works, fails, 200, {"service": "ok", "database": "ok", "redis": "degraded"}),
        ("ok", works, None, 200, {"service": "ok", "database": "ok", "redis": "degraded"}),
        ("ok", fails, works, 503, {"service": "ok", "database": "down", "redis": "ok"}),
        ("ok", None, works, 503, {"service": "ok", "database": "down", "redis": "ok"}),
        ("down", works, works, 503, {"service": "down", "database": "ok", "redis": "ok"}),
        ("stopping", works, works, 503, {"service": "stopping", "database": "ok", "redis": "ok"}),
    ],
)
async def test_readiness_is_a_word_for_each_part(
    serve: Serve,
    clock: ManualClock,
    standing: str,
    database: Check | None,
    redis: Check | None,
    status: int,
    checks: dict[str, str],
) -> None:
    health = Health(
        clock,
        process_status=lambda: standing,  # type: ignore[arg-type, return-value]
        required={DATABASE: database} if database else {},
        optional={REDIS: redis} if redis else {},
    )
    client = await serve(health=health)

    answer = await client.send("GET", "/health/ready")

    assert (answer.status, answer.json["checks"]) == (status, checks)
    assert answer.json.get("status") == ("ok" if status == 200 else None)
    assert answer.json.get("detail") == (None if status == 200 else "not_ready")
    assert ("Retry-After" in answer.headers) == (status == 503)
