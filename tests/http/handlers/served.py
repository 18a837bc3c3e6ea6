"""Accounts as a client meets them: the application on a real socket and a real database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import jwt
from aiohttp.test_utils import TestClient, TestServer

from voyagent.actors.accounts.actor import AccountsActor
from voyagent.actors.database import StorageActor
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.foundation.clock import Clock
from voyagent.actors.foundation.config import Settings
from voyagent.http.app import make_app
from voyagent.http.health import Health
from voyagent.http.quotas import NewSessions, OpenStreams
from voyagent.http.request_context import Services
from voyagent.http.streams import Streams
from voyagent.storage.engine.ownership import Ownership

if TYPE_CHECKING:
    from tests.conftest import Database


SECRET = "the secret these tests sign with, and nobody else"
ASHA = {
    "email": "asha@example.com",
    "password": "mango-trellis-47",
    "full_name": "Asha Rao",
    "agency_name": "Rao Travels",
}


class Harness:
    """A client of a running application, and the parts behind it."""

    def __init__(self, client: TestClient[Any, Any], services: Services, db: asyncpg.Connection[Any] | None) -> None:
        self._client = client
        self.services = services
        self.db = db

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        async with self._client.request(method, path, json=body, headers=headers) as response:
            return Answered(response, await response.text())

    async def sign_up(self, **changes: Any) -> Answered:
        return await self.send("POST", "/auth/sign-up", ASHA | changes)

    async def sign_in(self, **changes: Any) -> Answered:
        body = {"email": ASHA["email"], "password": ASHA["password"]} | changes
        return await self.send("POST", "/auth/sign-in", body)

    async def get(self, path: str, token: str) -> Answered:
        return await self.send("GET", path, Authorization=f"Bearer {token}")


class Answered:
    """A reply, read whole."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = text
        self.body: Any = json.loads(text) if text else None

    @property
    def detail(self) -> Any:
        return self.body["detail"]

    @property
    def token(self) -> str:
        return str(self.body["access_token"])


@asynccontextmanager
async def harness(database: Database | None, **changes: Any) -> AsyncIterator[Harness]:
    """An application of its own."""
    cheap: dict[str, Any] = {"auth_argon2_time_cost": 1, "auth_argon2_memory_cost": 8192}
    usual = {
        "env": "development",
        "auth_secret": SECRET,
        "auth_skip_email_verification": True,
        "kms_key": {"k": bytes(range(32))},
    }
    told = Settings(**usual | cheap | changes)
    clock = Clock()
    storage = StorageActor.start(database and database.url, size=4, system_size=4)
    accounts = AccountsActor.start(storage, told, clock)
    services = Services(
        root=storage,
        storage=storage,
        accounts=accounts,
        settings=told,
        clock=clock,
        health=Health(clock, process_status=lambda: "ok"),
        streams=Streams(stall_seconds=30),
        open_streams=OpenStreams(per_person=50, per_agency=500),
        new_sessions=NewSessions(clock, 600),
        ownership=Ownership(coordinated=False),
    )
    db = None if database is None else await asyncpg.connect(database.admin_url)
    async with TestClient(TestServer(make_app(services))) as client:
        yield Harness(client, services, db)
    await accounts.stop_and_wait(5.0)
    await storage.stop_and_wait(5.0)
    if db is not None:
        await db.close()


def only_item(answer: Answered) -> dict[str, Any]:
    assert answer.status == 422, answer.text
    (item,) = answer.detail
    return dict(item)


def foreign(user: dict[str, Any], **changes: Any) -> str:
    """A token as tooling mints it."""
    now = int(Clock().now().timestamp())
    claims = {
        "sub": user["id"],
        "tid": user["tenant_id"],
        "role": user["role"],
        "email": user["email"],
        "iat": now,
        "exp": now + 3600,
        "jti": uuid7(),
        "iss": "voyagent",
        "aud": "voyagent-api",
    }
    return jwt.encode(claims | changes, SECRET, "HS256")
