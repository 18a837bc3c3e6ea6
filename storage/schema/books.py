"""The general ledger: accounts, journals and their lines."""

from __future__ import annotations

from sqlalchemy import (
    CHAR,
    Boolean,
    CheckConstraint,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from .columns import (
    Money,
    Time,
    Uuid,
    currency,
    metadata,
    one_of,
    optional,
    owned,
    reference,
    required,
    tenant_id,
    timestamps,
)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    *owned(target=True),
    required("code", Text),
    required("name", Text),
    required("type", Text),
    required("is_control", Boolean, default="false"),
    required("is_active", Boolean, default="true"),
    *timestamps(),
    UniqueConstraint("tenant_id", "code"),
    CheckConstraint("char_length(code) BETWEEN 1 AND 32", name="code"),
    one_of("type", ("asset", "liability", "equity", "revenue", "expense")),
)

journals = Table(
    "journals",
    metadata,
    *owned(target=True),
    required("entry_date", Date),
    required("narration", Text),
    required("source_event", Text),
    optional("source_ref", Text),
    required("line_count", Integer),
    optional("reverses", Uuid),
    required("idempotency_key", Text),
    required("posted_at", Time),
    optional("created_by", Uuid),
    reference("journals", "reverses"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    UniqueConstraint("tenant_id", "reverses"),
    Index(None, "tenant_id", "entry_date"),
    CheckConstraint("line_count >= 2", name="line_count"),
)

journal_lines = Table(
    "journal_lines",
    metadata,
    tenant_id(),
    required("journal_id", Uuid),
    required("line_no", Integer),
    required("account_id", Uuid),
    required("currency", CHAR(3)),
    optional("debit", Money),
    optional("credit", Money),
    optional("memo", Text),
    PrimaryKeyConstraint("tenant_id", "journal_id", "line_no"),
    reference("journals", "journal_id"),
    reference("ledger_accounts", "account_id", "RESTRICT"),
    Index(None, "tenant_id", "account_id"),
    currency("currency"),
    CheckConstraint("(debit IS NULL) <> (credit IS NULL) AND coalesce(debit, credit) > 0", name="side"),
)
