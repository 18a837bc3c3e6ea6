"""What works here and what does not, and how to mend it: asked before strangers are served."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from ..storage.engine import Engine
from ..storage.redis_probe import RedisProbe
from .config import Settings, unknown_variables, variable
from .domain.errors import Unavailable

PATIENCE = 5.0
VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: whether it works, what is to be said of it, and what mends it. ``vital`` ones must work to serve."""

    part: str
    works: bool
    text: str
    mend: str = ""
    vital: bool = False


async def examine(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Look at everything the service leans on."""
    return [
        _configuration(settings, os.environ if environ is None else environ),
        _data_directory(settings),
        *await asyncio.gather(_database(settings), _redis(settings), _model(settings), _mail(settings)),
    ]


def _configuration(settings: Settings, environ: Mapping[str, str]) -> Finding:
    unknown = unknown_variables(environ)
    if unknown:
        mend = "see .env.example for the names"
        return Finding("configuration", works=False, text=f"nothing reads {', '.join(unknown)}", mend=mend)
    return Finding("configuration", works=True, text=f"{settings.env}, {settings.public_url}", vital=True)


def _data_directory(settings: Settings) -> Finding:
    """Where embedded servers, letters and secrets made in development live; production may do without."""
    place = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    works = settings.production or os.access(place, os.W_OK | os.X_OK)
    mend = f"make {place} writable, or set {variable('data_dir')}"
    return Finding("data", works, str(settings.data_dir), mend, vital=not settings.production)


async def _database(settings: Settings) -> Finding:
    if settings.db_url is None:
        mend = f"set {variable('db_url')}, or use --embedded"
        return Finding("database", works=False, text="none is configured", mend=mend, vital=True)
    try:
        engine = await Engine.open(settings.db_url, size=1, system_size=1)
    except Unavailable:
        mend = f"start Postgres, or correct {variable('db_url')}; is role voyagent_system granted to the service?"
        return Finding("database", works=False, text="it cannot be reached", mend=mend, vital=True)
    try:
        faults = await engine.check()
    finally:
        await engine.close()
    if faults:
        mend = "python run.py migrate makes tables, and says what an administrator has to do"
        return Finding("database", works=False, text=" ".join(faults), mend=mend, vital=True)
    return Finding("database", works=True, text="up to date, and an unset agency sees no row", vital=True)


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        mend = f"set {variable('redis_url')}"
        return Finding("redis", works=False, text="none: caches and counters do not outlive the process", mend=mend)
    probe = RedisProbe(settings.redis_url)
    trouble = await probe.trouble()
    await probe.close()
    mend = f"start Redis, or correct {variable('redis_url')}"
    return Finding("redis", trouble is None, "keeps what it is given" if trouble is None else trouble, mend)


async def _model(settings: Settings) -> Finding:
    if settings.anthropic_api_key is None:
        text = "no key: a rehearsal is played" if settings.embedded else "no key: turns end in model_not_configured"
        return Finding("model", works=settings.embedded, text=text, mend=f"set {variable('anthropic_api_key')}")
    headers = {"x-api-key": settings.anthropic_api_key, "anthropic-version": VERSION}
    url = f"{settings.anthropic_base_url}/v1/models/{settings.agent_model}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE), headers=headers) as client,
            client.get(url) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError):
        mend = f"correct {variable('anthropic_base_url')}, or let the service out through the firewall"
        return Finding("model", works=False, text="cannot be reached", mend=mend)
    if status in {401, 403}:
        return Finding("model", works=False, text="refuses the key", mend=f"correct {variable('anthropic_api_key')}")
    unknown = status == 404  # noqa: PLR2004 - Not Found
    mend = f"choose another {variable('agent_model')}"
    return Finding("model", not unknown, f"{settings.agent_model}{' is unknown' if unknown else ''}", mend)


async def _mail(settings: Settings) -> Finding:
    if settings.smtp_url is None:
        text = f"none: letters become files under {settings.data_dir / 'mail'}"
        return Finding("mail", works=not settings.production, text=text, mend=f"set {variable('smtp_url')}")
    parts = urlsplit(settings.smtp_url)
    port = parts.port or (465 if parts.scheme == "smtps" else 587)
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=parts.scheme == "smtps" or None)
    except (OSError, TimeoutError):
        mend = f"correct {variable('smtp_url')}, or let the service out through the firewall"
        return Finding("mail", works=False, text="the server cannot be reached", mend=mend)
    writer.close()
    return Finding("mail", works=True, text="the server can be reached")
