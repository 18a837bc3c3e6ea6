"""What a cancel stops, and what it waits for (business 4.5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal import Gate, Text, Turn
from tests.waiting import Event
from voyagent.actors.conversation.session_messages import Cancel
from voyagent.actors.domain.audit import Author, Origin
from voyagent.actors.suppliers.house.driver import EmbeddedInventory

from .events import asked, kinds
from .test_approvals import ask_for_booking, resolve

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


def cancel_of(asha: Any, session: str) -> Cancel:
    """A person's cancel of whatever runs in a session."""
    who = Author(user_id=asha.user["id"], role="agency_admin", origin=Origin("here"))
    return Cancel(who=who, tenant_id=asha.user["tenant_id"], session_id=session)


async def test_a_cancel_that_comes_late_does_nothing_to_the_pass_that_is_resumed(
    asha: Any, running: Any, admin: Any
) -> None:
    root = running.service.system.root
    for _ in range(5):
        session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
        cancel = cancel_of(asha, session)
        outcomes = await asyncio.gather(*(root.ask(cancel) for _ in range(50)), return_exceptions=True)
        assert all(str(outcome) == "no_turn_running" for outcome in outcomes)
        assert (await resolve(asha, asked(events)[0]))[0] == 200
        rest = await asha.replay(session, events[-1].id)
        assert kinds(rest)[:2] == ["approval_granted", "tool_result"]
        assert rest[-1].kind == "final"
    assert await admin.value("SELECT count(*) FROM bookings") == 5


@pytest.mark.parametrize("pause", range(8))
async def test_cancels_around_the_moment_a_pass_comes_to_wait_leave_the_grant_alone(
    pause: int, asha: Any, running: Any, admin: Any
) -> None:
    """Sent from the answer's ``approval_request`` on, some turns of the loop apart: accepted or not, none is kept."""
    session = await asha.session()
    live = await asha.watch(session)
    root, cancel = running.service.system.root, cancel_of(asha, session)
    waiting = asyncio.create_task(ask_for_booking(asha, running, session=session, then=(Turn("Booked."),)))
    await live.until("tool_result")
    sent = []
    while not waiting.done() and len(sent) < 400:
        sent.append(asyncio.ensure_future(root.ask(cancel)))
        for _ in range(pause):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    _, events = await waiting
    await asyncio.gather(*sent, return_exceptions=True)
    if await admin.value("SELECT state FROM turns") != "waiting":
        live.response.close()
        return  # cancelled in time
    assert (await resolve(asha, asked(events)[0]))[0] == 200
    rest = await asha.replay(session, events[-1].id)
    assert kinds(rest)[:2] == ["approval_granted", "tool_result"]
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    live.response.close()


async def test_a_cancel_names_its_turn(asha: Any, running: Any) -> None:
    session = await asha.session()
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("slow", "ly"), gate=gate))
    stream = await asha.post(session, {"message": "hello"})
    await gate.release()
    turn_id = (await stream.until("text_delta")).data["turn_id"]
    path = f"/chat/sessions/{session}/cancel"
    assert await asha.call("POST", path, json={"turn_id": "t-000000000000"}) == (409, {"detail": "no_turn_running"})
    accepted = (202, {"turn_id": turn_id, "status": "cancelling"})
    assert await asha.call("POST", path, json={"turn_id": turn_id}) == accepted
    assert kinds(await stream.all())[-2:] == ["error", "final"]
