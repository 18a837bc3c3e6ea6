"""Processes of the bench: started, spoken to in JSON lines, and surely ended."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 90.0


class Part:
    """One process of ``parts.py``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._speaking = asyncio.Lock()
        self.url = ""

    async def do(self, command: str, **values: Any) -> Any:
        """Have a command carried out; its answer."""
        async with self._speaking:
            return (await self.say({"do": command, **values}))["is"]

    async def say(self, what: Mapping[str, Any]) -> Any:
        """Send a line, read a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a part of the bench ended while it was asked {what.get('do', 'to start')}")
        return json.loads(line)


@asynccontextmanager
async def part(name: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Part]:
    """A part that listens; it has ended when this is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "parts.py"),
        name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=4 * 1024 * 1024,
        start_new_session=True,
    )
    try:
        started = Part(process)
        started.url = (await started.say(environ or {}))["url"]
        yield started
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(10.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def whole_service(environ: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """``run.py --embedded`` as an operator starts it; its group is killed if it does not end by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "run.py"),
        "--embedded",
        env={**_clean(), **environ},
        cwd=environ["VOYAGENT_DATA_DIR"],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _clean() -> dict[str, str]:
    """The surroundings without settings of somebody's own service."""
    ours = ("VOYAGENT_", "ANTHROPIC_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def allow_many_connections() -> None:
    """As many open files as the machine allows; children inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
