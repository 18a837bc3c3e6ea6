"""What the stand-in for Duffel remembers, by token, and how its handlers read requests and answer them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tests.actors.suppliers.duffel.inventory import (
    Json,
    Refused,
    invalid,
)


@dataclass
class Account:
    """All there is under one token."""

    offers: dict[str, Json] = field(default_factory=dict)
    requests: dict[str, list[str]] = field(default_factory=dict)
    orders: dict[str, Json] = field(default_factory=dict)
    cancellations: dict[str, Json] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    payments: int = 0
    is_empty: bool = False
    """The balance pays for no order."""
    wants_documents: bool = False
    """Every offer requires a passport."""


class RealClock:
    """The system's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class World:
    """The accounts, and the clock of the server. ``log`` has each request's method and path."""

    def __init__(self, clock: Any = None) -> None:
        self.clock = clock or RealClock()
        self.accounts: dict[str, Account] = {}
        self.log: list[tuple[str, str]] = []
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def _of(self, request: web.Request) -> Account:
        return self.account(request.headers["Authorization"].removeprefix("Bearer "))

    def account(self, token: str = "duffel_test_one") -> Account:
        return self.accounts.setdefault(token, Account())

    def _answer(self, request: web.Request, data: Any, status: int = 200, meta: Json | None = None) -> web.Response:
        body = {"data": data} | ({} if meta is None else {"meta": meta})
        headers = {"x-request-id": f"req-{next(self._ids)}", "ratelimit-limit": "60", "ratelimit-remaining": "50"}
        headers["ratelimit-reset"] = self._date(60)
        response = web.json_response(body, status=status, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    def _date(self, seconds: float) -> str:
        return format_datetime(self.clock.now() + timedelta(seconds=seconds), usegmt=True)

    async def _data(self, request: web.Request) -> Json:
        try:
            body = await request.json()
        except json.JSONDecodeError:
            raise Refused(400, "invalid_request_error", "malformed_data_param", "No JSON") from None
        if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
            raise Refused(400, "invalid_request_error", "missing_data_param", "There is no data")
        return dict(body["data"])

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._ids):022d}"

    def _page(self, request: web.Request, items: list[Any]) -> tuple[Any, int, Json]:
        limit = int(request.query.get("limit", "50"))
        if not 1 <= limit <= 200:
            raise invalid("limit is 1 to 200")
        start = int(base64.b64decode(request.query["after"]).decode()) if "after" in request.query else 0
        more = base64.b64encode(str(start + limit).encode()).decode() if start + limit < len(items) else None
        return items[start : start + limit], 200, {"limit": limit, "before": None, "after": more}

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        async def wait() -> None:
            await self.clock.sleep(seconds)
            act()

        task = asyncio.get_running_loop().create_task(wait())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
