"""What the parameters of paths, queries and headers mean, and an example of each, for the OpenAPI document.

A name may be preceded by that of its operation, where it means something of its own there.
"""

from __future__ import annotations

from typing import Any, Final

from .examples import UUID

DESCRIPTIONS: Final[dict[str, str]] = {
    # paths
    "session_id": "The conversation. It has to be one of the agency's.",
    "revoke_own_session.session_id": "The login session, as `GET /auth/sessions` lists it.",
    "invite_id": "The invite.",
    "key_id": "The API key, by its id and not by the key itself.",
    "user_id": "The member.",
    "approval_id": "The approval, as the event `approval_request` or the list names it.",
    "enquiry_id": "The enquiry.",
    # queries
    "limit": "How many items the page holds at most.",
    "verify_audit_chain.limit": "How many rows are checked at most.",
    "offset": "How many items are skipped.",
    "status": "Only items with this status; `all` for every one.",
    "list_invites.status": "Only invites with this status: `pending`, `accepted`, `revoked` or `expired`.",
    "token": "The token of the invite, from its e-mail or its link.",
    "list_approvals.session_id": "Only approvals of this conversation.",
    "itinerary_report.session_id": "The conversation.",
    "last_event_id": "The id of the last event received, for clients that cannot send `Last-Event-ID`.",
    "follow": "`0` replays what is stored and ends; `1` stays open.",
    "ticket": "Replaces the bearer token. For this conversation alone.",
    "before": "The id of a message: only older ones are listed.",
    "actor_id": "Only events of this user.",
    "kind": "Only events of these kinds: repeated, or separated by commas.",
    "from": "The first day, inclusive.",
    "to": "The last day, inclusive.",
    "tz": "Whose days they are: UTC's, or those of the agency's time zone.",
    "bom": "`1` puts a byte order mark first, for spreadsheets.",
    "from_seq": "The first row to check. The row before it is trusted.",
    "as_of": "The last day that counts; by default the agency's today.",
    "bucket": "Only documents of this age.",
    "currency": "Only documents in this currency.",
    "export_tally_ledgers.currency": "Only parties of documents in this currency; by default the agency's own.",
    "export_tally_vouchers.currency": "Only journal lines in this currency; by default the agency's own.",
    "party": "Only documents of the customer or supplier with exactly this name.",
    "on": "Only the rates that hold on this day.",
    "include_zero": "`1` lists accounts without any debit or credit, too.",
    "trips": "`1` lists only conversations with a booking or a visa file that has not come to nothing.",
    "q": "Text in the customer's name, e-mail address or telephone number, in origin or destination; any case.",
    "customer_email": "Text in the customer's e-mail address.",
    "destination": "Text in the destination.",
    "origin": "Text in the origin.",
    "depart_from": "The first day of departure, inclusive.",
    "depart_to": "The last day of departure, inclusive.",
    "created_from": "The first day the enquiry was created on, inclusive.",
    "created_to": "The last day the enquiry was created on, inclusive.",
}

EXAMPLES: Final[dict[str, Any]] = {
    "approval_id": "ap-t-5f0c9e1ab27d-book_flight",
    "token": "Q3hKb2ZtYXRpb24tdG9rZW4tb2YtYW4taW52aXRlLTE",
    "from": "2026-11-01",
    "to": "2026-11-30",
    "as_of": "2026-11-30",
    "on": "2026-04-01",
    "bucket": "31-60",
    "currency": "INR",
    "party": "Meridian Travel",
    "last_event_id": "41",
    "ticket": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "kind": ["auth.sign_in", "book_flight"],
    "actor_id": UUID,
    "before": UUID,
    "q": "Rao",
    "authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "Idempotency-Key": "enquiry-of-23-november",
    "Last-Event-ID": "41",
}
