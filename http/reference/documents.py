"""Serves the API reference: OpenAPI as JSON, and the page with its style sheet and script."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ...actors.foundation.threads import in_thread
from ..guards import PUBLIC
from ..middleware import CSP
from ..openapi import document
from ..request_context import Answer, RequestContext
from ..route import Route
from .page import html

FOLDER: Final = Path(__file__).parent
ASSETS: Final = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
PAGE_CSP: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: style sheet and script of this service, nothing inline, no requests."""
YEAR: Final = "public, max-age=31536000, immutable"
"""How long an asset may be cached: its address carries a hash of what it holds."""


class Documents:
    """Serves the renderings of a route table. Public, and hidden from the document itself.

    Each is made when it is first asked for, in a thread, and kept.
    """

    def __init__(self, routes: Sequence[Route], version: str) -> None:
        self._routes = routes
        self._version = version
        self._assets = {name: (FOLDER / name).read_bytes() for name in ASSETS}

    def routes(self) -> tuple[Route, ...]:
        """The routes of all renderings."""
        return (
            Route("GET", "/openapi.json", self.openapi, PUBLIC, hidden=True),
            Route("GET", "/docs", self.docs, PUBLIC, hidden=True),
            *(Route("GET", f"/docs/{name}", self._serve(name), PUBLIC, hidden=True) for name in ASSETS),
        )

    async def openapi(self, _call: RequestContext) -> Answer:
        return Answer(await in_thread(lambda: self._json))

    async def docs(self, _call: RequestContext) -> Answer:
        page = await in_thread(lambda: self._page)
        return Answer(page, headers={"Content-Type": "text/html; charset=utf-8", CSP: PAGE_CSP})

    def _serve(self, name: str) -> Callable[[RequestContext], Awaitable[Answer]]:
        answer = Answer(self._assets[name], headers={"Content-Type": ASSETS[name], "Cache-Control": YEAR})

        async def asset(_call: RequestContext) -> Answer:
            return answer

        return asset

    @cached_property
    def _described(self) -> dict[str, Any]:
        return document(self._routes, self._version)

    @cached_property
    def _json(self) -> bytes:
        return json.dumps(self._described, separators=(",", ":"), ensure_ascii=False).encode()

    @cached_property
    def _page(self) -> bytes:
        stamp = hashlib.sha256(b"".join(self._assets.values())).hexdigest()[:12]
        return html(self._routes, self._described, stamp).encode()
