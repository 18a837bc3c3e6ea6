"""A served application over fakes of the actors: what HTTP does by itself, without anything behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web

from tests.manual_clock import ManualClock
from voyagent.actors.accounts.actor import Authenticate
from voyagent.actors.accounts.throttling import Malformed
from voyagent.actors.domain.errors import Unauthorized
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.foundation.config import Settings
from voyagent.actors.runtime.actor import Message
from voyagent.http.app import Runner, make_app
from voyagent.http.health import ALWAYS, Health
from voyagent.http.quotas import NewSessions, OpenStreams
from voyagent.http.request_context import Services
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES
from voyagent.http.streams import Streams
from voyagent.storage.engine.ownership import Ownership

ORIGIN = "http://localhost:3000"
TENANT = "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b"


def principal(role: Role = Role.AGENT, **changes: Any) -> Principal:
    known: dict[str, Any] = {
        "user_id": "019712ab-0000-7000-8000-00000000000a",
        "tenant_id": TENANT,
        "role": role,
        "email": "asha@example.com",
        "email_verified": True,
        "full_name": "Asha Rao",
        "tenant_name": "Meridian Travel",
        "created_at": datetime(2026, 11, 23, 10, 15, 2, 114209, tzinfo=UTC),
        "token_version": 1,
        "family_id": "019712ab-0000-7000-8000-00000000000b",
    }
    return Principal(**{**known, **changes})


@dataclass(slots=True)
class Fake:
    """Something that takes messages: answers by their type, and remembers them."""

    answers: dict[type, Callable[[Any], Any]] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)

    async def ask(self, message: Message[Any], within: float = 10.0) -> Any:
        assert within > 0
        self.asked.append(message)
        return self.answers[type(message)](message)

    def tell(self, message: Message[Any]) -> None:
        self.told.append(message)


class People(Fake):
    """Accounts that know bearers by heart."""

    bearers: dict[str, Principal]

    def __init__(self) -> None:
        super().__init__({Authenticate: self._who, Malformed: lambda _message: None})
        self.bearers = {role.value: principal(role) for role in Role}
        self.bearers["key"] = principal(Role.AGENCY_ADMIN, api_key_id="019712ab-0000-7000-8000-00000000000c")
        self.bearers["unverified"] = principal(Role.AGENCY_ADMIN, email_verified=False)

    def _who(self, message: Authenticate) -> Principal:
        try:
            return self.bearers[message.bearer]
        except KeyError:
            raise Unauthorized("unauthorized") from None


@dataclass(slots=True)
class Reply:
    """An answer read to its end."""

    status: int
    headers: Any
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def detail(self) -> Any:
        return self.json["detail"]


@dataclass(slots=True)
class Client:
    """Talks to one served application."""

    services: Services
    host: str
    port: int
    session: aiohttp.ClientSession
    accounts: People
    root: Fake
    storage: Fake
    runner: Runner

    async def send(self, method: str, path: str, **more: Any) -> Reply:
        """One request as aiohttp sends it; redirects are not followed."""
        if (who := more.pop("who", None)) is not None:
            more["headers"] = {"Authorization": f"Bearer {who}", **more.get("headers", {})}
        more.setdefault("allow_redirects", False)
        async with self.session.request(method, f"http://{self.host}:{self.port}{path}", **more) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def raw(self, sent: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer to these very bytes, on a connection of its own, closed by the service."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(sent)
            await writer.drain()
            async with asyncio.timeout(10):
                received = await reader.read()
        finally:
            writer.close()
        head, _, body = received.partition(b"\r\n\r\n")
        return head, body


class Serve(Protocol):
    async def __call__(self, routes: Sequence[Route] = ..., **settings: Any) -> Client: ...


@pytest.fixture
async def serve(clock: ManualClock) -> AsyncIterator[Serve]:
    """Start an application over fakes; ``health``, ``owns`` (agencies), ``descriptors`` and settings may be given."""
    async with AsyncExitStack() as stack:

        async def start(
            routes: Sequence[Route] = ROUTES,
            *,
            health: Health | None = None,
            owns: bool = True,
            descriptors: int | None = None,
            lost_at: float = ALWAYS,
            **given: Any,
        ) -> Client:
            accounts, root, storage = People(), Fake(), Fake()
            ownership = Ownership(coordinated=not owns)
            ownership.lost_at = lost_at
            services = Services(
                root=root,
                storage=storage,
                accounts=accounts,
                settings=Settings(**{"env": "development", "auth_skip_email_verification": False, **given}),
                clock=clock,
                health=health or Health(clock, process_status=lambda: "ok"),
                streams=Streams(stall_seconds=30),
                open_streams=OpenStreams(per_person=50, per_agency=500),
                new_sessions=NewSessions(clock, 600),
                ownership=ownership,
            )
            runner = Runner(make_app(services, routes), descriptors)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Client(services, host, port, session, accounts, root, storage, runner)

        yield start


@pytest.fixture
async def client(serve: Serve) -> Client:
    """The service's own table, served."""
    return await serve()
