"""A start that is cancelled, at whichever of its awaits, leaves no actor and no connection behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voyagent.actors.foundation.metrics import ActorMeter
from voyagent.http.service import Service
from voyagent.storage.engine.pool import connect

OURS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
ACTORS = ("RootActor", "StorageActor", "MailActor", "AccountsActor", "HousekeepingActor", "ThrottleActor")
PATIENCE = 20.0


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.02, 0.05, 0.1, 0.2])
async def test_a_start_that_is_given_up_leaves_nothing(seconds: float, settings_for: Any, database: Any) -> None:
    db = await connect(database.admin_url)
    service = Service(settings_for())
    starting = asyncio.ensure_future(service.start())
    await asyncio.wait({starting}, timeout=seconds)
    starting.cancel()
    await asyncio.wait({starting})
    if not starting.cancelled():
        await service.stop()
    assert [name for name in ACTORS if ActorMeter.of(name).mailboxes] == []
    async with asyncio.timeout(PATIENCE):
        while await db.fetchval(OURS):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.02)
    await db.close()
