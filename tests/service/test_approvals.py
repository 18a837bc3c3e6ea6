"""What a human is asked, decides, and what then runs (business 5)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.rehearsal import Received, ToolUse, Turn

from .events import kinds

HANDOFF = Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "book"}))
DAY = str(datetime.now(UTC).date() + timedelta(days=60))
SEARCH = {
    "origin": "BOM",
    "destination": "DXB",
    "outbound_date": DAY,
    "passengers": {"adult": 1, "child": 0, "infant": 0, "senior": 0},
}


def results(received: Received) -> list[Any]:
    """The outputs of tools a model was shown, in order."""
    found = []
    for message in received.messages:
        if message["role"] == "user" and not isinstance(message["content"], str):
            found += [
                json.loads(b["content"])
                for b in message["content"]
                if b["type"] == "tool_result" and b["content"][:1] == "{"
            ]
    return found


def book(received: Received, *, times: int = 1) -> Turn:
    """Book the cheapest fare, which the model has just been shown, for the passenger it has saved."""
    outputs = results(received)
    fares = next(each["fares"] for each in outputs if "fares" in each)
    person = next(each["passenger_id"] for each in outputs if "passenger_id" in each)
    calls = [
        ToolUse("book_flight", {"fare_id": fares[place]["fare_id"], "passenger_ids": [person]}, id=f"toolu_book{place}")
        for place in range(times)
    ]
    return Turn("I book.", *calls)


async def ask_for_booking(
    person: Any,
    running: Any,
    *,
    times: int = 1,
    then: tuple[Any, ...] = (),
    session: str | None = None,
    **headers: str,
) -> tuple[str, list[Any]]:
    """A session in which a booking waits; its events so far."""
    running.rehearsal.play(
        HANDOFF,
        Turn(
            ToolUse("search_flights", SEARCH),
            ToolUse("upsert_passenger", {"full_name": "Asha Rao", "date_of_birth": "1990-01-02"}),
        ),
        lambda received: book(received, times=times),
        *then,
    )
    session = session or await person.session()
    events: list[Any] = await (await person.post(session, {"message": "book a flight"}, **headers)).all()
    assert events[-1].kind == "final"
    return session, events


async def resolve(person: Any, approval: str, *, granted: bool = True, **more: Any) -> tuple[int, Any]:
    result: tuple[int, Any] = await person.call(
        "POST", f"/approvals/{approval}/resolve", json={"granted": granted, **more}
    )
    return result


async def test_b1_an_announced_approval_is_known_on_every_route(asha: Any, running: Any) -> None:
    session, events = await ask_for_booking(asha, running)
    announced = events[-2].data
    item = await asha.get(f"/approvals/{announced['approval_id']}")
    assert item["status"] == "pending"
    assert item["summary"] == announced["approval_summary"]
    assert item["payload"] == events[-3].data["tool_input"]
    assert list(item) == [
        "id",
        "session_id",
        "tool_name",
        "summary",
        "requested_at",
        "expires_at",
        "status",
        "payload",
        "resolved_at",
        "resolved_by_user_id",
        "reason",
    ]
    assert [each["id"] for each in (await asha.get("/approvals"))["items"]] == [item["id"]]
    summary = await asha.get(f"/chat/sessions/{session}")
    assert [each["approval_id"] for each in summary["pending_approvals"]] == [item["id"]]
    assert item["id"] == f"ap-{announced['turn_id']}-book_flight"


async def test_b3_two_uses_of_a_tool_have_two_approvals_and_run_in_any_order(
    asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running, times=2, then=(Turn("All done."),))
    asked = [event.data["approval_id"] for event in events if event.kind == "approval_request"]
    assert [each.rsplit("-", 1)[-1] for each in asked] == ["book_flight", "2"]
    assert (await resolve(asha, asked[1]))[0] == 200
    first = await asha.replay(session, events[-1].id)
    assert kinds(first) == ["approval_granted", "tool_result", "final"]
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    assert (await resolve(asha, asked[0], granted=False, reason="too dear"))[0] == 200
    second = await asha.replay(session, first[-1].id)
    assert kinds(second)[:2] == ["approval_denied", "tool_result"]
    assert (second[0].data["error_message"], second[0].data["text"]) == ("rejected", "too dear")
    assert kinds(second)[-1] == "final"
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    told = results(running.rehearsal.requests[-1])
    assert any(each.get("booked") for each in told)
    assert any(each.get("error", "").startswith("Approval denied") for each in told)


async def test_b4_the_map_of_a_message_decides_as_resolve_does(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    approval = events[-2].data["approval_id"]
    stream = await asha.post(
        session, {"approvals": {approval: True, "ap-unknown": True}, "message": "window seat please"}
    )
    told = await stream.all()
    assert kinds(told)[:2] == ["approval_granted", "tool_result"]
    assert kinds(told).count("final") == 1
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    last = running.rehearsal.requests[-1].messages[-1]["content"]
    assert (last[-1]["type"], last[-1]["text"]) == ("text", "window seat please")
    kinds_written = await admin.audit_kinds()
    assert kinds_written.count("approval.granted") == 1
    again = await (await asha.post(session, {"approvals": {approval: False}})).all()
    assert again[0].data["error_message"] == f"approval_already_resolved: {approval}"
    assert again[0].id is None


async def test_b6_of_fifty_resolves_at_once_one_wins(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    approval = events[-2].data["approval_id"]
    answers = await asyncio.gather(*(resolve(asha, approval, granted=n % 2 == 0) for n in range(50)))
    statuses = [status for status, _ in answers]
    assert (statuses.count(200), statuses.count(409)) == (1, 49)
    winner = next(body for status, body in answers if status == 200)
    await asha.replay(session, events[-1].id)
    assert await admin.value("SELECT count(*) FROM bookings") == (1 if winner["status"] == "granted" else 0)
    decided = [kind for kind in await admin.audit_kinds() if kind in ("approval.granted", "approval.rejected")]
    assert len(decided) == 1


async def test_b7_a_second_resolve_is_refused_even_with_the_same_verdict(asha: Any, running: Any) -> None:
    _, events = await ask_for_booking(asha, running)
    approval = events[-2].data["approval_id"]
    assert (await resolve(asha, approval))[0] == 200
    assert await resolve(asha, approval) == (409, {"detail": "approval_already_resolved"})


async def test_b8_overdue_reads_as_expired_everywhere_and_its_expiry_is_told(
    asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running)
    approval = events[-2].data["approval_id"]
    await admin.execute("UPDATE pending_approvals SET expires_at = now() - interval '1 second' WHERE id = $1", approval)
    assert (await asha.get(f"/approvals/{approval}"))["status"] == "expired"
    assert (await asha.get("/approvals"))["items"] == []
    assert (await asha.get(f"/chat/sessions/{session}"))["pending_approvals"] == []
    assert await resolve(asha, approval) == (409, {"detail": "approval_already_resolved"})
    await admin.close_actor(session)
    assert [item["status"] for item in (await asha.get("/approvals?status=expired"))["items"]] == ["expired"]
    viewer = await asha.watch(session, f"?last_event_id={events[-1].id}")
    await viewer.until("final")
    assert kinds(viewer.events) == ["approval_denied", "tool_result", "final"]
    assert viewer.events[0].data["error_message"] == "expired"
    viewer.response.close()
    assert "approval.expired" in await admin.audit_kinds()
    assert await admin.value("SELECT count(*) FROM bookings") == 0


async def test_b9_a_grant_resumes_the_turn_with_nobody_connected(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    await resolve(asha, events[-2].data["approval_id"])
    followed = await (await asha.post(session, {"message": ""})).all()
    assert kinds(followed)[:2] == ["approval_granted", "tool_result"]
    assert kinds(followed)[-1] == "final"
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    assert await admin.value("SELECT count(*) FROM house_orders") == 1


async def test_b10_a_stale_grant_does_not_run(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("I see."),))
    approval = events[-2].data["approval_id"]
    await admin.close_actor(session)
    await admin.execute("UPDATE pending_approvals SET status = 'granted', resolved_at = now() WHERE id = $1", approval)
    await admin.execute(
        "UPDATE tool_calls SET state = 'approved', decided_at = now() - interval '901 seconds' WHERE approval_id = $1",
        approval,
    )
    told = await asha.replay(session, events[-1].id)
    result = next(event for event in told if event.kind == "tool_result")
    assert result.data["tool_output"]["error"].startswith("approval_stale")
    assert await admin.value("SELECT count(*) FROM bookings") == 0


async def test_a_user_may_write_while_an_approval_waits_and_the_model_knows(asha: Any, running: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("It still waits."),))
    approval = events[-2].data["approval_id"]
    talk = await asha.say(session, "how is it going?")
    assert kinds(talk)[-1] == "final"
    assert f"approval_pending:{approval}" in str(running.rehearsal.requests[-1].messages)
    running.rehearsal.play(Turn("Now it is booked."))
    await resolve(asha, approval)
    rest = await asha.replay(session, talk[-1].id)
    assert kinds(rest)[:2] == ["approval_granted", "tool_result"]
    assert "[Result of book_flight" in str(running.rehearsal.requests[-1].messages)


async def test_b5_only_the_tools_approver_roles_decide(running: Any, asha: Any, member: Any) -> None:
    _, events = await ask_for_booking(asha, running)
    approval = events[-2].data["approval_id"]
    for role in ("viewer", "agent", "accounting_lead"):
        person = await member(asha, role)
        assert await resolve(person, approval) == (403, {"detail": "forbidden_role"}), role
        assert (await person.get(f"/approvals/{approval}"))["status"] == "pending"
    lead = await member(asha, "ticketing_lead")
    status, body = await resolve(lead, approval)
    assert (status, body["resolved_by_user_id"]) == (200, lead.user["id"])


async def test_b39_the_audit_tells_sender_and_approver_apart(running: Any, asha: Any, member: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    lead = await member(asha, "ticketing_lead")
    await resolve(lead, events[-2].data["approval_id"])
    await asha.replay(session, events[-1].id)
    rows = await admin.db.fetch("SELECT * FROM audit_events WHERE kind = 'book_flight' ORDER BY seq")
    assert [row["status"] for row in rows] == ["started", "succeeded"]
    assert {str(row["actor_id"]) for row in rows} == {asha.user["id"]}
    assert {str(row["approved_by"]) for row in rows} == {lead.user["id"]}
    assert {row["driver"] for row in rows} == {"house"}
    call = await admin.db.fetchrow("SELECT id::text, turn_id, input::text FROM tool_calls WHERE tool = 'book_flight'")
    named = {"tool_call_id": call["id"], "turn_id": call["turn_id"], "session_id": session}
    booking = await admin.value("SELECT id::text FROM bookings")
    started, succeeded = [json.loads(row["entity_refs"]) for row in rows]
    assert (started, succeeded) == (named, named | {"booking_id": booking})
    assert [json.loads(row["inputs"]) for row in rows] == [json.loads(call["input"])] * 2


async def test_b29_viewers_read_and_never_write(running: Any, asha: Any, member: Any) -> None:
    session = await asha.session()
    viewer = await member(asha, "viewer")
    for method, path, body in (
        ("POST", "/chat/sessions", None),
        ("PATCH", f"/chat/sessions/{session}", {"title": "x"}),
        ("DELETE", f"/chat/sessions/{session}", None),
        ("POST", f"/chat/sessions/{session}/messages", {"message": "x"}),
        ("POST", f"/chat/sessions/{session}/cancel", None),
        ("POST", "/approvals/ap-x/resolve", {"granted": True}),
    ):
        assert await viewer.call(method, path, json=body) == (403, {"detail": "forbidden_role"}), path
    for path in ("/chat/sessions", f"/chat/sessions/{session}", "/approvals", "/auth/me"):
        await viewer.get(path)


async def test_approvals_are_checked_in_the_order_of_the_contract(asha: Any) -> None:
    assert await resolve(asha, "ap-nothing") == (404, {"detail": "approval_not_found"})
    for body in (
        {},
        {"granted": "yes"},
        {"granted": 1},
        {"granted": True, "more": 1},
        {"granted": True, "reason": "x" * 1025},
    ):
        status, _ = await asha.call("POST", "/approvals/ap-nothing/resolve", json=body)
        assert status == 422, body
    assert await asha.call("GET", "/approvals?session_id=nonsense") == (422, {"detail": "invalid_session_id"})
    for query in ("status=odd", "limit=0", "limit=501", "offset=-1", "limit=x"):
        assert (await asha.call("GET", f"/approvals?{query}"))[0] == 422, query
    empty = await asha.get("/approvals?session_id=01a20b51-0000-7000-8000-000000000000&status=all&limit=5")
    assert empty == {"items": [], "total": 0, "limit": 5, "offset": 0}


async def test_b61_another_agencys_approval_is_unknown(asha: Any, running: Any) -> None:
    _, events = await ask_for_booking(asha, running)
    approval = events[-2].data["approval_id"]
    bela = await running.sign_up("other")
    assert await resolve(bela, approval) == (404, {"detail": "approval_not_found"})
    assert (await bela.call("GET", f"/approvals/{approval}"))[0] == 404
    assert (await bela.get("/approvals?status=all"))["total"] == 0


async def test_a_resolve_is_repeated_under_its_key(asha: Any, running: Any) -> None:
    _, events = await ask_for_booking(asha, running)
    path = f"/approvals/{events[-2].data['approval_id']}/resolve"
    status, headers, first = await asha.raw("POST", path, "r-1", {"granted": True})
    replayed = {**headers, "Idempotency-Replayed": "true"}
    assert await asha.raw("POST", path, "r-1", {"granted": True}) == (status, replayed, first)
    assert status == 200


@pytest.mark.parametrize("change", ["price", "passenger"])
async def test_what_was_approved_is_what_runs_or_nothing(change: str, asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("I see."),))
    if change == "passenger":
        await admin.execute(
            "UPDATE passengers SET full_name = 'Somebody Else', given_name = 'Somebody', family_name = 'Else'"
        )
    else:
        await admin.execute(
            "UPDATE tool_calls SET input = jsonb_set(input, '{fare_id}', '\"other\"') WHERE tool = 'book_flight'"
        )
        await admin.execute("UPDATE tool_calls SET input_hash = repeat('0', 64) WHERE tool = 'book_flight'")
    status, _ = await resolve(asha, events[-2].data["approval_id"])
    if change == "price":
        assert status == 409
        return
    told = await asha.replay(session, events[-1].id)
    output = next(event for event in told if event.kind == "tool_result").data["tool_output"]
    assert "changed_since_approval" in str(output)
    assert await admin.value("SELECT count(*) FROM bookings") == 0
