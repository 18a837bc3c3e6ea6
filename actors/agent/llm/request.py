"""What is sent to the model: the caller's lists, marked for its prompt cache, never changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

EPHEMERAL = {"type": "ephemeral"}
"""The cache that lives five minutes from its last use; a conversation's calls follow each other faster."""

UNCACHEABLE = frozenset({"thinking", "redacted_thinking"})
"""Blocks on which the API refuses a cache mark."""


def system_blocks(system: str) -> list[dict[str, Any]]:
    """The system prompt as one marked block; none at all if it is blank, which the API would refuse."""
    return [{"type": "text", "text": system, "cache_control": EPHEMERAL}] if system.strip() else []


def marked_tools(tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tools, the last one marked: it ends the longest prefix that all calls of a desk share."""
    return [*tools[:-1], {**tools[-1], "cache_control": EPHEMERAL}] if tools else []


def marked_messages(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with a mark on the last block that may carry one, and without blank texts, which the API refuses."""
    sent = [{**message, "content": blocks} for message in messages if (blocks := _blocks(message["content"]))]
    if sent:
        last = sent[-1]["content"]
        for place in reversed(range(len(last))):
            if last[place]["type"] not in UNCACHEABLE:
                last[place] = {**last[place], "cache_control": EPHEMERAL}
                break
    return sent


def _blocks(content: str | Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]
