"""A database that takes no writes for a while: refused as unavailable, and afterwards nothing has failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.rehearsal import Gate, Text, Turn
from tests.waiting import until
from voyagent.actors import housekeeping
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import connect

END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"


class Standby:
    """The database of a test, which can be made read-only for whoever connects from then on."""

    def __init__(self, db: Connection, name: str) -> None:
        self.db = db
        self.name = name

    async def read_only(self) -> None:
        await self.db.execute(f'ALTER DATABASE "{self.name}" SET default_transaction_read_only = on')
        await self.db.execute(END, self.name)

    async def writable(self) -> None:
        """As after a failover: connections to what was the standby stay read-only as long as they live."""
        await self.db.execute("SET default_transaction_read_only = off")
        await self.db.execute(f'ALTER DATABASE "{self.name}" RESET default_transaction_read_only')


@pytest.fixture
async def standby(database: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standby]:
    monkeypatch.setattr(housekeeping, "ROUND_SECONDS", 0.5)
    db = await connect(database.admin_url)
    await db.execute("SET default_transaction_read_only = off")
    yield Standby(db, await db.fetchval("SELECT current_database()"))
    await db.close()


async def created(person: Any) -> int:
    status, _ = await person.call("POST", "/chat/sessions")
    return int(status)


async def test_writes_are_unavailable_while_it_lasts_and_no_connection_stays_read_only(
    asha: Any, standby: Standby
) -> None:
    await standby.read_only()
    for _ in range(15):
        status, body = await asha.call("POST", "/chat/sessions")
        assert (status, body["detail"]) == (503, "storage_unavailable")
    await standby.writable()
    await until(lambda: _is(asha, 201))
    assert [await created(asha) for _ in range(12)] == [201] * 12


async def _is(person: Any, status: int) -> bool:
    return await created(person) == status


async def test_a_turn_that_was_under_way_is_carried_on(asha: Any, running: Any, standby: Standby) -> None:
    session = await asha.session()
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("one ", "two ", "three"), gate=gate), Turn("one two three"))
    stream = await asha.post(session, {"message": "count"})
    await gate.release()
    await stream.until("text_delta")
    await standby.read_only()
    await gate.open()
    await asyncio.sleep(0)
    assert await created(asha) == 503
    await standby.writable()

    async def told() -> bool:
        status, body = await asha.call("GET", f"/chat/sessions/{session}")
        assert status in {200, 503}, body  # it is not ready while the lock is taken again
        return status == 200 and body["running_turn_id"] is None

    await until(told)
    events = await asha.replay(session)
    assert events[-1].kind == "final"
    assert not [event.data for event in events if event.kind == "error" and "internal" in event.data["error_message"]]


async def test_a_service_started_on_a_read_only_database_carries_on_by_itself(
    asha: Any, running: Any, settings_for: Any, standby: Standby
) -> None:
    session = await asha.session()
    await running.service.stop()
    await standby.db.execute(
        "INSERT INTO turns (id, tenant_id, session_id, user_id, state, text_hash, input, queued_at, started_at)"
        " SELECT 't-000000000001', tenant_id, id, actor_id, 'running', '', '{}', now(), now()"
        "   FROM sessions WHERE id = $1",
        session,
    )
    await standby.read_only()
    running.rehearsal.play(Turn("here again"))
    await running.service.start()
    asha.url = running.service.url
    assert await created(asha) == 503
    await standby.writable()
    await until(lambda: _is(asha, 201))

    async def carried_on() -> bool:
        return (await standby.db.fetchval("SELECT state FROM turns WHERE session_id = $1", session)) != "running"

    await until(carried_on)
