"""A service on a restored copy: what was approved before the dump is not carried out a second time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.backups import Tools
from tests.rehearsal import Gate, Turn
from tests.waiting import until
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.service.conftest import Make, Person, Running
    from voyagent.storage.embedded.servers import EmbeddedServers

DAY = datetime.now(UTC).date() + timedelta(days=60)
BOOK = f"Find me a flight from Mumbai to Dubai on {DAY} for Asha Rao and book it"
GRANTED = """
WITH granted AS (UPDATE pending_approvals SET status = 'granted', resolved_at = now(), resolved_by_user_id = $1
                  RETURNING tool_call_id)
UPDATE tool_calls SET state = 'approved', decided_by = $1, decided_at = now()
 WHERE id IN (SELECT tool_call_id FROM granted)
"""
"""As it stands when a person has granted the call, and nothing was carried out yet."""
UNFINISHED = "SELECT count(*) FROM turns WHERE state IN ('queued', 'running', 'waiting')"


@pytest.mark.parametrize(("options", "bookings"), [((), 0), (("--resume",), 1)], ids=["quiet", "resumed"])
async def test_what_was_approved_before_a_dump_is_done_again_only_when_a_copy_is_resumed(
    running: Running,
    asha: Person,
    database: Database,
    servers: EmbeddedServers,
    settings_for: Make,
    tmp_path: Path,
    options: tuple[str, ...],
    bookings: int,
) -> None:
    tools = await Tools.on(servers, database, tmp_path)
    approved, cut_off, gate = await asha.session(), await asha.session(), Gate()
    assert (await asha.say(approved, BOOK))[-2].kind == "approval_request"
    running.rehearsal.play(Turn("Good morning", gate=gate), Turn("Good morning"))
    stream = await asha.post(cut_off, {"message": "hello"})
    await gate.waiting()
    original = await asyncpg.connect(database.admin_url)
    await original.execute(GRANTED, asha.user["id"])
    copy = await tools.copy(database.name, *options)
    restored = await asyncpg.connect(servers.postgres.url("postgres", copy))
    try:
        async with Service(settings_for(VOYAGENT_DB_URL=servers.postgres.url(database=copy))):

            async def finished() -> Any:
                return await restored.fetchval(UNFINISHED) == 0

            await until(finished)
            assert await restored.fetchval("SELECT count(*) FROM bookings") == bookings
            ends = dict(await restored.fetch("SELECT session_id::text, state FROM turns"))
            assert ends == {approved: "completed", cut_off: "completed" if options else "failed"}
            kinds = {row["kind"] for row in await restored.fetch("SELECT kind FROM audit_events")}
            assert ("approval.expired" in kinds) is not bool(options)
    finally:
        await restored.close()
        stream.response.close()
        await gate.open()
        await original.execute(f"DROP DATABASE {copy} WITH (FORCE)")
        await original.close()
