"""Enquiries."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CHAR, CheckConstraint, Column, Computed, Date, Index, Integer, Table, Text

from .columns import (
    Money,
    Uuid,
    currency,
    metadata,
    one_of,
    optional,
    owned,
    partial_index,
    reference,
    required,
    timestamps,
)

SEARCHED: Final = ("customer_name", "customer_email", "customer_phone", "origin", "destination")
"""The fields a text filter looks into."""
SEPARATOR: Final = "\x1f"
"""Stands between them in ``searched`` (the unit separator of ISO 646): a text without it never matches across two."""

_SEARCHED = " || chr(31) || ".join(f"lower(coalesce({name}, ''))" for name in SEARCHED)

_PHONE_KEY = "right(regexp_replace(customer_phone, '[^0-9]', '', 'g'), 10)"

enquiries = Table(
    "enquiries",
    metadata,
    *owned(target=True),
    required("created_by_user_id", Uuid),
    required("customer_name", Text),
    optional("customer_email", Text),
    optional("customer_phone", Text),
    optional("origin", Text),
    optional("destination", Text),
    optional("depart_date", Date),
    optional("return_date", Date),
    required("pax_count", Integer, default="1"),
    optional("budget_amount", Money),
    optional("budget_currency", CHAR(3)),
    required("status", Text, default="'new'"),
    optional("notes", Text),
    optional("session_id", Uuid),
    Column("searched", Text, Computed(_SEARCHED, persisted=True)),
    Column("email_key", Text, Computed("lower(customer_email)", persisted=True)),
    Column("phone_key", Text, Computed(_PHONE_KEY, persisted=True)),
    *timestamps(),
    reference("sessions", "session_id", "SET NULL"),
    Index(None, "tenant_id", "created_at", "id", postgresql_include=["depart_date", "status"]),
    Index(None, "tenant_id", "status", "created_at", "id"),
    Index(None, "tenant_id", "depart_date", "status"),
    partial_index("ix_enquiries_session_id", "tenant_id", "session_id", only="session_id IS NOT NULL"),
    partial_index("ix_enquiries_email_key", "tenant_id", "email_key", "created_at", "id", only="email_key IS NOT NULL"),
    partial_index("ix_enquiries_phone_key", "tenant_id", "phone_key", "created_at", "id", only="phone_key IS NOT NULL"),
    one_of("status", ("new", "quoted", "booked", "cancelled")),
    CheckConstraint("pax_count >= 1", name="pax_count"),
    CheckConstraint("budget_amount >= 0", name="budget_amount"),
    CheckConstraint("return_date >= depart_date", name="return_date"),
    currency("budget_currency"),
)
