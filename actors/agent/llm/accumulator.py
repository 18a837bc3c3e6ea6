"""Accumulates one answer of the model from the events of its stream.

The events are the Messages API's (docs.anthropic.com, "Streaming messages"). They are external input, so each one is
validated: a malformed event breaks the stream, an unknown one is ignored, as the API asks of its clients.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from ...domain import blocks, ids

LARGEST_ANSWER = 4 * 1024 * 1024
"""Characters of one answer; 16,384 tokens of output, the most a request may ask for, are a fiftieth of it."""


MOST_TOKENS = 1_000_000_000
"""A token count above it is invalid: no model reads as much."""


class MalformedStream(Exception):
    """The stream ended early or is malformed. ``error_type`` is the API's error type, if there is one."""

    def __init__(self, why: str, error_type: str | None = None) -> None:
        super().__init__(why)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by the four kinds that are priced separately."""

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
        """The tokens that a budget counts: all four kinds."""
        return self.input + self.output + self.cache_read + self.cache_write


EVENTS = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    }
)
"""Events that are read. Others, of a proxy or a later API, are ignored whatever they contain."""


@dataclass(slots=True)
class _Block:
    """A content block as the API opened it, and its deltas."""

    start: dict[str, Any]
    text: list[str] = field(default_factory=list)
    partial_json: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    citations: list[Any] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)
    half: str = ""
    """A high surrogate whose low surrogate comes with the next delta."""

    def finished(self) -> tuple[dict[str, Any], str | None]:
        """The block as a later request may send it back, and the flaw of a call's input."""
        start, kind = self.start, self.start["type"]
        match kind:
            case "text":
                text: dict[str, Any] = {"type": kind, "text": "".join(self.text)}
                return (text | {"citations": self.citations} if self.citations else text), None
            case "thinking":
                thought = _word(_text(start.get("thinking")) + "".join(self.thinking))
                signature = _word(_text(start.get("signature")) + "".join(self.signature))
                return {"type": kind, "thinking": thought, "signature": signature}, None
            case "tool_use":
                given, flaw = _tool_input(start, "".join(self.partial_json))
                name, call = blocks.tool_name(start.get("name")), start.get("id")
                own = call if blocks.sound_id(call) else f"call_{ids.uuid7()}"
                return {"type": kind, "id": own, "name": name, "input": given}, flaw
        return ({"type": kind} if blocks.too_deep(start) else storable(start)), None

    @property
    def worth_keeping(self) -> bool:
        """Neither an empty text nor a thinking block that the API would not accept back."""
        match self.start["type"]:
            case "text":
                return bool(self.text)
            case "thinking":
                return bool(self.signature or self.start.get("signature"))
        return True


class Accumulator:
    """Takes the stream's events in order; returns text at once and the whole answer at the end."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        """The usage reported so far; None before the message began."""

        self.stop_reason: str | None = None
        self.complete = False
        """Whether the stream has ended the message."""

        self._blocks: dict[int, _Block] = {}
        self._open: set[int] = set()
        self._size = 0
        self._kept: list[tuple[dict[str, Any], str | None]] | None = None

    def take(self, name: str | None, data: str) -> str:
        """The text of this event, unchanged; empty for most events. Raises `MalformedStream`."""
        if self.complete or not data or (name is not None and name not in EVENTS):
            return ""
        event = _object(data, name)
        try:
            return self._take(event)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise MalformedStream(f"malformed {event.get('type')!r} event") from error

    def _take(self, event: dict[str, Any]) -> str:
        match event["type"]:
            case "message_start":
                self._begin(event.get("message"))
            case "content_block_start":
                return self._open_block(event["index"], event["content_block"])
            case "content_block_delta":
                return self._grow(event["index"], event["delta"])
            case "content_block_stop":
                return self._close_block(event["index"])
            case "message_delta":
                self._note_usage(event.get("usage"))
                self._note_reason(event.get("delta"))
            case "message_stop":
                self._end()
            case "error":
                error = event["error"]
                raise MalformedStream(f"error event {error.get('type')!r}", str(error.get("type")))
        return ""

    def _begin(self, message: object) -> None:
        if self.usage is not None:
            raise MalformedStream("a second message in one stream")
        self.usage = Usage()
        self._note_usage(message.get("usage") if isinstance(message, dict) else None)

    def _note_usage(self, stated: object) -> None:
        """Counts are totals, not increments; an absent or invalid one leaves the earlier one unchanged."""
        known, given = self._begun(), stated if isinstance(stated, dict) else {}
        self.usage = Usage(
            input=_count(given.get("input_tokens"), known.input),
            output=_count(given.get("output_tokens"), known.output),
            cache_read=_count(given.get("cache_read_input_tokens"), known.cache_read),
            cache_write=_count(given.get("cache_creation_input_tokens"), known.cache_write),
        )

    def _note_reason(self, delta: object) -> None:
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        if isinstance(reason, str) and reason:
            self.stop_reason = reason

    def _begun(self) -> Usage:
        if self.usage is None:
            raise MalformedStream("an event before the message began")
        return self.usage

    def _open_block(self, index: int, start: dict[str, Any]) -> str:
        self._begun()
        if type(index) is not int:
            raise MalformedStream("a block's index is no integer")
        if index in self._blocks:
            raise MalformedStream("a block opened twice")
        block = _Block({**start, "type": _word(start["type"])})
        self._blocks[index] = block
        self._open.add(index)
        return self._append_text(block, _text(start.get("text"))) if start["type"] == "text" else ""

    def _close_block(self, index: int) -> str:
        """End a block; a lone surrogate becomes a replacement character."""
        self._open.remove(index)
        block = self._blocks[index]
        alone, block.half = block.half, ""
        return self._add(block.text, _word(alone))

    def _grow(self, index: int, delta: dict[str, Any]) -> str:
        if index not in self._open:
            raise MalformedStream("a delta outside any block")
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                return self._append_text(block, _given(delta["text"])) if block.start["type"] == "text" else ""
            case "input_json_delta":
                self._add(block.partial_json, _given(delta["partial_json"]))
            case "thinking_delta":
                self._add(block.thinking, _given(delta["thinking"]))
            case "signature_delta":
                self._add(block.signature, _given(delta["signature"]))
            case "citations_delta" if not blocks.too_deep(delta["citation"]):
                block.citations.append(storable(delta["citation"]))
        return ""

    def _append_text(self, block: _Block, piece: str) -> str:
        """Text to publish at once, except a trailing high surrogate, which waits for its low surrogate."""
        said = block.half + piece
        whole = said[:-1] if said and "\ud800" <= said[-1] <= "\udbff" else said
        block.half = said[len(whole) :]
        return self._add(block.text, _word(whole))

    def _add(self, pieces: list[str], piece: str) -> str:
        self._size += len(piece)
        if self._size > LARGEST_ANSWER:
            raise MalformedStream("an answer without end")
        if piece:
            pieces.append(piece)
        return piece

    def _end(self) -> None:
        self._begun()
        if self._open:
            raise MalformedStream("the message ended inside a block")
        self.complete = True

    @property
    def ended_by(self) -> str:
        """Why the model stopped; if it is not stated, the reason the answer's content implies."""
        calls = any(block.start["type"] == "tool_use" for block in self._blocks.values())
        return self.stop_reason or ("tool_use" if calls else "end_turn")

    def blocks(self) -> list[dict[str, Any]]:
        """The blocks of the whole answer, fit to be stored and to be sent again."""
        return [block for block, _ in self._finished()]

    def flaws(self) -> dict[int, str]:
        """Flaws of the calls' inputs, by the index of the call's block."""
        return {place: flaw for place, (_, flaw) in enumerate(self._finished()) if flaw is not None}

    def _finished(self) -> list[tuple[dict[str, Any], str | None]]:
        if self._kept is None:
            known = (self._blocks[index] for index in sorted(self._blocks))
            self._kept = [block.finished() for block in known if block.worth_keeping]
        return self._kept

    def words(self) -> list[dict[str, Any]]:
        """The text so far, as text blocks fit for a transcript; nothing incomplete, no tool call."""
        said = ("".join(self._blocks[index].text) for index in sorted(self._blocks))
        return [{"type": "text", "text": text} for text in said if text]


EXPONENT_FROM = 1e16
"""Floats from here on are written with an exponent, which Postgres writes out: it gives an integer back."""


def storable(value: Any) -> Any:
    """``value`` as the database gives it back, so that what was approved has the same hash when it runs.

    Each NUL and lone surrogate is U+FFFD, as neither the database nor UTF-8 can hold them.
    """
    if isinstance(value, str):
        return _word(value)
    if isinstance(value, float):
        return int(value) if value == 0 or abs(value) >= EXPONENT_FROM else value
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {_word(key): storable(item) for key, item in value.items()}
    return value


def _word(said: object) -> str:
    value = _given(said)
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _given(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("text expected")
    return text


def _text(given: object) -> str:
    """The text as received; an absent one is empty."""
    return "" if given is None else _given(given)


def _count(stated: object, known: int) -> int:
    if isinstance(stated, bool) or not isinstance(stated, int) or not 0 <= stated <= MOST_TOKENS:
        return known
    return stated


def _object(data: str, name: str | None) -> dict[str, Any]:
    """The event's JSON object. An ``error`` event without one is still an error."""
    try:
        event = _json(data)
    except (ValueError, RecursionError) as error:
        raise MalformedStream(f"{name!r} event without JSON") from error
    if not isinstance(event, dict):
        raise MalformedStream(f"{name!r} event without an object")
    return event


def _tool_input(start: dict[str, Any], written: str) -> tuple[dict[str, Any], str | None]:
    """A call's input, and its flaw: then the input is empty, and the flaw is reported to the model."""
    try:
        given = _json(_word(written)) if written.strip() else start.get("input") or {}
    except (ValueError, RecursionError):
        return {}, "it is no JSON"
    if not isinstance(given, dict):
        return {}, "it is no object"
    if blocks.too_deep(given):
        return {}, f"it is nested deeper than {blocks.DEEPEST} levels"
    cleaned: dict[str, Any] = storable(given)
    return cleaned, None


def _json(text: str) -> Any:
    """Parse strict JSON: Python's parser would also accept NaN and turn 1e999 into infinity."""
    return _READER.decode(text)


def _refuse(word: str) -> None:
    raise ValueError(word)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_READER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
