"""Migrates a database to the current schema, in one transaction. Migrations sort by name.

An empty database gets the tables as the metadata has them; the migrations after the first are for those of earlier
releases.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from ...actors.foundation import log
from ..engine import reach
from ..engine.pool import SYSTEM_ROLE, plain_url

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS: Final = Path(__file__).parent
FIRST: Final = "0007"
"""The migration that makes all tables."""
LIMITS: Final = {"lock_timeout": "5s", "statement_timeout": "60s", "application_name": "voyagent migrate"}
"""A migration that cannot get its lock fails, instead of blocking the running service."""
ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.migrate', 0))"

_log = log.get(__name__)


class MissingRole(Exception):
    """The role for system work is missing or misconfigured: an administrator has to fix it."""

    def __init__(self, app_role: str) -> None:
        name = (
            app_role if app_role.isidentifier() and app_role.islower() else '"{}"'.format(app_role.replace('"', '""'))
        )
        super().__init__(
            f"Role {SYSTEM_ROLE} is missing, or {app_role} has it in the wrong way. As an administrator run:\n"
            f"CREATE ROLE {SYSTEM_ROLE} NOLOGIN;\n"
            f"GRANT {SYSTEM_ROLE} TO {name} WITH INHERIT FALSE, SET TRUE;"
        )


class Unreachable(Exception):
    """The database does not answer, perhaps temporarily; the text contains neither address nor password."""


class NotAdmitted(Exception):
    """The database refuses the connection: the URL or the server's configuration is wrong."""


TROUBLES: Final = (MissingRole, Unreachable, NotAdmitted, reach.TooOld)
"""Failures that prevent migrations, each with a message for operators."""


async def upgrade(owner_url: str, app_url: str | None = None) -> None:
    """Run the migrations that are due, as the owner of the tables; ``app_url`` is the service's, if it is another role.

    Raises ``Unreachable``, ``NotAdmitted``, ``reach.TooOld``, or ``MissingRole`` before anything is changed.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        async_creator=lambda: _connect(owner_url),
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text(ONE_AT_A_TIME))
            app_role = reach.role_of(app_url) if app_url else None
            await _check_role(connection, app_role)
            await connection.run_sync(_run)
            if app_role is not None:
                await _grant(connection, app_role)
    finally:
        await engine.dispose()


async def _connect(url: str) -> asyncpg.Connection:
    try:
        connection = await asyncpg.connect(plain_url(url), server_settings=LIMITS, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        told = reach.sentence(error, url)
        raise (Unreachable if reach.may_pass(error) else NotAdmitted)(told) from error
    try:
        reach.require_version(connection)
    except reach.TooOld:
        await connection.close()
        raise
    return connection


def _run(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if MigrationContext.configure(connection).get_current_revision() is None:
        command.upgrade(config, FIRST)
        command.stamp(config, "head")
    command.upgrade(config, "head")


ROLE_IS_RIGHT: Final = """
SELECT who, EXISTS (SELECT FROM pg_roles r WHERE r.rolname = :system
                       AND pg_has_role(who, r.oid, 'MEMBER') AND NOT pg_has_role(who, r.oid, 'USAGE')) AS is_right
  FROM (SELECT coalesce(cast(:app_role AS name), current_user) AS who) AS one
"""


async def _check_role(connection: AsyncConnection, app_role: str | None) -> None:
    row = (await connection.execute(text(ROLE_IS_RIGHT), {"system": SYSTEM_ROLE, "app_role": app_role})).one()
    if not row.is_right:
        raise MissingRole(row.who)


GRANTS: Final = """
SELECT format('GRANT %s ON %I TO %I', string_agg(privilege_type, ', '), table_name, cast(:app_role AS text))
  FROM information_schema.role_table_grants
 WHERE grantee = :system AND table_schema = current_schema() AND cast(:app_role AS name) <> current_user
 GROUP BY table_name
"""


async def _grant(connection: AsyncConnection, app_role: str) -> None:
    """A service that does not own the tables may do with them what the system role may, row by row as policies say."""
    rows = await connection.execute(text(GRANTS), {"system": SYSTEM_ROLE, "app_role": app_role})
    for (grant,) in rows.all():
        await connection.exec_driver_sql(grant)
