"""From the stored transcript to what a model reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.outcomes import Failed, Refused, Succeeded
from voyagent.actors.domain.transcript import OUTPUT_LIMIT, compact, for_model, tool_result, trimmed
from voyagent.actors.domain.turns import Message

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def said(sequence: int, role: Any, *content: dict[str, Any]) -> Message:
    return Message(str(sequence), sequence, "t-1", role, list(content), None, NOON)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(call: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": "search", "input": {}}


def test_a_result_stands_right_behind_its_call() -> None:
    messages = [
        said(1, "user", text("go")),
        said(2, "assistant", use("a")),
        said(3, "tool", tool_result("a", "search", Succeeded({}))),
    ]
    rendered = for_model(messages, pending={})
    assert [m["role"] for m in rendered] == ["user", "assistant", "user"]
    assert rendered[2]["content"] == [{"type": "tool_result", "tool_use_id": "a", "content": "{}"}]


def test_an_undecided_call_is_shown_as_pending_and_its_late_result_as_a_note() -> None:
    messages = [
        said(1, "user", text("book")),
        said(2, "assistant", use("a")),
        said(3, "user", text("and now?")),
        said(4, "assistant", text("It waits.")),
        said(5, "tool", tool_result("a", "search", Succeeded({"booked": True}))),
    ]
    rendered = for_model(messages, pending={})
    assert rendered[2]["content"][0]["tool_use_id"] == "a"
    assert "booked" not in rendered[2]["content"][0]["content"]
    assert rendered[4]["content"][0]["text"].startswith("[Result of search (a)]")
    waiting = for_model(messages[:4], pending={"a": "ap-1"})
    assert waiting[2]["content"][0]["content"] == "approval_pending:ap-1"


def test_an_error_is_marked_and_an_empty_output_is_a_success() -> None:
    assert tool_result("a", "x", Succeeded({}))["is_error"] is False
    assert tool_result("a", "x", Failed("no"))["is_error"] is True
    assert tool_result("a", "x", Refused("booked", "hold_expired", "Late."))["is_error"] is False


def test_b27_a_large_result_is_cut_with_a_note_within_its_limit() -> None:
    cut = compact({"rows": ["é" * 100] * 1000})
    assert len(cut.encode()) <= OUTPUT_LIMIT
    assert "[cut:" in cut


def test_a_brief_is_said_behind_its_place_and_only_there() -> None:
    messages = [
        said(1, "user", text("go")),
        said(2, "assistant", use("h")),
        said(3, "tool", tool_result("h", "handoff", Succeeded({}))),
    ]
    rendered = for_model(messages, pending={}, brief="goal", brief_after=3)
    assert json.dumps(rendered).count('"goal"') == 1
    assert rendered[-1]["content"][-1] == text("goal")


exchanges = st.lists(st.tuples(st.text(max_size=50), st.lists(st.booleans(), max_size=3)), min_size=1, max_size=12)


def build(turns: list[tuple[str, list[bool]]]) -> list[Message]:
    messages: list[Message] = []
    for number, (words, calls) in enumerate(turns):
        ids = [f"c{number}-{place}" for place in range(len(calls))]
        messages.append(said(len(messages) + 1, "user", text(words or "…")))
        messages.append(said(len(messages) + 1, "assistant", text("ok"), *(use(call) for call in ids)))
        for call, answered in zip(ids, calls, strict=True):
            if answered:
                messages.append(said(len(messages) + 1, "tool", tool_result(call, "search", Succeeded({"n": number}))))
    return messages


@given(exchanges, st.integers(min_value=0, max_value=3000))
def test_b26_roles_alternate_and_every_call_has_one_result_however_it_is_trimmed(
    turns: list[tuple[str, list[bool]]], limit: int
) -> None:
    rendered = for_model(trimmed(build(turns), limit), pending={})
    roles = [message["role"] for message in rendered]
    assert roles[0] == "user"
    assert all(one != other for one, other in pairwise(roles))
    calls = [b["id"] for m in rendered for b in m["content"] if b["type"] == "tool_use"]
    results = [b["tool_use_id"] for m in rendered for b in m["content"] if b["type"] == "tool_result"]
    assert calls == results
