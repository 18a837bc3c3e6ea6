"""What all figures of the bench stand on: a fresh service, an agency that works with it, and a line to report."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from clients import Target, rounded
from processes import Part, part

from voyagent.actors.agent.rehearsed.server import KEY
from voyagent.storage.embedded.servers import SUPERUSER, EmbeddedServers

PASSWORD = "a long password 1"


@dataclass(slots=True)
class Agency:
    """Somebody who works with the service."""

    at: Target
    tenant_id: str
    email: str

    async def session(self) -> str:
        return str((await self.at.ask("POST", "/chat/sessions"))["session_id"])

    async def sessions(self, count: int) -> list[str]:
        """Fresh ones, made eight at a time."""
        made: list[str] = []
        while len(made) < count:
            made += await asyncio.gather(*(self.session() for _ in range(min(8, count - len(made)))))
        return made

    def message(self, session_id: str) -> bytes:
        return self.at.request("POST", f"/chat/sessions/{session_id}/messages", {"message": "Go on"})

    def events(self, session_id: str, query: str = "") -> bytes:
        return self.at.request("GET", f"/chat/sessions/{session_id}/events{query}")


@dataclass(slots=True)
class Bench:
    """What all figures stand on."""

    folder: Path
    servers: EmbeddedServers
    model: Part

    @asynccontextmanager
    async def service(self) -> AsyncIterator[tuple[Part, Agency]]:
        """A fresh service with an agency that has no limits."""
        environ = {
            "VOYAGENT_ENV": "development",
            "VOYAGENT_PORT": "0",
            "VOYAGENT_DB_URL": self.servers.url,
            "VOYAGENT_REDIS_URL": self.servers.redis_url,
            "VOYAGENT_DATA_DIR": str(self.folder),
            "VOYAGENT_GUARD": "off",
            "VOYAGENT_SSE_STREAMS_PER_PERSON": "5000",
            "VOYAGENT_SSE_STREAMS_PER_AGENCY": "5000",
            "VOYAGENT_SESSIONS_PER_MINUTE": "100000",
            "VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION": "true",
            "VOYAGENT_SUPPLIERS": "house",
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.model.url,
        }
        async with part("service", environ) as running:
            agency = await sign_up(running.url)
            await self.execute(
                "UPDATE tenant_settings SET rate_limit_per_minute = 100000, rate_limit_per_hour = 100000"
            )
            yield running, agency

    async def execute(self, sql: str) -> None:
        """Run a statement as the database's superuser."""
        db = await asyncpg.connect(self.servers.postgres.url(SUPERUSER, "voyagent"))
        await db.execute(sql)
        await db.close()


async def sign_up(url: str) -> Agency:
    email = f"bench-{time.monotonic_ns()}@example.com"
    body = {"email": email, "password": PASSWORD, "full_name": "Asha Rao", "agency_name": "Bench Travels"}
    answer = await Target(url).ask("POST", "/auth/sign-up", body)
    return Agency(Target(url, answer["access_token"]), answer["user"]["tenant_id"], email)


def report(figure: str, **values: Any) -> None:
    """One line."""
    said = {name: rounded(value) if isinstance(value, float) else value for name, value in values.items()}
    print(json.dumps({"figure": figure, **said}), flush=True)


async def answered(target: Target, request: bytes) -> float:
    """Milliseconds to an answer, whatever it says."""
    reader, writer = await asyncio.open_connection(*target.address)
    try:
        began = time.perf_counter()
        writer.write(request)
        await reader.read(-1)
        return (time.perf_counter() - began) * 1000
    finally:
        writer.close()


def idle_seconds() -> float:
    """Seconds all cores together had nothing to do."""
    return sum(map(int, Path("/proc/stat").read_text().split(maxsplit=6)[4:6])) / os.sysconf("SC_CLK_TCK")
