"""Every table, once: columns, keys, checks and indexes. Row-level security and triggers are the migrations' part.

The rules they share. An ``id`` is unique everywhere; a table others point at carries ``(tenant_id, id)`` as well,
because foreign keys ignore row-level security: only a composite one cannot reach into another agency. Indexes begin
with ``tenant_id``, save those that system work needs. A state is text with a check, never an enum, and a normalised
value has a column of its own, since only leakproof comparisons use an index under row-level security. Times come from
the caller; ``updated_at`` is kept by a trigger, from ``created_at`` on.

Constraints are named ``<kind>_<table>_<columns without tenant_id>``, so that ``errors`` can translate them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.sql.schema import ColumnCollectionConstraint


def _about(constraint: ColumnCollectionConstraint | Index, _table: Table) -> str:
    """The columns a constraint or index is about; that it is per agency goes without saying."""
    names = [column.name for column in constraint.columns]
    return "_".join([name for name in names if name != "tenant_id"] or names)


metadata = MetaData(
    naming_convention={
        "about": _about,
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(about)s",
        "fk": "fk_%(table_name)s_%(about)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(about)s",
    }
)

Bytes = LargeBinary()
Json = JSONB()
Money = Numeric(18, 4)
Time = DateTime(timezone=True)
Uuid = UUID(as_uuid=False)


def _col(name: str, kind: Any, *more: Any, default: str | None = None) -> Column[Any]:
    return Column(name, kind, *more, nullable=False, server_default=None if default is None else text(default))


def _maybe(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _tenant() -> Column[Any]:
    return _col("tenant_id", Uuid, ForeignKey("tenants.id"))


def _created() -> Column[Any]:
    return _col("created_at", Time)


def _times() -> tuple[Column[Any], Column[Any]]:
    return _created(), _col("updated_at", Time)


def _owned(*, target: bool = False) -> tuple[Any, ...]:
    """``id`` and ``tenant_id``; with ``target`` other tables may point here."""
    own = (_col("id", Uuid), _tenant(), PrimaryKeyConstraint("id"))
    return (*own, UniqueConstraint("tenant_id", "id")) if target else own


def _to(
    table: str, column: str, on_delete: Literal["CASCADE", "RESTRICT", "SET NULL"] | None = None
) -> ForeignKeyConstraint:
    """A reference within the agency. SET NULL names its column: a plain one would null the tenant too."""
    action = f"SET NULL ({column})" if on_delete == "SET NULL" else on_delete
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=action)


def _one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _currency(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} ~ '^[A-Z]{{3}}$'", name=column)


def _where(name: str, *columns: str, only: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, postgresql_where=text(only))


ROLES = ("agency_admin", "ticketing_lead", "accounting_lead", "agent", "viewer")

tenants = Table(
    "tenants",
    metadata,
    _col("id", Uuid),
    _col("display_name", Text),
    _col("default_currency", CHAR(3), default="'INR'"),
    _col("is_active", Boolean, default="true"),
    *_times(),
    PrimaryKeyConstraint("id"),
    Index(None, "display_name"),
    _currency("default_currency"),
)

users = Table(
    "users",
    metadata,
    *_owned(target=True),
    _maybe("external_id", Text),
    _maybe("display_name", Text),
    _col("email", Text),
    _col("role", Text, default="'agent'"),
    _col("is_active", Boolean, default="true"),
    _maybe("password_hash", Text),
    _maybe("password_changed_at", Time),
    _col("email_verified", Boolean, default="false"),
    _maybe("email_changed_at", Time),
    _maybe("former_email", Text),
    _maybe("unverified_since", Time),
    _maybe("released_at", Time),
    _col("token_version", Integer, default="0"),
    _maybe("token_version_at", Time),
    _maybe("totp_sealed", Bytes),
    _maybe("totp_pending_sealed", Bytes),
    _maybe("totp_enabled_at", Time),
    _maybe("totp_last_step", BigInteger),
    _maybe("last_login_at", Time),
    *_times(),
    Index(None, "tenant_id", "external_id"),
    Index(None, "tenant_id", "created_at", "id"),
    _where("uq_users_email", "email", only="released_at IS NULL", unique=True),
    _where("ix_users_id_unproven", "id", only="NOT email_verified AND released_at IS NULL"),
    _one_of("role", ROLES),
)

auth_families = Table(
    "auth_families",
    metadata,
    *_owned(target=True),
    _col("user_id", Uuid),
    _col("counter", Integer, default="0"),
    _maybe("rotated_at", Time),
    _col("last_used_at", Time),
    _col("expires_at", Time),
    _col("ends_at", Time),
    _maybe("revoked_at", Time),
    _maybe("revoked_why", Text),
    _maybe("user_agent", Text),
    _maybe("ip", Text),
    _maybe("network", Text),
    *_times(),
    _to("users", "user_id"),
    Index(None, "tenant_id", "user_id", "network"),
    _where("ix_auth_families_user_id_live", "tenant_id", "user_id", only="revoked_at IS NULL"),
    _where("ix_auth_families_revoked_at", "revoked_at", only="revoked_at IS NOT NULL"),
    Index(None, "expires_at"),
)

auth_refresh_tokens = Table(
    "auth_refresh_tokens",
    metadata,
    *_owned(),
    _col("family_id", Uuid),
    _col("counter", Integer),
    _col("token_hash", Bytes),
    _col("key_id", Text),
    *_times(),
    _to("auth_families", "family_id", "CASCADE"),
    UniqueConstraint("token_hash"),
    UniqueConstraint("tenant_id", "family_id", "counter"),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
)

revoked_access_tokens = Table(
    "revoked_access_tokens",
    metadata,
    _col("jti", Text),
    _tenant(),
    _col("user_id", Uuid),
    _col("expires_at", Time),
    *_times(),
    PrimaryKeyConstraint("jti"),
    _to("users", "user_id"),
    Index(None, "tenant_id", "user_id"),
    Index(None, "expires_at"),
)

one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    *_owned(),
    _col("user_id", Uuid),
    _col("kind", Text),
    _col("token_hash", Bytes),
    _col("email", Text),
    _col("expires_at", Time),
    _maybe("used_at", Time),
    *_times(),
    _to("users", "user_id"),
    UniqueConstraint("token_hash"),
    Index(None, "tenant_id", "user_id", "kind"),
    Index(None, "expires_at"),
    _where("ix_one_time_tokens_email_kept", "email", only="kind IN ('undo', 'undo_reset') AND used_at IS NULL"),
    _where("uq_one_time_tokens_reset", "tenant_id", "user_id", only="kind = 'reset' AND used_at IS NULL", unique=True),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    *_owned(),
    _col("user_id", Uuid),
    _col("code_mac", Bytes),
    _col("key_id", Text),
    _maybe("used_at", Time),
    *_times(),
    _to("users", "user_id"),
    UniqueConstraint("tenant_id", "user_id", "code_mac"),
)

invites = Table(
    "invites",
    metadata,
    *_owned(),
    _col("invited_by_user_id", Uuid),
    _col("inviter_email", Text),
    _col("email", Text),
    _col("role", Text, default="'agent'"),
    _col("token_hash", Bytes),
    _col("letter_token_hash", Bytes),
    _col("status", Text, default="'pending'"),
    _col("expires_at", Time),
    _maybe("accepted_at", Time),
    _maybe("accepted_user_id", Uuid),
    _maybe("revoked_at", Time),
    *_times(),
    _to("users", "invited_by_user_id"),
    _to("users", "accepted_user_id"),
    UniqueConstraint("token_hash"),
    UniqueConstraint("letter_token_hash"),
    _where("uq_invites_email_pending", "tenant_id", "email", only="status = 'pending'", unique=True),
    Index(None, "tenant_id", "status"),
    Index(None, "tenant_id", "created_at", "id"),
    _one_of("role", ROLES),
    _one_of("status", ("pending", "accepted", "revoked", "expired")),
)

api_keys = Table(
    "api_keys",
    metadata,
    *_owned(target=True),
    _col("created_by_user_id", Uuid),
    _col("name", Text),
    _col("prefix", CHAR(8)),
    _col("key_hash", Bytes),
    _col("scopes", ARRAY(Text), default="'{full}'"),
    _maybe("expires_at", Time),
    _maybe("revoked_at", Time),
    _maybe("last_used_at", Time),
    *_times(),
    _to("users", "created_by_user_id"),
    UniqueConstraint("key_hash"),
    Index(None, "tenant_id", "revoked_at"),
    Index(None, "tenant_id", "created_by_user_id"),
)

tenant_settings = Table(
    "tenant_settings",
    metadata,
    _tenant(),
    _maybe("model", Text),
    _maybe("system_prompt_suffix", Text),
    _col("rate_limit_per_minute", Integer, default="60"),
    _col("rate_limit_per_hour", Integer, default="1000"),
    _maybe("daily_token_budget", BigInteger),
    _col("locale", Text, default="'en'"),
    _col("timezone", Text, default="'UTC'"),
    _col("default_currency", CHAR(3), default="'INR'"),
    *_times(),
    PrimaryKeyConstraint("tenant_id"),
    CheckConstraint("rate_limit_per_minute > 0", name="rate_limit_per_minute"),
    CheckConstraint("rate_limit_per_hour >= rate_limit_per_minute", name="rate_limit_per_hour"),
    CheckConstraint("daily_token_budget > 0", name="daily_token_budget"),
    _currency("default_currency"),
)

outbox = Table(
    "outbox",
    metadata,
    _col("id", Uuid),
    Column("tenant_id", Uuid, ForeignKey("tenants.id")),
    _col("kind", Text),
    _col("recipient", Text),
    _maybe("payload_sealed", Bytes),
    _maybe("key_id", Text),
    _col("state", Text, default="'due'"),
    _col("due_at", Time),
    _col("attempts", Integer, default="0"),
    _maybe("sent_at", Time),
    _maybe("expires_at", Time),
    _col("message_id", Text),
    _maybe("cause", Text),
    *_times(),
    PrimaryKeyConstraint("id"),
    _where("ix_outbox_due_at", "due_at", only="sent_at IS NULL"),
    _where("ix_outbox_created_at_settled", "created_at", only="state <> 'due'"),
    Index(None, "tenant_id", "created_at"),
    Index(None, "recipient", "kind", "created_at"),
    _one_of("state", ("due", "held", "sent", "dropped", "dead")),
)

sealing_canaries = Table(
    "sealing_canaries",
    metadata,
    _col("key_id", Text),
    _col("sealed", Bytes),
    _created(),
    PrimaryKeyConstraint("key_id"),
)
"""A canary for each sealing key: keys that cannot open theirs belong to another database."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _tenant(),
    _col("user_id", Uuid),
    _col("route", Text),
    _col("key", Text),
    _col("body_hash", Bytes),
    _col("status", SmallInteger),
    _col("reply", Bytes),
    _col("headers", Json, default="'{}'"),
    _created(),
    _col("expires_at", Time),
    PrimaryKeyConstraint("tenant_id", "user_id", "route", "key"),
    _to("users", "user_id"),
    Index(None, "expires_at"),
    CheckConstraint("status BETWEEN 200 AND 299", name="status"),
)

audit_events = Table(
    "audit_events",
    metadata,
    *_owned(),
    _col("seq", BigInteger),
    _col("prev_hash", CHAR(64)),
    _col("hash", CHAR(64)),
    _col("hash_v", SmallInteger),
    _maybe("actor_id", Uuid),
    _col("actor_kind", Text),
    _col("kind", Text),
    _maybe("driver", Text),
    _col("inputs", Json),
    _col("outputs", Json),
    _col("entity_refs", Json),
    _maybe("error", Text),
    _col("approval_required", Boolean),
    _maybe("approved_by", Uuid),
    _maybe("approved_at", Time),
    _maybe("completed_at", Time),
    _col("status", Text),
    _created(),
    UniqueConstraint("tenant_id", "seq"),
    Index(None, "tenant_id", "kind", "seq"),
    Index(None, "tenant_id", "actor_id", "seq"),
    Index(None, "tenant_id", "created_at"),
    _one_of("actor_kind", ("human", "agent", "system")),
    _one_of("status", ("started", "succeeded", "failed", "rejected", "cancelled")),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    _tenant(),
    _col("seq", BigInteger),
    _col("hash", CHAR(64)),
    PrimaryKeyConstraint("tenant_id"),
)

sessions = Table(
    "sessions",
    metadata,
    *_owned(target=True),
    _col("actor_id", Uuid),
    _col("actor_kind", Text, default="'human'"),
    _maybe("title", Text),
    _col("pruned_through", BigInteger, default="0"),
    *_times(),
    Index(None, "tenant_id", "created_at", "id"),
    _one_of("actor_kind", ("human", "agent", "system")),
)

turns = Table(
    "turns",
    metadata,
    _col("id", Text),
    _tenant(),
    _col("session_id", Uuid),
    _col("user_id", Uuid),
    _col("state", Text),
    _col("text_hash", Bytes),
    _col("input", Json, default="'{}'"),
    _maybe("on_busy", Text),
    _maybe("desk", Text),
    _col("pass_no", Integer, default="1"),
    _maybe("first_event_id", BigInteger),
    _maybe("pass_event_id", BigInteger),
    _col("step", Json, default="'{}'"),
    _col("attempts", Integer, default="0"),
    _maybe("error", Text),
    _maybe("idempotency_key", Text),
    _maybe("delivered_at", Time),
    _col("queued_at", Time),
    _maybe("started_at", Time),
    _maybe("ended_at", Time),
    _col("ran_ms", BigInteger, default="0"),
    PrimaryKeyConstraint("tenant_id", "id"),
    _to("sessions", "session_id", "CASCADE"),
    _to("users", "user_id"),
    _where("uq_turns_running", "tenant_id", "session_id", only="state = 'running'", unique=True),
    _where(
        "ix_turns_unfinished",
        "tenant_id",
        "session_id",
        "state",
        only="state IN ('queued', 'running', 'waiting')",
    ),
    Index(None, "tenant_id", "session_id", "queued_at", "id"),
    Index(None, "tenant_id", "queued_at"),
    _one_of("state", ("queued", "running", "waiting", "completed", "failed", "cancelled")),
)

tool_calls = Table(
    "tool_calls",
    metadata,
    *_owned(target=True),
    _maybe("session_id", Uuid),
    _col("turn_id", Text),
    _col("call_id", Text),
    _col("tool", Text),
    _maybe("desk", Text),
    _col("input", Json),
    _maybe("input_sealed", Bytes),
    _col("input_hash", CHAR(64)),
    _maybe("bound", Json),
    _col("effect", Text),
    _col("state", Text, default="'proposed'"),
    _col("user_id", Uuid),
    _maybe("driver", Text),
    _maybe("output", Json),
    _maybe("error", Text),
    _maybe("approval_id", Text),
    _maybe("decided_by", Uuid),
    _maybe("decided_at", Time),
    _maybe("started_at", Time),
    _maybe("ended_at", Time),
    _col("position", Integer, default="0"),
    *_times(),
    _to("sessions", "session_id", "SET NULL"),
    _to("users", "user_id"),
    _to("users", "decided_by"),
    UniqueConstraint("tenant_id", "turn_id", "call_id"),
    UniqueConstraint("tenant_id", "approval_id"),
    Index(None, "tenant_id", "session_id"),
    _where("ix_tool_calls_unknown", "tenant_id", "started_at", only="state = 'unknown'"),
    _where("ix_tool_calls_unfinished", "tenant_id", "state", only="state IN ('proposed', 'approved', 'executing')"),
    _one_of("effect", ("read", "reversible", "irreversible")),
    _one_of("state", ("proposed", "approved", "executing", "succeeded", "failed", "unknown")),
)

messages = Table(
    "messages",
    metadata,
    *_owned(),
    _col("session_id", Uuid),
    _col("turn_id", Text),
    _maybe("user_id", Uuid),
    _col("sequence", Integer),
    _col("role", Text),
    _col("content", Json),
    _maybe("tool_call_id", Uuid),
    _created(),
    _to("sessions", "session_id", "CASCADE"),
    _to("turns", "turn_id", "CASCADE"),
    _to("users", "user_id"),
    _to("tool_calls", "tool_call_id"),
    UniqueConstraint("tenant_id", "session_id", "sequence"),
    UniqueConstraint("tenant_id", "tool_call_id"),
    Index(None, "tenant_id", "turn_id"),
    _one_of("role", ("user", "assistant", "tool")),
)

session_events = Table(
    "session_events",
    metadata,
    _col("tenant_id", Uuid),  # its session is the agency's; a second check of that costs each event a third more
    _col("session_id", Uuid),
    _col("seq", BigInteger),
    _col("turn_id", Text),
    _col("kind", Text),
    _col("frame", Text),
    _created(),
    PrimaryKeyConstraint("session_id", "seq"),
    _to("sessions", "session_id", "CASCADE"),
    Index(None, "kind", "created_at"),
    CheckConstraint("seq > 0", name="seq"),
)

pending_approvals = Table(
    "pending_approvals",
    metadata,
    _col("id", Text),
    _tenant(),
    _col("session_id", Uuid),
    _col("turn_id", Text),
    _col("tool_call_id", Uuid),
    _col("tool_name", Text),
    _col("summary", Text),
    _col("payload", Json),
    _maybe("bound", Json),
    _col("input_hash", CHAR(64)),
    _col("approver_roles", ARRAY(Text)),
    _col("requested_at", Time),
    _maybe("expires_at", Time),
    _col("status", Text, default="'pending'"),
    _maybe("resolved_at", Time),
    _maybe("resolved_by_user_id", Uuid),
    _maybe("reason", Text),
    PrimaryKeyConstraint("tenant_id", "id"),
    _to("sessions", "session_id", "CASCADE"),
    _to("turns", "turn_id", "CASCADE"),
    _to("tool_calls", "tool_call_id"),
    _to("users", "resolved_by_user_id"),
    UniqueConstraint("tenant_id", "tool_call_id"),
    Index(None, "tenant_id", "status", "expires_at"),
    Index(None, "tenant_id", "requested_at", "id"),
    Index(None, "tenant_id", "session_id", "requested_at"),
    Index(None, "tenant_id", "turn_id"),
    _where("ix_pending_approvals_due", "expires_at", "tenant_id", only="status = 'pending'"),
    _one_of("status", ("pending", "granted", "rejected", "expired")),
    CheckConstraint("char_length(id) <= 128", name="id"),
    CheckConstraint("char_length(summary) <= 1024", name="summary"),
)

model_calls = Table(
    "model_calls",
    metadata,
    *_owned(),
    _maybe("session_id", Uuid),
    _col("turn_id", Text),
    _col("pass_no", Integer, default="1"),
    _maybe("desk", Text),
    _col("model", Text),
    _col("state", Text, default="'started'"),
    _col("outcome", Text),
    _col("estimate", BigInteger, default="0"),
    _col("input_tokens", BigInteger, default="0"),
    _col("output_tokens", BigInteger, default="0"),
    _col("cache_read_tokens", BigInteger, default="0"),
    _col("cache_write_tokens", BigInteger, default="0"),
    _maybe("cost_usd", Numeric(14, 8)),
    _col("duration_ms", BigInteger, default="0"),
    _created(),
    _to("sessions", "session_id", "SET NULL"),
    Index(None, "tenant_id", "created_at", "model"),
    Index(None, "tenant_id", "session_id"),
    _where("ix_model_calls_started", "tenant_id", "created_at", only="state = 'started'"),
    _one_of("state", ("started", "settled")),
)

passengers = Table(
    "passengers",
    metadata,
    *_owned(target=True),
    _col("full_name", Text),
    _col("name_key", Text, Computed("lower(full_name)", persisted=True)),
    _col("match_key", Text, default="''"),
    _maybe("given_name", Text),
    _maybe("family_name", Text),
    _maybe("title", Text),
    _col("type", Text, default="'adult'"),
    _maybe("gender", Text),
    _maybe("email", Text),
    Column("email_key", Text, Computed("lower(email)", persisted=True)),
    _maybe("phone", Text),
    _maybe("date_of_birth", Date),
    _maybe("nationality", CHAR(2)),
    _maybe("passport_sealed", Bytes),
    _maybe("passport_key_id", Text),
    _maybe("passport_index", Bytes),
    _maybe("passport_expiry", Date),
    *_times(),
    UniqueConstraint("tenant_id", "email_key", "name_key"),
    UniqueConstraint("tenant_id", "passport_index"),
    Index(None, "tenant_id", "name_key"),
    Index(None, "tenant_id", "email_key", "match_key"),
)

offers = Table(
    "offers",
    metadata,
    _col("id", Text),
    _tenant(),
    _maybe("session_id", Uuid),
    _col("kind", Text),
    _col("supplier", Text),
    _col("supplier_ref", Text),
    _col("price", Money),
    _col("currency", CHAR(3)),
    _col("expires_at", Time),
    _col("data", Json),
    _created(),
    PrimaryKeyConstraint("tenant_id", "id"),
    _to("sessions", "session_id", "SET NULL"),
    Index(None, "tenant_id", "session_id"),
    _one_of("kind", ("flight", "hotel")),
    _currency("currency"),
)

bookings = Table(
    "bookings",
    metadata,
    *_owned(target=True),
    _maybe("session_id", Uuid),
    _maybe("enquiry_id", Uuid),
    _col("kind", Text),
    _col("supplier", Text),
    _col("supplier_ref", Text),
    _maybe("locator", Text),
    _col("status", Text),
    _maybe("offer_id", Text),
    _col("cost", Money),
    _col("currency", CHAR(3)),
    _maybe("hold_expires_at", Time),
    _maybe("refund", Money),
    _maybe("refund_currency", CHAR(3)),
    _col("data", Json, default="'{}'"),
    _col("tool_call_id", Uuid),
    *_times(),
    _to("sessions", "session_id", "SET NULL"),
    _to("tool_calls", "tool_call_id"),
    UniqueConstraint("tenant_id", "tool_call_id"),
    Index(None, "tenant_id", "session_id"),
    Index(None, "tenant_id", "locator"),
    Index(None, "tenant_id", "created_at", "id"),
    _where("ix_bookings_hold_expires_at", "status", "hold_expires_at", only="hold_expires_at IS NOT NULL"),
    _one_of("kind", ("flight", "hotel")),
    _one_of(
        "status",
        ("tentative", "confirmed", "ticketed", "schedule_change", "cancelled", "failed", "pending", "requested"),
    ),
    _currency("currency"),
    CheckConstraint("(refund IS NULL) = (refund_currency IS NULL)", name="refund"),
)

booking_passengers = Table(
    "booking_passengers",
    metadata,
    _tenant(),
    _col("booking_id", Uuid),
    _col("passenger_id", Uuid),
    _col("position", Integer),
    _created(),
    PrimaryKeyConstraint("tenant_id", "booking_id", "passenger_id"),
    _to("bookings", "booking_id", "CASCADE"),
    _to("passengers", "passenger_id"),
    Index(None, "tenant_id", "passenger_id"),
)

tickets = Table(
    "tickets",
    metadata,
    *_owned(),
    _col("booking_id", Uuid),
    _col("passenger_id", Uuid),
    _col("number", Text),
    _col("status", Text, default="'open'"),
    _col("issued_at", Time),
    _maybe("base", Money),
    _maybe("taxes", Money),
    _col("total", Money),
    _col("currency", CHAR(3)),
    *_times(),
    _to("bookings", "booking_id"),
    _to("passengers", "passenger_id"),
    UniqueConstraint("tenant_id", "number"),
    Index(None, "tenant_id", "booking_id"),
    Index(None, "tenant_id", "passenger_id"),
    _one_of("status", ("open", "flown", "refunded", "exchanged", "void")),
    CheckConstraint("number ~ '^[0-9]{3}-?[0-9]{10}$'", name="number"),
    _currency("currency"),
)

house_orders = Table(
    "house_orders",
    metadata,
    *_owned(),
    _col("key", Text),
    _col("kind", Text),
    _col("state", Text),
    _col("price", Money),
    _col("currency", CHAR(3)),
    _col("data", Json, default="'{}'"),
    _maybe("cancel_quote", Json),
    *_times(),
    UniqueConstraint("tenant_id", "key"),
    _one_of("kind", ("flight", "hotel")),
    _currency("currency"),
)

tenant_credentials = Table(
    "tenant_credentials",
    metadata,
    *_owned(),
    _col("supplier", Text),
    _col("sealed", Bytes),
    _col("key_id", Text),
    _maybe("rotated_at", Time),
    *_times(),
    UniqueConstraint("tenant_id", "supplier"),
    CheckConstraint("char_length(supplier) <= 64", name="supplier"),
)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    *_owned(target=True),
    _col("code", Text),
    _col("name", Text),
    _col("type", Text),
    _col("is_control", Boolean, default="false"),
    _col("is_active", Boolean, default="true"),
    *_times(),
    UniqueConstraint("tenant_id", "code"),
    CheckConstraint("char_length(code) BETWEEN 1 AND 32", name="code"),
    _one_of("type", ("asset", "liability", "equity", "revenue", "expense")),
)

journals = Table(
    "journals",
    metadata,
    *_owned(target=True),
    _col("entry_date", Date),
    _col("narration", Text),
    _col("source_event", Text),
    _maybe("source_ref", Text),
    _col("line_count", Integer),
    _maybe("reverses", Uuid),
    _col("idempotency_key", Text),
    _col("posted_at", Time),
    _maybe("created_by", Uuid),
    _to("journals", "reverses"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    UniqueConstraint("tenant_id", "reverses"),
    Index(None, "tenant_id", "entry_date"),
    CheckConstraint("line_count >= 2", name="line_count"),
)

journal_lines = Table(
    "journal_lines",
    metadata,
    _tenant(),
    _col("journal_id", Uuid),
    _col("line_no", Integer),
    _col("account_id", Uuid),
    _col("currency", CHAR(3)),
    _maybe("debit", Money),
    _maybe("credit", Money),
    _maybe("memo", Text),
    PrimaryKeyConstraint("tenant_id", "journal_id", "line_no"),
    _to("journals", "journal_id"),
    _to("ledger_accounts", "account_id", "RESTRICT"),
    Index(None, "tenant_id", "account_id"),
    _currency("currency"),
    CheckConstraint("(debit IS NULL) <> (credit IS NULL) AND coalesce(debit, credit) > 0", name="side"),
)
