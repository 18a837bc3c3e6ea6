"""The service as one thing: it stands, it drains, it goes, and a start that fails leaves nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import structlog

from tests.manual_clock import ManualClock
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.foundation.config import ConfigurationError, Settings
from voyagent.actors.foundation.metrics import ActorMeter
from voyagent.actors.runtime.periodic import PeriodicTasks
from voyagent.http.health import REDIS, WATCH_SECONDS, Health
from voyagent.http.service import Service, until_ended


@pytest.fixture
def settings(tmp_path: Path, database: Any, redis_url: str) -> Settings:
    given = {
        "VOYAGENT_ENV": "development",
        "VOYAGENT_DATA_DIR": str(tmp_path),
        "VOYAGENT_DB_URL": database.url,
        "VOYAGENT_REDIS_URL": redis_url,
        "VOYAGENT_PORT": "0",
    }
    return Settings.load(environ=given)


async def ready(url: str) -> tuple[int, dict[str, str]]:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/health/ready") as reply:
        return reply.status, (await reply.json())["checks"]


async def test_it_answers_while_it_drains_and_is_gone_after_the_stop(settings: Settings) -> None:
    async with Service(settings) as service:
        assert await ready(service.url) == (
            200,
            dict.fromkeys(("service", "database", "redis", "mail", "process", "tasks"), "ok"),
        )
        service.system.stopping = True
        assert await ready(service.url) == (
            503,
            {"service": "stopping", "database": "ok", "redis": "ok", "mail": "ok", "process": "ok", "tasks": "ok"},
        )
        await service.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await ready(service.url)


async def test_mail_is_degraded_with_the_age_of_the_oldest_email_that_does_not_go_out(
    settings: Settings, database: Any, clock: ManualClock
) -> None:
    db = await asyncpg.connect(database.admin_url)
    put = """INSERT INTO outbox (id, kind, recipient, state, due_at, message_id, created_at, updated_at, cause)
             VALUES ($1, 'password_changed', 'a@example.com', 'due', $2, 'x', $3, $3, $4)"""
    now = clock.now()

    async def found() -> tuple[int, str, Any]:
        await clock.advance(1)  # a result is shared for a second
        async with aiohttp.ClientSession() as client, client.get(f"{service.url}/health/ready") as reply:
            body = await reply.json()
            return reply.status, body["checks"]["mail"], body.get("mail")

    async with Service(settings, clock) as service:
        assert await found() == (200, "ok", None)
        reply_later = now + timedelta(hours=1)
        await db.execute(put, uuid7(), reply_later, now - timedelta(hours=3), "recipient_refused 550")
        assert await found() == (200, "ok", None)  # one address says nothing about the way out
        await db.execute(put, uuid7(), reply_later, now - timedelta(seconds=90), "starttls_not_offered")
        assert await found() == (200, "degraded", {"oldest_undelivered_seconds": 93})
    await db.close()


async def test_a_database_that_takes_no_writes_is_down(settings: Settings, database: Any, clock: ManualClock) -> None:
    admin = await asyncpg.connect(database.admin_url)
    async with Service(settings, clock) as service:
        assert (await ready(service.url))[1]["database"] == "ok"
        await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await admin.execute("SELECT pg_reload_conf()")
        try:
            async with asyncio.timeout(10):
                while (await ready(service.url))[1]["database"] != "down":
                    await clock.advance(1)
                    await asyncio.sleep(0.02)
        finally:
            await admin.execute("SET default_transaction_read_only = off")
            await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await admin.execute("SELECT pg_reload_conf()")
            await admin.close()


async def test_the_loss_of_a_part_is_logged_once_although_nobody_asks(clock: ManualClock) -> None:
    answers: list[bool | Exception] = [True, False, ConnectionError("redis.internal:6379"), False, True]

    async def look() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    health = Health(clock, process_status=lambda: "ok", optional={REDIS: look})
    with structlog.testing.capture_logs() as lines:
        watch = PeriodicTasks(clock).task("health_watch", health.watch, every=WATCH_SECONDS)
        watching = asyncio.create_task(watch.run())
        for _ in range(4):
            await clock.advance(WATCH_SECONDS)
        watching.cancel()
    assert not answers
    told = [(line["event"], line["part"]) for line in lines]
    assert told == [("part_unavailable", "redis"), ("part_available", "redis")]
    assert "internal" not in str(lines)


async def test_a_stop_gives_running_turns_their_grace_and_not_a_second_more(
    settings: Settings, clock: ManualClock
) -> None:
    turns = ActorMeter.of("TurnActor").mailboxes
    async with Service(settings, clock) as service:
        for ends_by_itself in (True, False):
            turn: Any = _Mailbox()
            turns.add(turn)
            try:
                draining = asyncio.create_task(service.system.drain(20))
                await clock.advance(19)
                assert not draining.done()
                if ends_by_itself:
                    turns.discard(turn)
                await clock.advance(0.1 if ends_by_itself else 1.1)
                assert draining.done()
                assert service.system.stopping
            finally:
                turns.discard(turn)


class _Mailbox:
    """What the meter of a running turn holds."""

    def __len__(self) -> int:
        return 0


async def test_a_start_that_fails_leaves_no_actor(settings: Settings) -> None:
    async with Service(settings) as first:
        port = int(first.url.rpartition(":")[2])
        second = Service(settings.model_copy(update={"port": port}))
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
        assert not second.system.root.is_alive()
        assert (await ready(first.url))[1]["database"] == "ok"


async def test_the_end_of_the_root_is_the_end_of_the_service(settings: Settings) -> None:
    async with Service(settings) as service:
        waiting = asyncio.create_task(until_ended(service, asyncio.Event()))
        await service.system.root.stop_and_wait(10)
        assert await asyncio.wait_for(waiting, 5) is False

        asked = asyncio.Event()
        asked.set()
        assert await until_ended(service, asked) is True


def test_a_supplier_without_a_driver_is_refused_by_name(tmp_path: Path) -> None:
    environ = {"VOYAGENT_ENV": "development", "VOYAGENT_DATA_DIR": str(tmp_path), "VOYAGENT_SUPPLIERS": "house,galileo"}
    with pytest.raises(ConfigurationError, match="VOYAGENT_SUPPLIERS: no driver for galileo"):
        Service(Settings.load(environ=environ))
