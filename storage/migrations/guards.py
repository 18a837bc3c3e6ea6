"""What every new table needs besides its columns, as statements for migrations.

A migration that needs other guards writes its own: what has run somewhere must not change here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

SYSTEM_ROLE = "voyagent_system"
TENANT = "nullif(current_setting('voyagent.tenant_id', true), '')::uuid"
"""The agency a connection serves; unset it equals nothing, so no row is seen."""


def protect(table: str, key: str = "tenant_id") -> Iterator[str]:
    """Row-level security, for the owner too: an agency sees its rows, the system role all, anybody else none."""
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    yield f"CREATE POLICY tenant ON {table} USING ({key} = {TENANT})"
    yield f"CREATE POLICY system ON {table} TO {SYSTEM_ROLE} USING (true)"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {SYSTEM_ROLE}"


def append_only(table: str) -> Iterator[str]:
    """Make ``table`` append-only, by grant and by trigger."""
    for role in ("CURRENT_USER", SYSTEM_ROLE):
        yield f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}"
    yield (
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION voyagent_append_only()"
    )


def touched(table: str, columns: Sequence[str] = ()) -> Iterator[str]:
    """Keep ``updated_at``. ``columns`` are those to compare where some are generated: a trigger cannot read these."""
    old, new = (
        f"ROW({', '.join(f'{row}.{column}' for column in columns)})" if columns else row for row in ("OLD", "NEW")
    )
    yield f"CREATE TRIGGER born BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION voyagent_touch()"
    yield (
        f"CREATE TRIGGER touched BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({old} IS DISTINCT FROM {new})"
        " EXECUTE FUNCTION voyagent_touch()"
    )
