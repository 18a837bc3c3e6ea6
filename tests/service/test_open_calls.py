"""What becomes of calls that wait, or were just granted, when the pass beside them fails or is cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.rehearsal import Failure, Gate, Reply, Text, Turn
from voyagent.actors.conversation import passes

from .events import kinds
from .test_approvals import ask_for_booking, resolve

STATE = "SELECT state FROM turns"
BOOKINGS = "SELECT count(*) FROM bookings"
CALLS = (
    "SELECT array_agg(state || coalesce(' ' || error, '') ORDER BY position) FROM tool_calls WHERE tool = 'book_flight'"
)
AUDIT = """
SELECT array_agg(kind || ' ' || status || ' ' || coalesce(error, '') ORDER BY seq) FROM audit_events
 WHERE entity_refs ->> 'tool_call_id' = (SELECT tool_call_id::text FROM pending_approvals WHERE id = $1)
"""


async def first_granted_with_words(
    asha: Any, running: Any, *replies: Reply
) -> tuple[str, list[Any], tuple[str, str], Any]:
    """Two bookings wait; the first is granted with words, which the model answers by ``replies``.

    The session, its events, both approvals, and the stream of the one who spoke.
    """
    session, events = await ask_for_booking(asha, running, times=2)
    first, second = (event.data["approval_id"] for event in events if event.kind == "approval_request")
    running.rehearsal.play(*replies)
    stream = await asha.post(session, {"approvals": {first: True}, "message": "window seat please"})
    return session, events, (first, second), stream


async def test_b3_a_failing_model_takes_back_no_approval(asha: Any, running: Any, admin: Any) -> None:
    session, _, (_, second), stream = await first_granted_with_words(asha, running, Failure(404))
    told = await stream.all()
    assert kinds(told) == ["approval_granted", "tool_result", "error", "final"]
    assert told[2].data["error_message"].startswith("model_request_rejected: ")
    assert (await asha.get(f"/approvals/{second}"))["status"] == "pending"
    assert await admin.value(STATE) == "waiting"
    running.rehearsal.play(Turn("Both, at the window."))
    assert (await resolve(asha, second))[0] == 200
    rest = await asha.replay(session, told[-1].id)
    assert list(dict.fromkeys(kinds(rest))) == ["approval_granted", "tool_result", "text_delta", "final"]
    assert (await admin.value(BOOKINGS), await admin.value(STATE)) == (2, "completed")
    assert "window seat please" in str(running.rehearsal.requests[-1].messages)


async def test_b3_a_grant_given_while_a_model_fails_is_carried_out(asha: Any, running: Any, admin: Any) -> None:
    gate = Gate()
    failing = Turn("I am lo", stop_reason="max_tokens", gate=gate)
    session, events, (_, second), stream = await first_granted_with_words(asha, running, failing)
    await gate.release()
    await stream.until("text_delta")
    assert (await resolve(asha, second))[0] == 200
    running.rehearsal.play(Turn("Both are booked."))
    await gate.open()
    told = await stream.all()
    assert kinds(told)[-2:] == ["error", "final"]
    rest = await asha.replay(session, told[-1].id)
    assert list(dict.fromkeys(kinds(rest))) == ["approval_granted", "tool_result", "text_delta", "final"]
    assert (await admin.value(BOOKINGS), await admin.value(STATE)) == (2, "completed")
    whole = kinds([*events, *told, *rest])
    assert whole.count("approval_granted") == whole.count("approval_request") == 2


async def test_an_expiry_asks_no_model_though_words_stand_unanswered(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, times=2)
    first, second = (event.data["approval_id"] for event in events if event.kind == "approval_request")
    running.rehearsal.play(Failure(404))
    told = await (await asha.post(session, {"approvals": {first: False}, "message": "too dear"})).all()
    assert kinds(told) == ["approval_denied", "tool_result", "error", "final"]
    asked = running.rehearsal.count
    late = "UPDATE pending_approvals SET expires_at = now() - interval '1 second' WHERE id = $1"
    await admin.execute(late, second)
    await admin.close_actor(session)  # its session was not told of the new time: waking, it reads it
    rest: list[Any] = []
    async with asyncio.timeout(10):
        while await admin.value(STATE) == "waiting":
            rest = await asha.replay(session, told[-1].id)
    rest = await asha.replay(session, told[-1].id)
    assert kinds(rest) == ["approval_denied", "tool_result", "final"]
    assert running.rehearsal.count == asked


async def test_a_cancel_tells_of_a_grant_that_will_not_run(asha: Any, running: Any, admin: Any) -> None:
    gate = Gate()
    session, _, (_, second), stream = await first_granted_with_words(
        asha, running, Turn(Text.split("One", " moment"), gate=gate)
    )
    await gate.release()
    await stream.until("text_delta")
    assert (await resolve(asha, second))[0] == 200
    assert (await asha.call("POST", f"/chat/sessions/{session}/cancel"))[0] == 202
    told = await stream.all()
    assert kinds(told)[-3:] == ["approval_denied", "error", "final"]
    denied = told[-3].data
    assert (denied["approval_id"], denied["error_message"], denied["text"]) == (second, "withdrawn", "cancelled")
    assert await admin.value(CALLS) == ["succeeded", "failed withdrawn"]
    assert await admin.value(AUDIT, second) == [
        "approval.requested succeeded ",
        "approval.granted succeeded ",
        "book_flight rejected withdrawn",
    ]
    running.rehearsal.play(Turn("Nothing more."))
    assert set(kinds(await asha.say(session, "and now?"))) == {"text_delta", "final"}
    assert await admin.value(BOOKINGS) == 1


async def test_b26_a_cancel_is_audited_as_the_rejection_of_what_it_withdraws(
    asha: Any, running: Any, admin: Any
) -> None:
    gate = Gate()
    session, _, (_, second), stream = await first_granted_with_words(
        asha, running, Turn(Text.split("One", " moment"), gate=gate)
    )
    await gate.release()
    await stream.until("text_delta")
    assert (await asha.call("POST", f"/chat/sessions/{session}/cancel"))[0] == 202
    await stream.all()
    assert await admin.value(AUDIT, second) == [
        "approval.requested succeeded ",
        "approval.rejected succeeded ",
        "book_flight rejected withdrawn",
    ]
    by = "SELECT actor_id::text FROM audit_events WHERE kind = 'approval.rejected'"
    assert await admin.value(by) == asha.user["id"]


async def test_b27_a_turn_out_of_time_takes_back_what_it_asked_and_says_so(
    asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(passes, "TURN_SECONDS", 3.0)
    _, _, (_, second), stream = await first_granted_with_words(
        asha, running, Turn(Text.split("One", " moment"), gate=gate)
    )
    await gate.release()
    told = await stream.all()
    assert kinds(told)[-3:] == ["approval_denied", "error", "final"]
    assert (told[-3].data["approval_id"], told[-3].data["text"]) == (second, "turn_timeout")
    item = await asha.get(f"/approvals/{second}")
    assert (item["status"], item["reason"], item["resolved_by_user_id"]) == ("rejected", "turn_timeout", None)
    assert await admin.value(STATE) == "failed"


async def test_b14_words_beside_a_decision_are_answered_after_a_cut_though_another_call_waits(
    asha: Any, running: Any, admin: Any
) -> None:
    gate = Gate()
    session, _, (_, second), stream = await first_granted_with_words(
        asha, running, Turn(Text.split("One", " moment"), gate=gate)
    )
    await gate.release()
    cut = await stream.until("text_delta")
    stream.response.close()
    await admin.close_actor(session)
    running.rehearsal.play(Turn("At the window, yes."))
    async with asyncio.timeout(10):
        rest = await asha.replay(session, cut.id)
    assert "".join(event.data["text"] or "" for event in rest).endswith("At the window, yes.")
    assert kinds(rest)[-1] == "final"
    assert (await asha.get(f"/approvals/{second}"))["status"] == "pending"
    assert await admin.value(STATE) == "waiting"
