"""What a model may say, through the whole service: every answer is stored, told, and followed by a next turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.actors.agent import strict
from tests.rehearsal import Block, Failure, Gate, Received, Text, Thinking, ToolUse, Turn
from tests.waiting import Event
from voyagent.actors.agent import usage
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.domain.errors import Unavailable
from voyagent.storage.conversation import model_calls

from .events import kinds, words
from .test_approvals import HANDOFF, SEARCH, ask_for_booking, book, resolve, results

BOOKINGS = "SELECT count(*) FROM bookings"
SAVE = ToolUse("upsert_passenger", {"full_name": "Asha Rao", "date_of_birth": "1990-01-02"})


def outputs(events: list[Any]) -> list[Any]:
    return [event.data["tool_output"] for event in events if event.kind == "tool_result"]


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


ODD = {
    "a long name": [ToolUse("x" * 216, {})],
    "a name with a blank": [ToolUse("book flight", {})],
    "a name with a nul": [ToolUse("search\0", {})],
    "no name": [ToolUse("", {})],
    "an odd id": [ToolUse("search_flights", SEARCH, id="a b\0")],
    "a long id": [ToolUse("search_flights", SEARCH, id="x" * 4000)],
    "one id twice": [
        ToolUse("search_flights", SEARCH, id="call_0"),
        ToolUse("lookup_passenger", {"query": "a"}, id="call_0"),
    ],
    "a deep input": [ToolUse("search_flights", nested(400))],
    "a deeper input": [ToolUse("search_flights", nested(900))],
    "half an input": [ToolUse("search_flights", SEARCH, cut_at=9)],
    "an unsigned thought": [Thinking("Hm.", ""), SAVE],
    "an unknown block": [Block({"type": "holo\0gram", "data": "\ud800"}), SAVE],
    "blank words": ["\n \n", SAVE],
}


@pytest.mark.parametrize("blocks", ODD.values(), ids=ODD.keys())
async def test_after_any_answer_the_turn_ends_and_the_next_one_is_answered(
    blocks: list[Any], asha: Any, running: Any
) -> None:
    session = await asha.session()
    running.rehearsal.play(HANDOFF, Turn("So.", *blocks, stop_reason="tool_use"), Turn("Done."))
    events = await asha.say(session, "go")
    assert "error" not in kinds(events)
    assert words(events).endswith("Done.")
    assert kinds(events).count("tool_use") == kinds(events).count("tool_result") + 1  # the handoff has none
    running.rehearsal.play(HANDOFF, Turn("Again.", *blocks, stop_reason="tool_use"), Turn("Twice."))
    assert words(await asha.say(session, "and again")).endswith("Twice.")
    running.rehearsal.play(Turn("I live."))
    assert words(await asha.say(session, "still there?")) == "I live."
    strict.accepted(running.rehearsal.requests[-1].messages)
    assert (await asha.get(f"/chat/sessions/{session}/messages?limit=200"))["total"] > 0


@pytest.mark.parametrize("name", ["handoff", "clarify", "neither"])
@pytest.mark.parametrize(
    "given",
    [{}, {"domain": ["ticketing_visa"], "goal": "x"}, {"domain": "ticketing_visa", "goal": ""}, {"question": 7}],
)
async def test_a_call_of_the_orchestrator_that_does_not_fit_is_told_like_any_tools(
    name: str, given: dict[str, Any], asha: Any, running: Any
) -> None:
    running.rehearsal.play(Turn("One moment.", ToolUse(name, given)), Turn("Which desk?"))
    events = await asha.say(await asha.session(), "hello")
    assert "error" not in kinds(events)
    assert words(events) == "One moment.Which desk?"
    [shown] = results(running.rehearsal.requests[-1])
    assert shown["error"].startswith("unknown_tool: " if name == "neither" else f"Input validation failed for '{name}'")


async def test_one_id_in_two_turns_shows_each_call_its_own_result(asha: Any, running: Any) -> None:
    session = await asha.session()
    for query in ("Rao", "Sen"):
        look = ToolUse("lookup_passenger", {"query": query}, id="call_0")
        running.rehearsal.play(Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": query}, id="call_h")))
        running.rehearsal.play(Turn(look), Turn(f"No {query}."))
        events = await asha.say(session, query)
        assert words(events) == f"No {query}."
        told = [event.data["tool_call_id"] for event in events if event.kind in ("tool_use", "tool_result")]
        assert len(told) == 3
        assert told[1] == told[2]


async def test_one_id_for_several_calls_of_a_turn_gives_each_its_own_result(asha: Any, running: Any) -> None:
    looks = [ToolUse("lookup_passenger", {"query": query}, id="call_0") for query in ("Rao", "Sen", "Das")]
    running.rehearsal.play(HANDOFF, Turn(SAVE), Turn(*looks[:2]), Turn(looks[2]), Turn("Done."))
    events = await asha.say(await asha.session(), "look")
    assert words(events) == "Done."
    calls = [event.data["tool_call_id"] for event in events if event.kind == "tool_use"]
    assert len(set(calls)) == len(calls) == 5
    assert [len(each["passengers"]) for each in outputs(events)[-3:]] == [1, 0, 0]
    assert [len(each["passengers"]) for each in results(running.rehearsal.requests[-1])[-3:]] == [1, 0, 0]


async def test_words_of_any_script_leave_a_session_alive(asha: Any, running: Any) -> None:
    session = await asha.session()
    for _ in range(13):
        running.rehearsal.play(Turn("ठीक है"))
        assert kinds(await asha.say(session, "नमस्ते भारत " * 2650))[-1] == "final"
    running.rehearsal.play(Turn("I live."))
    assert words(await asha.say(session, "still alive")) == "I live."
    assert [each.reply for each in running.rehearsal.requests].count(None) == 0


async def test_a_request_that_is_refused_is_sent_once_more_with_half_the_history(asha: Any, running: Any) -> None:
    session = await asha.session()
    for place in range(4):
        running.rehearsal.play(Turn(f"Answer {place}."))
        await asha.say(session, f"question {place} " + "x" * 1000)
    refused = Failure(400, message="prompt is too long: 208310 tokens > 200000 maximum")
    running.rehearsal.play(refused, Turn("With less."))
    assert words(await asha.say(session, "and now?")) == "With less."
    whole, half = (str(each.messages) for each in list(running.rehearsal.requests)[-2:])
    assert "question 0" in whole
    assert "question 0" not in half
    assert "question 3" in half
    assert "and now?" in half


async def test_a_request_that_cannot_be_made_smaller_is_not_sent_again(asha: Any, running: Any) -> None:
    running.rehearsal.play(Failure(400), Turn("Never."))
    assert kinds(await asha.say(await asha.session(), "hello")) == ["error", "final"]
    assert running.rehearsal.count == 1


async def test_a_model_that_ends_without_a_word_is_asked_once_for_one(asha: Any, running: Any) -> None:
    look = Turn(ToolUse("lookup_passenger", {"query": "Rao"}))
    running.rehearsal.play(HANDOFF, look, Turn(), Turn("Nobody of that name."))
    session = await asha.session()
    assert words(await asha.say(session, "look")) == "Nobody of that name."
    running.rehearsal.play(HANDOFF, look, Turn(), Turn(" "))
    events = await asha.say(session, "look")
    assert events[-2].data["error_message"].startswith("model_silent: ")
    assert "You have said nothing yet" not in str((await asha.get(f"/chat/sessions/{session}/messages"))["items"])


def book_twice(received: Received) -> Turn:
    """The same booking, its person written in two ways."""
    shown = results(received)
    fare = next(each["fares"] for each in shown if "fares" in each)[0]["fare_id"]
    person = next(each["passenger_id"] for each in shown if "passenger_id" in each)
    return Turn(
        ToolUse("book_flight", {"fare_id": fare, "passenger_ids": [person]}),
        ToolUse("book_flight", {"passenger_ids": [person.upper()], "fare_id": fare, "buyer_reference": None}),
    )


async def test_of_two_identical_calls_of_one_answer_one_is_made(asha: Any, running: Any, admin: Any) -> None:
    running.rehearsal.play(HANDOFF, Turn(ToolUse("search_flights", SEARCH), SAVE), book_twice, Turn("Booked."))
    session = await asha.session()
    events = await asha.say(session, "book")
    assert kinds(events).count("approval_request") == 1
    assert outputs(events)[-1]["error"].startswith("duplicate_call: ")
    approval = next(event.data["approval_id"] for event in events if event.kind == "approval_request")
    assert (await resolve(asha, approval))[0] == 200
    await asha.replay(session, events[-1].id)
    assert await admin.value(BOOKINGS) == 1


async def test_a_booking_that_was_made_lately_is_named_first_when_it_is_asked_for_again(
    asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    first = next(event.data for event in events if event.kind == "approval_request")
    assert first["approval_summary"].startswith("Book ")
    assert (await resolve(asha, first["approval_id"]))[0] == 200
    await asha.replay(session, events[-1].id)
    locator = await admin.value("SELECT locator FROM bookings")
    _, again = await ask_for_booking(asha, running)
    second = next(event.data for event in again if event.kind == "approval_request")
    assert second["approval_summary"].startswith(f"Already booked {locator}: Book ")
    outsider = await running.sign_up("other")
    _, others = await ask_for_booking(outsider, running)
    third = next(event.data for event in others if event.kind == "approval_request")
    assert third["approval_summary"].startswith("Book ")
    await admin.execute("UPDATE tool_calls SET ended_at = ended_at - interval '25 hours', started_at = NULL")
    _, later = await ask_for_booking(asha, running)
    assert [each.data["approval_summary"][:5] for each in later if each.kind == "approval_request"] == ["Book "]


async def test_somebody_who_may_not_act_any_more_has_nothing_done_and_it_is_audited_once(
    asha: Any, running: Any, admin: Any, member: Any
) -> None:
    ravi = await member(asha, "ticketing_lead")
    gate = Gate()
    running.rehearsal.play(HANDOFF)
    running.rehearsal.play(Turn("I save.", SAVE, ToolUse("lookup_passenger", {"query": "Rao"}), gate=gate), Turn("No."))
    stream = await ravi.post(await ravi.session(), {"message": "save"})
    await (await running.rehearsal.received(2)).reply.gate.waiting()
    await admin.execute("UPDATE users SET is_active = false WHERE id = $1", ravi.user["id"])
    await gate.open()
    events = await stream.all()
    assert [each["error"] for each in outputs(events)] == ["permission_denied"] * 2
    assert await admin.value("SELECT count(*) FROM passengers") == 0
    audited = "SELECT array_agg(status) FROM audit_events WHERE kind = 'upsert_passenger'"
    assert await admin.value(audited) == ["rejected"]


async def test_nobody_is_asked_to_approve_for_somebody_who_may_not_act_any_more(
    asha: Any, running: Any, admin: Any, member: Any
) -> None:
    ravi = await member(asha, "ticketing_lead")
    gate = Gate()

    def held(received: Received) -> Turn:
        return Turn(*book(received).blocks, gate=gate)

    running.rehearsal.play(HANDOFF, Turn(ToolUse("search_flights", SEARCH), SAVE), held, Turn("No."))
    stream = await ravi.post(await ravi.session(), {"message": "book"})
    await (await running.rehearsal.received(3)).reply.gate.waiting()
    await admin.execute("UPDATE users SET is_active = false WHERE id = $1", ravi.user["id"])
    await gate.open()
    events = await stream.all()
    assert "approval_request" not in kinds(events)
    assert outputs(events)[-1]["error"] == "permission_denied"
    assert await admin.value("SELECT count(*) FROM pending_approvals") == 0
    assert await admin.value("SELECT array_agg(status) FROM audit_events WHERE kind = 'book_flight'") == ["rejected"]


async def test_a_reading_that_finds_storage_unavailable_is_told_and_the_turn_goes_on(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any) -> Any:
        raise Unavailable("storage_unavailable")

    monkeypatch.setattr(type(CATALOGUE["lookup_passenger"]), "look", unavailable)
    running.rehearsal.play(HANDOFF, Turn(ToolUse("lookup_passenger", {"query": "Rao"})), Turn("Later, please."))
    events = await asha.say(await asha.session(), "look")
    assert outputs(events)[-1] == {"error": "transient: storage_unavailable"}
    assert words(events) == "Later, please."


@pytest.mark.parametrize("how", ["cancel", "refused"])
async def test_what_is_reserved_for_a_call_is_given_back_however_it_ends(
    how: str, asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, held = Event(), Event()

    async def begin(self: model_calls.Begin, db: Any) -> None:
        del self, db
        begun.set()
        if how == "refused":
            raise RuntimeError("a defect")
        await held.wait()

    monkeypatch.setattr(model_calls.Begin, "run", begin)
    session = await asha.session()
    stream = await asha.post(session, {"message": "hello"})
    await begun.wait()
    if how == "cancel":
        assert (await asha.call("POST", f"/chat/sessions/{session}/cancel"))[0] == 202
    held.set()
    await stream.all()
    assert (await asha.get("/reports/usage"))["budget"]["reserved"] == 0


async def test_words_that_came_with_a_decision_are_kept_when_the_pass_is_cancelled(
    asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, events = await ask_for_booking(asha, running)
    approval = next(event.data["approval_id"] for event in events if event.kind == "approval_request")
    placing, held = Event(), Event()
    placed = CATALOGUE["book_flight"].place  # type: ignore[attr-defined]  # it is an order

    async def slow(*given: Any, **more: Any) -> Any:
        placing.set()
        await held.wait()
        return await placed(*given, **more)

    monkeypatch.setattr(CATALOGUE["book_flight"], "place", slow)
    stream = await asha.post(session, {"approvals": {approval: True}, "message": "and a window seat please"})
    await placing.wait()
    assert (await asha.call("POST", f"/chat/sessions/{session}/cancel"))[0] == 202
    held.set()
    told = await stream.all()
    assert kinds(told)[-2:] == ["error", "final"]
    said = [
        item["content"][0]["text"]
        for item in (await asha.get(f"/chat/sessions/{session}/messages"))["items"]
        if item["role"] == "user"
    ]
    assert said == ["book a flight", "and a window seat please"]
    running.rehearsal.play(Turn("At the window."))
    await asha.say(session, "and now?")
    assert json.dumps(running.rehearsal.requests[-1].messages).count("and a window seat please") == 1


async def test_words_told_before_a_pass_is_given_up_are_in_the_transcript(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: Any) -> None:
        raise RuntimeError("a secret cause")

    monkeypatch.setattr(usage.UsageReservation, "spent", defect)
    running.rehearsal.play(Turn(Text.split("These ", "words."), ToolUse("handoff", {})))
    session = await asha.session()
    events = await asha.say(session, "hello")
    assert events[-2].data["error_message"].startswith("internal_error: ")
    assert words(events) == "These words."
    items = (await asha.get(f"/chat/sessions/{session}/messages"))["items"]
    assert items[-1]["content"] == [{"type": "text", "text": "These words."}]
    monkeypatch.undo()
    running.rehearsal.play(Turn("Here."))
    assert words(await asha.say(session, "again")) == "Here."
    assert "These words." in str(running.rehearsal.requests[-1].messages)
