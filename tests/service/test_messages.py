"""What a POST to a conversation does, and what its stream carries (business 3.5, 4.3)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.rehearsal import Gate, Text, ToolUse, Turn
from voyagent.actors.accounts import actor as accounts

from .events import kinds


def text_of(events: list[Any]) -> str:
    return "".join(event.data["text"] for event in events if event.kind == "text_delta")


async def refused(person: Any, session: str, body: Any, **headers: str) -> tuple[int, Any]:
    result: tuple[int, Any] = await person.call(
        "POST", f"/chat/sessions/{session}/messages", json=body, headers=headers
    )
    return result


async def test_b11_text_arrives_exactly_as_the_model_sent_it(asha: Any, running: Any) -> None:
    chance = random.Random(11)
    session = await asha.session()
    for number in range(5):
        words = "".join(chance.choice(" \n\tabcé🙂") for _ in range(chance.randrange(1, 200))) + "."
        cuts = sorted(chance.sample(range(1, len(words)), min(5, len(words) - 1))) if len(words) > 1 else []
        parts = [words[a:b] for a, b in zip([0, *cuts], [*cuts, len(words)], strict=True)]
        running.rehearsal.play(Turn(Text.split(*parts)))
        events = await asha.say(session, f"say {number}")
        assert text_of(events) == words
        assert kinds(events)[-1] == "final"
        assert kinds(events).count("final") == 1


async def test_b12_the_first_delta_arrives_before_the_model_has_sent_its_second(asha: Any, running: Any) -> None:
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("first", " second"), gate=gate))
    stream = await asha.post(await asha.session(), {"message": "hello"})
    await gate.release()
    assert (await stream.next()).data["text"] == "first"
    await gate.open()
    await stream.all()
    assert text_of(stream.events) == "first second"


async def test_two_viewers_get_the_same_frames_byte_for_byte(asha: Any, running: Any) -> None:
    gate = Gate()
    running.rehearsal.play(Turn("one two three four five", gate=gate))
    session = await asha.session()
    sender = await asha.post(session, {"message": "hello"})
    viewer = await asha.watch(session)
    await gate.open()
    await sender.all()
    await viewer.until("final")
    assert [event.raw for event in viewer.events] == [event.raw for event in sender.events]
    viewer.response.close()


async def test_a_lost_connection_leaves_the_turn_running_and_the_rest_replayable(asha: Any, running: Any) -> None:
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("a", "b", "c"), gate=gate))
    session = await asha.session()
    stream = await asha.post(session, {"message": "hello"})
    await gate.release()
    first = await stream.next()
    stream.response.close()
    again = await asha.post(session, {}, **{"Last-Event-ID": str(first.id)})
    await gate.open()
    rest = await again.all()
    assert text_of(rest) == "bc"
    assert [event.id for event in rest] == list(range(first.id + 1, first.id + 1 + len(rest)))
    assert rest[-1].kind == "final"


async def test_b14_a_cursor_never_starts_a_turn_and_each_kind_of_it_is_answered(asha: Any, running: Any) -> None:
    session = await asha.session()
    empty = await asha.replay(session)
    assert [(event.id, event.kind, event.data["turn_id"]) for event in empty] == [(None, "final", "replay")]
    said = await asha.say(session, "hello")
    newest = said[-1].id
    assert [event.raw for event in await asha.replay(session)] == [event.raw for event in said]
    at_end = await asha.replay(session, newest)
    assert [(event.id, event.kind) for event in at_end] == [(None, "final")]
    for odd in ("-1", "abc", str(newest + 1), "9" * 18, "9" * 19, "1.5"):
        stream = await asha.post(session, {"message": "run me"}, **{"Last-Event-ID": odd})
        events = await stream.all()
        assert kinds(events) == ["error", "final"], odd
        assert events[0].data["error_message"].startswith("replay_failed: ")
        assert [event.id for event in events] == [None, None]
    assert len(running.rehearsal.requests) == 1


async def test_b15_a_gap_is_announced(asha: Any, admin: Any) -> None:
    session = await asha.session()
    said = await asha.say(session, "hello")
    await admin.execute("DELETE FROM session_events WHERE session_id = $1 AND seq <= 2", session)
    await admin.execute("UPDATE sessions SET pruned_through = 2 WHERE id = $1", session)
    await admin.close_actor(session)
    events = await asha.replay(session)
    assert events[0].data["error_message"] == "replay_failed: events up to 2 are no longer kept"
    assert [event.raw for event in events[1:]] == [event.raw for event in said[2:]]


async def test_b16_an_empty_body_is_refused_or_follows(asha: Any, running: Any) -> None:
    session = await asha.session()
    for body in (
        {},
        {"message": ""},
        {"message": " \n "},
        {"approvals": {}},
        {"approvals": None},
        {"approvals": {"x": True}},
    ):
        assert await refused(asha, session, body) == (422, {"detail": "message_required"})
    gate = Gate()
    running.rehearsal.play(Turn("slowly", gate=gate))
    sender = await asha.post(session, {"message": "hello"})
    await gate.waiting()
    follower = await asha.post(session, {"message": ""})
    await gate.open()
    assert [event.raw for event in await follower.all()] == [event.raw for event in await sender.all()]


async def test_messages_are_checked_in_the_order_of_the_contract(asha: Any, running: Any) -> None:
    session = await asha.session()
    nobody = "01a20b51-0000-7000-8000-000000000000"
    status, body = await refused(asha, nobody, {"message": 5})
    assert status == 422
    assert body["detail"][0]["type"] == "string_type"
    assert await refused(asha, nobody, {"message": "hi"}) == (404, {"detail": "session_not_found"})
    assert await refused(asha, "no-id", {"message": "hi"}) == (404, {"detail": "session_not_found"})
    assert await refused(asha, session, {"message": "x" * 32_001}) == (422, {"detail": "message_too_long"})
    assert (await refused(asha, session, {"message": None}))[0] == 422
    assert (await refused(asha, session, {"message": "x", "on_busy": "perhaps"}))[0] == 422
    assert (await refused(asha, session, {"approvals": {str(n): True for n in range(51)}}))[0] == 422
    assert (await refused(asha, session, {"message": "a\x00b"}))[0] == 422
    many = await asha.say(session, "é" * 32_000)
    assert kinds(many)[-1] == "final"


async def test_b19_while_a_turn_runs_a_message_is_refused_queued_or_interrupts(asha: Any, running: Any) -> None:
    session = await asha.session()
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("a", "b"), gate=gate), when="first")
    running.rehearsal.play(Turn("queued answer"), when="second")
    running.rehearsal.play(Turn("urgent answer"), when="third")
    first = await asha.post(session, {"message": "first"})
    await gate.release()
    await first.next()
    assert await refused(asha, session, {"message": "other"}) == (409, {"detail": "turn_in_progress"})
    second = await asha.post(session, {"message": "second", "on_busy": "queue"})
    third = await asha.post(session, {"message": "third", "on_busy": "interrupt"})
    ended = await first.all()
    assert kinds(ended)[-2:] == ["error", "final"]
    assert ended[-2].data["error_message"].startswith("turn_interrupted: ")
    assert text_of(await third.all()) == "urgent answer"
    assert text_of(await second.all()) == "queued answer"
    assert third.events[-1].id < second.events[0].id
    everything = await asha.replay(session)
    assert [event.id for event in everything] == list(range(1, len(everything) + 1))
    transcript = await asha.get(f"/chat/sessions/{session}/messages")
    said = [item["content"][0]["text"] for item in transcript["items"] if item["role"] == "user"]
    assert said == ["first", "third", "second"]


async def test_at_most_five_messages_wait(asha: Any, running: Any) -> None:
    session = await asha.session()
    gate = Gate()
    running.rehearsal.play(Turn("slow", gate=gate))
    streams = [await asha.post(session, {"message": "go"})]
    await gate.waiting()
    waiting = [{"message": f"wait {number}", "on_busy": "queue"} for number in range(5)]
    streams += [await asha.post(session, body) for body in waiting]
    assert await refused(asha, session, {"message": "one more", "on_busy": "queue"}) == (409, {"detail": "queue_full"})
    await gate.open()
    for stream in streams:
        assert kinds(await stream.all()).count("final") == 1


async def test_b17_the_same_words_of_the_same_person_join_the_running_turn(asha: Any, running: Any) -> None:
    session = await asha.session()
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("a", "b"), gate=gate))
    stream = await asha.post(session, {"message": "hello"})
    await gate.release()
    await stream.next()
    stream.response.close()
    again = await asha.post(session, {"message": "hello"})
    await gate.open()
    assert text_of(await again.all()) == "ab"
    assert len(running.rehearsal.requests) == 1


async def test_b17_a_key_starts_one_turn_however_often_it_is_sent(asha: Any, running: Any) -> None:
    session = await asha.session()
    key = {"Idempotency-Key": "k-1"}
    first = await (await asha.post(session, {"message": "hello"}, **key)).all()
    again = await (await asha.post(session, {"message": "hello"}, **key)).all()
    assert [event.raw for event in again] == [event.raw for event in first]
    assert await refused(asha, session, {"message": "other"}, **key) == (422, {"detail": "idempotency_key_reused"})
    assert len(running.rehearsal.requests) == 1
    bad = {"Idempotency-Key": "x" * 256}
    assert await refused(asha, session, {"message": "m"}, **bad) == (422, {"detail": "invalid_idempotency_key"})


async def test_b17_parallel_posts_with_one_key_start_one_turn(asha: Any, running: Any) -> None:
    session = await asha.session()
    path = f"{asha.url}/chat/sessions/{session}/messages"
    headers = {**asha.headers, "Idempotency-Key": "k-1"}

    async def post() -> int:
        async with asha.http.post(path, json={"message": "hello"}, headers=headers) as response:
            await response.read()
            return int(response.status)

    statuses = await asyncio.gather(*(post() for _ in range(10)))
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert len(running.rehearsal.requests) == 1


async def test_b17_opening_a_session_under_a_key_opens_one(asha: Any) -> None:
    async def create(key: str) -> tuple[str, str | None]:
        headers = {**asha.headers, "Idempotency-Key": key}
        async with asha.http.post(f"{asha.url}/chat/sessions", headers=headers) as response:
            assert response.status == 201
            assert response.headers["Location"].startswith("/chat/sessions/")
            return (await response.json())["session_id"], response.headers.get("Idempotency-Replayed")

    first, again = await create("a"), await create("a")
    assert first[0] == again[0]
    assert (first[1], again[1]) == (None, "true")
    assert (await create("b"))[0] != first[0]


async def test_b30_a_cancel_stops_the_turn_and_keeps_what_was_said(asha: Any, running: Any, admin: Any) -> None:
    session = await asha.session()
    assert await asha.call("POST", f"/chat/sessions/{session}/cancel") == (409, {"detail": "no_turn_running"})
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("kept", " lost"), gate=gate))
    stream = await asha.post(session, {"message": "hello"})
    await gate.release()
    await stream.next()
    status, body = await asha.call("POST", f"/chat/sessions/{session}/cancel")
    assert (status, body["status"]) == (202, "cancelling")
    events = await stream.all()
    assert kinds(events) == ["text_delta", "error", "final"]
    assert events[1].data["error_message"].startswith("turn_cancelled: ")
    transcript = await asha.get(f"/chat/sessions/{session}/messages")
    assert [item["content"] for item in transcript["items"]][-1] == [{"type": "text", "text": "kept"}]
    by = "SELECT actor_id::text, inputs->>'turn_id' FROM audit_events WHERE kind = 'turn.cancelled'"
    assert [tuple(row) for row in await admin.db.fetch(by)] == [(asha.user["id"], body["turn_id"])]


async def test_b27_as_many_model_calls_as_are_set_end_a_pass_with_an_event(asha: Any, running: Any) -> None:
    session = await asha.session()
    look = Turn("Once more.", ToolUse("lookup_passenger", {"query": "nobody"}))
    running.rehearsal.play(Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "look"})), *[look] * 23)
    events = await asha.say(session, "loop")
    assert events[-2].data["error_message"] == "tool_rounds_exceeded: 24"
    assert kinds(events).count("final") == 1
    assert running.rehearsal.count == 24
    assert "tools" not in running.rehearsal.requests[-1].body
    assert kinds(events).count("tool_use") == 23
    assert (await asha.get(f"/chat/sessions/{session}/messages"))["items"][-1]["content"] == [
        {"type": "text", "text": "Once more."}
    ]
    running.rehearsal.play(Turn("here"))
    assert kinds(await asha.say(session, "still there?")) == ["text_delta", "final"]


async def test_the_last_round_offers_no_tool_and_its_answer_ends_the_turn(asha: Any, running: Any) -> None:
    look = Turn(ToolUse("lookup_passenger", {"query": "nobody"}))
    running.rehearsal.play(Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "look"})), *[look] * 22)
    running.rehearsal.play(lambda received: Turn("tools" if received.tools else "no tools"))
    events = await asha.say(await asha.session(), "loop")
    assert kinds(events)[-2:] == ["text_delta", "final"]
    assert "".join(event.data["text"] or "" for event in events) == "no tools"


async def test_an_unknown_desk_tool_and_input_are_told_and_harm_nothing(asha: Any, running: Any) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn(ToolUse("handoff", {"domain": "nowhere", "goal": "x"})))
    events = await asha.say(session, "one")
    assert events[-2].data["error_message"] == "desk_unknown: nowhere"
    running.rehearsal.play(
        Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "x"})),
        Turn(ToolUse("no_such_tool", {}), ToolUse("search_flights", {"origin": "bom"})),
        Turn("done"),
    )
    events = await asha.say(session, "two")
    outputs = [event.data["tool_output"] for event in events if event.kind == "tool_result"]
    assert outputs[0] == {"error": "unknown_tool: no_such_tool"}
    assert outputs[1]["error"].startswith("Input validation failed for 'search_flights': ")
    assert kinds(events)[-2:] == ["text_delta", "final"]


async def test_a_question_of_clarify_goes_out_as_text_and_ends_the_pass(asha: Any, running: Any) -> None:
    running.rehearsal.play(Turn(ToolUse("clarify", {"question": "Which day?"})))
    events = await asha.say(await asha.session(), "book")
    assert kinds(events) == ["tool_use", "text_delta", "final"]
    assert text_of(events) == "Which day?"


async def test_rate_limits_are_told_to_the_sender_alone(running: Any, admin: Any) -> None:
    asha = await running.sign_up()
    await admin.execute(
        "UPDATE tenant_settings SET rate_limit_per_minute = 1 WHERE tenant_id = $1", asha.user["tenant_id"]
    )
    session = await asha.session()
    said = await asha.say(session, "one")
    events = await asha.say(session, "two")
    assert [(event.id, event.data["error_message"]) for event in events] == [
        (None, "rate_limited: minute"),
        (None, None),
    ]
    assert [event.raw for event in await asha.replay(session)] == [event.raw for event in said]


async def test_b60_a_stream_ends_within_a_second_when_its_person_is_switched_off(asha: Any, running: Any) -> None:
    session = await asha.session()
    stream = await asha.watch(session)
    await running.service.system.accounts.ask(accounts.SwitchTenant(tenant_id=asha.user["tenant_id"], is_active=False))
    async with asyncio.timeout(1.0):
        events = await stream.all()
    assert [(event.id, event.data["error_message"]) for event in events] == [(None, "unauthorized")]
    status, _ = await asha.call("GET", "/auth/me")
    assert status == 401


async def test_b61_another_agencys_sessions_are_unknown_everywhere(asha: Any, running: Any) -> None:
    session = await asha.session()
    await asha.say(session, "hello")
    bela = await running.sign_up("other")
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/messages"),
        ("GET", "/messages"),
        ("GET", "/events"),
        ("POST", "/cancel"),
    ):
        body = {"PATCH": {"title": "mine"}, "POST": {"message": "hi"} if path == "/messages" else {}}.get(method)
        answer = await bela.call(method, f"/chat/sessions/{session}{path}", json=body)
        assert answer == (404, {"detail": "session_not_found"}), (method, path)
    assert (await bela.get("/chat/sessions"))["sessions"] == []
    assert (await asha.get(f"/chat/sessions/{session}"))["title"] == "hello"


async def test_a_stream_opened_where_the_transcript_ends_brings_each_word_once(asha: Any, running: Any) -> None:
    gate = Gate()
    running.rehearsal.play(
        Turn("I look.", ToolUse("handoff", {"domain": "ticketing_visa", "goal": "look"})),
        Turn(Text.split("one", " two", " three"), gate=gate),
    )
    session = await asha.session()
    assert (await asha.get(f"/chat/sessions/{session}/messages"))["last_event_id"] == 0
    sending = await asha.post(session, {"message": "hello"})
    await gate.release(2)
    while "".join(event.data["text"] or "" for event in sending.events) != "I look.one two":
        await sending.next()
    page = await asha.get(f"/chat/sessions/{session}/messages")
    kept = [block["text"] for item in page["items"] for block in item["content"] if block["type"] == "text"]
    assert kept == ["hello", "I look."]
    watching = await asha.watch(session, f"?last_event_id={page['last_event_id']}")
    await gate.open()
    await watching.until("final")
    watching.response.close()
    await sending.all()
    assert "".join(event.data["text"] or "" for event in watching.events) == "one two three"
    done = await asha.get(f"/chat/sessions/{session}/messages")
    assert (done["last_event_id"], len(done["items"])) == (watching.events[-1].id, len(page["items"]) + 1)
