"""What the model client does while no stream is open: the real SDK against the rehearsal server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from tests.figures import counted
from tests.rehearsal import Failure, Hang, Rehearsal, Turn
from voyagent.actors.agent.llm.messages_api import AnthropicModel
from voyagent.actors.agent.llm.model import Delta, ModelCall, ModelFailed
from voyagent.actors.foundation import metrics

Listen = Callable[..., Coroutine[Any, Any, Any]]
MakeCall = Callable[..., ModelCall]


def count(outcome: str) -> float:
    return float(counted(metrics.MODEL_CALLS_TOTAL, "claude-sonnet-5-5", outcome))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529, 408])
async def test_b27_two_refusals_are_retried_and_the_third_attempt_counts(
    rehearsal: Rehearsal, listen: Listen, clock: Any, status: int
) -> None:
    retried, good = count("retried"), count("ok")
    rehearsal.play(Failure(status), Failure(status), Turn("At last."))
    heard = await listen()
    assert heard.text == "At last."
    assert clock.waits == [0.5, 1.0]
    assert (count("retried") - retried, count("ok") - good) == (2, 1)


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "model_rate_limited"), (500, "model_unavailable"), (529, "model_unavailable"), (503, "model_unavailable")],
)
async def test_b27_the_third_refusal_is_the_last(rehearsal: Rehearsal, listen: Listen, status: int, code: str) -> None:
    failed = count("failed")
    rehearsal.play(*[Failure(status)] * 3, Turn("Never."))
    heard = await listen()
    assert heard.failure.code == code
    assert rehearsal.count == 3
    assert count("failed") - failed == 1
    assert heard.failure.usage is None


async def test_a_rate_limit_says_rate_limit_and_to_try_later(rehearsal: Rehearsal, listen: Listen) -> None:
    rehearsal.play(*[Failure(429)] * 3)
    text = str((await listen()).failure)
    assert text.startswith("model_rate_limited: ")
    assert "rate limit" in text
    assert "later" in text


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("7", 7.35),
        ("0", 0.0),
        ("86400", 30.0),
        ("1e999", 30.0),
        ("Mon, 23 Nov 2026 12:00:10 GMT", 10.5),
        ("Mon, 23 Nov 2026 13:00:00 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("nan", 0.5),
        ("-3", 0.5),
        ("soon", 0.5),
        ("Mon, 01 Jan 99999999999999 00:00:00 GMT", 0.5),
    ],
)
async def test_b27_retry_after_is_obeyed_up_to_thirty_seconds(
    rehearsal: Rehearsal, listen: Listen, clock: Any, asked: str, waited: float
) -> None:
    rehearsal.play(Failure(429, retry_after=asked), Turn("Hi"))
    assert (await listen()).text == "Hi"
    assert clock.waits == [pytest.approx(waited)]


async def test_retry_after_in_milliseconds_goes_first(rehearsal: Rehearsal, listen: Listen, clock: Any) -> None:
    rehearsal.play(Failure(529, retry_after="20", headers={"retry-after-ms": "2000"}), Turn("Hi"))
    await listen()
    assert clock.waits == [pytest.approx(2.1)]


async def test_a_server_that_says_do_not_retry_is_obeyed(rehearsal: Rehearsal, listen: Listen) -> None:
    rehearsal.play(Failure(500, headers={"x-should-retry": "false"}), Turn("Never."))
    assert (await listen()).failure.code == "model_unavailable"
    assert rehearsal.count == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "model_request_rejected"),
        (413, "model_request_rejected"),
        (404, "model_request_rejected"),
        (422, "model_request_rejected"),
        (401, "model_not_configured"),
        (403, "model_not_configured"),
    ],
)
async def test_b27_auth_and_bad_requests_are_never_retried(
    rehearsal: Rehearsal, listen: Listen, clock: Any, status: int, code: str
) -> None:
    rehearsal.play(Failure(status, message="secret host and cause"), Turn("Never."))
    heard = await listen()
    assert heard.failure.code == code
    assert (rehearsal.count, clock.waits) == (1, [])


async def test_b28_no_cause_reaches_the_text_of_a_failure(
    rehearsal: Rehearsal, listen: Listen, call_of: MakeCall
) -> None:
    rehearsal.play(Failure(400, message="secret cause at 10.0.0.7"))
    first = str((await listen()).failure)
    rehearsal.play(Hang(), Hang(), Hang())
    second = str((await listen()).failure)
    for text in (first, second):
        assert text.split(": ", 1)[1]
        assert not any(word in text for word in ("secret", "10.0", "127.0", "Error", "Exception", "anthropic"))


async def test_a_request_the_api_refuses_to_read_is_rejected(listen: Listen, call_of: MakeCall) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "search_flights", "input": {}}
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [call]}]
    heard = await listen(call_of(messages=conversation))
    assert heard.failure.code == "model_request_rejected"


async def test_connections_that_die_are_tried_three_times(rehearsal: Rehearsal, listen: Listen) -> None:
    rehearsal.play(Hang(), Hang(), Turn("Back."))
    assert (await listen()).text == "Back."
    rehearsal.play(Hang(), Hang(), Hang())
    assert (await listen()).failure.code == "model_unavailable"


async def test_nobody_listening_is_unavailable_after_three_attempts(
    listen: Listen, rehearsal: Rehearsal, clock: Any
) -> None:
    await rehearsal.stop()
    heard = await listen()
    assert heard.failure.code == "model_unavailable"
    assert len(clock.waits) == 2


@pytest.mark.parametrize("key", [None, "", "  ", "clé", "a\nb"])
async def test_without_a_key_that_can_be_sent_nothing_is_asked(
    rehearsal: Rehearsal, clock: Any, call_of: MakeCall, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-environment")
    client = AnthropicModel(key, rehearsal.url, clock)
    with pytest.raises(ModelFailed, match=r"^model_not_configured: ."):
        await anext(client.stream(call_of()))
    assert rehearsal.count == 0
    await client.close()


async def test_a_proxy_of_the_environment_is_not_used_towards_loopback(
    rehearsal: Rehearsal, clock: Any, call_of: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    client = AnthropicModel("key", rehearsal.url, clock)
    async with aclosing(client.stream(call_of())) as pieces:
        assert isinstance(await anext(pieces), Delta)
    await client.close()
    assert rehearsal.requests[0].headers["authorization"] == "Bearer key"
