"""What breaks around a conversation and within it: it goes on, or ends where everybody sees it (business 3.4)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.rehearsal import Break, Failure, Gate, Hang, Raw, Rehearsal, Reply, Text, ToolUse, Turn
from tests.waiting import Event
from voyagent.actors.agent import proposing, run
from voyagent.actors.agent.llm.messages_api import AnthropicModel
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.conversation import passes
from voyagent.actors.conversation import session as sessions
from voyagent.actors.root import Tree
from voyagent.http.guards import INTERNAL, PUBLIC
from voyagent.http.routes import ROUTES
from voyagent.http.service import Service
from voyagent.storage.conversation import answers, model_calls, pass_context, tool_calls
from voyagent.storage.conversation.group_commit import EventWriter

from .events import errors, kinds, whole, words

DESK = Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "book"}))
SAVE = Turn("I save.", ToolUse("upsert_passenger", {"full_name": "Asha Rao", "date_of_birth": "1990-01-02"}))
LOOK = Turn("I look.", ToolUse("lookup_passenger", {"query": "Rao"}))
DEADLINE = 16.0
"""Seconds after which a request has been answered in any case."""


async def started(person: Any, running: Any, session: str, text: str = "hello") -> tuple[Any, Gate]:
    """A turn of which the first words were told; the rest waits at the gate."""
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("a", "b", "c"), gate=gate), when=text)
    stream = await person.post(session, {"message": text})
    await gate.release()
    await stream.until("text_delta")
    return stream, gate


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (Failure(401), "model_not_configured: "),
        (Failure(400), "model_request_rejected: "),
        (Turn("No.", stop_reason="refusal"), "model_refused: "),
        (Turn("It is lo", stop_reason="max_tokens"), "output_truncated: "),
        (Turn("abc def", fault=Break(5, "garbage", garbage=b"event: x\ndata: {{{\n\n")), "model_unavailable: "),
        (Turn("abc def", fault=Break(5, "error")), "model_unavailable: "),
        (Turn("abc def", fault=Break(5, "cut")), "model_unavailable: "),
        (Turn("abc def", fault=Break(5, "end")), "model_unavailable: "),
    ],
    ids=lambda value: value.rstrip(": ") if isinstance(value, str) else type(value).__name__,
)
async def test_b18_a_model_that_fails_ends_the_pass_with_its_error_and_one_final(
    line: Reply, error: str, asha: Any, running: Any
) -> None:
    session = await asha.session()
    running.rehearsal.play(line)
    events = await asha.say(session, "hello")
    assert kinds(events)[-2:] == ["error", "final"]
    assert kinds(events).count("final") == 1
    assert events[-2].data["error_message"].startswith(error), events[-2].data
    assert "Traceback" not in str(events[-2].data)
    running.rehearsal.play(Turn("here again"))
    assert words(await asha.say(session, "and now?")) == "here again"
    whole(await asha.replay(session))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (Failure(529), "model_unavailable: "),
        (Failure(429), "model_rate_limited: "),
        (Hang(), "model_unavailable: "),
        (Raw(b"this is no stream"), "model_unavailable: "),
    ],
    ids=["overloaded", "rate_limited", "cut", "garbage"],
)
async def test_b18_a_model_that_stays_unavailable_is_tried_again_and_then_told(
    line: Reply, error: str, asha: Any, running: Any
) -> None:
    running.rehearsal.play(line, line, line)
    events = await asha.say(await asha.session(), "hello")
    assert kinds(events) == ["error", "final"]
    assert events[0].data["error_message"].startswith(error)
    assert running.rehearsal.count == (2 if isinstance(line, Raw) else 3)


async def test_b27_a_turn_that_takes_too_long_ends_with_its_limit(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "TURN_SECONDS", 1.0)
    running.rehearsal.play(Hang(cut=False))
    events = await asha.say(await asha.session(), "hello")
    assert kinds(events) == ["error", "final"]
    assert errors(events) == ["turn_timeout: 1s"]


async def boom(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a secret cause")


def once(original: Any) -> Any:
    """Fail the first time."""
    calls = iter([boom])

    async def fails(*arguments: Any, **more: Any) -> Any:
        return await next(calls, original)(*arguments, **more)

    return fails


PLACES = [
    (pass_context.LoadPass, "run"),
    (model_calls.Begin, "run"),
    (answers.Answer, "run"),
    (tool_calls.Perform, "run"),
    (tool_calls.Result, "run"),
    (answers.NextDesk, "run"),
    (run.Pass, "_take"),
    (proposing, "propose"),
    (type(CATALOGUE["lookup_passenger"]), "read"),
]


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=lambda value: getattr(value, "__name__", value))
async def test_b18_a_defect_at_any_step_ends_the_pass_with_an_error_and_one_final(
    owner: Any, name: str, asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, once(getattr(owner, name)))
    two = Turn(
        ToolUse("handoff", {"domain": "ticketing_visa", "goal": "look"}),
        ToolUse("handoff", {"domain": "hotels_holidays", "goal": "rest"}),
    )
    running.rehearsal.play(two, SAVE, LOOK, Turn("done."), Turn("and done."))
    session = await asha.session()
    events = await asha.say(session, "hello")
    whole(events)
    assert kinds(events).count("final") == 1
    assert "secret" not in b"".join(event.raw for event in events).decode()
    told = [text for text in errors(events) if text.startswith("internal_error: ")]
    assert len(told) == 1
    running.rehearsal.reset()
    running.rehearsal.play(Turn("here again"))
    assert words(await asha.say(session, "and now?")) == "here again"
    whole(await asha.replay(session))
    open_turns = await admin.value("SELECT count(*) FROM turns WHERE state IN ('queued', 'running', 'waiting')")
    assert open_turns == 0
    unreported = await admin.value(
        "SELECT count(*) FROM messages m, jsonb_array_elements(m.content) b WHERE b->>'type' = 'tool_use'"
        " AND NOT EXISTS (SELECT FROM messages r, jsonb_array_elements(r.content) t"
        "                  WHERE t->>'type' = 'tool_result' AND t->>'tool_use_id' = b->>'id')"
    )
    assert unreported == 0
    assert tree_of(await running.service.system.root.ask(Tree()), "TurnActor") == []


def tree_of(node: dict[str, Any], kind: str) -> list[str]:
    """The names of all actors of a kind."""
    own = [node["name"]] if node["class"] == kind else []
    return own + [name for child in node["children"] for name in tree_of(child, kind)]


async def test_b18_a_model_client_with_a_defect_gives_back_what_it_reserved(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a secret cause")

    session = await asha.session()
    with monkeypatch.context() as patch:
        patch.setattr(AnthropicModel, "stream", broken)
        events = await asha.say(session, "hello")
    assert [text.partition(":")[0] for text in errors(events)] == ["internal_error"]
    whole(events)
    running.rehearsal.play(Turn("fine"))
    assert words(await asha.say(session, "and now?")) == "fine"


async def test_a_cancel_at_any_moment_leaves_one_final(asha: Any, running: Any) -> None:
    chance = random.Random(20)
    session = await asha.session()
    for number in range(30):
        running.rehearsal.play(DESK, SAVE, LOOK, Turn("one two three"))
        stream = await asha.post(session, {"message": f"go {number}"})
        for _ in range(chance.randrange(8)):
            await stream.next()
        await asha.call("POST", f"/chat/sessions/{session}/cancel")
        await stream.all()
        assert kinds(stream.events).count("final") == 1
        assert stream.events[-1].kind == "final"
        running.rehearsal.reset()
    events = await asha.replay(session)
    whole(events)
    assert kinds(events).count("final") == 30


async def test_b20_a_client_that_drops_gets_exactly_the_rest(asha: Any, running: Any) -> None:
    session = await asha.session()
    stream, gate = await started(asha, running, session)
    stream.response.close()
    await gate.open()
    rest = await asha.replay(session, stream.events[-1].id)
    assert words(rest) == "bc"
    assert [event.id for event in rest] == list(range(2, 2 + len(rest)))
    assert kinds(rest).count("final") == 1
    whole(await asha.replay(session))


@pytest.fixture
async def impatient(
    settings_for: Any, rehearsal: tuple[Rehearsal, str], monkeypatch: pytest.MonkeyPatch, running_class: Any
) -> AsyncIterator[Any]:
    """A service that gives up on an absent database after a second instead of ten."""
    monkeypatch.setitem(EventWriter.__init__.__kwdefaults__, "append_timeout", 1.0)
    rehearsal[0].reset()
    settings = settings_for()
    async with Service(settings) as service, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield running_class(service, rehearsal[0], http, settings)


async def tells(person: Any, path: str, status: int) -> None:
    """Wait until a health page answers so: one look serves everybody for a second."""
    async with asyncio.timeout(DEADLINE):
        while (await person.call("GET", path))[0] != status:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.05)


async def refused(person: Any, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with asyncio.timeout(DEADLINE):
        result: tuple[int, Any] = await person.call(method, path, **more)
    return result


ON = dict.fromkeys(("/reports/receivables", "/reports/payables"), "?from=2026-01-01&to=2026-12-31")
READINGS = [
    route.path + ON.get(route.path, "")
    for route in ROUTES
    if route.method == "GET" and not route.parameters and route.guard not in (PUBLIC, INTERNAL)
    if route.path not in ("/auth/me", "/reports/itinerary")
]
"""Every list and report. Who somebody is has been read before, and the itinerary is of a session."""


async def test_b24_without_postgres_everything_is_a_503_and_what_was_cut_is_carried_on(
    impatient: Any, servers: Any
) -> None:
    asha = await impatient.sign_up()
    names = [await asha.session() for _ in range(4)]
    idle = names.pop()
    open_ = [await started(asha, impatient, name, f"hello {name}") for name in names]
    watched = await asha.watch(names[0])
    asked = impatient.rehearsal.count
    await servers.postgres.stop()
    try:
        away = (503, {"detail": "storage_unavailable"})
        requests = [
            *(("GET", path, {}) for path in READINGS),
            ("GET", f"/chat/sessions/{idle}", {}),
            ("GET", f"/chat/sessions/{idle}/messages", {}),
            ("GET", f"/reports/itinerary?session_id={idle}", {}),
            ("POST", "/chat/sessions", {}),
            ("POST", f"/chat/sessions/{idle}/messages", {"json": {"message": "hi"}}),
            ("POST", f"/chat/sessions/{names[0]}/messages", {"json": {"message": "hi", "on_busy": "queue"}}),
            ("PATCH", f"/chat/sessions/{idle}", {"json": {"title": "new"}}),
            ("DELETE", f"/chat/sessions/{idle}", {}),
        ]
        answers = await asyncio.gather(*(refused(asha, method, path, **more) for method, path, more in requests))
        assert dict(zip([each[:2] for each in requests], answers, strict=True)) == {each[:2]: away for each in requests}
        await tells(asha, "/health/db", 503)
        await tells(asha, "/health/ready", 503)
        assert (await refused(asha, "GET", "/health/live"))[0] == 200
        for stream, gate in open_:
            await gate.open()
            async with asyncio.timeout(DEADLINE):
                await stream.all()
            last = stream.events[-1]
            assert (last.id, last.kind, last.data["error_message"]) == (None, "error", "storage_unavailable")
        await watched.all()
        assert (watched.events[-1].id, watched.events[-1].kind) == (None, "error")
    finally:
        await servers.postgres.start()
    await impatient.rehearsal.received(asked + len(names), within=20)  # by itself
    for name, (stream, _) in zip(names, open_, strict=True):
        events = await asha.replay(name)
        whole(events)
        assert kinds(events).count("final") == 1
        assert [text.partition(":")[0] for text in errors(events)] == ["answer_restarted"]
        had = [event.raw for event in stream.events if event.id is not None]
        assert [event.raw for event in events][: len(had)] == had
        assert "\n\n" in words(events)
    assert len(await asha.get("/chat/sessions")) == len(names) + 1


async def test_without_redis_the_main_job_goes_on(asha: Any, running: Any, servers: Any) -> None:
    session = await asha.session()
    await servers.redis.stop()
    try:
        await tells(asha, "/health/redis", 503)
        assert (await refused(asha, "GET", "/health/ready"))[0] == 200
        search = {
            "origin": "BOM",
            "destination": "DXB",
            "outbound_date": "2027-02-01",
            "passengers": {"adult": 1, "child": 0, "infant": 0, "senior": 0},
        }
        running.rehearsal.play(DESK, Turn(ToolUse("search_flights", search)), Turn("Found."))
        events = await asha.say(session, "search")
        result = next(event.data["tool_output"] for event in events if event.kind == "tool_result")
        assert result["fares"]
        assert words(events) == "Found."
        whole(events)
    finally:
        await servers.redis.start()


async def test_b20_a_stop_closes_streams_without_a_final_and_the_next_process_goes_on(
    settings_for: Any, rehearsal: tuple[Rehearsal, str], running_class: Any
) -> None:
    rehearsal[0].reset()
    settings = settings_for()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        service = Service(settings)
        await service.start()
        running = running_class(service, rehearsal[0], http, settings)
        asha = await running.sign_up()
        session = await asha.session()
        stream, gate = await started(asha, running, session)
        live = await asha.watch(session)
        await live.until("text_delta")
        async with asyncio.timeout(5):
            await service.stop()
        for each in (stream, live):
            rest = await each.response.content.read()
            assert rest.startswith(b"retry: ")
            assert 500 <= int(rest.split()[1]) <= 5000
            assert b"final" not in rest
        await gate.open()
        asked = running.rehearsal.count
        async with Service(settings) as service:
            await running.rehearsal.received(asked + 1, within=10)
            asha.url = service.url
            events = await asha.replay(session)
            whole(events)
            assert events[0].raw == stream.events[0].raw
            assert kinds(events).count("final") == 1


async def test_b13_a_session_that_passivates_answers_the_message_that_activates_it(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = Event()
    end = sessions.SessionActor.terminate

    async def terminate(self: Any, failure: BaseException | None) -> None:
        await end(self, failure)
        asleep.set()

    monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(sessions.SessionActor, "terminate", terminate)
    session = await asha.session()
    for number in range(40):
        running.rehearsal.play(Turn(f"answer {number}"))
        events = await asha.say(session, f"question {number}")
        assert words(events) == f"answer {number}"
    async with asyncio.timeout(5):
        await asleep.wait()
    events = await asha.replay(session)
    whole(events)
    assert kinds(events).count("final") == 40


async def test_a_queued_message_is_read_by_the_model_it_is_said_to(asha: Any, running: Any) -> None:
    session = await asha.session()
    stream, gate = await started(asha, running, session)
    queued = await asha.post(session, {"message": "the second thing", "on_busy": "queue"})
    running.rehearsal.play(Turn("I heard."), when="the second thing")
    await gate.open()
    await stream.all()
    assert words(await queued.all()) == "I heard."
    assert running.rehearsal.requests[-1].user_texts()[0] == "the second thing"
