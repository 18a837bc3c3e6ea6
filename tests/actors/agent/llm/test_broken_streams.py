"""What the model client does about streams that go wrong: the real SDK against the rehearsal server."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.rehearsal import Block, Break, Raw, Rehearsal, Text, Thinking, ToolUse, Turn
from voyagent.actors.agent.llm.accumulator import Usage
from voyagent.actors.agent.llm.model import ModelCall

Listen = Callable[..., Coroutine[Any, Any, Any]]
MakeCall = Callable[..., ModelCall]


@pytest.mark.parametrize("how", ["cut", "end", "error", "garbage"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_b27_a_stream_that_breaks_before_any_text_is_opened_once_more(
    rehearsal: Rehearsal, listen: Listen, how: Any, after: int
) -> None:
    rehearsal.play(Turn("Never.", fault=Break(after, how, garbage=b"data: {\n\n")), Turn("Whole."))
    heard = await listen()
    assert heard.text == "Whole."
    assert rehearsal.count == 2


async def test_b27_a_second_break_before_any_text_is_the_end(rehearsal: Rehearsal, listen: Listen) -> None:
    rehearsal.play(Turn("A", fault=Break(2)), Turn("B", fault=Break(3)), Turn("Never."))
    heard = await listen()
    assert heard.failure.code == "model_unavailable"
    assert heard.failure.blocks == []
    assert rehearsal.count == 2


async def test_a_half_written_tool_call_does_not_count_as_words(rehearsal: Rehearsal, listen: Listen) -> None:
    rehearsal.play(Turn(ToolUse("search_flights", {"origin": "BOM"}), fault=Break(5)), Turn("Whole."))
    assert (await listen()).text == "Whole."


@pytest.mark.parametrize("how", ["cut", "end", "error", "garbage"])
async def test_b27_after_words_nothing_is_repeated_and_the_words_are_kept(
    rehearsal: Rehearsal, listen: Listen, how: Any
) -> None:
    fault = Break(5, how, error="rate_limit_error", garbage=b"event: content_block_delta\ndata: \xff\n\n")
    rehearsal.play(Turn(Text.split("So", " far", " so good"), fault=fault), Turn("Never."))
    heard = await listen()
    assert heard.deltas == ["So", " far"]
    assert heard.failure.code == "model_unavailable"
    assert heard.failure.blocks == [{"type": "text", "text": "So far"}]
    assert heard.failure.usage.input > 0
    assert rehearsal.count == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("authentication_error", "model_not_configured"),
        ("permission_error", "model_not_configured"),
        ("invalid_request_error", "model_request_rejected"),
    ],
)
async def test_an_error_event_that_cannot_pass_is_not_repeated(
    rehearsal: Rehearsal, listen: Listen, error: str, code: str
) -> None:
    rehearsal.play(Turn("A", fault=Break(1, "error", error)), Turn("Never."))
    assert (await listen()).failure.code == code
    assert rehearsal.count == 1


async def test_an_overloaded_stream_is_unavailable_and_a_limited_one_rate_limited(
    rehearsal: Rehearsal, listen: Listen
) -> None:
    rehearsal.play(*[Turn("A", fault=Break(1, "error", "overloaded_error"))] * 2)
    assert (await listen()).failure.code == "model_unavailable"
    rehearsal.play(*[Turn("A", fault=Break(1, "error", "rate_limit_error"))] * 2)
    assert (await listen()).failure.code == "model_rate_limited"


async def test_b42_the_tokens_of_a_broken_attempt_are_counted_too(
    rehearsal: Rehearsal, listen: Listen, call_of: MakeCall
) -> None:
    stated = {"input_tokens": 10, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4}
    told: list[Usage] = []
    rehearsal.play(Turn("A", fault=Break(2), usage=stated), Turn("B", usage={**stated, "output_tokens": 5}))
    usage = (await listen(call_of(meter=told.append))).answer.usage
    assert usage == Usage(input=20, output=6, cache_read=6, cache_write=8)
    assert told[0] == Usage(input=10, output=1, cache_read=3, cache_write=4)
    assert told[-1] == usage


@pytest.mark.parametrize(
    "raw",
    [
        Raw(b""),
        Raw(b"<html>Bad gateway</html>", "text/html"),
        Raw(b"data: hello\n\n" * 3),
        Raw(b"event: message_start\ndata: not json\n\n"),
        Raw(b"event: message_start\ndata: []\n\n"),
        Raw(b'event: message_start\ndata: {"type":"message_start"}\n\n'),
        Raw(b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":-1}}}\n\n'),
        Raw(b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":1.5}}}\n\n'),
        Raw(b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
        Raw(b"\x00\xff\xfe" * 100),
        Raw(b"event: message_start\ndata: " + b"[" * 100_000 + b"\n\n"),
    ],
)
async def test_garbage_is_asked_once_more_and_then_unavailable(rehearsal: Rehearsal, listen: Listen, raw: Raw) -> None:
    rehearsal.play(raw, raw, Turn("Never."))
    assert (await listen()).failure.code == "model_unavailable"
    assert rehearsal.count == 2


@pytest.mark.parametrize(
    "block", [Block({"type": "text", "text": ""}, ({"type": "text_delta", "text": None},)), Block({"text": "no type"})]
)
async def test_a_block_that_cannot_be_read_breaks_the_answer(rehearsal: Rehearsal, listen: Listen, block: Any) -> None:
    rehearsal.play(*[Turn(block, stop_reason="tool_use")] * 2)
    assert (await listen()).failure.code == "model_unavailable"
    assert rehearsal.count == 2


def written(json: str, **start: Any) -> Block:
    """A call whose input arrives as this text."""
    opened = {"type": "tool_use", "id": "a", "name": "n", "input": {}, **start}
    return Block(opened, ({"type": "input_json_delta", "partial_json": json},))


@pytest.mark.parametrize(
    ("block", "flaw"),
    [
        (ToolUse("search_flights", {"origin": "BOM"}, cut_at=8), "it is no JSON"),
        (written("[]"), "it is no object"),
        (written("null"), "it is no object"),
        (written('"text"'), "it is no object"),
        (written('{"a":NaN}'), "it is no JSON"),
        (written('{"a":1e999}'), "it is no JSON"),
        (written('{"a":' + "9" * 5000 + "}"), "it is no JSON"),
        (written('{"a":1} and more'), "it is no JSON"),
        (written("[" * 100_000), "it is no JSON"),
        (written('{"a":' * 33 + "1" + "}" * 33), "it is nested deeper than 32 levels"),
        (written('{"a":' + "[" * 32 + "]" * 32 + "}"), "it is nested deeper than 32 levels"),
    ],
    ids=lambda value: value.removeprefix("it is ") if isinstance(value, str) else "",
)
async def test_a_call_whose_input_cannot_be_read_is_a_call_with_a_flaw(
    rehearsal: Rehearsal, listen: Listen, block: Any, flaw: str
) -> None:
    rehearsal.play(Turn("So:", block, stop_reason="tool_use"))
    answer = (await listen()).answer
    assert answer.flaws == {1: flaw}
    assert answer.blocks[1]["input"] == {}
    assert rehearsal.count == 1


async def test_an_input_as_deep_as_may_be_is_taken(rehearsal: Rehearsal, listen: Listen) -> None:
    rehearsal.play(Turn(written('{"a":' * 32 + "1" + "}" * 32), stop_reason="tool_use"))
    answer = (await listen()).answer
    assert not answer.flaws
    assert answer.blocks[0]["input"]["a"]


@pytest.mark.parametrize(
    "name", ["", " ", "n" * 216, "book flight", "search\0flights", "पक्षी", "a/b.c", "\ud800", 7, None]
)
async def test_a_name_no_tool_can_have_is_mended_and_never_to_that_of_a_tool(
    rehearsal: Rehearsal, listen: Listen, name: Any
) -> None:
    rehearsal.play(Turn(written("{}", name=name), stop_reason="tool_use"))
    [block] = (await listen()).answer.blocks
    assert re.fullmatch(r"unknown_[a-zA-Z0-9_-]{1,56}", block["name"])


@pytest.mark.parametrize("call", ["", "with blank", "é", "x" * 3000, "a\0b", "\n", 7, None])
async def test_an_id_no_request_can_carry_becomes_one_of_our_own(
    rehearsal: Rehearsal, listen: Listen, call: Any
) -> None:
    rehearsal.play(Turn(written("{}", id=call), stop_reason="tool_use"))
    [block] = (await listen()).answer.blocks
    assert re.fullmatch(r"call_[0-9a-f-]{36}", block["id"])


async def test_a_thought_without_signature_and_a_block_of_any_kind_harm_nothing(
    rehearsal: Rehearsal, listen: Listen
) -> None:
    odd = Block({"type": "hologram\0", "deep": {"nul\0": ["\ud800"]}})
    rehearsal.play(Turn(Thinking("Hm.", ""), odd, "Fine."))
    assert (await listen()).answer.blocks == [
        {"type": "hologram\ufffd", "deep": {"nul\ufffd": ["\ufffd"]}},
        {"type": "text", "text": "Fine."},
    ]


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        (("Have fun \ud83d", "\ude00 there"), ["Have fun ", "\U0001f600 there"]),
        (("\ud83d", "", "\ude00"), ["\U0001f600"]),
        (("a\ud83d", "b"), ["a", "\ufffdb"]),
        (("a\ude00", "b"), ["a\ufffd", "b"]),
        (("a\ud83d", "\ud83d", "\ude00"), ["a", "\ufffd", "\U0001f600"]),
        (("end\ud83d",), ["end", "\ufffd"]),
    ],
)
async def test_halves_of_a_character_in_two_deltas_are_one_character(
    rehearsal: Rehearsal, listen: Listen, pieces: tuple[str, ...], told: list[str]
) -> None:
    rehearsal.play(Turn(Text.split(*pieces), "!"))
    heard = await listen()
    assert heard.deltas == [*told, "!"]
    assert heard.answer.blocks[0]["text"] == "".join(told)


START = b'event: message_start\ndata: {"type":"message_start","message":%s}\n\n'
WORDS = b"""event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Whole."}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

"""
END = (
    b'event: message_delta\ndata: {"type":"message_delta",%s}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)
REASON = b'"delta":{"stop_reason":"end_turn"}'


@pytest.mark.parametrize(
    "body",
    [
        START % b"{}" + WORDS + END % REASON,
        START % b'{"usage":null}' + WORDS + END % (REASON + b',"usage":null'),
        START % b"null" + WORDS + END % (REASON + b',"usage":[]'),
        START % b'{"usage":{"input_tokens":"12","output_tokens":-1}}' + WORDS + END % REASON,
        START % b"{}" + WORDS + END % b'"delta":null',
        START % b"{}" + b"event: keepalive\ndata: ok\n\n" + WORDS + END % REASON,
        b"event: hello\ndata: {{{\n\n" + START % b"{}" + WORDS + END % REASON,
        START % b"{}" + WORDS + END % REASON + b"data: [DONE]\n\n",
    ],
    ids=["none", "null", "no message", "no figures", "no reason", "keepalive", "first of all", "done"],
)
async def test_an_answer_that_lacks_its_figures_or_carries_foreign_events_counts(
    rehearsal: Rehearsal, listen: Listen, body: bytes
) -> None:
    rehearsal.play(Raw(body))
    answer = (await listen()).answer
    assert answer.blocks == [{"type": "text", "text": "Whole."}]
    assert (answer.stop_reason, answer.usage) == ("end_turn", Usage())
    assert rehearsal.count == 1


async def test_what_no_database_can_hold_is_replaced(rehearsal: Rehearsal, listen: Listen) -> None:
    call = ToolUse("search_flights", {"a\0": ["x\ud800", {"b": "\0"}]}, id="toolu_1")
    rehearsal.play(Turn(Text.split("nul \0", " lone \udc00", " pair \U0001f600"), call))
    heard = await listen()
    assert heard.text == "nul \ufffd lone \ufffd pair \U0001f600"
    assert heard.answer.blocks[1]["input"] == {"a\ufffd": ["x\ufffd", {"b": "\ufffd"}]}


async def test_an_answer_without_blocks_is_an_answer(rehearsal: Rehearsal, listen: Listen) -> None:
    rehearsal.play(Turn())
    heard = await listen()
    assert heard.answer.blocks == []
    rehearsal.play(Turn("", ToolUse("search_flights", {}, id="toolu_1")))
    assert [block["type"] for block in (await listen()).answer.blocks] == ["tool_use"]


async def test_b27_a_truncated_answer_keeps_its_words_and_no_tool_call(rehearsal: Rehearsal, listen: Listen) -> None:
    whole, half = ToolUse("search_flights", {}), ToolUse("search_flights", {"origin": "BOM"}, cut_at=4)
    rehearsal.play(Turn("Let me", whole, half, stop_reason="max_tokens", usage={"output_tokens": 4096}))
    heard = await listen()
    assert heard.failure.code == "output_truncated"
    assert heard.failure.blocks == [{"type": "text", "text": "Let me"}]
    assert heard.failure.usage.output == 4096
    assert not heard.answers
    assert rehearsal.count == 1


async def test_a_refusal_is_a_failure_with_its_words_and_its_usage(rehearsal: Rehearsal, listen: Listen) -> None:
    rehearsal.play(Turn("I can", stop_reason="refusal"))
    heard = await listen()
    assert heard.failure.code == "model_refused"
    assert heard.failure.blocks == [{"type": "text", "text": "I can"}]
    assert heard.failure.usage is not None
