"""A small server on loopback that speaks the Messages API's streaming protocol and plays sensible scripts.

It replaces the model where there is no API key. Its first words state that it is a rehearsal. Tests and benches answer
otherwise: they override `Rehearsal.answer`.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from typing import Any

from aiohttp import web

from ...foundation.clock import Clock
from . import accounting, hotels, orchestrator, ticketing
from .talk import Talk
from .turns import Turn
from .wire import InvalidRequest, check, error_body, frames

KEY = "rehearsal"
"""An API key for this server; any that is not empty is accepted."""

LARGEST_REQUEST = 32 * 1024 * 1024
"""Bytes, as at the real service."""

KNOWN_PREFIXES = 10_000
"""Prompt prefixes that count as cached."""


@dataclass(frozen=True, slots=True)
class Call:
    """A valid request; its ``number`` counts from 1."""

    number: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    talk: Talk

    @property
    def model(self) -> str:
        """The model that is asked."""
        return str(self.body["model"])


class Rehearsal:
    """The server. ``delay`` is the pause before each delta in seconds."""

    def __init__(self, *, delay: float = 0.01, clock: Clock | None = None) -> None:
        self.delay = delay
        self.clock = clock or Clock()
        self._prefixes: dict[bytes, None] = {}
        self._lines: set[asyncio.BaseTransport] = set()
        self._runner: web.AppRunner | None = None
        self.url = ""
        """The base URL once started."""

        self.count = 0
        """Valid requests received."""

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
            cut(line)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Answer one call by the script of the desk asked."""
        response = await opened(request)
        for data, is_delta in frames(script(call.talk), call.model, self.usage_of(call.body)):
            if is_delta and self.delay:
                await self.clock.sleep(self.delay)
            await response.write(data)
        return response

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        if not _has_key(request.headers):
            return _refused(HTTPStatus.UNAUTHORIZED, "an Authorization or x-api-key header is required")
        if "anthropic-version" not in request.headers:
            return _refused(HTTPStatus.BAD_REQUEST, "anthropic-version: header is required")
        try:
            body = await request.json()
            check(body)
        except ValueError:
            return _refused(HTTPStatus.BAD_REQUEST, "The request body is not valid JSON")
        except InvalidRequest as error:
            return _refused(HTTPStatus.BAD_REQUEST, str(error))
        line = request.transport
        if line is None:
            raise web.HTTPBadRequest(reason="the client has gone")
        self.count += 1
        self._lines.add(line)
        try:
            return await self.answer(
                request, Call(self.count, body, request.headers, Talk(body, self.clock.now().date()))
            )
        finally:
            self._lines.discard(line)

    def usage_of(self, body: Mapping[str, Any]) -> dict[str, int]:
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


_DESKS: tuple[tuple[str, frozenset[str], Callable[[Talk], Turn]], ...] = (
    ("hotels_holidays", frozenset({"search_hotels", "book_hotel"}), hotels.reply),
    ("ticketing_visa", frozenset({"search_flights", "book_flight", "upsert_passenger"}), ticketing.reply),
    ("accounting", frozenset({"list_ledger_accounts", "draft_invoice", "list_invoices"}), accounting.reply),
)
"""Desks by name and the tools that identify them; both travel desks store passengers."""


def script(talk: Talk) -> Turn:
    """The built-in script of the desk asked, found by the tools on offer, else by its name in the prompt."""
    if "handoff" in talk.tools:
        return orchestrator.reply(talk)
    known = (reply for _, tools, reply in _DESKS if talk.tools & tools)
    named = (reply for name, _, reply in _DESKS if name in talk.system)
    return next(chain(known, named), orchestrator.reply)(talk)


def _tokens(fresh: int, read: int, written: int) -> dict[str, int]:
    return {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}


async def opened(request: web.Request) -> web.StreamResponse:
    """The head of a stream, sent."""
    response = web.StreamResponse(
        headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **request_id()}
    )
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


def cut(line: asyncio.BaseTransport) -> None:
    """Abort a connection; what was written has been sent already."""
    if isinstance(line, asyncio.WriteTransport):
        line.abort()


def _refused(status: HTTPStatus, message: str) -> web.Response:
    kind = "authentication_error" if status == HTTPStatus.UNAUTHORIZED else "invalid_request_error"
    return web.json_response(error_body(kind, message), status=status, headers=request_id())


def _has_key(headers: Mapping[str, str]) -> bool:
    """Whether there is an API key, as a bearer token or in the header of its own; the service reads both."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return bool(headers.get("x-api-key", "").strip() or (scheme.lower() == "bearer" and token.strip()))


def request_id() -> dict[str, str]:
    """The header that names a response at the vendor."""
    return {"request-id": f"req_{secrets.token_hex(12)}"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
