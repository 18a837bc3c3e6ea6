"""The whole service in this process: real Postgres and Redis, the real SDK on the rehearsal model, a real client."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from argon2 import PasswordHasher

from tests.rehearsal import Rehearsal
from tests.service.process import Service as ServiceProcess
from tests.service.sessions import Sessions
from voyagent.actors.agent.rehearsed.server import KEY
from voyagent.actors.conversation.session_messages import Sleep
from voyagent.actors.domain.identity import Role
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.foundation.config import Settings
from voyagent.http.service import Service
from voyagent.storage.accounts.users import AddMember

NUMBERS = itertools.count(1)
PATIENCE = 20.0


@dataclass(slots=True)
class Seen:
    """One event as a client got it."""

    id: int | None
    data: dict[str, Any]
    raw: bytes

    @property
    def kind(self) -> str:
        return str(self.data["kind"])


@dataclass(slots=True)
class Stream:
    """An open stream, read event by event."""

    response: aiohttp.ClientResponse
    events: list[Seen] = field(default_factory=list)

    async def next(self) -> Seen | None:
        """The next event, heartbeats passed over; None at the end."""
        async with asyncio.timeout(PATIENCE):
            lines: list[bytes] = []
            async for line in self.response.content:
                if line != b"\n":
                    lines.append(line)
                    continue
                seen = _event(lines)
                lines = []
                if seen is not None:
                    self.events.append(seen)
                    return seen
        return None

    async def all(self) -> list[Seen]:
        """Everything to the end."""
        while await self.next() is not None:
            pass
        return self.events

    async def until(self, kind: str) -> Seen:
        """Read on to the next event of this kind."""
        while (seen := await self.next()) is not None:
            if seen.kind == kind:
                return seen
        raise AssertionError(f"the stream ended without {kind}: {[each.kind for each in self.events]}")


def _event(lines: list[bytes]) -> Seen | None:
    if not any(line.startswith(b"event: agent_event") for line in lines):
        return None
    number = next((int(line[4:]) for line in lines if line.startswith(b"id: ")), None)
    data = next(line[6:] for line in lines if line.startswith(b"data: "))
    return Seen(number, json.loads(data), b"".join(lines))


@dataclass(slots=True)
class Person:
    """Somebody signed in, with a client that says so."""

    http: aiohttp.ClientSession
    url: str
    token: str
    user: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON of one request; of a file the text."""
        headers = {**self.headers, **more.pop("headers", {})}
        async with self.http.request(method, self.url + path, headers=headers, **more) as response:
            body = await response.read()
            if response.content_type in ("text/csv", "application/xml"):
                return response.status, body.decode()
            return response.status, json.loads(body) if body else None

    async def raw(self, method: str, path: str, key: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and bytes of one request under an idempotency key; ids and times of requests left out."""
        headers = {**self.headers, "Idempotency-Key": key}
        async with self.http.request(method, self.url + path, headers=headers, json=body) as response:
            own = {name: value for name, value in response.headers.items() if name not in ("Date", "X-Request-ID")}
            return response.status, own, await response.read()

    async def get(self, path: str, **more: Any) -> Any:
        status, body = await self.call("GET", path, **more)
        assert status == 200, (status, body)
        return body

    async def session(self) -> str:
        """A fresh session's id."""
        status, body = await self.call("POST", "/chat/sessions")
        assert status == 201, body
        return str(body["session_id"])

    async def post(self, session_id: str, body: dict[str, Any], **headers: str) -> Stream:
        """Open the stream of a message."""
        url = f"{self.url}/chat/sessions/{session_id}/messages"
        response = await self.http.post(url, json=body, headers={**self.headers, **headers})
        assert response.status == 200, (response.status, await response.text())
        return Stream(response)

    async def say(self, session_id: str, text: str, **body: Any) -> list[Seen]:
        """Say something and read to the end."""
        return await (await self.post(session_id, {"message": text, **body})).all()

    async def replay(self, session_id: str, after: int = 0) -> list[Seen]:
        """Everything behind ``after``, to where nothing goes on any more."""
        return await (await self.post(session_id, {}, **{"Last-Event-ID": str(after)})).all()

    async def watch(self, session_id: str, query: str = "", **headers: str) -> Stream:
        """Open a live stream."""
        url = f"{self.url}/chat/sessions/{session_id}/events{query}"
        response = await self.http.get(url, headers={**self.headers, **headers})
        assert response.status == 200, response.status
        return Stream(response)


@dataclass(slots=True)
class Running:
    """The service under test."""

    service: Service
    rehearsal: Rehearsal
    http: aiohttp.ClientSession
    settings: Settings

    @property
    def url(self) -> str:
        return self.service.url

    async def sign_up(self, name: str = "agency") -> Person:
        """A new agency with its first person."""
        number = next(NUMBERS)
        body = {
            "email": f"{name}-{number}@example.com",
            "password": "a long password 1",
            "full_name": "Asha Rao",
            "agency_name": f"{name} {number}",
        }
        async with self.http.post(f"{self.url}/auth/sign-up", json=body) as response:
            answer = await response.json()
            assert response.status == 201, answer
        return Person(self.http, self.url, answer["access_token"], answer["user"])


Make = Callable[..., Settings]


def environ_of(database: Any, redis_url: str, model_url: str, folder: Path) -> dict[str, str]:
    """The environment of a service on a test's own database."""
    return {
        "VOYAGENT_ENV": "development",
        "VOYAGENT_PORT": "0",
        "VOYAGENT_DB_URL": database.url,
        "VOYAGENT_REDIS_URL": redis_url,
        "VOYAGENT_DATA_DIR": str(folder),
        "VOYAGENT_GUARD": "off",
        "VOYAGENT_AUTH_SECRET": "a secret that is only for tests, and long",
        "VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION": "true",
        "VOYAGENT_AUTH_ARGON2_MEMORY_COST": "8192",
        "VOYAGENT_AUTH_ARGON2_TIME_COST": "1",
        "VOYAGENT_SUPPLIERS": "house",
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": model_url,
    }


@pytest.fixture(scope="session")
async def rehearsal() -> AsyncIterator[tuple[Rehearsal, str]]:
    """The model's part."""
    player = Rehearsal(delay=0.0)
    url = await player.start()
    yield player, url
    await player.stop()


@pytest.fixture
def settings_for(database: Any, redis_url: str, rehearsal: tuple[Rehearsal, str], tmp_path: Any) -> Make:
    """Settings of a service on this test's own database."""

    def make(**overrides: str) -> Settings:
        environ = {
            **environ_of(database, redis_url, rehearsal[1], tmp_path),
            "VOYAGENT_DRAIN_SECONDS": "0",
            "VOYAGENT_SSE_STREAMS_PER_PERSON": "2000",
            "VOYAGENT_SSE_STREAMS_PER_AGENCY": "2000",
            **overrides,
        }
        return Settings.load(environ=environ)

    return make


@pytest.fixture
def running_class() -> type[Running]:
    """For tests that start the service themselves."""
    return Running


@pytest.fixture
async def running(settings_for: Make, rehearsal: tuple[Rehearsal, str]) -> AsyncIterator[Running]:
    """A service that listens on a port of its own."""
    settings = settings_for()
    rehearsal[0].reset()
    async with Service(settings) as service, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield Running(service, rehearsal[0], http, settings)


@pytest.fixture
async def asha(running: Running) -> Person:
    """An agency's admin."""
    return await running.sign_up()


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """The session actors of this test."""
    return Sessions(monkeypatch)


class Admin:
    """The superuser's view of this test's database, past row-level security."""

    def __init__(self, db: asyncpg.Connection, running: Running) -> None:
        self.db = db
        self.running = running

    async def execute(self, statement: str, *values: Any) -> None:
        """Change rows behind the service's back."""
        await self.db.execute(statement, *values)

    async def value(self, query: str, *values: Any) -> Any:
        """One value."""
        return await self.db.fetchval(query, *values)

    async def audit_kinds(self) -> list[str]:
        """The kinds of all audit events, in the order they were written."""
        rows = await self.db.fetch("SELECT kind FROM audit_events ORDER BY created_at, seq")
        return [row["kind"] for row in rows]

    async def close_actor(self, session_id: str) -> None:
        """Put a session to sleep, so that its next message finds it in storage."""
        tenant_id = str(await self.db.fetchval("SELECT tenant_id FROM sessions WHERE id = $1", session_id))
        system = self.running.service.system
        await system.ownership.settled()  # as requests do: a loop that stood still has a late heartbeat
        await system.root.ask(Sleep(tenant_id=tenant_id, session_id=session_id))


@pytest.fixture
async def admin(database: Any, running: Running) -> AsyncIterator[Admin]:
    """Somebody who sees every table."""
    db = await asyncpg.connect(database.admin_url)
    yield Admin(db, running)
    await db.close()


@pytest.fixture
def member(running: Running) -> Callable[[Person, str], Awaitable[Person]]:
    """Somebody of any role in a person's agency, signed in."""

    async def join(of: Person, role: str) -> Person:
        system = running.service.system
        email, password = f"{role}-{next(NUMBERS)}@example.com", "a long password 1"
        settings = running.settings
        hashed = PasswordHasher(
            time_cost=settings.auth_argon2_time_cost,
            memory_cost=settings.auth_argon2_memory_cost,
            parallelism=settings.auth_argon2_parallelism,
        ).hash(password)
        await system.storage.ask(
            AddMember(
                tenant_id=of.user["tenant_id"],
                user_id=uuid7(),
                email=email,
                role=Role(role),
                now=system.clock.now(),
                password_hash=hashed,
                full_name=role,
            )
        )
        async with running.http.post(
            f"{running.url}/auth/sign-in", json={"email": email, "password": password}
        ) as response:
            answer = await response.json()
            assert response.status == 200, answer
        return Person(running.http, running.url, answer["access_token"], answer["user"])

    return join


@pytest.fixture
async def player() -> AsyncIterator[Rehearsal]:
    """A model that takes its time, so that kills fall into its midst; it outlives the service."""
    rehearsal = Rehearsal(delay=0.002)
    await rehearsal.start()
    yield rehearsal
    await rehearsal.stop()


@pytest.fixture
async def service(database: Any, redis_url: str, player: Rehearsal, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    """The service on this test's own database; not started yet."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("VOYAGENT_", "ANTHROPIC_"))},
        **environ_of(database, redis_url, player.url, tmp_path),
        "VOYAGENT_DRAIN_SECONDS": "20",
    }
    started = ServiceProcess(environ, tmp_path / "service.log")
    yield started
    if started.process is not None:
        await started.kill()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a limit on its connections."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        yield client
