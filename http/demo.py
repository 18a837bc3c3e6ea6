"""The demo agency: its people made by messages, its work through a service on the same database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from ..actors.agent.rehearsed.server import KEY, Rehearsal
from ..actors.domain.errors import Conflict
from ..actors.foundation.config import ConfigurationError, Settings, variable
from ..actors.seed import Demo, seed
from ..actors.seed_work import SeedError, work
from .service import Service


@dataclass(frozen=True, slots=True)
class MadeDemo:
    """The demo's people and, if they have worked, the conversation with the fullest itinerary."""

    people: Demo
    trip: str | None


def check(settings: Settings, *, in_production: bool) -> None:
    """Refuse a production that was not asked for by name. Raises ConfigurationError."""
    if settings.production and not in_production:
        raise ConfigurationError(["seed: refused in production; with --in-production the people are created there"])


async def make(
    settings: Settings, *, people_only: bool = False, created: Callable[[Demo], None] = lambda _: None
) -> MadeDemo | None:
    """Create the demo agency; None, and nothing is changed, if it exists. Raises ``SeedError``.

    The service it works through is found before anything is changed; ``created`` is called with the people before they
    work, as their password is known here only.

    In production its people do not work: a running service would have the real model and suppliers book for them, and
    one of our own would go on with the other agencies' interrupted turns by the rehearsal model.
    """
    settings = settings.model_copy(update={"auth_skip_email_verification": True})
    if people_only or settings.production:
        people = await _people(settings, created)
        return None if people is None else MadeDemo(people, trip=None)
    async with _working(settings) as url:
        if url is not None:
            await _answers(url)
        people = await _people(settings, created)
        if people is None:
            return None
        trip = None if url is None else await work(url, dict(people.people), people.password, datetime.now(UTC).date())
    return MadeDemo(people, trip)


async def _people(settings: Settings, created: Callable[[Demo], None]) -> Demo | None:
    try:
        people = await seed(settings)
    except Conflict as conflict:
        if conflict.code != "email_already_registered":
            raise
        return None
    created(people)
    return people


async def _answers(url: str) -> None:
    """Raises ``SeedError`` if no service answers there."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as response:
            response.raise_for_status()
    except aiohttp.ClientError as error:
        raise SeedError(
            f"Another process serves this database, but not at {url}: set {variable('port')} to its port. "
            "Nothing was changed."
        ) from error


@asynccontextmanager
async def _working(settings: Settings) -> AsyncIterator[str | None]:
    """Where a service on this database listens: one of our own with the rehearsal model, else the one that runs.

    None if another process serves the database and the settings do not say at which port.
    """
    rehearsal = Rehearsal(delay=0.0)
    try:
        url = await rehearsal.start()
        model = {"anthropic_api_key": KEY, "anthropic_base_url": url}
        own = settings.model_copy(update={**model, "host": "127.0.0.1", "port": 0, "suppliers": ("house",)})
        async with Service(own) as service:
            if service.system.ownership.serves:
                yield service.url
                return
    finally:
        await rehearsal.stop()
    yield f"http://{settings.host}:{settings.port}" if settings.port else None
