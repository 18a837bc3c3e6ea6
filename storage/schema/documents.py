"""Documents of the books: invoices with their lines, bills, payments; the counters of their numbers; tax rates.

What a document has outstanding at the end of a day is its ``total`` less its payments with ``paid_on`` up to that day,
if it was in the books by then (``issued_at`` is set and ``issue_date`` has come) and not void (``voided_on`` is null or
later). The same is the balance of the control account over the lines of the document's journals
(``journals.invoice_id``, ``journals.bill_id``) with ``entry_date`` up to that day.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CHAR,
    CheckConstraint,
    Column,
    Computed,
    Date,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy import UniqueConstraint as Unique

from .columns import (
    Json,
    Money,
    Time,
    Uuid,
    created_at,
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

DESKS = ("ticketing_visa", "hotels_holidays", "other")
REGIMES = ("gst_india", "vat_uk", "vat_eu", "vat_uae", "gst_sg", "sst_my", "sales_tax_us", "none")
METHODS = ("upi", "card", "bank_transfer", "cash", "cheque", "payment_link", "wallet", "other")


def _in_any_case(name: str, *, of: str) -> Column[Any]:
    """What is equal in texts that differ in case alone: tax offices read them as one number (GSTN, 4 April 2025)."""
    return Column(name, Text, Computed(f"upper({of})", persisted=True))


def _document() -> tuple[Any, ...]:
    """What invoices and bills have in common."""
    return (
        required("number", Text),
        _in_any_case("number_key", of="number"),
        required("party_name", Text),
        required("issue_date", Date),
        required("due_date", Date),
        required("currency", CHAR(3)),
        required("total", Money),
        required("amount_paid", Money, default="0"),
        optional("notes", Text),
        optional("issued_at", Time),
        optional("voided_on", Date),
        optional("void_reason", Text),
        optional("session_id", Uuid),
        optional("created_by", Uuid),
        required("idempotency_key", Text),
        *timestamps(),
        reference("sessions", "session_id", "SET NULL"),
        Unique("tenant_id", "number_key"),
        Unique("tenant_id", "idempotency_key"),
        CheckConstraint("number ~ '^[A-Za-z0-9/-]{1,16}$'", name="number"),
        CheckConstraint("due_date >= issue_date", name="due_date"),
        CheckConstraint("total > 0 AND amount_paid BETWEEN 0 AND total", name="amount_paid"),
        CheckConstraint("(status = 'void') = (voided_on IS NOT NULL)", name="voided_on"),
        CheckConstraint(
            "status NOT IN ('paid', 'void') OR amount_paid = CASE status WHEN 'paid' THEN total ELSE 0 END",
            name="settled",
        ),
        currency("currency"),
        Index(None, "tenant_id", "status", "due_date", "id"),
        Index(None, "tenant_id", "issue_date"),
    )


invoices = Table(
    "invoices",
    metadata,
    *owned(target=True),
    optional("series", Text),
    optional("party_reference", Text),
    optional("billing_address", Json),
    required("status", Text, default="'draft'"),
    *_document(),
    one_of("status", ("draft", "issued", "partially_paid", "paid", "void")),
)

invoice_lines = Table(
    "invoice_lines",
    metadata,
    tenant_id(),
    required("invoice_id", Uuid),
    required("line_no", Integer),
    required("description", Text),
    required("quantity", Numeric(18, 4)),
    required("unit_price", Money),
    required("subtotal", Money),
    required("discount", Money, default="0"),
    optional("discount_reason", Text),
    required("taxes", Json, default="'[]'"),
    required("total", Money),
    required("desk", Text, default="'other'"),
    optional("booking_id", Uuid),
    PrimaryKeyConstraint("tenant_id", "invoice_id", "line_no"),
    reference("invoices", "invoice_id"),
    reference("bookings", "booking_id"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("discount BETWEEN 0 AND subtotal", name="discount"),
    CheckConstraint("discount_reason IS NULL OR discount > 0", name="discount_reason"),
    one_of("desk", DESKS),
    partial_index("ix_invoice_lines_booking_id", "tenant_id", "booking_id", only="booking_id IS NOT NULL"),
)

bills = Table(
    "bills",
    metadata,
    *owned(target=True),
    required("vendor_reference", Text),
    _in_any_case("reference_key", of="vendor_reference"),
    required("desk", Text, default="'other'"),
    optional("booking_id", Uuid),
    optional("pay_on", Date),
    required("status", Text, default="'draft'"),
    *_document(),
    Unique("tenant_id", "reference_key"),
    reference("bookings", "booking_id"),
    CheckConstraint("char_length(vendor_reference) BETWEEN 1 AND 128", name="vendor_reference"),
    one_of("status", ("draft", "received", "scheduled", "paid", "void")),
    one_of("desk", DESKS),
    partial_index("ix_bills_booking_id", "tenant_id", "booking_id", only="booking_id IS NOT NULL"),
)

payments = Table(
    "payments",
    metadata,
    *owned(),
    optional("invoice_id", Uuid),
    optional("bill_id", Uuid),
    required("amount", Money),
    required("currency", CHAR(3)),
    required("method", Text),
    required("paid_on", Date),
    optional("reference", Text),
    required("journal_id", Uuid),
    optional("created_by", Uuid),
    required("idempotency_key", Text),
    created_at(),
    reference("invoices", "invoice_id"),
    reference("bills", "bill_id"),
    reference("journals", "journal_id"),
    Unique("tenant_id", "idempotency_key"),
    Unique("tenant_id", "invoice_id", "method", "reference"),
    Unique("tenant_id", "bill_id", "method", "reference"),
    CheckConstraint("num_nonnulls(invoice_id, bill_id) = 1", name="document"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("char_length(reference) BETWEEN 1 AND 128", name="reference"),
    one_of("method", METHODS),
    currency("currency"),
    Index(None, "tenant_id", "paid_on"),
)

document_counters = Table(
    "document_counters",
    metadata,
    tenant_id(),
    required("kind", Text),
    required("period", Text, default="''"),
    required("next", Integer, default="1"),
    *timestamps(),
    PrimaryKeyConstraint("tenant_id", "kind", "period"),
    one_of("kind", ("invoice", "bill", "credit_note")),
    CheckConstraint("next > 0", name="next"),
)

tax_rates = Table(
    "tax_rates",
    metadata,
    tenant_id(),
    required("regime", Text),
    required("code", Text),
    required("jurisdiction", Text, default="''"),
    required("supply", Text, default="'standard'"),
    required("holds_from", Date),
    optional("rate_bps", Integer),
    optional("set_by", Uuid),
    *timestamps(),
    PrimaryKeyConstraint("tenant_id", "regime", "code", "jurisdiction", "supply", "holds_from"),
    one_of("regime", REGIMES),
    CheckConstraint("code = upper(code) AND char_length(code) BETWEEN 1 AND 32", name="code"),
    CheckConstraint("supply ~ '^[a-z][a-z0-9_]{0,31}$'", name="supply"),
    CheckConstraint("rate_bps BETWEEN 0 AND 100000", name="rate_bps"),
)
"""A rate holds from its day until a later row of the same tax, place and supply; without ``rate_bps`` there is none."""
