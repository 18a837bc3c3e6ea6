"""From the stored transcript to the messages a model reads.

The transcript is a plain list of user, assistant and tool messages. A model wants alternating roles and, right behind
each message that asks for tools, one result per call. Where a result is still awaited the model reads
``approval_pending:<id>`` in its place; where it came later than other messages, it is told there as a note.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .turns import Message

OUTPUT_LIMIT = 32 * 1024
"""Bytes of one tool result that a model is given."""


def compact(output: Mapping[str, Any]) -> str:
    """A tool's output as the model reads it: compact JSON, at most 32 KiB, cut with a note."""
    text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
    encoded = text.encode()
    if len(encoded) <= OUTPUT_LIMIT:
        return text
    note = f"… [cut: {len(encoded)} bytes in all]"
    return encoded[: OUTPUT_LIMIT - len(note.encode())].decode(errors="ignore") + note


def for_model(
    messages: Sequence[Message], *, pending: Mapping[str, str], brief: str | None = None, brief_after: int = 0
) -> list[dict[str, Any]]:
    """Render the transcript. ``pending`` maps tool-use ids to the approvals they wait for.

    ``brief`` is said once, as the user, behind the message with sequence ``brief_after``.
    """
    late = _late_results(messages)
    rendered: list[dict[str, Any]] = []
    told: set[str] = set()
    for message in messages:
        if message.role == "assistant":
            _say(rendered, "assistant", [_bare(block) for block in message.content])
            answers = _answers(messages, message, late, pending)
            if answers:
                _say(rendered, "user", answers)
        elif message.role == "user":
            _say(rendered, "user", [dict(block) for block in message.content])
        else:
            notes = [_note(block) for block in message.content if block["tool_use_id"] in late]
            if notes:
                _say(rendered, "user", notes)
        if brief is not None and message.sequence == brief_after:
            _say(rendered, "user", [{"type": "text", "text": brief}])
            told.add("brief")
    if brief is not None and not told:
        _say(rendered, "user", [{"type": "text", "text": brief}])
    return rendered


def _late_results(messages: Sequence[Message]) -> set[str]:
    """Ids of calls whose result stands behind a user message or another answer, too late for its own place."""
    late: set[str] = set()
    open_calls: set[str] = set()
    for message in messages:
        if message.role == "assistant":
            open_calls = {block["id"] for block in message.content if block["type"] == "tool_use"}
        elif message.role == "user":
            open_calls = set()
        else:
            late |= {block["tool_use_id"] for block in message.content} - open_calls
    return late


def _answers(
    messages: Sequence[Message], asking: Message, late: set[str], pending: Mapping[str, str]
) -> list[dict[str, Any]]:
    asked = [block["id"] for block in asking.content if block["type"] == "tool_use"]
    if not asked:
        return []
    results = {
        block["tool_use_id"]: block
        for message in messages
        if message.role == "tool" and message.sequence > asking.sequence
        for block in message.content
        if block["tool_use_id"] not in late
    }
    return [_result(call, results.get(call), pending.get(call)) for call in asked]


def _result(call: str, block: Mapping[str, Any] | None, approval: str | None) -> dict[str, Any]:
    if block is None:
        waits = f"approval_pending:{approval}" if approval else "The result follows below, or was withdrawn."
        return {"type": "tool_result", "tool_use_id": call, "content": waits}
    answer = {"type": "tool_result", "tool_use_id": call, "content": compact(block["output"])}
    return answer | {"is_error": True} if block["is_error"] else answer


def _note(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": f"[Result of {block['name']} ({block['tool_use_id']})] {compact(block['output'])}"}


def _bare(block: Mapping[str, Any]) -> dict[str, Any]:
    """An assistant's block as the model sent it."""
    if block["type"] == "tool_use":
        return {"type": "tool_use", "id": block["id"], "name": block["name"], "input": block["input"]}
    return dict(block)


def _say(rendered: list[dict[str, Any]], role: str, content: list[dict[str, Any]]) -> None:
    """Add to the last message if the role is the same: a model wants the roles to alternate."""
    if rendered and rendered[-1]["role"] == role:
        rendered[-1]["content"].extend(content)
    else:
        rendered.append({"role": role, "content": list(content)})


def tool_result(call_id: str, name: str, output: Mapping[str, Any]) -> dict[str, Any]:
    """The block a tool message holds; a failure is an output with the key ``error``."""
    return {
        "type": "tool_result",
        "tool_use_id": call_id,
        "name": name,
        "output": dict(output),
        "is_error": "error" in output,
    }


def trimmed(messages: Sequence[Message], limit: int) -> list[Message]:
    """The newest messages that fit into ``limit`` characters, cut only where a user's message begins.

    So no call is parted from its result. The newest exchange is kept whatever its size.
    """
    sizes = [len(json.dumps(message.content, ensure_ascii=False)) for message in messages]
    starts = [place for place, message in enumerate(messages) if message.role == "user"]
    for start in starts:
        if sum(sizes[start:]) <= limit:
            return list(messages[start:])
    return list(messages[starts[-1] :]) if starts else list(messages)
