"""A small server on loopback that speaks the Messages API's streaming protocol and plays sensible scripts.

It replaces the model where there is no API key: embedded mode, tests and benches point the real SDK at it. Its first
words state that it is a rehearsal. Tests queue replies and read the requests received.

    python -m voyagent.actors.agent.rehearsed.server --port 8099 --deltas 200 --rate 20
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import ipaddress
import json
import secrets
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, assert_never

from aiohttp import web

from ...foundation.clock import Clock
from . import accounting, hotels, orchestrator, ticketing
from .pace import Pace
from .talk import Talk
from .turns import ERROR_TYPES, Block, Break, Failure, Gate, Hang, Raw, Reply, Text, Thinking, ToolUse, Turn, error_body
from .wire import InvalidRequest, check, frame, frames

__all__ = [
    "KEY",
    "Block",
    "Break",
    "Failure",
    "Gate",
    "Hang",
    "Pace",
    "Raw",
    "Received",
    "Rehearsal",
    "Reply",
    "Text",
    "Thinking",
    "ToolUse",
    "Turn",
]

KEY = "rehearsal"
"""An API key for this server; any that is not empty is accepted."""

LARGEST_REQUEST = 32 * 1024 * 1024
"""Bytes, as at the real service."""

REMEMBERED = 500
"""Requests kept for tests to read."""

KNOWN_PREFIXES = 10_000
"""Prompt prefixes that count as cached."""


@dataclass(slots=True, eq=False)
class Received:
    """One request as received. ``left`` is set once the client disconnected before the reply's end."""

    number: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    talk: Talk
    reply: Reply | Pace = field(default_factory=Turn)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

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


class Rehearsal:
    """The server. ``delay`` is the pause before each delta in seconds; with ``pace`` every reply is a paced one."""

    def __init__(self, *, delay: float = 0.01, pace: Pace | None = None, clock: Clock | None = None) -> None:
        self._delay = delay
        self._pace = pace
        self._clock = clock or Clock()
        self._queue: deque[Line] = deque()
        self._marked: dict[str, deque[Line]] = {}
        self._prefixes: dict[bytes, None] = {}
        self._lines: set[asyncio.BaseTransport] = set()
        self._runner: web.AppRunner | None = None
        self._arrived = asyncio.Condition()
        self.url = ""
        """The base URL once started."""

        self.count = 0
        """Requests received since the start or the last `reset`."""

        self.requests: deque[Received] = deque(maxlen=REMEMBERED)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen and return the base URL; any free port if ``port`` is 0."""
        if not _is_loopback(host):
            raise ValueError("a rehearsal listens on loopback only")
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_post("/v1/messages", self._messages)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        address = self._runner.addresses[0]
        self.url = f"http://{_bracketed(address[0])}:{address[1]}"
        return self.url

    async def stop(self) -> None:
        """Abort the replies under way and stop listening."""
        for line in list(self._lines):
            _cut(line)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

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

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        if not _has_key(request.headers):
            return _refused(401, "an Authorization or x-api-key header is required")
        if "anthropic-version" not in request.headers:
            return _refused(400, "anthropic-version: header is required")
        try:
            body = await request.json()
            check(body)
        except ValueError:
            return _refused(400, "The request body is not valid JSON")
        except InvalidRequest as error:
            return _refused(400, str(error))
        received = await self._note(body, request.headers)
        line = request.transport
        if line is None:
            raise web.HTTPBadRequest(reason="the client has gone")
        self._lines.add(line)
        try:
            return await self._perform(request, line, received)
        except (asyncio.CancelledError, ConnectionError):
            received.left.set()
            raise
        finally:
            self._lines.discard(line)
            received.finished.set()

    async def _note(self, body: dict[str, Any], headers: Mapping[str, str]) -> Received:
        async with self._arrived:
            self.count += 1
            received = Received(self.count, body, headers, Talk(body, self._clock.now().date()))
            received.reply = self._pace or self._next(received)
            self.requests.append(received)
            self._arrived.notify_all()
        return received

    def _next(self, received: Received) -> Reply:
        queue = self._queued(received)
        line = queue.popleft() if queue else script(received.talk)
        return line(received) if callable(line) else line

    def _queued(self, received: Received) -> deque[Line]:
        for text in received.user_texts() if self._marked else ():
            for marker, queue in self._marked.items():
                if queue and marker in text:
                    return queue
        return self._queue

    async def _perform(
        self, request: web.Request, line: asyncio.BaseTransport, received: Received
    ) -> web.StreamResponse:
        match received.reply:
            case Failure() as failure:
                kind = failure.error or ERROR_TYPES.get(failure.status, "api_error")
                headers = {**failure.headers, **({"retry-after": failure.retry_after} if failure.retry_after else {})}
                return web.json_response(
                    error_body(kind, failure.message), status=failure.status, headers={**headers, **_request_id()}
                )
            case Raw() as raw:
                return web.Response(body=raw.body, headers={"content-type": raw.content_type, **_request_id()})
            case Hang() as hang:
                return await _hang(line, hang)
            case Pace() | Turn() as told:
                response = await _opened(request)
                await self._tell(line, response, told, received)
                return response
            case _ as never:
                assert_never(never)

    async def _tell(
        self, line: asyncio.BaseTransport, response: web.StreamResponse, turn: Turn | Pace, received: Received
    ) -> None:
        model, usage = received.body["model"], self._usage(received.body)
        if isinstance(turn, Pace):
            await turn.play(response.write, self._clock, received.number, model, usage)
            return
        delay = self._delay if turn.delay is None else turn.delay
        for place, (data, is_delta) in enumerate(frames(turn, model, usage)):
            if turn.fault is not None and place == turn.fault.after:
                await _break(line, response, turn.fault)
                return
            if is_delta and turn.gate is not None:
                await turn.gate.arrive()
            elif is_delta and delay:
                await self._clock.sleep(delay)
            await response.write(data)

    def _usage(self, body: Mapping[str, Any]) -> dict[str, int]:
        """Tokens as the service counts them, roughly: four bytes each, a marked prefix it knows is a cache read."""
        prefix = json.dumps([body.get("system"), body.get("tools")]).encode()
        whole = len(json.dumps(body["messages"])) // 4 + 1
        tokens = len(prefix) // 4
        if b'"cache_control"' not in prefix:
            return _tokens(whole + tokens, 0, 0)
        digest = hashlib.sha256(prefix).digest()
        if digest in self._prefixes:
            return _tokens(whole, tokens, 0)
        if len(self._prefixes) < KNOWN_PREFIXES:
            self._prefixes[digest] = None
        return _tokens(whole, 0, tokens)


_DESKS: tuple[tuple[str, frozenset[str], Callable[[Talk], Reply]], ...] = (
    ("hotels_holidays", frozenset({"search_hotels", "book_hotel"}), hotels.reply),
    ("ticketing_visa", frozenset({"search_flights", "book_flight", "upsert_passenger"}), ticketing.reply),
    ("accounting", frozenset({"list_ledger_accounts", "draft_invoice", "list_invoices"}), accounting.reply),
)
"""Desks by name and the tools that identify them; both travel desks store passengers."""


def script(talk: Talk) -> Reply:
    """The built-in script of the desk asked, found by the tools on offer, else by its name in the prompt."""
    if "handoff" in talk.tools:
        return orchestrator.reply(talk)
    known = (reply for _, tools, reply in _DESKS if talk.tools & tools)
    named = (reply for name, _, reply in _DESKS if name in talk.system)
    return next(chain(known, named), orchestrator.reply)(talk)


def _tokens(fresh: int, read: int, written: int) -> dict[str, int]:
    return {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}


async def _opened(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **_request_id()}
    )
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def _break(line: asyncio.BaseTransport, response: web.StreamResponse, fault: Break) -> None:
    match fault.how:
        case "cut":
            _cut(line)
        case "error":
            await response.write(frame(error_body(fault.error, "The rehearsal broke this stream.")))
        case "garbage":
            await response.write(fault.garbage)


async def _hang(line: asyncio.BaseTransport, hang: Hang) -> web.StreamResponse:
    """Wait until the client leaves, which cancels this."""
    if hang.cut:
        _cut(line)
    await asyncio.Event().wait()
    return web.Response()


def _cut(line: asyncio.BaseTransport) -> None:
    """Abort a connection; what was written has been sent already."""
    if isinstance(line, asyncio.WriteTransport):
        line.abort()


def _refused(status: int, message: str) -> web.Response:
    return web.json_response(error_body(ERROR_TYPES[status], message), status=status, headers=_request_id())


def _has_key(headers: Mapping[str, str]) -> bool:
    """Whether there is an API key, as a bearer token or in the header of its own; the service reads both."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return bool(headers.get("x-api-key", "").strip() or (scheme.lower() == "bearer" and token.strip()))


def _request_id() -> dict[str, str]:
    return {"request-id": f"req_{secrets.token_hex(12)}"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def serve(host: str, port: int, rehearsal: Rehearsal) -> None:
    """Run until SIGINT or SIGTERM; the first line on standard output is the base URL."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    url = await rehearsal.start(host, port)
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    await ended.wait()
    await rehearsal.stop()


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rehearsal", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--delay", type=float, default=0.01, help="seconds before each delta of a script")
    parser.add_argument("--deltas", type=int, help="paced mode: deltas per reply, each with its number and time")
    parser.add_argument("--rate", type=float, default=20.0, help="paced mode: deltas a second, 0 without pause")
    given = parser.parse_args(arguments)
    pace = None if given.deltas is None else Pace(given.deltas, given.rate)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.host, given.port, Rehearsal(delay=given.delay, pace=pace)))


if __name__ == "__main__":
    main()
