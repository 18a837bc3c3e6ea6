"""Replies of the rehearsal server, as plain data: one per request, complete, interrupted or refused."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any, Literal

PIECE = 7
"""Longest delta in characters: a token's size, so that streams look like a model's."""

_TOKENS = re.compile(rf"\s*\S{{1,{PIECE}}}|\s+")


def pieces(text: str) -> list[str]:
    """``text`` as a model would stream it: small deltas, spaces in front; joined they are the text."""
    return _TOKENS.findall(text)


@dataclass(frozen=True, slots=True)
class Text:
    """Text; ``deltas`` sets where it is split, else `pieces` does."""

    text: str
    deltas: tuple[str, ...] = ()

    @classmethod
    def split(cls, *deltas: str) -> Text:
        """Text that is sent in exactly these deltas."""
        return cls("".join(deltas), deltas)


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block with the signature that proves it is the model's own."""

    thinking: str
    signature: str = "c2lnbmVkIGJ5IHRoZSByZWhlYXJzYWw="


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call. ``written`` truncates its JSON to so many characters, as the token limit of an answer does."""

    name: str
    input: dict[str, Any]
    id: str | None = None
    written: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Any other content block, sent as it is, followed by the given deltas."""

    start: dict[str, Any]
    deltas: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Break:
    """A fault once ``after`` events were sent.

    The connection aborts, the response ends early, an ``error`` event of type ``error`` comes, or ``garbage``.
    """

    after: int
    how: Literal["cut", "end", "error", "garbage"] = "cut"
    error: str = "overloaded_error"
    garbage: bytes = b""


class Gate:
    """Holds a stream before each of its deltas until a test releases it. The first delta is number 1."""

    def __init__(self) -> None:
        self._allowed = 0
        self._arrived = 0
        self._open = False
        self._changed = asyncio.Condition()

    async def release(self, count: int = 1) -> None:
        """Release the next ``count`` deltas, now or when they come."""
        async with self._changed:
            self._allowed += count
            self._changed.notify_all()

    async def open(self) -> None:
        """Release all deltas from now on."""
        async with self._changed:
            self._open = True
            self._changed.notify_all()

    async def waiting(self, delta: int = 1, within: float = 10.0) -> None:
        """Return when the stream is held before this delta: all earlier ones have been sent. Else TimeoutError."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: self._arrived >= delta)

    async def arrive(self) -> None:
        """Called by the server before each delta."""
        async with self._changed:
            self._arrived += 1
            mine = self._arrived
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._open or self._allowed >= mine)


@dataclass(frozen=True, slots=True, init=False)
class Turn:
    """One streamed reply. ``usage`` overrides figures of the usage; ``delay`` the server's own (seconds per delta)."""

    blocks: tuple[Text | Thinking | ToolUse | Block, ...]
    stop_reason: str | None
    gate: Gate | None
    fault: Break | None
    delay: float | None
    usage: dict[str, int]

    def __init__(
        self,
        *blocks: str | Text | Thinking | ToolUse | Block,
        stop_reason: str | None = None,
        gate: Gate | None = None,
        fault: Break | None = None,
        delay: float | None = None,
        usage: dict[str, int] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "blocks", tuple(Text(block) if isinstance(block, str) else block for block in blocks))
        put(self, "stop_reason", stop_reason)
        put(self, "gate", gate)
        put(self, "fault", fault)
        put(self, "delay", delay)
        put(self, "usage", usage or {})

    @property
    def ends_with(self) -> str:
        """The stop reason as set, else the one the blocks imply."""
        if self.stop_reason is not None:
            return self.stop_reason
        return "tool_use" if any(isinstance(block, ToolUse) for block in self.blocks) else "end_turn"


@dataclass(frozen=True, slots=True)
class Failure:
    """A response without a stream: a status, the API's error type for it, and ``Retry-After`` as given."""

    status: int
    retry_after: str | None = None
    error: str | None = None
    message: str = "The rehearsal was told to fail."
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """Status 200 and any bytes at all."""

    body: bytes
    content_type: str = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Hang:
    """No response: once the request is read the connection is aborted, or idle until the client disconnects."""

    cut: bool = True


Reply = Turn | Failure | Raw | Hang

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The API's error type for each of its statuses."""


def error_body(kind: str, message: str) -> dict[str, Any]:
    """The API's body of an error, in a response or an event."""
    return {"type": "error", "error": {"type": kind, "message": message}}
