"""What a client is told of failures names no cause, host, statement or class (business 1.1, 3.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal import Break, Failure, Gate, Hang, Raw, Text, ToolUse, Turn
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
from voyagent.storage.conversation import answers, pass_context, session_lists, sessions, tool_calls

from .test_approvals import HANDOFF, SEARCH

if TYPE_CHECKING:
    from tests.service.conftest import Person, Running

CAUSE = 'duplicate key value violates "secret_constraint" at 10.1.2.3 (AsyncpgError)'
INNARDS = re.compile(
    r"Traceback|File \"|line \d+|asyncpg|sqlalchemy|aiohttp|pykka|anthropic|asyncio|\w+Error\b|\w+Exception\b"
    r"|SELECT |INSERT |UPDATE |localhost|127\.0\.0\.1|10\.1\.2\.3|secret_constraint|duplicate key"
)
LINES = [
    Failure(401, message=CAUSE),
    Failure(400, message=CAUSE),
    Failure(404, message=CAUSE),
    Failure(529, message=CAUSE),
    Failure(429, message=CAUSE),
    Hang(),
    Raw(CAUSE.encode()),
    Turn("No.", stop_reason="refusal"),
    Turn("abc def", fault=Break(5, "garbage", garbage=f"event: x\ndata: {CAUSE}\n\n".encode())),
    Turn("abc def", fault=Break(5, "cut")),
]


async def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError(CAUSE)


def told(events: list[Any]) -> str:
    """Everything a stream says of a failure."""
    assert events[-1].kind == "final"
    return " ".join(
        f"{event.data['error_message'] or ''} {event.data['tool_output'] or ''}"
        for event in events
        if event.kind in ("error", "tool_result")
    )


@pytest.mark.parametrize("place", range(len(LINES)))
async def test_b28_no_failure_of_the_model_tells_its_cause(place: int, asha: Person, running: Running) -> None:
    running.rehearsal.play(*[LINES[place]] * 3)
    said = told(await asha.say(await asha.session(), "hello"))
    assert said
    assert not INNARDS.search(said), said


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (pass_context.LoadPass, "run"),
        (answers.Answer, "run"),
        (tool_calls.Result, "run"),
        (EmbeddedInventory, "search"),
        (tool_calls.Perform, "run"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_b28_no_failure_of_a_turn_tells_its_cause(
    owner: Any, name: str, asha: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await asha.session()
    save = ToolUse("upsert_passenger", {"full_name": "Asha Rao"})
    running.rehearsal.play(HANDOFF, Turn(ToolUse("search_flights", SEARCH), save), Turn("Well."))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, broken)
        stream = await asha.post(session, {"message": "hello"})
        events = []
        while (seen := await stream.next()) is not None:
            events.append(seen)
    if events and events[-1].kind == "final":
        assert not INNARDS.search(told(events)), told(events)
    for seen in events:
        assert "secret" not in seen.raw.decode()


async def test_b28_no_refusal_of_a_request_tells_its_cause(
    asha: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method, operation in (("GET", session_lists.Page), ("POST", sessions.Create)):
        with monkeypatch.context() as patch:
            patch.setattr(operation, "run", broken)
            status, body = await asha.call(method, "/chat/sessions")
            assert status == 500
            assert set(body) == {"detail", "request_id"}
            assert body["detail"] == "internal_error"


async def test_b14_an_unusable_cursor_is_answered_with_the_running_pass_from_its_beginning(
    asha: Person, running: Running
) -> None:
    session, gate = await asha.session(), Gate()
    await asha.say(session, "hello")
    running.rehearsal.play(Turn(Text.split("one", " two"), gate=gate))
    sender = await asha.post(session, {"message": "and more"})
    await gate.release()
    await sender.until("text_delta")
    follower = await asha.post(session, {"message": "not run"}, **{"Last-Event-ID": "9000"})
    refused = await follower.next()
    await gate.open()
    assert refused is not None
    assert (refused.id, refused.data["turn_id"]) == (None, "replay")
    assert refused.data["error_message"].startswith("replay_failed: ")
    await follower.all()
    assert [event.raw for event in follower.events[1:]] == [event.raw for event in await sender.all()]
    assert running.rehearsal.count == 2
