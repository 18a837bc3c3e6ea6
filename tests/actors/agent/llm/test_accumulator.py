"""An answer put together from its events: whatever the split, the words stay; whatever the garbage, it is one error."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rehearsal import Text, Thinking, ToolUse, Turn
from voyagent.actors.agent.llm.accumulator import Accumulator, MalformedStream
from voyagent.actors.agent.rehearsed.turns import pieces
from voyagent.actors.agent.rehearsed.wire import frames

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)
SPLITS = st.lists(WORDS, max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def fed(turn: Turn) -> tuple[list[str], Accumulator]:
    assembly, told = Accumulator(), []
    for data, _ in frames(turn, "model", {"input_tokens": 1}):
        name, line = data.decode().removesuffix("\n\n").split("\n", 1)
        if text := assembly.take(name.removeprefix("event: "), line.removeprefix("data: ")):
            told.append(text)
    return told, assembly


@given(SPLITS)
def test_b11_words_are_told_as_they_were_split_and_never_changed(splits: list[str]) -> None:
    told, assembly = fed(Turn(Text("".join(splits), tuple(splits))))
    assert told == [word for word in splits if word]
    said = "".join(splits)
    assert assembly.blocks() == ([{"type": "text", "text": said}] if said else [])
    assert assembly.words() == assembly.blocks()


@given(WORDS)
def test_the_scripts_deltas_joined_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(len(piece.strip()) <= 7 for piece in pieces(text))


@given(WORDS, st.dictionaries(WORDS, JSON, max_size=4))
def test_thoughts_and_inputs_come_out_as_they_went_in(thought: str, given_input: dict[str, Any]) -> None:
    told, assembly = fed(Turn(Thinking(thought, "c2ln"), ToolUse("tool", given_input, "toolu_1")))
    assert told == []
    thinking, call = assembly.blocks()
    assert thinking == {"type": "thinking", "thinking": thought, "signature": "c2ln"}
    assert call["input"] == given_input
    assert assembly.words() == []


KINDS = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
)
EVENTS = st.fixed_dictionaries(
    {"type": KINDS | WORDS | JSON},
    optional={
        "index": st.integers(0, 2) | JSON,
        "message": st.fixed_dictionaries({"usage": st.dictionaries(st.just("input_tokens"), JSON)}) | JSON,
        "content_block": st.fixed_dictionaries(
            {"type": st.sampled_from(["text", "thinking", "tool_use"]) | JSON},
            optional={"text": JSON, "id": JSON, "name": JSON},
        )
        | JSON,
        "delta": st.dictionaries(
            st.sampled_from(["type", "text", "partial_json", "thinking", "signature", "citation", "stop_reason"]),
            st.sampled_from(["text_delta", "input_json_delta", "thinking_delta", "signature_delta"]) | JSON,
        )
        | JSON,
        "usage": st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), JSON) | JSON,
        "error": JSON,
    },
)


START = {"type": "message_start", "message": {"usage": {"input_tokens": 1}}}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
TOOL = {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "a", "name": "b"}}


@given(st.lists(st.sampled_from([START, TEXT, TOOL]), max_size=3, unique_by=str), st.lists(EVENTS | JSON | st.text()))
def test_no_event_whatever_fails_but_as_a_broken_stream(first: list[Any], then: list[Any]) -> None:
    assembly, events = Accumulator(), [*first, *then]
    with contextlib.suppress(MalformedStream):
        for event in events:
            data = event if isinstance(event, str) else json.dumps(event)
            assert isinstance(assembly.take("event", data), str)
        assembly.blocks()
    json.dumps(assembly.words()).encode()


@pytest.mark.parametrize("index", ["1", None, True, 1.0, [1], {}], ids=str)
def test_a_block_is_numbered_by_an_integer_or_the_stream_is_broken(index: Any) -> None:
    assembly = Accumulator()
    for event in (START, TEXT, {"type": "content_block_stop", "index": 0}):
        assembly.take(None, json.dumps(event))
    with pytest.raises(MalformedStream):
        assembly.take(None, json.dumps(TOOL | {"index": index}))
    assert assembly.words() == []
