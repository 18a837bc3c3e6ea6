"""From sign-up to a booking that was approved and made once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

WISH = (
    f"Find me a flight from Mumbai to Dubai on {datetime.now(UTC).date() + timedelta(days=60)} for Asha Rao and book it"
)


async def booked(database: Any) -> int:
    db = await asyncpg.connect(database.admin_url)
    try:
        return int(await db.fetchval("SELECT count(*) FROM bookings"))
    finally:
        await db.close()


async def test_the_main_job_end_to_end(asha: Any, database: Any) -> None:
    session = await asha.session()
    events = await asha.say(session, WISH)
    kinds = [event.kind for event in events]
    assert kinds[-2:] == ["approval_request", "final"]
    assert {"text_delta", "tool_use", "tool_result"} <= set(kinds)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert await booked(database) == 0
    waiting = (await asha.get("/approvals"))["items"]
    assert [item["status"] for item in waiting] == ["pending"]
    assert waiting[0]["id"] == events[-2].data["approval_id"]

    status, decided = await asha.call("POST", f"/approvals/{waiting[0]['id']}/resolve", json={"granted": True})
    assert (status, decided["status"]) == (200, "granted")
    rest = await asha.replay(session, events[-1].id)
    kinds = [event.kind for event in rest]
    assert kinds[:2] == ["approval_granted", "tool_result"]
    assert kinds[-1] == "final"
    assert "text_delta" in kinds
    assert rest[1].data["tool_output"]["booked"] is True
    assert await booked(database) == 1
