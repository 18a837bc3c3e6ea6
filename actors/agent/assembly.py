"""One answer of the model, put together from the events of its stream.

The events are the Messages API's (docs.anthropic.com, "Streaming messages"). They come from outside, so every one is
checked: what does not fit breaks the stream, what is unknown is passed by, as the API asks of its clients.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

LARGEST_ANSWER = 4 * 1024 * 1024
"""Characters of one answer; 16,384 tokens of output, the most one may ask for, are a fiftieth of it."""


class Broken(Exception):
    """The stream ended early or said what it may not say. ``error_type`` is the API's word, if it gave one."""

    def __init__(self, why: str, error_type: str | None = None) -> None:
        super().__init__(why)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by the four kinds that have prices of their own."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
        )

    @property
    def total(self) -> int:
        """What a budget counts: all four kinds."""
        return self.input + self.output + self.cache_read + self.cache_write


@dataclass(slots=True)
class _Block:
    """A content block as the API opened it, and the pieces that followed."""

    start: dict[str, Any]
    text: list[str] = field(default_factory=list)
    partial_json: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    citations: list[Any] = field(default_factory=list)
    signature: str | None = None

    def finished(self) -> dict[str, Any]:
        """The block as a later request may send it back; raises `Broken` if a tool's input is no JSON object."""
        block = dict(self.start)
        match block["type"]:
            case "text":
                block["text"] = "".join(self.text)
                if self.citations:
                    block["citations"] = [*(block.get("citations") or []), *self.citations]
            case "thinking":
                block["thinking"] = _word(block.get("thinking", "")) + "".join(self.thinking)
                if self.signature is not None:
                    block["signature"] = self.signature
            case "tool_use":
                block["input"] = _tool_input(block, "".join(self.partial_json))
        return block


class Assembly:
    """Feed it the stream's events in order; it gives the words back at once and the whole answer at the end."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        """What the API has stated so far; None before the message began."""

        self.stop_reason: str | None = None
        self.complete = False
        """The stream said that the message is over."""

        self._blocks: dict[int, _Block] = {}
        self._open: set[int] = set()
        self._size = 0

    def take(self, name: str | None, data: str) -> str:
        """The words this event brings, untouched; empty for most events. Raises `Broken`."""
        if name == "ping" or not data:
            return ""
        event = _object(data, name)
        try:
            return self._take(event)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise Broken(f"malformed {event.get('type')!r} event") from error

    def _take(self, event: dict[str, Any]) -> str:
        if self.complete:
            return ""
        match event["type"]:
            case "message_start":
                self._begin(event["message"])
            case "content_block_start":
                return self._open_block(event["index"], event["content_block"])
            case "content_block_delta":
                return self._grow(event["index"], event["delta"])
            case "content_block_stop":
                self._open.remove(event["index"])
            case "message_delta":
                self._note_usage(event["usage"])
                self.stop_reason = event["delta"]["stop_reason"] or self.stop_reason
            case "message_stop":
                self._end()
            case "error":
                error = event["error"]
                raise Broken(f"error event {error.get('type')!r}", str(error.get("type")))
        return ""

    def _begin(self, message: dict[str, Any]) -> None:
        if self.usage is not None:
            raise Broken("a second message in one stream")
        self.usage = Usage()
        self._note_usage(message["usage"])

    def _note_usage(self, stated: dict[str, Any]) -> None:
        """Figures are totals, not additions; an absent one leaves the earlier one standing."""
        known = self._begun()
        self.usage = Usage(
            input=_count(stated.get("input_tokens"), known.input),
            output=_count(stated.get("output_tokens"), known.output),
            cache_read=_count(stated.get("cache_read_input_tokens"), known.cache_read),
            cache_write=_count(stated.get("cache_creation_input_tokens"), known.cache_write),
        )

    def _begun(self) -> Usage:
        if self.usage is None:
            raise Broken("an event before the message began")
        return self.usage

    def _open_block(self, index: int, start: dict[str, Any]) -> str:
        self._begun()
        if index in self._blocks:
            raise Broken("a block opened twice")
        block = _Block({**start, "type": _word(start["type"])})
        self._blocks[index] = block
        self._open.add(index)
        return self._add(block.text, start["text"]) if start["type"] == "text" else ""

    def _grow(self, index: int, delta: dict[str, Any]) -> str:
        if index not in self._open:
            raise Broken("a delta outside any block")
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                return self._add(block.text, delta["text"]) if block.start["type"] == "text" else ""
            case "input_json_delta":
                self._add(block.partial_json, delta["partial_json"])
            case "thinking_delta":
                self._add(block.thinking, delta["thinking"])
            case "signature_delta":
                block.signature = (block.signature or "") + _word(delta["signature"])
            case "citations_delta":
                block.citations.append(storable(delta["citation"]))
        return ""

    def _add(self, pieces: list[str], piece: object) -> str:
        word = _word(piece)
        self._size += len(word)
        if self._size > LARGEST_ANSWER:
            raise Broken("an answer without end")
        if word:
            pieces.append(word)
        return word

    def _end(self) -> None:
        if self._open:
            raise Broken("the message ended inside a block")
        if self.stop_reason is None:
            raise Broken("the message ended without a reason")
        self.complete = True

    def blocks(self) -> list[dict[str, Any]]:
        """The whole answer's blocks as the API sent them, without empty texts, which it would refuse to read back."""
        finished = [self._blocks[index].finished() for index in sorted(self._blocks)]
        calls = [block["id"] for block in finished if block["type"] == "tool_use"]
        if len(set(calls)) != len(calls):
            raise Broken("two tool calls with one id")
        return [block for block in finished if block["type"] != "text" or block["text"]]

    def words(self) -> list[dict[str, Any]]:
        """What was said so far, as text blocks fit for a transcript; nothing half-written, no tool call."""
        said = ("".join(self._blocks[index].text) for index in sorted(self._blocks))
        return [{"type": "text", "text": text} for text in said if text]


def storable(value: Any) -> Any:
    """``value`` with each NUL and lone surrogate replaced by U+FFFD: no database and no UTF-8 frame can hold them."""
    if isinstance(value, str):
        return _word(value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {_word(key): storable(item) for key, item in value.items()}
    return value


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text expected")
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _count(stated: object, known: int) -> int:
    if stated is None:
        return known
    if isinstance(stated, bool) or not isinstance(stated, int) or stated < 0:
        raise ValueError("a count of tokens expected")
    return stated


def _object(data: str, name: str | None) -> dict[str, Any]:
    """The event's JSON object. An ``error`` event without one is an error all the same."""
    try:
        event = _json(data)
    except (ValueError, RecursionError) as error:
        raise Broken(f"{name!r} event without JSON") from error
    if not isinstance(event, dict):
        raise Broken(f"{name!r} event without an object")
    return event


def _tool_input(block: dict[str, Any], written: str) -> dict[str, Any]:
    try:
        given = _json(written) if written else block.get("input", {})
        named = bool(_word(block["id"]) and _word(block["name"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Broken("a tool call that cannot be read") from error
    if not named or not isinstance(given, dict):
        raise Broken("a tool call without a name, or with an input that is no object")
    cleaned: dict[str, Any] = storable(given)
    return cleaned


def _json(text: str) -> Any:
    """JSON as the standard has it: Python's reader would also take NaN and turn 1e999 into infinity."""
    return _READER.decode(text)


def _refuse(word: str) -> None:
    raise ValueError(word)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_READER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
