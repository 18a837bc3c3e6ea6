"""The rehearsal server as a client sees it: the streaming protocol, refusals, queues and gates."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.bench.pace import STAMP, Pace, PacedRehearsal
from tests.rehearsal import Break, Failure, Gate, Hang, Raw, Received, Rehearsal, Reply, Text, Thinking, ToolUse, Turn
from tests.waiting import PATIENCE
from voyagent.actors.foundation.clock import Clock

HEADERS = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "one", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "{}"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        yield session


def body_of(*messages: Any, **parts: Any) -> dict[str, Any]:
    conversation = [{"role": "user", "content": said} if isinstance(said, str) else said for said in messages]
    usual = {"model": "claude-sonnet-5-5", "max_tokens": 64, "stream": True}
    return {**usual, "messages": conversation or [{"role": "user", "content": "Hello"}], **parts}


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """The events, each with its SSE name equal to its type."""
    events = []
    for part in raw.decode().split("\n\n")[:-1]:
        name, data = part.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


async def ask(http: aiohttp.ClientSession, rehearsal: Rehearsal, body: dict[str, Any] | None = None) -> Any:
    async with http.post(f"{rehearsal.url}/v1/messages", json=body or body_of()) as response:
        return response.status, response.headers, await response.read()


async def test_a_reply_follows_the_streaming_protocol_from_start_to_stop(
    http: aiohttp.ClientSession, rehearsal: Rehearsal
) -> None:
    rehearsal.play(Turn(Thinking("Hm."), Text.split("Let", " me"), ToolUse("one", {"a": "ü"}), ToolUse("two", {})))
    status, headers, raw = await ask(http, rehearsal)
    events = events_of(raw)
    assert (status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert headers["request-id"].startswith("req_")
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "ping"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text", "tool_use", "tool_use"]
    assert kinds.count("content_block_stop") == 4
    assert [event["index"] for event in events if "index" in event] == sorted(
        e["index"] for e in events if "index" in e
    )
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert [delta["text"] for delta in deltas if delta["type"] == "text_delta"] == ["Let", " me"]
    written = "".join(delta["partial_json"] for delta in deltas if delta["type"] == "input_json_delta")
    assert written == '{"a": "ü"}{}'
    message = events[0]["message"]
    assert (message["role"], message["content"], message["stop_reason"]) == ("assistant", [], None)
    assert message["usage"]["input_tokens"] > 0
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-2]["usage"]["output_tokens"] == len(deltas)


@pytest.mark.parametrize(
    "key", [{}, {"x-api-key": ""}, {"x-api-key": "  "}, {"authorization": "Bearer "}, {"authorization": "Basic abc"}]
)
async def test_without_a_key_the_answer_is_401(rehearsal: Rehearsal, key: dict[str, str]) -> None:
    headers = {"anthropic-version": "2023-06-01", **key}
    async with aiohttp.ClientSession(headers=headers) as session:
        status, _, raw = await ask(session, rehearsal)
    assert (status, json.loads(raw)["error"]["type"]) == (401, "authentication_error")
    assert rehearsal.count == 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (body_of(model=""), "model"),
        (body_of(max_tokens=0), "max_tokens"),
        (body_of(stream=False), "stream"),
        (body_of(messages=[]), "at least one message"),
        (body_of({"role": "assistant", "content": "Hi"}), "first message"),
        (body_of({"role": "system", "content": "Hi"}), "role"),
        (body_of("  "), "non-whitespace"),
        (body_of("Hi", {"role": "assistant", "content": []}, "Ho"), "non-empty"),
        (body_of("Hi", {"role": "assistant", "content": [CALL]}, "Ho"), "without tool_result"),
        (body_of("Hi", {"role": "assistant", "content": [CALL]}), "without tool_result"),
        (body_of("Hi", {"role": "assistant", "content": "Ho"}, {"role": "user", "content": [RESULT]}), "unexpected"),
        (
            body_of(
                "Hi",
                {"role": "assistant", "content": [CALL]},
                {"role": "user", "content": [{"type": "text", "text": "a"}, RESULT]},
            ),
            "must come first",
        ),
        (
            body_of(
                "Hi", {"role": "assistant", "content": [CALL, CALL]}, {"role": "user", "content": [RESULT, RESULT]}
            ),
            "unique",
        ),
        (body_of("Hi", {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT] * 2}), "single"),
        (body_of({"role": "user", "content": [CALL]}), "assistant's"),
        (body_of(tools=[{"name": "a b", "input_schema": {"type": "object"}}]), "bad name"),
        (body_of(tools=[{"name": "a", "input_schema": {"type": "object"}}] * 2), "unique"),
        (body_of(tools=[{"name": "a", "input_schema": {"type": "array"}}]), "input_schema"),
        (
            body_of(
                {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5}
            ),
            "maximum of 4",
        ),
    ],
)
async def test_what_the_real_service_refuses_is_refused_here(
    http: aiohttp.ClientSession, rehearsal: Rehearsal, body: dict[str, Any], why: str
) -> None:
    status, _, raw = await ask(http, rehearsal, body)
    error = json.loads(raw)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert why in error["message"]


async def test_what_is_no_json_and_what_has_no_version_is_refused(
    http: aiohttp.ClientSession, rehearsal: Rehearsal
) -> None:
    async with http.post(f"{rehearsal.url}/v1/messages", data=b"{") as response:
        assert response.status == 400
    async with aiohttp.ClientSession(headers={"x-api-key": "any"}) as session:
        assert (await ask(session, rehearsal))[0] == 400


@pytest.mark.parametrize(
    ("status", "kind"), [(429, "rate_limit_error"), (500, "api_error"), (529, "overloaded_error"), (418, "api_error")]
)
async def test_a_failure_has_its_status_type_and_retry_after(
    http: aiohttp.ClientSession, rehearsal: Rehearsal, status: int, kind: str
) -> None:
    rehearsal.play(Failure(status, retry_after="17"))
    answered, headers, raw = await ask(http, rehearsal)
    assert (answered, headers["retry-after"], json.loads(raw)["error"]["type"]) == (status, "17", kind)


async def test_a_stream_can_be_cut_ended_early_or_broken_with_an_error(
    http: aiohttp.ClientSession, rehearsal: Rehearsal
) -> None:
    rehearsal.play(*[Turn("Hello", fault=Break(3, how)) for how in ("cut", "end", "error")])
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(http, rehearsal)
    early = events_of((await ask(http, rehearsal))[2])
    assert [event["type"] for event in early] == ["message_start", "ping", "content_block_start"]
    broken = events_of((await ask(http, rehearsal))[2])
    assert broken[-1]["error"]["type"] == "overloaded_error"


async def test_raw_bytes_and_a_cut_line_are_sent_as_they_are(http: aiohttp.ClientSession, rehearsal: Rehearsal) -> None:
    rehearsal.play(Raw(b"\x00\xff"), Hang())
    assert (await ask(http, rehearsal))[2] == b"\x00\xff"
    with pytest.raises(aiohttp.ClientError):
        await ask(http, rehearsal)


async def test_a_gate_holds_every_delta_until_it_is_released(http: aiohttp.ClientSession, rehearsal: Rehearsal) -> None:
    gate = Gate()
    rehearsal.play(Turn(Text.split("a", "b", "c"), gate=gate))
    asking = asyncio.create_task(ask(http, rehearsal))
    for number in (1, 2):
        await gate.waiting(number)
        assert not asking.done()
        await gate.release()
    await gate.waiting(3)
    with pytest.raises(TimeoutError):
        await gate.waiting(4, within=0.02)
    await gate.open()
    assert len(events_of((await asking)[2])) == 9


async def test_markers_choose_the_script_of_a_conversation_and_the_newest_words_win(
    http: aiohttp.ClientSession, rehearsal: Rehearsal
) -> None:
    rehearsal.play(Turn("for all"))
    rehearsal.play(Turn("for a"), Turn("for a again"), when="[a]")
    rehearsal.play(Turn("for b"), when="[b]")
    body = body_of("Hi [a]", {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]})

    async def words(asked: dict[str, Any]) -> str:
        return "".join(
            event["delta"].get("text", "")
            for event in events_of((await ask(http, rehearsal, asked))[2])
            if "delta" in event
        )

    assert await words(body_of("Hi [b]")) == "for b"
    assert await words(body) == "for a"
    assert await words(body) == "for a again"
    assert await words(body) == "for all"
    assert (await words(body_of("Hello"))).startswith("This is a rehearsal")


async def test_a_queued_function_reads_the_request_it_answers(
    http: aiohttp.ClientSession, rehearsal: Rehearsal
) -> None:
    def reply(received: Received) -> Reply:
        return Turn(received.user_texts()[0].upper())

    rehearsal.play(reply)
    assert b"HELLO" in (await ask(http, rehearsal))[2]
    assert rehearsal.requests[0].headers["x-api-key"] == "any"
    rehearsal.reset()
    assert (rehearsal.count, len(rehearsal.requests)) == (0, 0)


async def test_a_client_that_leaves_is_noted(http: aiohttp.ClientSession, rehearsal: Rehearsal) -> None:
    rehearsal.play(Turn("Hi", gate=Gate()))
    asking = asyncio.create_task(ask(http, rehearsal))
    received = await rehearsal.received(1)
    assert not received.left.is_set()
    asking.cancel()
    async with asyncio.timeout(5):
        await received.left.wait()


async def test_stopping_cuts_what_is_being_played() -> None:
    server = Rehearsal(delay=0)
    await server.start()
    server.play(Turn("Hi", gate=Gate()), Hang(cut=False))
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        asking = [asyncio.create_task(ask(session, server)) for _ in range(2)]
        await server.received(2)
        async with asyncio.timeout(PATIENCE):
            await server.stop()
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes)


async def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        await Rehearsal().start("0.0.0.0")


async def test_the_delay_before_each_delta_is_the_servers_or_the_turns(http: aiohttp.ClientSession, clock: Any) -> None:
    server = Rehearsal(delay=0.25, clock=clock)
    await server.start()
    server.play(Turn(Text.split("a", "b")), Turn("a", delay=1.5))
    await ask(http, server)
    await ask(http, server)
    await server.stop()
    assert clock.waits == [0.25, 0.25, 1.5]


async def test_a_paced_stream_numbers_and_times_its_deltas(http: aiohttp.ClientSession) -> None:
    server = PacedRehearsal(Pace(deltas=20, rate=0))
    await server.start()
    before = time.monotonic_ns()
    events = events_of((await ask(http, server))[2])
    await server.stop()
    stamps = [STAMP.fullmatch(event["delta"]["text"]) for event in events if event["type"] == "content_block_delta"]
    assert [int(stamp[1]) for stamp in stamps if stamp] == list(range(1, 21))
    times = [int(stamp[2]) for stamp in stamps if stamp]
    assert before < times[0] <= times[-1] < time.monotonic_ns()
    assert times == sorted(times)
    assert events[-2]["usage"]["output_tokens"] == 20


class SteppingClock(Clock):
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passed += seconds
        await asyncio.sleep(0)


async def test_a_pace_is_kept_and_streams_do_not_tick_together(http: aiohttp.ClientSession) -> None:
    clock = SteppingClock()
    server = PacedRehearsal(Pace(deltas=5, rate=20), clock)
    await server.start()
    await ask(http, server)
    await ask(http, server)
    await server.stop()
    first, second = clock.waits[:5], clock.waits[5:]
    assert first[1:] + second[1:] == [pytest.approx(0.05)] * 8
    assert 0 < first[0] < 0.05
    assert 0 < second[0] < 0.05
    assert abs(first[0] - second[0]) > 0.01
