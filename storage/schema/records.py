"""What commands write beside their subject: e-mails, stored replies, the audit trail; what is kept of sealing keys."""

from __future__ import annotations

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from .columns import (
    Bytes,
    Json,
    Time,
    Uuid,
    created_at,
    metadata,
    one_of,
    optional,
    owned,
    partial_index,
    reference,
    required,
    tenant_id,
    timestamps,
)

outbox = Table(
    "outbox",
    metadata,
    required("id", Uuid),
    Column("tenant_id", Uuid, ForeignKey("tenants.id")),
    required("kind", Text),
    required("recipient", Text),
    optional("payload_sealed", Bytes),
    optional("key_id", Text),
    required("state", Text, default="'due'"),
    required("due_at", Time),
    required("attempts", Integer, default="0"),
    optional("sent_at", Time),
    optional("expires_at", Time),
    required("message_id", Text),
    optional("cause", Text),
    *timestamps(),
    PrimaryKeyConstraint("id"),
    partial_index("ix_outbox_due_at", "due_at", only="sent_at IS NULL"),
    partial_index("ix_outbox_created_at_settled", "created_at", only="state <> 'due'"),
    Index(None, "tenant_id", "created_at"),
    Index(None, "recipient", "kind", "created_at"),
    one_of("state", ("due", "held", "sent", "dropped", "dead")),
)

sealing_canaries = Table(
    "sealing_canaries",
    metadata,
    required("key_id", Text),
    required("sealed", Bytes),
    created_at(),
    PrimaryKeyConstraint("key_id"),
)
"""A canary for each sealing key: keys that cannot open theirs belong to another database."""

digest_keys = Table(
    "digest_keys",
    metadata,
    required("id", Text),
    required("derived_from", Text),
    required("sealed", Bytes),
    required("key_id", Text),
    created_at(),
    PrimaryKeyConstraint("id"),
)
"""The key of digests that was derived from each sealing key: sealed, it outlives that one."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    tenant_id(),
    required("user_id", Uuid),
    required("route", Text),
    required("key", Text),
    required("body_hash", Bytes),
    required("status", SmallInteger),
    required("reply", Bytes),
    required("headers", Json, default="'{}'"),
    created_at(),
    required("expires_at", Time),
    PrimaryKeyConstraint("tenant_id", "user_id", "route", "key"),
    reference("users", "user_id"),
    Index(None, "expires_at"),
    CheckConstraint("status BETWEEN 200 AND 299", name="status"),
)

audit_events = Table(
    "audit_events",
    metadata,
    *owned(),
    required("seq", BigInteger),
    required("prev_hash", CHAR(64)),
    required("hash", CHAR(64)),
    required("hash_v", SmallInteger),
    optional("actor_id", Uuid),
    required("actor_kind", Text),
    required("kind", Text),
    optional("driver", Text),
    required("inputs", Json),
    required("outputs", Json),
    required("entity_refs", Json),
    optional("error", Text),
    required("approval_required", Boolean),
    optional("approved_by", Uuid),
    optional("approved_at", Time),
    optional("completed_at", Time),
    required("status", Text),
    created_at(),
    UniqueConstraint("tenant_id", "seq"),
    Index(None, "tenant_id", "kind", "seq"),
    Index(None, "tenant_id", "actor_id", "seq"),
    Index(None, "tenant_id", "created_at"),
    one_of("actor_kind", ("human", "agent", "system")),
    one_of("status", ("started", "succeeded", "failed", "rejected", "cancelled")),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    tenant_id(),
    required("seq", BigInteger),
    required("hash", CHAR(64)),
    PrimaryKeyConstraint("tenant_id"),
)
