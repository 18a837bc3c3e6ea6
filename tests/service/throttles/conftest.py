"""The whole service with throttling on, callers in many networks, a clock to move."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest

from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.manual_clock import ManualClock
    from tests.service.conftest import Make
from tests.service.throttles.attempts import ON, Harness


@pytest.fixture
def desks(settings_for: Make, database: Any, clock: ManualClock) -> Callable[..., Any]:
    """A service with these settings besides the guard's."""

    @asynccontextmanager
    async def serve(**changes: str) -> AsyncIterator[Harness]:
        db = await asyncpg.connect(database.admin_url)
        settings = settings_for(**{**ON, **changes})
        async with Service(settings, clock) as service, aiohttp.ClientSession(service.url) as http:
            yield Harness(http, clock, db)
        await db.close()

    return serve


@pytest.fixture
async def harness(desks: Callable[..., Any]) -> AsyncIterator[Harness]:
    async with desks() as opened:
        assert (await opened.sign_up()).status == 201
        yield opened
