"""What a day left behind, read from the database and the event log past row-level security."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import asyncpg

Source = Literal["user", "agent", "call", "result", "approval", "decision", "error", "final"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was said or done in a conversation."""

    source: Source
    turn_id: str
    text: str = ""
    tool: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The input of a call, the output of a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call, with its approval as far as it has one."""

    id: str
    tool: str
    effect: str
    state: str
    input_hash: str
    started_at: datetime | None
    approval: Approval | None = None

    @property
    def took_effect(self) -> bool:
        """Whether it changed something, or may have."""
        return self.effect != "read" and self.state in ("succeeded", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An approval and who decided it."""

    tool: str
    status: str
    summary: str
    input_hash: str
    approver_roles: tuple[str, ...]
    expires_at: datetime | None
    resolved_at: datetime | None
    decider: str | None
    """The role of who decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A booking, with the names of its passengers in their order."""

    kind: str
    status: str
    supplier: str
    locator: str | None
    cost: str
    passengers: tuple[str, ...]
    tool_call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """A journal: ``1000 INR`` -> debits less credits."""

    key: str
    net: Mapping[str, Decimal]
    from_document: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An invoice or a bill, and the tool calls that say they made or changed it."""

    kind: Literal["invoice", "bill"]
    party: str
    status: str
    total: str
    paid: str
    due: str
    """The due date."""
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that one day left behind."""

    today: date
    entries: tuple[Entry, ...] = ()
    calls: tuple[Call, ...] = ()
    approvals: tuple[Approval, ...] = ()
    bookings: tuple[Booking, ...] = ()
    journals: tuple[Journal, ...] = ()
    documents: tuple[Document, ...] = ()
    passengers: tuple[str, ...] = ()
    turn_states: tuple[str, ...] = ()

    def said(self, turn_id: str | None = None) -> str:
        """The agent's text, all of it or that of one turn."""
        return "".join(
            entry.text for entry in self.entries if entry.source == "agent" and turn_id in (None, entry.turn_id)
        )

    @property
    def last_turn(self) -> str:
        """The id of the last turn."""
        return self.entries[-1].turn_id if self.entries else ""


APPROVALS = """
SELECT a.id, a.tool_call_id, a.tool_name AS tool, a.status, a.summary, a.input_hash, a.approver_roles, a.expires_at,
       a.resolved_at, u.role AS decider
FROM pending_approvals a LEFT JOIN users u ON u.id = a.resolved_by_user_id
WHERE a.tenant_id = $1 ORDER BY a.requested_at, a.id
"""
CALLS = """
SELECT id, tool, effect, state, input_hash, started_at FROM tool_calls
WHERE tenant_id = $1 ORDER BY created_at, position
"""
BOOKINGS = """
SELECT b.kind, b.status, b.supplier, b.locator, b.cost, b.currency, b.tool_call_id,
       array(SELECT p.full_name FROM booking_passengers bp JOIN passengers p ON p.id = bp.passenger_id
             WHERE bp.booking_id = b.id ORDER BY bp.position) AS passengers
FROM bookings b WHERE b.tenant_id = $1 ORDER BY b.created_at, b.id
"""
LINES = """
SELECT j.id, j.idempotency_key AS key, num_nonnulls(j.invoice_id, j.bill_id) > 0 AS from_document,
       a.code || ' ' || l.currency AS account, coalesce(l.debit, -l.credit) AS amount
FROM journals j JOIN journal_lines l ON l.journal_id = j.id JOIN ledger_accounts a ON a.id = l.account_id
WHERE j.tenant_id = $1 AND j.idempotency_key NOT LIKE 'before:%' ORDER BY j.posted_at, j.id, l.line_no
"""
DOCUMENTS = """
SELECT '{kind}' AS kind, d.party_name AS party, d.status, d.currency || ' ' || d.total AS total,
       d.currency || ' ' || (SELECT coalesce(sum(p.amount), 0) FROM payments p WHERE p.{kind}_id = d.id) AS paid,
       d.due_date::text AS due,
       array(SELECT c.id::text FROM tool_calls c WHERE c.tenant_id = d.tenant_id AND c.effect <> 'read'
             AND c.output ->> '{kind}_id' = d.id::text ORDER BY c.created_at) AS calls
FROM {kind}s d WHERE d.tenant_id = $1 ORDER BY d.created_at, d.id
"""
EVENTS = """
SELECT turn_id, frame FROM session_events WHERE session_id = $1 ORDER BY seq
"""
USER_TEXTS = """
SELECT turn_id, content FROM messages WHERE session_id = $1 AND role = 'user' ORDER BY sequence
"""
TURN_STATES = "SELECT state FROM turns WHERE session_id = $1 ORDER BY queued_at, id"


async def collect(db: asyncpg.Connection, tenant_id: str, session_id: str, today: date) -> Evidence:
    """Read what the day left behind, as the superuser ``db``."""
    approvals = {
        str(row["tool_call_id"]): Approval(
            **{name: row[name] for name in ("tool", "status", "summary", "input_hash", "expires_at", "resolved_at")},
            approver_roles=tuple(row["approver_roles"]),
            decider=row["decider"],
        )
        for row in await db.fetch(APPROVALS, tenant_id)
    }
    calls = tuple(
        Call(**{**row, "id": str(row["id"])}, approval=approvals.get(str(row["id"])))
        for row in await db.fetch(CALLS, tenant_id)
    )
    return Evidence(
        today=today,
        entries=await _entries(db, session_id),
        calls=calls,
        approvals=tuple(approvals.values()),
        bookings=tuple(_booking(row) for row in await db.fetch(BOOKINGS, tenant_id)),
        journals=_journals(await db.fetch(LINES, tenant_id)),
        documents=(*await _documents(db, "invoice", tenant_id), *await _documents(db, "bill", tenant_id)),
        passengers=await _column(db, "SELECT full_name FROM passengers WHERE tenant_id = $1", tenant_id),
        turn_states=await _column(db, TURN_STATES, session_id),
    )


async def _column(db: asyncpg.Connection, query: str, value: str) -> tuple[str, ...]:
    return tuple(row[0] for row in await db.fetch(query, value))


async def _documents(db: asyncpg.Connection, kind: str, tenant_id: str) -> list[Document]:
    rows = await db.fetch(DOCUMENTS.format(kind=kind), tenant_id)
    return [Document(**{**row, "calls": tuple(row["calls"])}) for row in rows]


def _booking(row: asyncpg.Record) -> Booking:
    return Booking(
        **{name: row[name] for name in ("kind", "status", "supplier", "locator")},
        cost=f"{row['currency']} {row['cost']}",
        passengers=tuple(row["passengers"]),
        tool_call_id=str(row["tool_call_id"]),
    )


def _journals(rows: list[asyncpg.Record]) -> tuple[Journal, ...]:
    net: dict[str, dict[str, Decimal]] = {}
    heads: dict[str, asyncpg.Record] = {}
    for row in rows:
        lines = net.setdefault(str(row["id"]), defaultdict(Decimal))
        lines[row["account"]] += row["amount"]
        heads[str(row["id"])] = row
    return tuple(
        Journal(key=heads[key]["key"], net=dict(lines), from_document=heads[key]["from_document"])
        for key, lines in net.items()
    )


async def _entries(db: asyncpg.Connection, session_id: str) -> tuple[Entry, ...]:
    """The conversation in its order: a user's message stands before the first event of its turn."""
    texts = {row["turn_id"]: text_of(row["content"]) for row in await db.fetch(USER_TEXTS, session_id)}
    entries: list[Entry] = []
    for row in await db.fetch(EVENTS, session_id):
        said = texts.pop(row["turn_id"], None)
        if said is not None:
            entries.append(Entry(source="user", turn_id=row["turn_id"], text=said))
        entries.append(_entry(json.loads(row["frame"])))
    return tuple(entries)


def text_of(content: str) -> str:
    """The text of a stored message."""
    return "\n".join(str(block.get("text", "")) for block in json.loads(content) if block["type"] == "text")


_SOURCES: dict[str, Source] = {
    "text_delta": "agent",
    "tool_use": "call",
    "tool_result": "result",
    "approval_request": "approval",
    "approval_granted": "decision",
    "approval_denied": "decision",
    "error": "error",
    "final": "final",
}


def _entry(event: Mapping[str, Any]) -> Entry:
    source = _SOURCES[event["kind"]]
    text = event["text"] or event["approval_summary"] or event["error_message"] or ""
    data = event["tool_output"] if source == "result" else event["tool_input"]
    return Entry(source=source, turn_id=event["turn_id"], text=text, tool=event["tool_name"] or "", data=data or {})
