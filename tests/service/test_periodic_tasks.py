"""Every periodic task of the service goes on after whatever one of its rounds meets, and readiness knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from tests.service.shifted_clock import ShiftedClock
from voyagent.actors.domain.errors import Conflict, Unavailable
from voyagent.actors.foundation.config import Settings
from voyagent.actors.runtime.ref import NamedRef
from voyagent.http.service import Service
from voyagent.storage.accounts.throttles import ThrottleStore
from voyagent.storage.engine.pool import connect

ERRORS: dict[str, Callable[[], BaseException]] = {
    "unavailable": lambda: Unavailable("storage_unavailable"),
    "refusal": lambda: Conflict("operation_failed"),
    "defect": lambda: ValueError("nobody thought of this"),
    "stray-cancellation": asyncio.CancelledError,
}
ASKS: dict[str, tuple[str, ...]] = {
    "housekeeping": ("AgenciesWithStarted", "Unfinished", "Pending", "AgenciesWithUnsettled"),
    "pruning": ("PruneKeys", "PruneDeltas", "PruneFamilies", "PruneDenied", "PruneTokens", "PruneEmails"),
    "mail": ("Claim", "Standing"),
}
"""What each of them asks of storage in a round that finds nothing special."""
PATIENCE = 20.0


class Faults:
    """Fails every question of a class, as often as it is asked, until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing: dict[str, Callable[[], BaseException]] = {}
        self.failed: set[str] = set()
        ask = NamedRef.ask

        def faulty(address: NamedRef, message: Any, within: float = 10.0) -> Any:
            name = type(message).__name__
            if name in self.failing:
                return self._fail(name)
            return ask(address, message, within)

        monkeypatch.setattr(NamedRef, "ask", faulty)

    async def _fail(self, name: str) -> None:
        self.failed.add(name)
        raise self.failing[name]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
async def service(settings_for: Callable[..., Settings], clock: ShiftedClock) -> AsyncIterator[Service]:
    async with Service(settings_for(VOYAGENT_GUARD="on"), clock) as running:
        yield running


async def until(condition: Callable[[], bool], clock: ShiftedClock | None = None, step: float = 0.0) -> None:
    """Wait, while time goes on in steps if ``clock`` is given."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            if clock is not None:
                clock.shift(step)
            await asyncio.sleep(0.02)


async def readiness(service: Service, clock: ShiftedClock) -> Any:
    clock.shift(1.1)  # the last look is shared for a second
    async with aiohttp.ClientSession() as http, http.get(f"{service.url}/health/ready") as reply:
        return await reply.json()


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(("task", "question"), [(task, ask) for task, asks in ASKS.items() for ask in asks])
async def test_a_task_whose_question_fails_is_overdue_and_recovers_by_itself(
    task: str, question: str, error: str, service: Service, clock: ShiftedClock, faults: Faults
) -> None:
    tasks = service.system.tasks
    await until(lambda: not any(at.overdue for at in tasks.standings().values()))
    faults.failing[question] = ERRORS[error]
    await until(lambda: question in faults.failed, clock, 3_700.0)
    clock.shift(1_000.0)
    await until(lambda: tasks.standings()[task].overdue, clock, 100.0)
    told = await readiness(service, clock)
    assert told["status"] == "ok"
    assert told["checks"]["tasks"] == "degraded"
    assert told["tasks"][task]["overdue"]
    assert told["tasks"][task]["last_success_seconds"] >= 1_000
    faults.failing.clear()
    await until(lambda: not tasks.standings()[task].overdue, clock, 61.0)
    told = await readiness(service, clock)
    assert told["tasks"][task]["last_success_seconds"] < 100


@pytest.mark.parametrize("error", ERRORS)
async def test_throttles_are_written_after_whatever_redis_did(
    error: str, service: Service, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    write = ThrottleStore.write

    async def fails(self: ThrottleStore, changes: Any) -> None:
        nonlocal asked
        asked += 1
        raise ERRORS[error]

    monkeypatch.setattr(ThrottleStore, "write", fails)
    async with aiohttp.ClientSession() as http:
        body = {"email": "nobody@example.com", "password": "wrong wrong wrong"}
        async with http.post(f"{service.url}/auth/sign-in", json=body) as reply:
            assert reply.status == 401
    await until(lambda: asked > 0)
    await until(lambda: asked > 1, clock, 10.0)
    await until(lambda: service.system.tasks.standings()["throttles"].overdue, clock, 10.0)
    monkeypatch.setattr(ThrottleStore, "write", write)
    await until(lambda: not service.system.tasks.standings()["throttles"].overdue, clock, 10.0)


async def test_every_task_of_the_process_is_known_by_name(service: Service) -> None:
    names = set(service.system.tasks.standings())
    assert names >= {
        *(
            "housekeeping",
            "pruning",
            "audit_heads",
            "resealing",
            "loop_lag",
            "mail",
            "watches",
            "lease",
            "event_writer",
            "health_watch",
        ),
        "throttles",
    }


async def test_a_failure_to_stop_agencies_does_not_end_the_lease_nor_give_the_shards_back_too_soon(
    service: Service, monkeypatch: pytest.MonkeyPatch, database: Any
) -> None:
    system = service.system
    await until(lambda: system.ownership.serves)
    stops = 0

    async def fails_twice(address: Any, shards: Any) -> None:
        nonlocal stops
        assert not system.ownership.serves
        stops += 1
        if stops < 3:
            raise ValueError("a defect while stopping")

    monkeypatch.setattr(system, "_on_lost", fails_twice)
    db = await connect(database.admin_url)
    await db.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1987")
    await db.close()
    await until(lambda: stops == 3 and system.ownership.serves)
