"""The service in a process of its own, and clients that come back after every cut."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.operator_calls import PREPARED
from tests.prepared import Command
from voyagent.actors.domain.ids import uuid7

ROOT = Path(__file__).parents[2]
STEP_SECONDS = 180.0
"""What a client waits for one thing, restarts of the service included."""
CUT = (aiohttp.ClientError, ConnectionError)


class Service:
    """The service in a process of its own, started and killed as often as a test likes."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.environ = environ
        self.log = log
        self.url = ""
        self.up = asyncio.Event()
        self.process: Command | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        with self.log.open("ab+") as log:
            self.process, self.url = await PREPARED.serve(ROOT, ("serve",), self.environ, log)
        self.up.set()

    async def ended(self, within: float = 40.0) -> int:
        """Wait for the end; answers the status."""
        assert self.process is not None
        async with asyncio.timeout(within):
            return await self.process.wait()

    async def kill(self) -> None:
        """The plug is pulled."""
        assert self.process is not None
        self.up.clear()
        await self.process.kill()


@dataclass(slots=True)
class Client:
    """Somebody who keeps what he was told, and comes back after every cut."""

    service: Service
    http: aiohttp.ClientSession
    told: Callable[[], None] = lambda: None
    token: str = ""
    seen: dict[str, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    decided: set[str] = field(default_factory=set)
    said: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def sign_up(self) -> None:
        body = {
            "email": f"{uuid7()}@example.com",
            "password": "a long password 1",
            "full_name": "Asha Rao",
            "agency_name": "Rao Travels",
        }
        self.token = (await self.json("POST", "/auth/sign-up", json=body))[1]["access_token"]

    async def json(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """One request, sent again until there is an answer that is no 503."""
        return await self._through(lambda: self._json(method, path, more))

    async def _through(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(STEP_SECONDS):
            while True:
                await self.service.up.wait()
                try:
                    answer = await attempt()
                except CUT:
                    continue
                if answer is not None:
                    return answer

    async def _json(self, method: str, path: str, more: dict[str, Any]) -> tuple[int, Any] | None:
        async with self.http.request(method, self.service.url + path, headers=self.headers(), **more) as response:
            body = await response.json()
            return None if response.status == 503 else (response.status, body)

    def headers(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", **more} if self.token else more

    async def session(self) -> str:
        status, body = await self.json("POST", "/chat/sessions")
        assert status == 201
        return str(body["session_id"])

    async def say(self, session: str, text: str) -> list[str]:
        """Say something, once, whatever happens; the kinds of events up to where nothing goes on any more."""
        key = uuid7()
        self.said[session, text] += 1
        await self._through(lambda: self.read(session, {"message": text}, {"Idempotency-Key": key}))
        return await self.follow(session)

    async def follow(self, session: str) -> list[str]:
        """Read what is missing, until the session is at rest."""

        async def attempt() -> bool | None:
            newest = max(self.seen[session], default=0)
            return await self.read(session, {}, {"Last-Event-ID": str(newest)})

        before = max(self.seen[session], default=0)
        await self._through(attempt)
        return [kind_of(frame) for number, frame in sorted(self.seen[session].items()) if number > before]

    async def read(self, session: str, body: dict[str, Any], headers: dict[str, str]) -> bool | None:
        """True when the stream came to its ``final``. What is told is checked as it comes."""
        url = f"{self.service.url}/chat/sessions/{session}/messages"
        expected = int(headers["Last-Event-ID"]) + 1 if "Last-Event-ID" in headers else None
        ended = None
        async with self.http.post(url, json=body, headers=self.headers(**headers)) as response:
            if response.status != 200:
                assert response.status in {409, 503}, await response.text()
                return None
            async for frame in frames(response):
                ended = kind_of(frame) == "final" or None
                number = id_of(frame)
                if number is not None:
                    assert expected is None or number == expected, (number, expected)
                    expected = number + 1
                    if number not in self.seen[session]:
                        self.told()
                    assert self.seen[session].setdefault(number, frame) == frame
        return ended

    async def decide(self, session: str) -> None:
        """Grant whatever waits in this session; the first answer that comes may be of an attempt that was cut."""
        waiting = (await self.json("GET", f"/approvals?session_id={session}&status=pending"))[1]["items"]
        for item in waiting:
            status, _ = await self.json("POST", f"/approvals/{item['id']}/resolve", json={"granted": True})
            assert status in {200, 409}
            self.decided.add(item["id"])


async def frames(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole frames with an event."""
    lines: list[bytes] = []
    async for line in response.content:
        if line != b"\n":
            lines.append(line)
            continue
        if b"event: agent_event\n" in lines:
            yield b"".join(lines)
        lines = []


def id_of(frame: bytes) -> int | None:
    found = re.match(rb"id: (\d+)\n", frame)
    return None if found is None else int(found[1])


def kind_of(frame: bytes) -> str:
    found = re.search(rb'"kind":"(\w+)"', frame)
    assert found is not None
    return found[1].decode()


def turn_of(frame: bytes) -> str:
    found = re.search(rb'"turn_id":"([\w-]+)"', frame)
    assert found is not None
    return found[1].decode()
