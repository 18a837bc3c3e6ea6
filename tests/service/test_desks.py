"""Every desk of the handoff works end to end: a reading, then something a human is asked about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

FIRST = datetime.now(UTC).date() + timedelta(days=60)


async def decided(person: Any, session: str, events: list[Any]) -> list[Any]:
    """Grant the one approval that waits, and read on."""
    assert [event.kind for event in events][-2:] == ["approval_request", "final"]
    approval = events[-2].data["approval_id"]
    status, body = await person.call("POST", f"/approvals/{approval}/resolve", json={"granted": True})
    assert (status, body["status"]) == (200, "granted"), body
    rest: list[Any] = await person.replay(session, events[-1].id)
    assert [event.kind for event in rest][:2] == ["approval_granted", "tool_result"]
    assert rest[-1].kind == "final"
    return rest


def told(events: list[Any], kind: str, tool: str) -> dict[str, Any]:
    """What the last event of this kind says of that tool."""
    return next(each.data for each in reversed(events) if each.kind == kind and each.data["tool_name"] == tool)


async def test_b58_the_hotels_desk_finds_checks_and_books_a_stay(asha: Any, admin: Any) -> None:
    session = await asha.session()
    wish = f"Find a hotel in Dubai from {FIRST} to {FIRST + timedelta(days=2)} for 1 guest and book it for Asha Rao"
    events = await asha.say(session, wish)
    assert told(events, "tool_result", "search_hotels")["tool_output"]["count"] == 3
    checked = told(events, "tool_result", "check_hotel_rate")["tool_output"]
    assert checked["checked"] is True
    request = told(events, "approval_request", "book_hotel")
    for part in (checked["price"], str(FIRST), "Asha Rao", "supplier house"):
        assert part in request["approval_summary"]
    assert await admin.value("SELECT count(*) FROM bookings") == 0

    rest = await decided(asha, session, events)
    booked = rest[1].data["tool_output"]
    assert booked["booked"] is True
    assert await admin.value("SELECT kind FROM bookings WHERE id = $1", booked["booking_id"]) == "hotel"
    entry = "SELECT driver FROM audit_events WHERE kind = 'book_hotel' AND status = 'succeeded'"
    assert await admin.value(entry) == "house"
