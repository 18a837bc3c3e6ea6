"""The general ledger: accounts, journals and their lines."""

from __future__ import annotations

from sqlalchemy import (
    CHAR,
    Boolean,
    CheckConstraint,
    Date,
    Index,
    Integer,
    Numeric,
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
    partial_index,
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
    optional("invoice_id", Uuid),
    optional("bill_id", Uuid),
    required("line_count", Integer),
    optional("reverses", Uuid),
    required("idempotency_key", Text),
    required("posted_at", Time),
    optional("created_by", Uuid),
    reference("journals", "reverses"),
    reference("invoices", "invoice_id"),
    reference("bills", "bill_id"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    UniqueConstraint("tenant_id", "reverses"),
    Index(None, "tenant_id", "entry_date", "id"),
    partial_index("ix_journals_invoice_id", "tenant_id", "invoice_id", only="invoice_id IS NOT NULL"),
    partial_index("ix_journals_bill_id", "tenant_id", "bill_id", only="bill_id IS NOT NULL"),
    CheckConstraint("line_count >= 2", name="line_count"),
    CheckConstraint("num_nonnulls(invoice_id, bill_id) <= 1", name="document"),
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

daily_totals = Table(
    "daily_totals",
    metadata,
    tenant_id(),
    required("account_id", Uuid),
    required("currency", CHAR(3)),
    required("entry_date", Date),
    required("debit", Numeric(28, 4)),
    required("credit", Numeric(28, 4)),
    PrimaryKeyConstraint("tenant_id", "account_id", "currency", "entry_date"),
    reference("ledger_accounts", "account_id", "RESTRICT"),
    currency("currency"),
    CheckConstraint("debit >= 0 AND credit >= 0", name="sides"),
)
"""What the journal lines of an account and a currency add up to on a day, kept by a trigger in the transaction that
posts them: reports add up days instead of lines."""
