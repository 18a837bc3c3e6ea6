"""Runs the migrations with Alembic, on a connection that SQLAlchemy is given.

An empty database gets the tables as the metadata has them; the migrations after the first are for those of earlier
releases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from sqlalchemy import Connection

FOLDER: Final = Path(__file__).parent
FIRST: Final = "0007"
"""The migration that makes all tables."""


async def run(connect: Callable[[], Awaitable[asyncpg.Connection]], lock: str) -> None:
    """Run what is due in one transaction, which begins with the statement ``lock``. Raises what the driver does."""
    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=connect)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(lock))
            await connection.run_sync(_run)
    except DBAPIError as error:
        raise (error.orig and error.orig.__cause__) or error from error
    finally:
        await engine.dispose()


def _run(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    if MigrationContext.configure(connection).get_current_revision() is None:
        command.upgrade(config, FIRST)
        command.stamp(config, "head")
    command.upgrade(config, "head")
