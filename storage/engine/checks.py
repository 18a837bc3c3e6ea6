"""Checks that a database is one to serve from: its roles, its row-level security, its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .connection import Connection

RLS_APPLIES: Final = "SELECT NOT (rolsuper OR rolbypassrls) FROM pg_roles WHERE rolname = current_user"
SYSTEM_ROLE_SEPARATE: Final = """
SELECT NOT pg_has_role(oid, 'USAGE') AND pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = 'voyagent_system'
"""
RLS_FORCED: Final = """
SELECT NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
     WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
       AND NOT (c.relrowsecurity AND c.relforcerowsecurity))
"""
WRITABLE: Final = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"
"""False on a standby or with a full disk, while reads still work."""
OWNS_NOTHING: Final = """
SELECT NOT EXISTS (SELECT FROM pg_class WHERE relkind IN ('r', 'p')
                      AND relnamespace = current_schema()::regnamespace AND pg_has_role(relowner, 'MEMBER'))
   AND NOT EXISTS (SELECT FROM pg_database WHERE datname = current_database() AND pg_has_role(datdba, 'MEMBER'))
"""
OWNER: Final = (
    "The service's role owns the tables or the database, or may become the role that does: it could switch off "
    "row-level security and change the audit trail. Give the service a role that owns nothing (deploy/roles.sql)."
)
"""An owner is held by row-level security only as long as it wants to be."""
CHECKS: Final = (
    (RLS_APPLIES, "The service connects as a role that row-level security does not bind."),
    (
        SYSTEM_ROLE_SEPARATE,
        "Role voyagent_system is missing, or granted without INHERIT FALSE: agencies would see each other's rows.",
    ),
    ("SELECT to_regclass('alembic_version') IS NOT NULL", "The tables are missing: run the migrations."),
    (RLS_FORCED, "A table of the agencies is without forced row-level security."),
)


async def faults(db: Connection, *, as_owner: bool = True) -> list[str]:
    """Faults of the database of ``db``, each in a sentence for operators; ``as_owner``: its role may own the tables."""
    await db.serve("")
    asked = CHECKS if as_owner else (*CHECKS, (OWNS_NOTHING, OWNER))
    found = [fault for sql, fault in asked if not await db.fetchval(sql)]
    if found:
        return found
    if await db.fetchval("SELECT version_num FROM alembic_version") < newest_migration():
        return ["The tables are older than this release: run the migrations."]
    if await db.fetchval("SELECT EXISTS (SELECT FROM tenants)"):
        return ["A connection that serves no agency sees rows."]
    return []


def newest_migration() -> str:
    """The number of the last one this release brings; they sort by name."""
    return max(path.name.partition("_")[0] for path in (Path(__file__).parents[1] / "migrations/versions").glob("*.py"))
