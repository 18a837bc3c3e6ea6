"""An office on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.evaluation.office import Office, office
from tests.evaluation.run import settings_of
from tests.rehearsal import Rehearsal
from voyagent.actors.agent.rehearsed.server import KEY


@pytest.fixture
async def model() -> AsyncIterator[Rehearsal]:
    """The model: the rehearsal's script, unless a test queues other answers."""
    player = Rehearsal(delay=0.0)
    await player.start()
    yield player
    await player.stop()


@pytest.fixture
async def running(database: Any, redis_url: str, model: Rehearsal, tmp_path: Any) -> AsyncIterator[Office]:
    """The service with that model."""
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": model.url}
    settings = settings_of(environ, db_url=database.url, redis_url=redis_url, data_dir=str(tmp_path))
    async with office(settings, database.admin_url) as opened:
        yield opened
