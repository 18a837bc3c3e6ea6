"""The router: aiohttp's, but for requests that no route serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.web_urldispatcher import MatchInfoError, UrlMappingMatchInfo

MAX_DEPTH: Final = 32
"""Slashes of a path that is looked up: no route has as many. The time of a look-up grows with their square, for 8 KiB
to 6 ms."""


class Router(web.UrlDispatcher):
    """Looks up no path that is too deep to be served, and leaves the refusal of every other to the middleware."""

    async def resolve(self, request: web.Request) -> UrlMappingMatchInfo:
        if request.rel_url.path_safe.count("/") > MAX_DEPTH:
            return Unserved(web.HTTPNotFound())
        found = await super().resolve(request)
        return Unserved(found.http_exception) if isinstance(found, MatchInfoError) else found


class Unserved(MatchInfoError):
    """A path without a route, or without one for the method: 404 or 405, whatever the client expects."""

    @property
    def expect_handler(self) -> Callable[[web.Request], Awaitable[None]]:
        return ask_for_body


async def ask_for_body(request: web.Request) -> None:
    """Send 100 to who waits for it. RFC 9110, 10.1.1: not to HTTP/1.0; other expectations may be passed over."""
    if request.version >= HttpVersion11 and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
