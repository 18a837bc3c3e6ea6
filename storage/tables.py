"""All tables, to be imported from here: with any one of them the metadata is complete.

The modules of ``schema`` declare them, by subject.
"""

from __future__ import annotations

from .schema.accounts import (
    api_keys,
    auth_families,
    auth_refresh_tokens,
    invites,
    one_time_tokens,
    recovery_codes,
    revoked_access_tokens,
    tenant_settings,
    tenants,
    users,
)
from .schema.books import daily_totals, journal_lines, journals, ledger_accounts
from .schema.cluster import nodes, shards
from .schema.columns import metadata
from .schema.conversation import messages, model_calls, pending_approvals, session_events, sessions, tool_calls, turns
from .schema.documents import bills, document_counters, invoice_lines, invoices, payments, tax_rates
from .schema.enquiries import enquiries
from .schema.records import audit_events, audit_heads, digest_keys, idempotency_keys, outbox, sealing_canaries
from .schema.statements import bsp_reports, reconciliations
from .schema.travel import (
    booking_passengers,
    bookings,
    house_counters,
    house_orders,
    house_sales,
    offers,
    passengers,
    tenant_credentials,
    tickets,
    visa_files,
)

__all__ = [
    "api_keys",
    "audit_events",
    "audit_heads",
    "auth_families",
    "auth_refresh_tokens",
    "bills",
    "booking_passengers",
    "bookings",
    "bsp_reports",
    "daily_totals",
    "digest_keys",
    "document_counters",
    "enquiries",
    "house_counters",
    "house_orders",
    "house_sales",
    "idempotency_keys",
    "invites",
    "invoice_lines",
    "invoices",
    "journal_lines",
    "journals",
    "ledger_accounts",
    "messages",
    "metadata",
    "model_calls",
    "nodes",
    "offers",
    "one_time_tokens",
    "outbox",
    "passengers",
    "payments",
    "pending_approvals",
    "reconciliations",
    "recovery_codes",
    "revoked_access_tokens",
    "sealing_canaries",
    "session_events",
    "sessions",
    "shards",
    "tax_rates",
    "tenant_credentials",
    "tenant_settings",
    "tenants",
    "tickets",
    "tool_calls",
    "turns",
    "users",
    "visa_files",
]
