"""Stored answers of a model can be sent to the model again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.agent.asking import own_ids
from voyagent.actors.agent.llm.accumulator import Accumulator
from voyagent.actors.agent.llm.model import Answer
from voyagent.actors.agent.pass_state import token_limit_of
from voyagent.actors.agent.ports import Task
from voyagent.actors.agent.rehearsed.wire import InvalidRequest
from voyagent.actors.domain.outcomes import Succeeded
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.domain.transcript import for_model, tokens, tool_result, trimmed
from voyagent.actors.domain.turns import Message

from .strict import accepted

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ODD = st.text(st.characters(exclude_categories=()), max_size=12)
TEXT = ODD | st.sampled_from([" ", "\n\n", "\ud83d", "\ude00", "\0", "नमस्ते " * 40])
NAME = st.sampled_from(["search_flights", "x" * 216, "book flight", "", " "]) | ODD | st.none() | st.integers()
ID = st.sampled_from(["call_0", "call_1", "toolu_1", "a b", "", "y" * 300]) | ODD | st.none()
INPUT = st.recursive(
    st.none() | st.booleans() | st.integers() | ODD,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(ODD, inner, max_size=2),
    max_leaves=6,
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


def events_of(start: dict[str, Any], *deltas: dict[str, Any]) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    return start, deltas


TEXTS = st.lists(TEXT, max_size=3).map(
    lambda said: events_of({"type": "text", "text": ""}, *({"type": "text_delta", "text": each} for each in said))
)
THOUGHTS = st.tuples(TEXT, st.none() | TEXT).map(
    lambda both: events_of(
        {"type": "thinking", "thinking": both[0], **({} if both[1] is None else {"signature": both[1]})}
    )
)
OTHERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["redacted_thinking", "server_tool_use", "image"]) | ODD}, optional={"data": ODD}
).map(events_of)
WRITTEN = INPUT.map(json.dumps) | st.sampled_from(["", "{", "[]", json.dumps(nested(40)), json.dumps(nested(400))])
CALLS = st.tuples(ID, NAME, WRITTEN).map(
    lambda call: events_of(
        {"type": "tool_use", "id": call[0], "name": call[1], "input": {}},
        {"type": "input_json_delta", "partial_json": call[2]},
    )
)
ANSWERS = st.lists(st.lists(TEXTS | THOUGHTS | OTHERS | CALLS, max_size=5), min_size=1, max_size=4)


def heard(blocks: list[Any]) -> Answer:
    """An answer of these blocks, as it comes out of its stream."""
    assembly = Accumulator()
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {}}]
    for index, (start, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    for event in [*events, {"type": "message_stop"}]:
        assembly.take(None, json.dumps(event))
    assert assembly.usage is not None
    return Answer(assembly.blocks(), assembly.ended_by, assembly.usage, assembly.flaws())


def line(messages: list[Message], role: Any, content: list[dict[str, Any]]) -> None:
    stored = json.loads(json.dumps(content))  # as jsonb keeps it
    messages.append(Message(str(len(messages)), len(messages) + 1, "t", role, stored, None, NOON))


def stored(answers: list[list[Any]], answered: list[bool]) -> list[Message]:
    """A conversation of these answers; of each the calls have their results, or wait and have them later."""
    messages: list[Message] = []
    late: list[dict[str, Any]] = []
    taken: set[str] = set()
    for blocks, receive_inline in zip(answers, answered, strict=False):
        line(messages, "user", [{"type": "text", "text": "and?"}])
        answer = own_ids(heard(blocks), taken)
        if answer.blocks:
            line(messages, "assistant", answer.blocks)
        for at in answer.calls:
            call = answer.blocks[at]
            result = tool_result(call["id"], call["name"], Succeeded({"n": len(messages)}))
            if receive_inline:
                line(messages, "tool", [result])
            else:
                late.append(result)
    for result in late:
        line(messages, "tool", [result])
    return messages


@given(ANSWERS, st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 2000), st.booleans())
def test_whatever_a_model_said_is_accepted_in_the_next_turn(
    answers: list[list[Any]], answered: list[bool], limit: int, plain: bool
) -> None:
    messages = stored(answers, answered)
    for each in messages:
        json.dumps(each.content, ensure_ascii=False).encode()
        assert "\\u0000" not in json.dumps(each.content)
    line(messages, "user", [{"type": "text", "text": "still there?"}])
    for kept in (messages, trimmed(messages, limit)):
        accepted(for_model(kept, pending={}, plain=plain), tools=not plain)
        accepted(for_model(kept, pending={}, brief="goal", brief_after=2, plain=plain), tools=not plain)


@given(ANSWERS, st.lists(st.booleans(), min_size=4, max_size=4))
def test_every_result_is_shown_behind_the_call_it_belongs_to(answers: list[list[Any]], answered: list[bool]) -> None:
    messages = stored(answers, answered)
    rendered = for_model(messages, pending={})
    receive_inline = [
        json.loads(b["content"])["n"] for m in rendered for b in m["content"] if b.get("content", "")[:1] == "{"
    ]
    assert receive_inline == sorted(receive_inline)
    results = [block["output"]["n"] for each in messages if each.role == "tool" for block in each.content]
    shown = json.dumps(rendered)
    assert all(f'n\\":{n}}}' in shown for n in results)


OLD = [
    ("a name that is too long", {"type": "tool_use", "id": "c", "name": "x" * 216, "input": {}}),
    ("a name with a blank", {"type": "tool_use", "id": "c", "name": "book flight", "input": {}}),
    ("an id with a blank", {"type": "tool_use", "id": "a b", "name": "search_flights", "input": {}}),
    ("an input that is no object", {"type": "tool_use", "id": "c", "name": "search_flights", "input": []}),
    ("a deep input", {"type": "tool_use", "id": "c", "name": "search_flights", "input": nested(100)}),
    ("a thought without signature", {"type": "thinking", "thinking": "Hm."}),
    ("a thought with an empty one", {"type": "thinking", "thinking": "Hm.", "signature": ""}),
    ("a block nobody knows", {"type": "hologram", "data": 7}),
    ("a redacted thought without data", {"type": "redacted_thinking"}),
    ("a blank text", {"type": "text", "text": " \n"}),
]


@pytest.mark.parametrize("block", [block for _, block in OLD], ids=[name for name, _ in OLD])
def test_what_was_stored_before_it_was_checked_is_mended_when_it_is_sent(block: dict[str, Any]) -> None:
    messages: list[Message] = []
    for _ in range(2):  # the same id in both
        line(messages, "user", [{"type": "text", "text": "go"}])
        line(messages, "assistant", [block])
        if block["type"] == "tool_use":
            line(messages, "tool", [tool_result(block["id"], block["name"], Succeeded({"n": len(messages)}))])
    line(messages, "user", [{"type": "text", "text": "and now?"}])
    rendered = for_model(messages, pending={})
    accepted(rendered)
    shown = [b["content"] for m in rendered for b in m["content"] if b["type"] == "tool_result"]
    assert shown == (['{"n":2}', '{"n":5}'] if block["type"] == "tool_use" else [])


TASK = Task(
    tenant_id="t",
    session_id="s",
    turn_id="u",
    user_id="p",
    settings=TenantSettings(tenant_id="t"),
    model_name="m",
    max_tokens=4096,
    approval_ttl=(NOON - NOON),
)


@pytest.mark.parametrize("sign", ["a", "é", "س", "न", "漢", "😀", "\n", '"', "\x01"])
def test_a_long_conversation_in_any_script_fits_the_models_window(sign: str) -> None:
    messages: list[Message] = []
    for _ in range(40):
        line(messages, "user", [{"type": "text", "text": f"{sign * 31_900}."}])
        line(messages, "assistant", [{"type": "text", "text": "Yes."}])
    with pytest.raises(InvalidRequest, match="too long"):
        accepted(for_model(messages, pending={}))
    kept = trimmed(messages, token_limit_of(TASK))
    assert len(kept) >= 2
    accepted(for_model(kept, pending={}))


def test_one_exchange_that_is_too_long_keeps_its_question_and_its_newest_answers() -> None:
    messages: list[Message] = []
    line(messages, "user", [{"type": "text", "text": "go"}])
    for place in range(20):
        line(messages, "assistant", [{"type": "tool_use", "id": f"c{place}", "name": "search_flights", "input": {}}])
        line(messages, "tool", [tool_result(f"c{place}", "search_flights", Succeeded({"rows": "x" * 30_000}))])
    kept = trimmed(messages, 40_000)
    assert kept[0] == messages[0]
    assert kept[-2:] == messages[-2:]
    assert 3 <= len(kept) < len(messages)
    accepted(for_model(kept, pending={}))


@given(st.text(max_size=200))
def test_the_estimate_never_falls_below_a_third_of_the_bytes(text: str) -> None:
    assert tokens(text) >= len(text.encode(errors="replace")) // 3
