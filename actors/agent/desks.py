"""The orchestrator and the desks, each with the names of the tools it may use (business 10.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Desk:
    """One role of the agent. ``tools`` are names of the catalogue; names without a tool yet are not offered."""

    name: str
    tools: tuple[str, ...]


ORCHESTRATOR = Desk("orchestrator", ("handoff", "clarify"))

TICKETING_VISA = Desk(
    "ticketing_visa",
    (
        "search_flights",
        "read_pnr",
        "lookup_passenger",
        "upsert_passenger",
        "hold_flight",
        "book_flight",
        "issue_ticket",
        "cancel_flight_order",
        "open_visa_file",
        "update_visa_file",
    ),
)

HOTELS_HOLIDAYS = Desk(
    "hotels_holidays",
    (
        "search_hotels",
        "check_hotel_rate",
        "read_hotel_booking",
        "lookup_passenger",
        "upsert_passenger",
        "book_hotel",
        "cancel_hotel_booking",
    ),
)

ACCOUNTING = Desk(
    "accounting",
    (
        "list_ledger_accounts",
        "read_account_balance",
        "list_invoices",
        "list_bills",
        "list_tax_rates",
        "fetch_bsp_statement",
        "reconcile_bsp",
        "draft_invoice",
        "create_invoice",
        "issue_invoice",
        "void_invoice",
        "record_payment",
        "record_bill",
        "pay_bill",
        "void_bill",
        "post_journal_entry",
        "reverse_journal_entry",
    ),
)

SPECIALISTS = (TICKETING_VISA, HOTELS_HOLIDAYS, ACCOUNTING)
"""The desks a handoff can go to."""

DESKS: Mapping[str, Desk] = MappingProxyType({desk.name: desk for desk in (ORCHESTRATOR, *SPECIALISTS)})
"""The orchestrator and the desks by name."""

ORCHESTRATOR_TOOLS: tuple[dict[str, Any], ...] = (
    {
        "name": "handoff",
        "description": (
            "Give the request to a specialist desk, which does the work and answers the user itself."
            " Call it once per desk that is needed, in the order in which they should work."
        ),
        "input_schema": {
            "type": "object",
            "properties": {
                "domain": {
                    "type": "string",
                    "enum": [desk.name for desk in SPECIALISTS],
                    "description": (
                        "ticketing_visa: flights, tickets, passengers, visas. hotels_holidays: hotels and stays."
                        " accounting: invoices, bills, payments, ledger, reports."
                    ),
                },
                "goal": {
                    "type": "string",
                    "minLength": 1,
                    "description": "What the desk shall achieve, with every date, name and number the user gave.",
                },
            },
            "required": ["domain", "goal"],
            "additionalProperties": False,
        },
    },
    {
        "name": "clarify",
        "description": "Ask the user one question, when it is not clear which desk is meant or what they ask for.",
        "input_schema": {
            "type": "object",
            "properties": {
                "question": {"type": "string", "minLength": 1, "description": "The question, in the user's language."}
            },
            "required": ["question"],
            "additionalProperties": False,
        },
    },
)
"""The orchestrator's two tools, as sent to the model."""
