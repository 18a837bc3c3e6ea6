"""Builds requests to the model: copies of the caller's lists with marks for the prompt cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

EPHEMERAL = {"type": "ephemeral"}
"""The cache kind that expires five minutes after its last use; calls of a conversation come faster."""

UNCACHEABLE = frozenset({"thinking", "redacted_thinking"})
"""Block types on which the API refuses a cache mark."""


def system_blocks(system: str) -> list[dict[str, Any]]:
    """The system prompt as one marked block; none if it is blank, which the API would refuse."""
    return [{"type": "text", "text": system, "cache_control": EPHEMERAL}] if system.strip() else []


def marked_tools(tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tools, the last one marked: it ends the longest prefix shared by all calls of a desk."""
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
