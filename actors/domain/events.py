"""The events of a conversation and their encoding as server-sent events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from .audit import wire_time

Kind = Literal[
    "text_delta",
    "tool_use",
    "tool_result",
    "approval_request",
    "approval_granted",
    "approval_denied",
    "error",
    "final",
]

KEYS: Final = (
    "kind",
    "session_id",
    "turn_id",
    "timestamp",
    "text",
    "tool_name",
    "tool_input",
    "tool_output",
    "tool_call_id",
    "approval_id",
    "approval_summary",
    "error_message",
)
"""The keys of every event, in the order they are sent."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a turn. The session numbers it when it is stored."""

    kind: Kind
    turn_id: str
    text: str | None = None
    tool_name: str | None = None
    tool_input: dict[str, Any] | None = None
    tool_output: dict[str, Any] | None = None
    tool_call_id: str | None = None
    approval_id: str | None = None
    approval_summary: str | None = None
    error_message: str | None = None

    def data(self, session_id: str, at: datetime) -> str:
        """The twelve keys in their order, compact, on one line."""
        return _ENCODER.encode(
            {
                "kind": self.kind,
                "session_id": session_id,
                "turn_id": self.turn_id,
                "timestamp": wire_time(at),
                "text": self.text,
                "tool_name": self.tool_name,
                "tool_input": self.tool_input,
                "tool_output": self.tool_output,
                "tool_call_id": self.tool_call_id,
                "approval_id": self.approval_id,
                "approval_summary": self.approval_summary,
                "error_message": self.error_message,
            }
        )


def words(turn_id: str, text: str, session_id: str, at: datetime) -> str:
    """The data line of a ``text_delta``, formatted by hand because it is by far the most frequent event."""
    return (
        f'{{"kind":"text_delta","session_id":{_quoted(session_id)},"turn_id":{_quoted(turn_id)},'
        f'"timestamp":"{wire_time(at)}","text":{_quoted(text)},{_NO_MORE}'
    )


_quoted = json.encoder.encode_basestring
_NO_MORE = _ENCODER.encode(dict.fromkeys(KEYS[KEYS.index("text") + 1 :]))[1:]


_LINE_BREAKS = tuple((sign, f"\\u{ord(sign):04x}") for sign in "\x85\u2028\u2029")
"""Line ends to Unicode, though not to the SSE standard; escaped, as some readers confuse them."""


def frame(data: str, seq: int | None = None) -> bytes:
    """A server-sent event of type ``agent_event``; without ``seq`` it has no ``id`` line, so no cursor moves."""
    place = "" if seq is None else f"id: {seq}\n"
    if not data.isascii():
        for sign, escaped in _LINE_BREAKS:
            data = data.replace(sign, escaped)
    return f"{place}event: agent_event\ndata: {data}\n\n".encode()


def transient_frame(kind: Kind, session_id: str, at: datetime, turn_id: str, error_message: str | None = None) -> bytes:
    """A frame outside the log: an ``error`` to one viewer, or the ``final`` after it."""
    return frame(Event(kind=kind, turn_id=turn_id, error_message=error_message).data(session_id, at))


HEARTBEAT = b"event: heartbeat\ndata:\n\n"
"""Keeps proxies from closing an idle stream."""


def retry(milliseconds: int) -> bytes:
    """Sets the reconnection delay of an ``EventSource``."""
    return f"retry: {milliseconds}\n\n".encode()
