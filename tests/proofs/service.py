"""The service as an operator starts it, in a process of its own with embedded servers, and people who work with it."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
PASSWORD = "a long password 1"
START_SECONDS = 90.0
STOP_SECONDS = 30.0
NUMBERS = itertools.count(1)
NO_LIMITS = {"rate_limit_per_minute": 10_000, "rate_limit_per_hour": 100_000}
"""An agency's limits while its service is tried: they have tests of their own."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers."""

    url: str
    process: asyncio.subprocess.Process
    log: Path


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody signed in."""

    http: aiohttp.ClientSession
    email: str
    token: str
    user: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of one answer. Raises aiohttp.ClientResponseError unless it is a success."""
        async with self.http.request(
            method, path, json=body, headers={**self.headers, **headers}, raise_for_status=True
        ) as answer:
            return await answer.json() if answer.content_type == "application/json" else await answer.read()


@asynccontextmanager
async def service(folder: Path, **environ: str) -> AsyncIterator[Running]:
    """``run.py --embedded`` with its data in ``folder``; it is stopped when this is left."""
    log = folder / "service.log"
    url = f"http://127.0.0.1:{_free_port()}"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "run.py"),
            "--embedded",
            env={
                **_surroundings(),
                "VOYAGENT_PORT": url.rpartition(":")[2],
                "VOYAGENT_DATA_DIR": str(folder / "var"),
                **environ,
            },
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession(url) as http:
            while not await _ready(http):
                if process.returncode is not None:
                    raise RuntimeError(f"the service ended at its start: {log.read_text()[-2000:]}")
                await asyncio.sleep(0.1)
        yield Running(url, process, log)
    finally:
        await _stop(process)


async def sign_up(http: aiohttp.ClientSession, agency: str) -> Person:
    """An agency without limits, with its first admin."""
    body = {
        "email": f"{agency.lower()}-{time.time_ns()}@example.com",
        "password": PASSWORD,
        "full_name": f"{agency} Admin",
        "agency_name": agency,
    }
    async with http.post("/auth/sign-up", json=body, raise_for_status=True) as answer:
        said = await answer.json()
    admin = Person(http, body["email"], said["access_token"], said["user"])
    await admin.ask("PATCH", "/tenant-settings", NO_LIMITS)
    return admin


async def join(admin: Person, role: str) -> Person:
    """Somebody of another role in an admin's agency."""
    email = f"{role}-{next(NUMBERS)}-{time.time_ns()}@example.com"
    invited = await admin.ask("POST", "/auth/invites", {"email": email, "role": role})
    body = {"token": invited["invite_link"].partition("token=")[2], "password": PASSWORD, "full_name": role}
    async with admin.http.post("/auth/accept-invite", json=body, raise_for_status=True) as answer:
        said = await answer.json()
    return Person(admin.http, email, said["access_token"], said["user"])


async def _ready(http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get("/health/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _surroundings() -> dict[str, str]:
    """The environment without settings of somebody's own service."""
    ours = ("VOYAGENT_", "ANTHROPIC_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
