"""Messages that are sent twice, ride along with decisions, or meet a pass that is just beginning (business 4.3)."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from tests.rehearsal import Gate, Received, Text, ToolUse, Turn
from voyagent.actors.conversation.new_message import NewMessage
from voyagent.actors.conversation.session_messages import Cancel, SendMessage
from voyagent.actors.domain.audit import Author, Origin

from .events import asked, kinds, words
from .test_approvals import HANDOFF, ask_for_booking, book, resolve

TURNS = "SELECT count(*) FROM turns WHERE session_id = $1"
UNANSWERED = "SELECT count(*) FROM tool_calls c WHERE NOT EXISTS (SELECT FROM messages m WHERE m.tool_call_id = c.id)"
LIMIT = {"rate_limit_per_minute": 1, "rate_limit_per_hour": 1}


@pytest.mark.parametrize("passivated", [False, True], ids=["active", "passivated"])
async def test_b17_words_that_came_with_a_decision_are_not_said_twice(
    passivated: bool, asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running)
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("Bo", "oked."), gate=gate))
    body = {"message": "yes, and send it", "approvals": {asked(events)[0]: True}}
    cut = await asha.post(session, body)
    await gate.release()
    await cut.until("text_delta")
    cut.response.close()
    again = await asha.post(session, body)
    await gate.release()
    seen = await again.all()
    assert kinds(seen)[0] == "approval_granted"
    assert (words(seen), kinds(seen)[-1], kinds(seen).count("final")) == ("Booked.", "final", 1)
    if passivated:
        await admin.close_actor(session)
        third = await (await asha.post(session, body)).all()
        assert [event.raw for event in third] == [event.raw for event in seen]
    assert await admin.value(TURNS, session) == 1
    said = await asha.get(f"/chat/sessions/{session}/messages")
    texts = [block["text"] for item in said["items"] if item["role"] == "user" for block in item["content"]]
    assert texts == ["book a flight", "yes, and send it"]


@pytest.mark.parametrize("message", ["yes, and send it", ""], ids=["with words", "decisions alone"])
async def test_b17_decisions_under_a_key_are_answered_again_with_what_they_caused(
    message: str, asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    body = {"message": message, "approvals": {asked(events)[0]: True}}
    answers = [await (await asha.post(session, body, **{"Idempotency-Key": "k"})).all() for _ in range(2)]
    assert kinds(answers[0])[0] == "approval_granted"
    assert [event.raw for event in answers[1]] == [event.raw for event in answers[0]]
    assert await admin.value(TURNS, session) == 1
    status, refusal = await asha.call(
        "POST", f"/chat/sessions/{session}/messages", json={"message": "other"}, headers={"Idempotency-Key": "k"}
    )
    assert (status, refusal) == (422, {"detail": "idempotency_key_reused"})


async def test_b43_words_over_the_limit_leave_the_decisions_beside_them_unmade(asha: Any, running: Any) -> None:
    session, events = await ask_for_booking(asha, running)
    assert (await asha.call("PATCH", "/tenant-settings", json=LIMIT))[0] == 200
    body = {"message": "yes", "approvals": {asked(events)[0]: True}}
    refused = await (await asha.post(session, body)).all()
    assert [event.data["error_message"] for event in refused] == ["rate_limited: hour", None]
    approval = await asha.get(f"/approvals/{asked(events)[0]}")
    assert approval["status"] == "pending"


async def test_b18_decisions_made_while_a_pass_begins_are_taken_by_it_and_cause_no_empty_one(
    asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running, times=4, then=(Turn("All of them."),))
    live = await asha.watch(session)
    *most, last = asked(events)
    answers = await asyncio.gather(*(resolve(asha, approval) for approval in most))
    assert [status for status, _ in answers] == [200] * 3
    while kinds(live.events).count("approval_granted") < 3:
        await live.until("final")
    assert (await resolve(asha, last))[0] == 200
    while await admin.value("SELECT state FROM turns") != "completed":
        await live.until("final")
    running.rehearsal.play(Turn("Still here."))
    newest = (await asha.say(session, "and now?"))[-1]
    while (await live.until("final")).id != newest.id:
        pass
    told = kinds(live.events)
    assert "final" not in {before for before, after in itertools.pairwise(["final", *told]) if after == "final"}
    assert told.count("approval_granted") == 4
    live.response.close()


async def test_b19_of_messages_with_decisions_sent_at_once_no_more_than_five_wait(asha: Any, running: Any) -> None:
    session, events = await ask_for_booking(asha, running, times=4)
    gate = Gate()
    running.rehearsal.play(Turn("slow", gate=gate))
    first = await asha.post(session, {"message": "meanwhile"})
    await gate.waiting()
    approvals = asked(events)
    bodies = [
        {"message": f"wait {number}", "on_busy": "queue", "approvals": {approvals[number % 4]: True}}
        for number in range(8)
    ]
    place = f"/chat/sessions/{session}/messages"
    answers = await asyncio.gather(
        *(asha.http.post(asha.url + place, json=body, headers=asha.headers) for body in bodies)
    )
    assert sorted(answer.status for answer in answers) == [200] * 5 + [409] * 3
    assert {(await answer.json())["detail"] for answer in answers if answer.status == 409} == {"queue_full"}
    for answer in answers:
        answer.close()
    await gate.open()
    assert kinds(await first.all())[-1] == "final"


async def test_b3_of_two_bodies_under_one_key_at_once_one_is_applied_and_nothing_of_the_other(
    asha: Any, running: Any, admin: Any
) -> None:
    def once_more(received: Received) -> Turn:
        [call] = [block for block in book(received).blocks if isinstance(block, ToolUse)]
        return Turn(replace(call, id="toolu_again"))

    session, events = await ask_for_booking(asha, running)
    running.rehearsal.play(HANDOFF, once_more)
    events += await asha.say(session, "and once more")
    gate = Gate()
    running.rehearsal.play(Turn("slow", gate=gate), Turn("Booked."), Turn("Booked, too."), Turn("Yes?"))
    first = await asha.post(session, {"message": "meanwhile"})
    await gate.waiting()
    heads = {**asha.headers, "Idempotency-Key": "k"}
    bodies = [{"message": each, "on_busy": "queue", "approvals": {each: True}} for each in asked(events)]
    place = f"{asha.url}/chat/sessions/{session}/messages"
    answers = await asyncio.gather(*(asha.http.post(place, json=body, headers=heads) for body in bodies))
    assert sorted(answer.status for answer in answers) == [200, 422]
    await gate.open()
    await first.all()
    for answer in answers:
        await answer.read()
    async with asyncio.timeout(10):
        while await admin.value("SELECT count(*) FROM turns WHERE state NOT IN ('completed', 'waiting')"):
            await asha.replay(session, events[-1].id)
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    assert await admin.value("SELECT count(*) FROM pending_approvals WHERE status = 'pending'") == 1


async def test_a_cancel_that_meets_a_turn_just_being_started_stops_it(asha: Any, running: Any, admin: Any) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn(Text.split("never", " heard"), gate=Gate()))
    who = Author(user_id=asha.user["id"], role="agency_admin", origin=Origin("here"))
    place = {"tenant_id": asha.user["tenant_id"], "session_id": session}
    root = running.service.system.root
    posted = asyncio.create_task(root.ask(SendMessage(message=NewMessage(who=who, text="hello"), **place)))
    cancelled = asyncio.create_task(root.ask(Cancel(who=who, **place)))
    (await posted).close()
    turn_id = await cancelled
    events = await asha.replay(session)
    assert kinds(events)[-2:] == ["error", "final"]
    assert events[-2].data["error_message"].startswith("turn_cancelled: ")
    assert {event.data["turn_id"] for event in events} == {turn_id}
    assert await admin.value("SELECT state FROM turns") == "cancelled"


async def test_b53_a_write_still_under_way_when_its_turn_is_given_up_is_told_as_unknown(
    asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running)
    await admin.close_actor(session)
    await admin.execute("UPDATE tool_calls SET state = 'executing', driver = 'house' WHERE tool = 'book_flight'")
    await admin.execute(
        "UPDATE pending_approvals SET status = 'granted', resolved_at = now(), resolved_by_user_id = $1",
        asha.user["id"],
    )
    await admin.execute("UPDATE turns SET state = 'running', attempts = 3, ended_at = NULL")
    rest = await asha.replay(session, events[-1].id)
    assert kinds(rest) == ["approval_granted", "tool_result", "error", "final"]
    assert rest[1].data["tool_output"]["error"].startswith("outcome_unknown: ")
    assert rest[2].data["error_message"].startswith("internal_error: ")
    assert await admin.value("SELECT state FROM tool_calls WHERE tool = 'book_flight'") == "unknown"
    assert await admin.value(UNANSWERED) == 0
    assert await admin.value("SELECT count(*) FROM bookings") == 0
    audited = await admin.value("SELECT error FROM audit_events WHERE kind = 'book_flight' AND status = 'failed'")
    assert audited == "outcome_unknown"
    said = await asha.get(f"/chat/sessions/{session}/messages")
    last = said["items"][-1]["content"][0]
    assert (last["type"], last["is_error"]) == ("tool_result", True)
    assert last["output"]["error"].startswith("outcome_unknown: ")
