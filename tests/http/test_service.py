"""The service as one thing: it stands, it drains, it goes, and a start that fails leaves nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from voyagent.actors.clock import ManualClock
from voyagent.actors.config import ConfigurationError, Settings
from voyagent.actors.metrics import ActorMeter
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
        assert await ready(service.url) == (200, dict.fromkeys(("service", "database", "redis", "process"), "ok"))
        service.system.stopping = True
        assert await ready(service.url) == (
            503,
            {"service": "stopping", "database": "ok", "redis": "ok", "process": "ok"},
        )
        await service.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await ready(service.url)


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
