"""An application with a database, and one without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Database
from tests.http.handlers.served import Harness, harness


@pytest.fixture
async def front(database: Database) -> AsyncIterator[Harness]:
    async with harness(database) as opened:
        yield opened


@pytest.fixture
async def unstored() -> AsyncIterator[Harness]:
    """A service without a database."""
    async with harness(None) as opened:
        yield opened
