"""``run.py`` as an operator calls it, and the environments it is called with."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.prepared import Command, Prepared

ROOT = Path(__file__).parents[1]
DEADLINE = 60.0
PREPARED = Prepared()


def plain(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "VOYAGENT_DATA_DIR": str(folder), "VOYAGENT_PORT": "0"}


async def started(folder: Path, *words: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(ROOT / "run.py"), *words),
        cwd=folder,
        env=plain(folder) | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ran(folder: Path, *words: str, **environ: str) -> tuple[int, str, str]:
    return await PREPARED.run(folder, words, plain(folder) | environ)


@asynccontextmanager
async def serving(folder: Path, *words: str, **environ: str) -> AsyncIterator[tuple[Command, str]]:
    """A service and where it listens; stopped by SIGTERM if it still runs."""
    with tempfile.TemporaryFile() as log:
        process, url = await PREPARED.serve(folder, words, plain(folder) | environ, log)
        try:
            yield process, url
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), DEADLINE)


async def answer(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as client, client.get(url) as reply:
        return reply.status, await reply.json()


def development(database_url: str) -> dict[str, str]:
    return {"VOYAGENT_ENV": "development", "VOYAGENT_DB_URL": database_url, "VOYAGENT_AUTH_ARGON2_MEMORY_COST": "8192"}


def production(database: Any, **changes: str) -> dict[str, str]:
    keys = (base64.b64encode(bytes(range(start, start + 32))).decode() for start in (0, 1))
    return {
        "VOYAGENT_ENV": "production",
        "VOYAGENT_AUTH_SECRET": "kJ8s2Lq0vXw5Zr7tYb3nMc6pDf9gHa1e",
        "VOYAGENT_KMS_KEY": next(keys),
        "VOYAGENT_SMTP_URL": "smtp://127.0.0.1:9",
        "VOYAGENT_PUBLIC_URL": "https://desk.rao-travels.in",
        "VOYAGENT_DB_URL": database.url,
        **changes,
    }
