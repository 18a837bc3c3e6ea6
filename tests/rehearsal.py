"""The rehearsal as tests play it: queued answers, gates before each delta, faults, and the requests received."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from aiohttp import web

from tests.waiting import Event
from voyagent.actors.agent.rehearsed import server, turns
from voyagent.actors.agent.rehearsed.server import Call, cut, opened, request_id, script
from voyagent.actors.agent.rehearsed.talk import Talk
from voyagent.actors.agent.rehearsed.turns import Content, pieces
from voyagent.actors.agent.rehearsed.wire import error_body, frame, frames
from voyagent.actors.foundation.clock import Clock

REMEMBERED = 500
"""Requests kept for tests to read."""


@dataclass(frozen=True)
class Text(turns.Text):
    """Text; ``deltas`` sets where it is split, else `pieces` does."""

    deltas: tuple[str, ...] = ()

    @classmethod
    def split(cls, *deltas: str) -> Text:
        """Text that is sent in exactly these deltas."""
        return cls("".join(deltas), deltas)

    def block_deltas(self) -> Sequence[Mapping[str, Any]]:
        return [{"type": "text_delta", "text": word} for word in self.deltas or pieces(self.text)]


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block with the signature that proves it is the model's own."""

    thinking: str
    signature: str = "c2lnbmVkIGJ5IHRoZSByZWhlYXJzYWw="

    def block_start(self) -> Mapping[str, Any]:
        return {"type": "thinking", "thinking": "", "signature": ""}

    def block_deltas(self) -> Sequence[Mapping[str, Any]]:
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(self.thinking)]
        return [*thoughts, {"type": "signature_delta", "signature": self.signature}]


@dataclass(frozen=True)
class ToolUse(turns.ToolUse):
    """A tool call. ``cut_at`` truncates its JSON to so many characters, as the token limit of an answer does."""

    cut_at: int | None = None

    def written(self) -> str:
        return turns.ToolUse.written(self)[: self.cut_at]


@dataclass(frozen=True, slots=True)
class Block:
    """Any other content block, sent as it is, followed by the given deltas."""

    start: dict[str, Any]
    deltas: tuple[dict[str, Any], ...] = ()

    def block_start(self) -> Mapping[str, Any]:
        return self.start

    def block_deltas(self) -> Sequence[Mapping[str, Any]]:
        return self.deltas


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


@dataclass(frozen=True, init=False)
class Turn(turns.Turn):
    """One streamed answer. ``usage`` overrides figures of the usage; ``delay`` the server's own (seconds per delta)."""

    stop_reason: str | None
    gate: Gate | None
    fault: Break | None
    delay: float | None
    usage: dict[str, int]

    def __init__(
        self,
        *blocks: str | Content,
        stop_reason: str | None = None,
        gate: Gate | None = None,
        fault: Break | None = None,
        delay: float | None = None,
        usage: dict[str, int] | None = None,
    ) -> None:
        turns.Turn.__init__(self, *blocks)
        put = object.__setattr__
        put(self, "stop_reason", stop_reason)
        put(self, "gate", gate)
        put(self, "fault", fault)
        put(self, "delay", delay)
        put(self, "usage", usage or {})

    @property
    def ends_with(self) -> str:
        """The stop reason as set, else the one the blocks imply."""
        return turns.Turn.ends_with.fget(self) if self.stop_reason is None else self.stop_reason


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


@dataclass(slots=True, eq=False)
class Received:
    """One request as received. ``left`` is set once the client disconnected before the reply's end."""

    number: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    talk: Talk
    reply: Reply = field(default_factory=Turn)
    left: asyncio.Event = field(default_factory=Event)
    finished: asyncio.Event = field(default_factory=Event)

    @property
    def tools(self) -> frozenset[str]:
        """The names of the tools on offer."""
        return self.talk.tools

    @property
    def system(self) -> str:
        """The system prompt as text."""
        return self.talk.system

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation as sent."""
        return list(self.body["messages"])

    def user_texts(self) -> list[str]:
        """The user's texts, newest first."""
        texts: list[str] = []
        for message in self.messages:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            texts += [block["text"] for block in blocks if message["role"] == "user" and block["type"] == "text"]
        return texts[::-1]


Line = Reply | Callable[[Received], Reply]
"""What may be queued: a reply, or a function of the request that returns one."""


class Rehearsal(server.Rehearsal):
    """The server, playing what is queued; with nothing queued for a request its script answers."""

    def __init__(self, *, delay: float = 0.01, clock: Clock | None = None) -> None:
        super().__init__(delay=delay, clock=clock)
        self._queue: deque[Line] = deque()
        self._marked: dict[str, deque[Line]] = {}
        self._arrived = asyncio.Condition()
        self.requests: deque[Received] = deque(maxlen=REMEMBERED)

    def play(self, *lines: Line, when: str | None = None) -> None:
        """Queue replies for the next requests; with ``when`` for those in which a user's text contains this marker.

        The marker nearest to the conversation's end decides. With nothing queued for a request a script answers it.
        """
        queue = self._queue if when is None else self._marked.setdefault(when, deque())
        queue.extend(lines)

    def reset(self) -> None:
        """Clear the queued replies and the received requests."""
        self._queue.clear()
        self._marked.clear()
        self._prefixes.clear()
        self.requests.clear()
        self.count = 0

    async def received(self, number: int, within: float = 10.0) -> Received:
        """The request with this number (from 1), once it is received. Else TimeoutError."""
        async with asyncio.timeout(within), self._arrived:
            await self._arrived.wait_for(lambda: self.count >= number)
        return next(received for received in self.requests if received.number == number)

    async def answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        received = await self._note(call)
        try:
            return await self._perform(request, received)
        except (asyncio.CancelledError, ConnectionError):
            received.left.set()
            raise
        finally:
            received.finished.set()

    async def _note(self, call: Call) -> Received:
        async with self._arrived:
            received = Received(call.number, call.body, call.headers, call.talk)
            received.reply = self._next(received)
            self.requests.append(received)
            self._arrived.notify_all()
        return received

    def _next(self, received: Received) -> Reply:
        queue = self._queued(received)
        line = queue.popleft() if queue else scripted(received)
        return line(received) if callable(line) else line

    def _queued(self, received: Received) -> deque[Line]:
        for text in received.user_texts() if self._marked else ():
            for marker, queue in self._marked.items():
                if queue and marker in text:
                    return queue
        return self._queue

    async def _perform(self, request: web.Request, received: Received) -> web.StreamResponse:
        match received.reply:
            case Failure() as failure:
                kind = failure.error or ERROR_TYPES.get(failure.status, "api_error")
                headers = {**failure.headers, **({"retry-after": failure.retry_after} if failure.retry_after else {})}
                return web.json_response(
                    error_body(kind, failure.message), status=failure.status, headers={**headers, **request_id()}
                )
            case Raw() as raw:
                return web.Response(body=raw.body, headers={"content-type": raw.content_type, **request_id()})
            case Hang() as hang:
                return await _hang(request, hang)
            case Turn() as turn:
                response = await opened(request)
                await self._stream(request, response, turn, received)
                return response
            case _ as never:
                assert_never(never)

    async def _stream(self, request: web.Request, response: web.StreamResponse, turn: Turn, received: Received) -> None:
        delay = self.delay if turn.delay is None else turn.delay
        usage = {**self.usage_of(received.body), **turn.usage}
        for place, (data, is_delta) in enumerate(frames(turn, received.body["model"], usage)):
            if turn.fault is not None and place == turn.fault.after:
                await _break(request, response, turn.fault)
                return
            if is_delta and turn.gate is not None:
                await turn.gate.arrive()
            elif is_delta and delay:
                await self.clock.sleep(delay)
            await response.write(data)


def scripted(received: Received) -> Turn:
    """The built-in script's answer."""
    return Turn(*script(received.talk).blocks)


async def _break(request: web.Request, response: web.StreamResponse, fault: Break) -> None:
    match fault.how:
        case "cut":
            _cut(request)
        case "error":
            await response.write(frame(error_body(fault.error, "The rehearsal broke this stream.")))
        case "garbage":
            await response.write(fault.garbage)


async def _hang(request: web.Request, hang: Hang) -> web.StreamResponse:
    """Wait until the client leaves, which cancels this."""
    if hang.cut:
        _cut(request)
    await asyncio.Event().wait()
    return web.Response()


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        cut(request.transport)
