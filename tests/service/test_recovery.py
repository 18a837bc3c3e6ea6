"""Calls nobody approved, decisions during a pass, and deletions that fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.rehearsal import Gate, Text, Turn
from voyagent.actors.conversation import deletion

from .events import kinds
from .test_approvals import ask_for_booking, resolve


async def test_a_gated_call_nobody_was_asked_about_is_not_run_after_a_cut(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("It was not booked."),))
    await admin.close_actor(session)
    await admin.execute("UPDATE tool_calls SET approval_id = NULL WHERE tool = 'book_flight'")
    await admin.execute("DELETE FROM pending_approvals")
    rest = await asha.replay(session, events[-1].id)
    assert (kinds(rest)[0], kinds(rest)[-1]) == ("tool_result", "final")
    assert rest[0].data["tool_output"]["error"].startswith("not_run: ")
    assert await admin.value("SELECT count(*) FROM bookings") == 0


async def test_a_call_of_another_desk_is_unknown_after_a_cut_too(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("It was not booked."),))
    await admin.close_actor(session)
    await admin.execute("UPDATE tool_calls SET approval_id = NULL, desk = 'accounting' WHERE tool = 'book_flight'")
    await admin.execute("DELETE FROM pending_approvals")
    rest = await asha.replay(session, events[-1].id)
    assert rest[0].data["tool_output"] == {"error": "unknown_tool: book_flight"}
    assert await admin.value("SELECT count(*) FROM bookings") == 0


async def test_grants_at_once_are_carried_out_and_the_session_lives(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, times=2, then=(Turn("Both."),))
    live = await asha.watch(session)
    asked = [event.data["approval_id"] for event in events if event.kind == "approval_request"]
    answers = await asyncio.gather(*(resolve(asha, approval) for approval in asked))
    assert [status for status, _ in answers] == [200, 200]
    while (await live.until("final")).data["turn_id"] == events[-1].data["turn_id"]:
        if await admin.value("SELECT state FROM turns") == "completed":
            break
    running.rehearsal.play(Turn("Still here."))
    newest = (await asha.say(session, "and now?"))[-1]
    while (await live.until("final")).id != newest.id:
        pass
    assert [event.data["error_message"] for event in live.events if event.kind == "error"] == []
    assert kinds(live.events).count("approval_granted") == 2
    live.response.close()
    assert await admin.value("SELECT count(*) FROM bookings") == 2


async def test_a_deletion_that_fails_leaves_the_queue_as_it_was(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "DELETE_TIMEOUT", 0.0)
    session, gate = await asha.session(), Gate()
    running.rehearsal.play(Turn(Text.split("one", " two"), gate=gate), Turn("The second."))
    first = await asha.post(session, {"message": "first"})
    await gate.release()
    await first.next()
    second = await asha.post(session, {"message": "second", "on_busy": "queue"})
    assert await asha.call("DELETE", f"/chat/sessions/{session}") == (409, {"detail": "turn_in_progress"})
    assert kinds(await first.all())[-2:] == ["error", "final"]
    assert "".join(e.data["text"] or "" for e in await second.all()) == "The second."


async def test_b3_words_that_come_with_one_of_two_decisions_leave_the_other_open(
    asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running, times=2, then=(Turn("The first is booked."), Turn("Both.")))
    first, second = (event.data["approval_id"] for event in events if event.kind == "approval_request")
    stream = await asha.post(session, {"approvals": {first: True}, "message": "window seat please"})
    assert kinds(await stream.all())[-2:] == ["text_delta", "final"]
    assert await admin.value("SELECT state FROM turns") == "waiting"
    assert (await resolve(asha, second))[0] == 200
    rest = await asha.replay(session, stream.events[-1].id)
    assert kinds(rest)[:2] == ["approval_granted", "tool_result"]
    assert await admin.value("SELECT count(*) FROM bookings") == 2
    assert await admin.value("SELECT state FROM turns") == "completed"
