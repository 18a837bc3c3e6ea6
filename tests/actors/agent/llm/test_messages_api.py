"""The model client: the real SDK against the rehearsal server."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from tests.figures import counted
from tests.rehearsal import Block, Gate, Rehearsal, Text, Thinking, ToolUse, Turn
from voyagent.actors.agent.llm.accumulator import Usage
from voyagent.actors.agent.llm.messages_api import AnthropicModel
from voyagent.actors.agent.llm.model import Answer, Delta, ModelCall
from voyagent.actors.foundation import metrics

Listen = Callable[..., Coroutine[Any, Any, Any]]
MakeCall = Callable[..., ModelCall]

WITHIN = 10.0


async def test_words_arrive_as_they_were_sent_and_the_whole_answer_comes_last(
    rehearsal: Rehearsal, listen: Listen
) -> None:
    rehearsal.play(Turn(Text.split(" Two", "  flights ", "\n", "fit. "), stop_reason="end_turn"))
    heard = await listen()
    assert heard.deltas == [" Two", "  flights ", "\n", "fit. "]
    assert heard.answer.blocks == [{"type": "text", "text": " Two  flights \nfit. "}]
    assert heard.answer.stop_reason == "end_turn"


async def test_b12_a_delta_is_told_before_the_model_has_sent_the_next(
    rehearsal: Rehearsal, model: AnthropicModel, call_of: MakeCall
) -> None:
    gate = Gate()
    rehearsal.play(Turn(Text.split("One", " two", " three"), gate=gate))
    async with aclosing(model.stream(call_of())) as pieces:
        for number, word in enumerate(["One", " two", " three"], start=1):
            told = asyncio.create_task(anext(pieces))
            await gate.waiting(number)
            assert not told.done()
            await gate.release()
            async with asyncio.timeout(WITHIN):
                assert await told == Delta(word)
        answer = await anext(pieces)
        assert isinstance(answer, Answer)


async def test_several_tools_of_one_answer_keep_their_order_ids_and_inputs(
    rehearsal: Rehearsal, listen: Listen
) -> None:
    first = ToolUse("search_flights", {"origin": "BOM", "note": "Zürich, ज़्यूरिख़"}, id="toolu_1")
    second = ToolUse("search_flights", {}, id="toolu_2")
    rehearsal.play(Turn("Looking.", first, second))
    answer = (await listen()).answer
    assert answer.stop_reason == "tool_use"
    assert answer.blocks == [
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "toolu_1", "name": "search_flights", "input": first.input},
        {"type": "tool_use", "id": "toolu_2", "name": "search_flights", "input": {}},
    ]


async def test_thinking_is_kept_with_its_signature_and_never_told(rehearsal: Rehearsal, listen: Listen) -> None:
    redacted = {"type": "redacted_thinking", "data": "c2VjcmV0"}
    rehearsal.play(Turn(Thinking("Which date is meant?", "c2ln"), Block(redacted), "Which date?"))
    heard = await listen()
    assert heard.text == "Which date?"
    assert heard.answer.blocks[0] == {"type": "thinking", "thinking": "Which date is meant?", "signature": "c2ln"}
    assert heard.answer.blocks[1] == redacted


async def test_what_was_answered_can_be_sent_back_as_it_is(
    rehearsal: Rehearsal, listen: Listen, call_of: MakeCall
) -> None:
    rehearsal.play(Turn(Thinking("Hm."), " ", ToolUse("search_flights", {"a": 1}, id="toolu_9")), Turn("Done."))
    blocks = (await listen()).answer.blocks
    result = {"type": "tool_result", "tool_use_id": "toolu_9", "content": "{}"}
    conversation = [
        {"role": "user", "content": "Find one"},
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [result]},
    ]
    assert (await listen(call_of(messages=conversation))).text == "Done."


async def test_blocks_and_events_of_a_later_api_are_passed_by(rehearsal: Rehearsal, listen: Listen) -> None:
    strange = Block({"type": "hologram", "data": 7}, ({"type": "hologram_delta", "x": 1},))
    rehearsal.play(Turn(strange, "Fine."))
    heard = await listen()
    assert heard.text == "Fine."
    assert heard.answer.blocks[0] == {"type": "hologram", "data": 7}


async def test_usage_has_all_four_kinds_and_totals_replace_each_other(rehearsal: Rehearsal, listen: Listen) -> None:
    stated = {
        "input_tokens": 11,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 300,
        "output_tokens": 42,
    }
    rehearsal.play(Turn("Hi", usage=stated))
    assert (await listen()).answer.usage == Usage(input=11, output=42, cache_read=2000, cache_write=300)


async def test_the_prompt_is_marked_for_the_cache_and_the_callers_lists_stay_as_they_were(
    rehearsal: Rehearsal, listen: Listen, call_of: MakeCall
) -> None:
    tools = [{"name": name, "description": "d", "input_schema": {"type": "object"}} for name in ("one", "two")]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "  "}, {"type": "text", "text": "Hi"}]},
        {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
    ]
    before = copy.deepcopy((tools, messages))
    await listen(call_of(tools=tools, messages=messages))
    assert (tools, messages) == before
    mark = {"type": "ephemeral"}
    body = rehearsal.requests[0].body
    assert body["system"] == [{"type": "text", "text": "Be kind.", "cache_control": mark}]
    assert ["cache_control" in tool for tool in body["tools"]] == [False, True]
    assert body["messages"][1]["content"] == [{"type": "text", "text": "Hi"}]
    assert body["messages"][2]["content"][0] == {"type": "text", "text": "A"}
    assert body["messages"][2]["content"][1] == {"type": "text", "text": "B", "cache_control": mark}


async def test_the_second_call_with_the_same_prompt_reads_the_cache(listen: Listen) -> None:
    first, second = (await listen()).answer.usage, (await listen()).answer.usage
    assert (first.cache_read, second.cache_write) == (0, 0)
    assert first.cache_write == second.cache_read > 0


async def test_calls_in_a_row_use_one_connection(rehearsal: Rehearsal, model: AnthropicModel, listen: Listen) -> None:
    for _ in range(3):
        await listen()
    transport: Any = model._client and model._client._client._transport
    connector = transport.client.connector
    assert sum(len(held) for held in connector._conns.values()) == 1


async def test_many_streams_at_once_do_not_mix(rehearsal: Rehearsal, listen: Listen, call_of: MakeCall) -> None:
    for number in range(50):
        rehearsal.play(Turn(f"Answer {number} " * 5), when=f"<{number}>")
    heard = await asyncio.gather(*[listen(call_of(f"Question <{number}>")) for number in range(50)])
    assert [one.text for one in heard] == [f"Answer {number} " * 5 for number in range(50)]


def test_an_estimate_covers_the_request_and_all_it_may_answer(call_of: MakeCall) -> None:
    small, large = call_of("x"), call_of("ज" * 300)
    assert small.estimate() > 1024
    assert large.estimate() - small.estimate() == pytest.approx(300, abs=1)


async def test_tokens_and_time_are_counted(rehearsal: Rehearsal, listen: Listen) -> None:
    def tokens(kind: str) -> float:
        return float(counted(metrics.MODEL_TOKENS_TOTAL, "claude-sonnet-5-5", kind))

    before = {kind: tokens(kind) for kind in ("input", "output", "cache_read", "cache_write")}
    usage = {"input_tokens": 1, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4, "output_tokens": 2}
    rehearsal.play(Turn("Hi", usage=usage))
    await listen()
    assert {kind: tokens(kind) - before[kind] for kind in before} == {
        "input": 1,
        "output": 2,
        "cache_read": 3,
        "cache_write": 4,
    }


async def test_the_rehearsal_is_the_default_only_where_it_is_told(rehearsal: Rehearsal, clock: Any) -> None:
    client = AnthropicModel("key", None, clock)
    assert client._client is not None
    assert str(client._client.base_url).startswith("https://api.anthropic.com")
    await client.close()
