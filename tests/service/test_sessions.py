"""Sessions: making, listing, reading, naming, deleting (business 2)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.rehearsal import Failure, Gate, Text, ToolUse, Turn

NOBODY = "01a20b51-0000-7000-8000-000000000000"


async def test_b22_the_summary_is_one_object_wherever_it_is_answered(asha: Any) -> None:
    session = await asha.session()
    fresh = await asha.get(f"/chat/sessions/{session}")
    assert fresh == {
        "session_id": session,
        "tenant_id": asha.user["tenant_id"],
        "actor_id": asha.user["id"],
        "message_count": 0,
        "pending_approvals": [],
        "title": None,
        "created_at": fresh["created_at"],
        "last_event_id": 0,
        "running_turn_id": None,
    }
    said = await asha.say(session, "  a first message that is a good deal longer than sixty characters in all  ")
    status, renamed = await asha.call("PATCH", f"/chat/sessions/{session}", json={"title": "  Dubai "})
    assert status == 200
    assert renamed == await asha.get(f"/chat/sessions/{session}")
    assert (renamed["title"], renamed["message_count"], renamed["last_event_id"]) == ("Dubai", 2, said[-1].id)


async def test_the_first_message_names_a_session_and_no_later_one_does(asha: Any) -> None:
    session = await asha.session()
    await asha.say(session, "  " + "é" * 70)
    await asha.say(session, "later")
    assert (await asha.get(f"/chat/sessions/{session}"))["title"] == "é" * 60


async def acts(who: Any, kind: str) -> list[dict[str, Any]]:
    """What the audit trail has of these acts, all of them by this person, in their order."""
    found = (await who.get("/audit", params={"kind": kind}))["items"]
    for each in found:
        assert (each["actor_kind"], each["actor_id"], each["status"]) == ("user", who.user["id"], "ok")
    return [each["payload"]["inputs"] for each in reversed(found)]


async def test_b30_renaming_is_checked_in_order_and_audited_only_when_it_changes(asha: Any) -> None:
    session = await asha.session()
    path = f"/chat/sessions/{session}"
    for body in ({}, {"title": ""}, {"title": "x" * 201}, {"title": 5}, {"title": "x", "more": 1}, {"title": None}, []):
        assert (await asha.call("PATCH", path, json=body))[0] == 422, body
    assert await asha.call("PATCH", f"/chat/sessions/{NOBODY}", json={"title": " "}) == (
        404,
        {"detail": "session_not_found"},
    )
    assert await asha.call("PATCH", path, json={"title": "  "}) == (422, {"detail": "title_empty"})
    for title in ("Dubai", "Dubai", "Doha"):
        assert (await asha.call("PATCH", path, json={"title": title}))[0] == 200
    first, second = await acts(asha, "session.renamed")
    assert (first["from"], first["to"], second["from"], second["to"]) == (None, "Dubai", "Dubai", "Doha")


async def test_b25_the_list_is_newest_first_and_its_pages_meet(asha: Any, admin: Any) -> None:
    made = [await asha.session() for _ in range(5)]
    await admin.execute("UPDATE sessions SET created_at = '2026-01-01T00:00:00Z'")
    pages = [(await asha.get(f"/chat/sessions?limit=2&offset={offset}")) for offset in (0, 2, 4)]
    seen = [item["id"] for page in pages for item in page["sessions"]]
    assert seen == sorted(made, reverse=True)
    assert {page["total"] for page in pages} == {5}
    for query in ("limit=0", "limit=1001", "offset=-1", "limit=true", "offset=99999999999999999999"):
        assert (await asha.call("GET", f"/chat/sessions?{query}"))[0] == 422, query


async def test_the_list_is_searched_by_title_and_signs_stand_for_themselves(asha: Any) -> None:
    titles = ("Dubai 100%", "Élan to DUBAI", "Goa_trip")
    for title in titles:
        await asha.call("PATCH", f"/chat/sessions/{await asha.session()}", json={"title": title})
    await asha.session()  # it has no title

    async def found(q: str, more: str = "") -> tuple[list[str], int]:
        page = await asha.get(f"/chat/sessions?q={q}{more}")
        return [item["title"] for item in page["sessions"]], page["total"]

    assert await found("dubai") == (["Élan to DUBAI", "Dubai 100%"], 2)
    assert await found("dubai", "&limit=1&offset=1") == (["Dubai 100%"], 2)
    assert await found("%20%25%20") == (["Dubai 100%"], 1)
    assert await found("%C3%A9lan") == (["Élan to DUBAI"], 1)
    assert await found("a_t") == (["Goa_trip"], 1)
    assert (await found("nowhere"), (await found("%20"))[1]) == (([], 0), 4)
    assert (await asha.call("GET", f"/chat/sessions?q={'x' * 201}"))[0] == 422


async def test_b23_malformed_and_unknown_ids_are_not_found(asha: Any) -> None:
    for odd in ("x", "0", NOBODY, NOBODY.upper(), "%00", "..", "a" * 2000):
        status, body = await asha.call("GET", f"/chat/sessions/{odd}")
        assert status == 404, odd
        assert body["detail"] in ("session_not_found", "Not Found")


async def test_ids_are_taken_in_any_case(asha: Any) -> None:
    session = await asha.session()
    assert (await asha.get(f"/chat/sessions/{session.upper()}"))["session_id"] == session


async def test_opening_a_session_takes_no_keys(asha: Any) -> None:
    for body in (None, {}):
        assert (await asha.call("POST", "/chat/sessions", json=body))[0] == 201
    status, answer = await asha.call("POST", "/chat/sessions", json={"title": "x"})
    assert (status, answer["detail"][0]["type"]) == (422, "extra_forbidden")


async def test_b30_deleting_removes_the_conversation_and_leaves_its_trace(asha: Any, admin: Any) -> None:
    session = await asha.session()
    await asha.say(session, "hello")
    viewer = await asha.watch(session)
    status, _ = await asha.call("DELETE", f"/chat/sessions/{session}")
    assert status == 204
    events = await viewer.all()
    assert [(event.id, event.data["error_message"]) for event in events] == [(None, "session_deleted")]
    assert (await asha.call("GET", f"/chat/sessions/{session}"))[0] == 404
    assert (await asha.call("DELETE", f"/chat/sessions/{session}"))[0] == 404
    for table in ("messages", "session_events", "turns"):
        assert await admin.value(f"SELECT count(*) FROM {table}") == 0
    (deleted,) = await acts(asha, "session.deleted")
    assert [deleted[name] for name in ("title", "message_count", "pending_approvals")] == ["hello", 2, 0]
    assert await admin.value("SELECT count(*) FROM model_calls WHERE session_id IS NULL") == 1


async def test_deleting_stops_the_turn_that_runs(asha: Any, running: Any, admin: Any) -> None:
    session = await asha.session()
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("a", "b"), gate=gate))
    stream = await asha.post(session, {"message": "hello"})
    await gate.release()
    await stream.next()
    assert (await asha.call("DELETE", f"/chat/sessions/{session}"))[0] == 204
    assert [event.data["error_message"] for event in await stream.all()][-1] in (None, "session_deleted")
    assert await admin.value("SELECT count(*) FROM sessions") == 0


async def test_b26_the_transcript_holds_each_call_with_its_result_and_pages_backwards(asha: Any, running: Any) -> None:
    session = await asha.session()
    running.rehearsal.play(
        Turn("I hand over.", ToolUse("handoff", {"domain": "ticketing_visa", "goal": "look"})),
        Turn(ToolUse("lookup_passenger", {"query": "Rao"})),
        Turn("Nobody."),
    )
    await asha.say(session, "who is Rao?")
    path = f"/chat/sessions/{session}/messages"
    whole = await asha.get(path)
    assert [item["role"] for item in whole["items"]] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    blocks = [block for item in whole["items"] for block in item["content"]]
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    assert calls == answered
    assert whole["items"][0]["user_id"] == asha.user["id"]
    page = await asha.get(f"{path}?limit=4")
    assert [item["id"] for item in page["items"]] == [item["id"] for item in whole["items"][2:]]
    rest = await asha.get(f"{path}?limit=4&before={page['next_before']}")
    assert [item["id"] for item in rest["items"]] == [item["id"] for item in whole["items"][:2]]
    assert (rest["next_before"], rest["total"]) == (None, 6)
    for odd in ("x", NOBODY):
        assert await asha.call("GET", f"{path}?before={odd}") == (422, {"detail": "invalid_before"})


async def test_the_transcript_says_which_turns_failed_or_were_stopped_and_why(asha: Any, running: Any) -> None:
    session = await asha.session()
    path = f"/chat/sessions/{session}/messages"
    running.rehearsal.play(Turn("fine"), Failure(401), Turn(Text.split("a", "b"), gate=(gate := Gate())))
    await asha.say(session, "hello")
    failed = next(event.data for event in await asha.say(session, "again") if event.data["kind"] == "error")
    stream = await asha.post(session, {"message": "and again"})
    await gate.release()
    assert (await asha.call("POST", f"/chat/sessions/{session}/cancel"))[0] == 202
    stopped = next(event.data for event in await stream.all() if event.data["kind"] == "error")
    page = await asha.get(path)
    said = [{name: event[name] for name in ("turn_id", "error_message")} for event in (failed, stopped)]
    assert sorted(page["failures"], key=str) == sorted(said, key=str)
    assert (await asha.get(f"{path}?limit=2&before={page['items'][3]['id']}"))["failures"] == said[:1]


async def test_b13_a_session_that_was_passivated_goes_on_where_it_was(asha: Any, admin: Any) -> None:
    session = await asha.session()
    first = await asha.say(session, "hello")
    await admin.close_actor(session)
    second = await asha.say(session, "again")
    assert second[0].id == first[-1].id + 1
    assert [event.raw for event in await asha.replay(session)] == [event.raw for event in (*first, *second)]


async def test_a_stream_that_only_replays_ends_or_has_nothing_to_say(asha: Any) -> None:
    session = await asha.session()
    assert (await asha.call("GET", f"/chat/sessions/{session}/events?follow=0"))[0] == 204
    said = await asha.say(session, "hello")
    replay = await asha.watch(session, "?follow=0&last_event_id=0")
    assert [event.raw for event in await replay.all()] == [event.raw for event in said]
    assert (await asha.call("GET", f"/chat/sessions/{session}/events?follow=0&last_event_id={said[-1].id}"))[0] == 204


async def test_a_live_stream_stays_open_across_turns_and_begins_with_a_retry(asha: Any) -> None:
    session = await asha.session()
    viewer = await asha.watch(session)
    assert viewer.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert viewer.response.headers["Cache-Control"] == "no-store, no-transform"
    assert await viewer.response.content.readline() == b"retry: 2000\n"
    said = [*await asha.say(session, "one"), *await asha.say(session, "two")]
    while len(viewer.events) < len(said):
        await viewer.next()
    assert [event.raw for event in viewer.events] == [event.raw for event in said]
    viewer.response.close()


async def test_t36_a_silent_stream_beats(asha: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voyagent.http.streams.HEARTBEAT_SECONDS", 0.05)
    viewer = await asha.watch(await asha.session())
    async with asyncio.timeout(5):
        lines = [await viewer.response.content.readline() for _ in range(5)]
    assert lines == [b"retry: 2000\n", b"\n", b"event: heartbeat\n", b"data:\n", b"\n"]
    viewer.response.close()


async def test_rows_nested_too_deep_for_a_reply_are_shown_without_their_depths(asha: Any, admin: Any) -> None:
    session = await asha.session()
    await asha.say(session, "a hello")
    output: dict[str, Any] = {"bottom": True}
    for _ in range(400):
        output = {"deeper": [output]}
    content = [{"type": "tool_result", "tool_use_id": "c", "name": "t", "output": output, "is_error": False}]
    await admin.execute("UPDATE messages SET content = $1 WHERE role = 'assistant'", json.dumps(content))
    page = await asha.get(f"/chat/sessions/{session}/messages")
    assert [item["role"] for item in page["items"]] == ["user", "assistant"]
    shown, levels = page["items"][1]["content"][0]["output"], 0
    while shown is not None:
        shown, levels = (shown["deeper"] if isinstance(shown, dict) else shown[0]), levels + 1
    assert levels == 126  # of 128, less the list of blocks and the block
