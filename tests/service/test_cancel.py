"""What a cancel stops, and what it waits for (business 4.5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal import Turn
from tests.waiting import Event
from voyagent.actors.suppliers.house.driver import EmbeddedInventory

from .test_approvals import ask_for_booking, kinds, resolve

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running


async def test_b26_a_cancel_waits_for_a_suppliers_write_and_keeps_what_it_did(
    asha: Person, running: Running, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = Event(), Event()
    original = EmbeddedInventory.book

    async def slow(*arguments: Any, **more: Any) -> Any:
        begun.set()
        await goes_on.wait()
        return await original(*arguments, **more)

    monkeypatch.setattr(EmbeddedInventory, "book", slow)
    session, events = await ask_for_booking(asha, running, times=2, then=(Turn("Never said."),))
    first, second = (event.data["approval_id"] for event in events if event.kind == "approval_request")
    assert (await resolve(asha, first))[0] == 200
    async with asyncio.timeout(10):
        await begun.wait()
    stream = await asha.watch(session, f"?last_event_id={events[-1].id}")
    status, answer = await asha.call("POST", f"/chat/sessions/{session}/cancel")
    assert (status, answer["turn_id"]) == (202, events[-1].data["turn_id"])
    assert await admin.value("SELECT state FROM turns") == "running"
    goes_on.set()
    await stream.until("final")
    stream.response.close()
    assert kinds(stream.events) == ["approval_granted", "tool_result", "approval_denied", "error", "final"]
    assert stream.events[1].data["tool_output"]["booked"] is True
    withdrawn = stream.events[2].data
    assert (withdrawn["approval_id"], withdrawn["error_message"], withdrawn["text"]) == (
        second,
        "withdrawn",
        "cancelled",
    )
    item = await asha.get(f"/approvals/{second}")
    assert (item["status"], item["reason"], item["resolved_by_user_id"]) == ("rejected", "cancelled", asha.user["id"])
    assert await resolve(asha, second) == (409, {"detail": "approval_already_resolved"})
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    blocks = [
        block for item in (await asha.get(f"/chat/sessions/{session}/messages"))["items"] for block in item["content"]
    ]
    asked = sorted(block["id"] for block in blocks if block["type"] == "tool_use")
    assert asked == sorted(block["tool_use_id"] for block in blocks if block["type"] == "tool_result")
    audit = "SELECT array_agg(status ORDER BY seq) FROM audit_events WHERE kind = 'book_flight'"
    assert await admin.value(audit) == ["started", "succeeded", "rejected"]
