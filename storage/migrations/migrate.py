"""Migrates a database to the current schema, in one transaction. Migrations sort by name."""

from __future__ import annotations

from typing import Final

import asyncpg

from ..engine import reach
from ..engine.checks import newest_migration
from ..engine.connection import Connection
from ..engine.pool import SYSTEM_ROLE, plain_url

LIMITS: Final = {"lock_timeout": "5s", "statement_timeout": "60s", "application_name": "voyagent migrate"}
"""A migration that cannot get its lock fails, instead of blocking the running service."""
ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.migrate', 0))"


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
    """The database refuses the connection or what is asked of it: the URL or the server's configuration is wrong."""


TROUBLES: Final = (MissingRole, Unreachable, NotAdmitted, reach.TooOld)
"""Failures that prevent migrations, each with a message for operators."""


async def upgrade(owner_url: str, app_url: str | None = None) -> None:
    """Run the migrations that are due, as the owner of the tables; ``app_url`` is the service's, if it is another role.

    Raises ``Unreachable``, ``NotAdmitted``, ``reach.TooOld``, or ``MissingRole`` before anything is changed.
    """
    app_role = reach.role_of(app_url) if app_url else None
    db = await _connect(owner_url)
    try:
        await _check_role(db, app_role)
        if await _is_due(db):
            from .revisions import run  # noqa: PLC0415 -- Alembic takes 17 MB that most starts have no use for

            await run(lambda: _connect(owner_url), ONE_AT_A_TIME)
        if app_role is not None:
            await _grant(db, app_role)
    except reach.FAILURES as error:
        raise told(error, owner_url, db) from error
    finally:
        await db.close()


async def is_due(owner_url: str) -> bool:
    """Whether ``upgrade`` would change the tables. Raises as it does."""
    db = await _connect(owner_url)
    try:
        return await _is_due(db)
    except reach.FAILURES as error:
        raise told(error, owner_url, db) from error
    finally:
        await db.close()


async def _is_due(db: asyncpg.Connection) -> bool:
    """Whether the tables are missing or of an earlier release. Those of a later one are left to it."""
    if not await db.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
        return True
    return bool(await db.fetchval("SELECT version_num FROM alembic_version") < newest_migration())


async def _connect(url: str) -> asyncpg.Connection:
    try:
        connection = await asyncpg.connect(
            plain_url(url), connection_class=Connection, server_settings=LIMITS, timeout=10
        )
    except reach.FAILURES as error:
        raise told(error, url) from error
    try:
        reach.require_version(connection)
    except reach.TooOld:
        await connection.close()
        raise
    return connection


def told(error: BaseException, url: str, db: asyncpg.Connection | None = None) -> Unreachable | NotAdmitted:
    """What has gone wrong with the database at ``url``, on its connection ``db`` if there was one already."""
    return (Unreachable if reach.may_pass(error, db) else NotAdmitted)(reach.sentence(error, url, db))


ROLE_IS_RIGHT: Final = """
SELECT who, EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'voyagent_system'
                       AND pg_has_role(who, r.oid, 'MEMBER') AND NOT pg_has_role(who, r.oid, 'USAGE')) AS is_right
  FROM (SELECT coalesce($1::name, current_user) AS who) AS one
"""


async def _check_role(db: asyncpg.Connection, app_role: str | None) -> None:
    row = await db.fetchrow(ROLE_IS_RIGHT, app_role)
    assert row is not None
    if not row["is_right"]:
        raise MissingRole(row["who"])


GRANTS: Final = """
SELECT format('GRANT %s ON %I TO %I', string_agg(privilege_type, ', '), table_name, $1::text)
  FROM information_schema.role_table_grants
 WHERE grantee = 'voyagent_system' AND table_schema = current_schema() AND $1::name <> current_user
 GROUP BY table_name
"""


async def _grant(db: asyncpg.Connection, app_role: str) -> None:
    """A service that does not own the tables may do with them what the system role may, row by row as policies say."""
    async with db.transaction():
        await db.execute(ONE_AT_A_TIME)
        for row in await db.fetch(GRANTS, app_role):
            await db.execute(row[0])
