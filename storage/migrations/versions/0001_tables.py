"""Agencies, users, audit, conversations, tool calls and bookings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alembic import op

from voyagent.storage.migrations.guards import SYSTEM_ROLE, append_only, protect, touched

revision = "0001"
down_revision = None

TIMED = (
    "tenants",
    "users",
    "auth_families",
    "auth_refresh_tokens",
    "revoked_access_tokens",
    "one_time_tokens",
    "recovery_codes",
    "invites",
    "api_keys",
    "tenant_settings",
    "outbox",
    "sessions",
    "tool_calls",
    "bookings",
    "tickets",
    "house_orders",
    "tenant_credentials",
)
"""With ``updated_at``, besides ``passengers``."""

UNTIMED = (
    "idempotency_keys",
    "audit_events",
    "audit_heads",
    "turns",
    "messages",
    "session_events",
    "pending_approvals",
    "model_calls",
    "offers",
    "booking_passengers",
)

PASSENGER = (
    "full_name",
    "given_name",
    "family_name",
    "title",
    "type",
    "gender",
    "email",
    "phone",
    "date_of_birth",
    "nationality",
    "passport_sealed",
    "passport_key_id",
    "passport_index",
    "passport_expiry",
)

TOUCH = """
CREATE FUNCTION voyagent_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.updated_at := coalesce(NEW.updated_at, NEW.created_at);
    ELSE
        NEW.updated_at := greatest(now(), OLD.updated_at + interval '1 microsecond');
    END IF;
    RETURN NEW;
END $$
"""

APPEND_ONLY = """
CREATE FUNCTION voyagent_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""

FORWARD = """
CREATE FUNCTION voyagent_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant_id <> OLD.tenant_id OR NEW.seq <= OLD.seq THEN
        RAISE EXCEPTION '% only goes forward', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Make them, with their guards."""
    for statement in _statements():
        op.execute(statement)


def downgrade() -> None:
    """Irreversible: this is the first migration."""
    raise RuntimeError("The first tables are not taken away: restore a backup.")


def _statements() -> Iterator[str]:
    yield from (TOUCH, APPEND_ONLY, FORWARD)
    yield from filter(str.strip, Path(__file__).with_suffix(".sql").read_text("utf-8").split(";\n"))
    for table in (*TIMED, "passengers", *UNTIMED):
        yield from protect(table, "id" if table == "tenants" else "tenant_id")
    for table in TIMED:
        yield from touched(table)
    yield from touched("passengers", PASSENGER)
    yield from append_only("audit_events")
    yield from _forward_only("audit_heads")
    yield f"GRANT SELECT ON alembic_version TO {SYSTEM_ROLE}"


def _forward_only(table: str) -> Iterator[str]:
    """The head of a chain moves forward and is never deleted."""
    for role in ("CURRENT_USER", SYSTEM_ROLE):
        yield f"REVOKE DELETE, TRUNCATE ON {table} FROM {role}"
    yield f"CREATE TRIGGER forward BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION voyagent_forward()"
    yield (
        f"CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION voyagent_append_only()"
    )
