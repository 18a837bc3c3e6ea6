"""How audit events are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from voyagent.actors.domain.audit import AuditEvent
from voyagent.actors.domain.audit_reading import Stored

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def stored(**more: Any) -> Stored:
    given = {"kind": "book_flight", "status": "succeeded", "actor_kind": "agent", **more}
    return Stored(AuditEvent(id="i", tenant_id="t", created_at=NOW, **given), 7, "f" * 64, None)


@pytest.mark.parametrize(
    ("kind", "status", "shown"),
    [
        ("human", "started", ("user", "ok")),
        ("agent", "succeeded", ("agent", "ok")),
        ("system", "cancelled", ("system", "ok")),
        ("human", "failed", ("user", "error")),
        ("agent", "rejected", ("agent", "error")),
    ],
)
def test_actor_and_status_read_as_in_the_contract(kind: str, status: str, shown: tuple[str, str]) -> None:
    one = stored(actor_kind=kind, status=status)
    assert (one.actor_kind, one.status) == shown


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        ({}, "book_flight (succeeded)"),
        ({"driver": "house"}, "book_flight via house (succeeded)"),
        ({"status": "failed", "error": "offer_expired", "driver": "house"}, "book_flight: offer_expired"),
        ({"status": "rejected"}, "book_flight (rejected)"),
    ],
)
def test_a_summary_names_the_error_or_else_the_supplier_and_the_status(fields: dict[str, Any], summary: str) -> None:
    assert stored(**fields).summary == summary


def test_a_payload_has_three_parts_always_and_the_others_if_they_are_set() -> None:
    assert stored().payload() == {"inputs": {}, "outputs": {}, "entity_refs": {}}
    full = stored(
        status="failed",
        driver="house",
        error="offer_expired",
        approval_required=True,
        approved_by="u",
        approved_at=NOW.astimezone(timezone(timedelta(hours=5, minutes=30))),
        completed_at=NOW,
    )
    assert full.payload() == {
        "inputs": {},
        "outputs": {},
        "entity_refs": {},
        "driver": "house",
        "error": "offer_expired",
        "approval_required": True,
        "approved_by": "u",
        "approved_at": "2026-11-23T12:00:00.000000Z",
        "completed_at": "2026-11-23T12:00:00.000000Z",
    }
