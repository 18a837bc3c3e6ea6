"""The Messages API's protocol: the events of a stream, and the validation of requests.

The real service refuses a transcript whose tool calls lack results, or a blank text. So does this server: tests must
not pass with requests that the service refuses.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .turns import Turn

CACHE_MARKS = 4
"""The most cache marks of a request."""

WINDOW = 200_000
"""Tokens of a request and its answer."""

_KINDS = frozenset({"text", "thinking", "redacted_thinking", "tool_use", "tool_result"})
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")


class Frame(NamedTuple):
    """One event's bytes, and whether it is a delta, before which a stream may be held."""

    data: bytes
    is_delta: bool


def frame(event: Mapping[str, Any]) -> bytes:
    """An event's server-sent bytes; its SSE name is its type. What UTF-8 cannot encode is escaped."""
    try:
        data = json.dumps(event, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        data = json.dumps(event).encode()
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), data)


def frames(turn: Turn, model: str, usage: Mapping[str, int]) -> Iterator[Frame]:
    """The whole stream of ``turn``: message_start, a ping, its blocks, message_delta, message_stop.

    Without ``output_tokens`` in the usage each delta counts as one.
    """
    yield Frame(message_start(model, usage), is_delta=False)
    yield Frame(frame({"type": "ping"}), is_delta=False)
    sent = 0
    for index, block in enumerate(turn.blocks):
        opened = {"type": "content_block_start", "index": index, "content_block": block.block_start()}
        yield Frame(frame(opened), is_delta=False)
        for delta in block.block_deltas():
            sent += 1
            yield Frame(frame({"type": "content_block_delta", "index": index, "delta": delta}), is_delta=True)
        yield Frame(frame({"type": "content_block_stop", "index": index}), is_delta=False)
    for data in message_end(turn.ends_with, usage.get("output_tokens", max(1, sent))):
        yield Frame(data, is_delta=False)


def error_body(kind: str, message: str) -> dict[str, Any]:
    """The API's body of an error, in a response or an event."""
    return {"type": "error", "error": {"type": kind, "message": message}}


def message_start(model: str, usage: Mapping[str, int]) -> bytes:
    """The event that opens a message; it reports the usage of the input."""
    message: dict[str, Any] = {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    return frame({"type": "message_start", "message": message})


def message_end(stop_reason: str, output_tokens: int) -> list[bytes]:
    """The two events that close a message: stop reason and output usage, then the stop."""
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    usage = {"output_tokens": output_tokens}
    return [frame({"type": "message_delta", "delta": delta, "usage": usage}), frame({"type": "message_stop"})]


class InvalidRequest(Exception):
    """A request that the real service would answer with 400; the text is the reason."""


def check(body: Any) -> None:
    """Raise `InvalidRequest` for what the Messages API does not accept."""
    _demand(isinstance(body, dict), "body: a JSON object is expected")
    _demand(isinstance(body.get("model"), str) and bool(body["model"]), "model: Field required")
    limit = body.get("max_tokens")
    _demand(isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1, "max_tokens: at least 1")
    _demand(body.get("stream") is True, "stream: the rehearsal only streams")
    messages = body.get("messages")
    _demand(isinstance(messages, list) and bool(messages), "messages: at least one message is required")
    _check_tools(body.get("tools", []))
    system = body.get("system", [])
    contents = [_content(message, place) for place, message in enumerate(messages)]
    _demand(messages[0]["role"] == "user", "messages: first message must use the user role")
    for place, (message, blocks) in enumerate(zip(messages, contents, strict=True)):
        following = contents[place + 1] if place + 1 < len(contents) else []
        _check_blocks(message["role"], blocks, place)
        _check_calls(blocks, following, place)
        _check_results(blocks, contents[place - 1] if place else [], place)
    blocks = [block for content in contents for block in content]
    _check_whole(blocks)
    _check_end(messages[-1]["role"], contents[-1])
    _check_length([system, body.get("tools", []), messages], limit)
    _check_marks([*blocks, *(system if isinstance(system, list) else []), *body.get("tools", [])])


def _demand(holds: object, otherwise: str) -> None:
    if not holds:
        raise InvalidRequest(otherwise)


def _check_tools(tools: Any) -> None:
    _demand(isinstance(tools, list), "tools: a list is expected")
    names = [tool.get("name") for tool in tools]
    for name, tool in zip(names, tools, strict=True):
        _demand(isinstance(name, str) and bool(_TOOL_NAME.fullmatch(name)), f"tools: bad name {name!r}")
        schema = tool.get("input_schema")
        _demand(isinstance(schema, dict) and schema.get("type") == "object", f"tools.{name}: input_schema of an object")
    _demand(len(set(names)) == len(names), "tools: Tool names must be unique")


def _content(message: Any, place: int) -> list[dict[str, Any]]:
    _demand(isinstance(message, dict) and message.get("role") in ("user", "assistant"), f"messages.{place}.role")
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    _demand(isinstance(blocks, list) and bool(blocks), f"messages.{place}: must have non-empty content")
    _demand(all(isinstance(block, dict) and "type" in block for block in blocks), f"messages.{place}.content")
    return list(blocks)


def _check_blocks(role: str, blocks: Sequence[Mapping[str, Any]], place: int) -> None:
    for block in blocks:
        kind = block["type"]
        if kind == "text":
            blank = not str(block.get("text", "")).strip()
            _demand(not blank, f"messages.{place}: text content blocks must contain non-whitespace text")
        _demand(kind != "tool_use" or role == "assistant", f"messages.{place}: tool_use blocks are the assistant's")
        _demand(kind != "tool_result" or role == "user", f"messages.{place}: tool_result blocks are the user's")
        _demand(kind != "thinking" or bool(block.get("signature")), f"messages.{place}: thinking without signature")


def _check_calls(blocks: Sequence[Mapping[str, Any]], following: Sequence[Mapping[str, Any]], place: int) -> None:
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    _demand(all(_CALL_ID.fullmatch(call) for call in calls), f"messages.{place}: bad tool_use id")
    _demand(len(set(calls)) == len(calls), f"messages.{place}: tool_use ids must be unique")
    results = [block.get("tool_use_id") for block in following if block["type"] == "tool_result"]
    lacking = [call for call in calls if call not in results]
    _demand(not lacking, f"messages.{place}: tool_use ids without tool_result blocks right after: {lacking}")
    _demand(len(set(results)) == len(results), f"messages.{place + 1}: each tool_use must have a single result")


def _check_results(blocks: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]], place: int) -> None:
    calls = {block["id"] for block in before if block["type"] == "tool_use"}
    kinds = [block["type"] for block in blocks]
    for at, block in enumerate(blocks):
        if block["type"] == "tool_result":
            _demand(block.get("tool_use_id") in calls, f"messages.{place}: unexpected tool_use_id in tool_result")
            _demand("text" not in kinds[:at], f"messages.{place}: tool_result blocks must come first")


def _check_whole(blocks: Sequence[Mapping[str, Any]]) -> None:
    """Check a conversation as a whole: unique ids, valid names, known kinds of blocks."""
    calls = [block for block in blocks if block["type"] == "tool_use"]
    _demand(len({call["id"] for call in calls}) == len(calls), "messages: `tool_use` ids must be unique")
    for call in calls:
        _demand(
            bool(_TOOL_NAME.fullmatch(str(call.get("name")))), "messages: tool_use.name: String should match pattern"
        )
        _demand(isinstance(call.get("input"), dict), "messages: tool_use.input: Input should be a valid dictionary")
    kinds = {block["type"] for block in blocks}
    _demand(kinds <= _KINDS, f"messages: unknown block types {sorted(kinds - _KINDS)}")


def _check_end(role: str, blocks: Sequence[Mapping[str, Any]]) -> None:
    if role == "assistant" and blocks[-1]["type"] == "text":
        text = blocks[-1]["text"]
        _demand(text == text.rstrip(), "messages: final assistant content cannot end with trailing whitespace")


def _check_length(parts: object, limit: int) -> None:
    """Roughly the service's count: four ASCII characters a token, nine tenths of a token any other character."""
    said = json.dumps(parts, ensure_ascii=False)
    plain = len(said.encode("ascii", "ignore"))
    tokens = plain // 4 + (len(said) - plain) * 9 // 10
    _demand(tokens + limit <= WINDOW, f"prompt is too long: {tokens + limit} tokens > {WINDOW} maximum")


def _check_marks(blocks: Sequence[Mapping[str, Any]]) -> None:
    marked = [block for block in blocks if "cache_control" in block]
    _demand(len(marked) <= CACHE_MARKS, f"A maximum of {CACHE_MARKS} blocks with cache_control may be provided")
    for block in marked:
        _demand(block.get("type") not in ("thinking", "redacted_thinking"), "cache_control: not on thinking blocks")
        _demand(block["cache_control"].get("type") == "ephemeral", "cache_control.type: 'ephemeral'")
