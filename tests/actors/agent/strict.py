"""A stand-in for the Messages API's judgement, as strict as its published rules and its strictest imitators."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from voyagent.actors.agent.llm.request import marked_messages
from voyagent.actors.agent.rehearsed.wire import check

TOOLS = [{"name": "search_flights", "description": "Search.", "input_schema": {"type": "object"}}]


def accepted(messages: list[dict[str, Any]], *, tools: bool = True) -> None:
    """Fail unless a request with these messages is one the API takes."""
    sent = marked_messages(messages)
    assert [each["role"] for each in sent] == [each["role"] for each in messages], "a message came to nothing"
    body = {"model": "m", "max_tokens": 4096, "stream": True, "messages": sent, "tools": TOOLS if tools else []}
    check(body)
    assert all(one["role"] != other["role"] for one, other in pairwise(sent)), "roles must alternate"
    assert sent[-1]["role"] == "user"
    for message in sent:
        for block in message["content"]:
            for value in block.values():
                str(value).encode()  # no half of a character
            if block["type"] == "tool_use":
                assert tools, "a request that speaks of tools must define tools"
                assert set(block) <= {"type", "id", "name", "input", "cache_control"}
                assert len(block["id"]) <= 128
                assert len(block["name"]) <= 64
