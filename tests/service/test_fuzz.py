"""Bodies as nobody means them, against the whole service: no crash behind the border either, and nothing repeated."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from voyagent.actors.domain.ids import uuid7
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Make

MARK = "mark-7f3a9"
PASSWORD = "a long password 1"
ODDS: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**53,
    10**30,
    1.5,
    "",
    " ",
    MARK,
    f"{MARK}@example.com",
    f"{MARK}-12345678 a",
    "A" * 43,
    "123456",
    "12345678",
    "agency_admin",
    "2026-02-30",
    "INR",
    "Asia/Kolkata",
    PASSWORD,
    "\x00" + MARK,
    "\ud800" + MARK,
    "\u202e" + MARK,
    "é" * 300 + MARK,
    [MARK],
    {"a": MARK},
)
STREAMS = ("/messages", "/events")
"""These answer with a stream, which has tests of its own."""

BODIES = [route for route in ROUTES if route.method != "GET" and not route.path.endswith(STREAMS)]


class Fuzz:
    """A client that sends anything, mostly with a good token: a route may end it, so each begins with its own."""

    def __init__(self, http: aiohttp.ClientSession, token: str, chance: random.Random) -> None:
        self.http = http
        self.token = token
        self.chance = chance

    def body(self, route: Route) -> bytes:
        fields = list(route.operation.body.model_fields) if route.operation.body is not None else []
        names = [name for name in [*fields, "else"] if name != "else" or self.chance.random() < 0.1]
        sent = {name: self.chance.choice(ODDS) for name in names if self.chance.random() < 0.9}
        return json.dumps(sent).encode()

    async def send(self, route: Route, raw: bytes) -> None:
        path = route.path.format(**{name: self.chance.choice([uuid7(), MARK]) for name in route.parameters})
        headers = {"Content-Type": "application/json"}
        if self.chance.random() < 0.9:
            headers["Authorization"] = f"Bearer {self.token}"
        async with self.http.request(route.method, path, data=raw, headers=headers) as answer:
            said = await answer.text()
        assert answer.status < 500, (path, raw, answer.status, said)
        if answer.status >= 400:
            assert MARK not in said, (path, raw, said)


@pytest.mark.parametrize("verified", [True, False])
async def test_r22_r49_b23_no_body_of_any_operation_crashes_the_service_or_comes_back(
    settings_for: Make, verified: bool
) -> None:
    chance = random.Random(53)
    settings = settings_for(VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION=str(verified))
    async with Service(settings) as service, aiohttp.ClientSession(service.url) as http:
        for number, route in enumerate(BODIES):
            person = {"email": f"p{number}@example.com", "password": PASSWORD, "full_name": "A", "agency_name": "A"}
            async with http.post("/auth/sign-up", json=person) as answer:
                token = (await answer.json())["access_token"]
            fuzz = Fuzz(http, token, chance)
            for _ in range(40):
                await fuzz.send(route, fuzz.body(route))
