"""Answers that are none: cut lines, pages of proxies, and bodies without an end."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.actors.suppliers.duffel.inventory import Refused

HANG = 600.0
"""Seconds, longer than anybody waits."""


class Broken(Exception):
    """An answer that is none."""


class Cut(Broken):
    """The line goes dead."""


class Html(Broken):
    """A page of a proxy."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class Half(Broken):
    """JSON that ends in the middle."""


class Stopping(Broken):
    """A body that stops."""


class Endless(Broken):
    """A body without an end."""


async def broken(request: web.Request, clock: Any, failure: Exception) -> web.StreamResponse:
    """The answer for a failure that a handler has raised."""
    match failure:
        case Refused():
            return _refusal(failure)
        case Cut():
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        case Html(status=status):
            return web.Response(status=status, text="<html><h1>Bad Gateway</h1></html>", content_type="text/html")
        case Half():
            return web.Response(status=201, text='{"data": {"id": "ord_1", ', content_type="application/json")
        case Stopping() | Endless():
            return await _unfinished(request, clock, failure)
    raise failure


def _refusal(no: Refused) -> web.Response:
    meta = {"status": no.status, "request_id": "req-1"}
    first = {"type": no.kind, "code": no.code, "title": no.code.replace("_", " "), "message": no.message}
    first["documentation_url"] = "https://duffel.com/docs"
    headers = {**no.headers, "x-request-id": "req-1"}
    return web.Response(
        status=no.status,
        body=json.dumps({"meta": meta, "errors": [first]}).encode(),
        content_type="application/json",
        headers=headers,
    )


async def _unfinished(request: web.Request, clock: Any, failure: Stopping | Endless) -> web.StreamResponse:
    response = web.StreamResponse(status=201, headers={"Content-Type": "application/json"})
    await response.prepare(request)
    if isinstance(failure, Endless):
        for _ in range(40):
            await response.write(b" " * 1024 * 1024)
        return response
    await response.write(b'{"data": {"id": ')
    await clock.sleep(HANG)
    return response
