"""How the enquiries of one customer are found: by an index of each key, whatever else an agency has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from voyagent.actors.domain.audit import AuditEvent, Author, Origin
from voyagent.actors.domain.enquiries import opened
from voyagent.actors.domain.errors import Unprocessable
from voyagent.actors.domain.ids import uuid7
from voyagent.storage import audit
from voyagent.storage.audit_chain import Verify
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import connect
from voyagent.storage.enquiries import CREATE, Create

FILL = """
INSERT INTO enquiries (id, tenant_id, created_by_user_id, customer_name, customer_email, customer_phone, pax_count,
                       status, created_at)
SELECT gen_random_uuid(), $1, $1, 'Asha Rao', CASE WHEN n % $2 = 0 THEN 'Front.Desk@example.com' ELSE n || '@b.com' END,
       CASE WHEN n % $2 = 0 THEN '+91 98123 45678' ELSE '+91 7' || (100000000 + n) END, 1, 'new',
       timestamptz '2026-01-01 00:00Z' + n * interval '1 minute'
  FROM generate_series(1, 3000) n
"""
NOW = datetime(2026, 12, 1, tzinfo=UTC)
BY_ID = {"pk_enquiries", "uq_enquiries_id"}
BY_KEY = ("ix_enquiries_email_key", "ix_enquiries_phone_key")


class AgencyLike(Protocol):
    tenant_id: str
    user_id: str
    store: Any
    db: Any


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def created(tenant_id: str) -> AuditEvent:
    return AuditEvent.by_person("enquiry.created", tenant_id, tenant_id, Origin("a request"), NOW)


@pytest.mark.parametrize("every", [1, 400])
async def test_t21_a_customer_is_found_among_many_and_of_many_enquiries_few_are_read(
    every: int, database: Any, admin: Connection
) -> None:
    ours, theirs = uuid7(), uuid7()
    for tenant in (ours, theirs):
        await admin.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Rao', now())", tenant)
        await admin.execute(FILL, tenant, every)
    await admin.execute("VACUUM (ANALYZE, FREEZE) enquiries")
    db = await connect(database.url)
    await db.serve(ours)
    new = dict.fromkeys(CREATE.parameters) | {
        "id": uuid7(),
        "tenant_id": ours,
        "created_by_user_id": ours,
        "customer_name": "Asha Rao",
        "customer_email": "Front.Desk@example.com",
        "customer_phone": "098123 45678",
        "pax_count": 1,
        "status": "new",
        "created_at": NOW,
        "limit": 5,
        **audit.written(created(ours)),
    }
    (row,) = await db.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {CREATE.sql}", *CREATE.arguments(new))
    told = row[0]
    alike = await CREATE.fetch(db, **new | {"id": uuid7()} | audit.written(created(ours)))
    assert [each["same"] for each in alike] == ["email"] * 5 + ["phone"] * 5
    assert new["id"] in {each["id"] for each in alike}, "those that are stored already, and not the new one"
    plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
    scans = [
        node for node in nodes(plan) if node["Node Type"].endswith("Index Scan") and node["Index Name"] not in BY_ID
    ]
    assert [node["Actual Rows"] + node.get("Rows Removed by Filter", 0) <= 7 for node in scans] == [True] * len(scans)
    if every > 1:
        assert sorted(node["Index Name"] for node in scans) == sorted(BY_KEY)
    await db.close()


def new_enquiry(agency: AgencyLike, **given: Any) -> Create:
    person = {"customer_name": "Asha Rao", "customer_email": "asha@example.com", "pax_count": 1, "status": "new"}
    unset = dict.fromkeys(("customer_phone", "origin", "destination", "depart_date", "return_date"))
    unset |= dict.fromkeys(("budget_amount", "budget_currency", "notes"))
    one = opened(
        {**unset, **person, **given}, enquiry_id=uuid7(), tenant_id=agency.tenant_id, by=agency.user_id, now=NOW
    )
    return Create(tenant_id=agency.tenant_id, enquiry=one, author=Author(agency.user_id, "owner", Origin("a request")))


async def events(agency: AgencyLike) -> list[str]:
    rows = await agency.db.fetch("SELECT kind FROM audit_events ORDER BY seq")
    return [row["kind"] for row in rows if row["kind"].startswith("enquiry.")]


async def test_a_creation_that_is_run_again_stores_nothing_and_replies_the_same(agency: AgencyLike) -> None:
    """Its connection may break after the server has stored it."""
    earlier = await agency.store.ask(new_enquiry(agency))
    one = new_enquiry(agency, customer_name="Asha")
    first, second = [await agency.store.ask(one) for _ in range(2)]
    assert first == second
    assert [each.id for each in first.possible_duplicates] == [earlier.enquiry.id]
    assert await agency.db.fetchval("SELECT count(*) FROM enquiries") == 2
    assert await events(agency) == ["enquiry.created"] * 2
    assert (await agency.store.ask(Verify(tenant_id=agency.tenant_id))).ok


async def test_a_creation_that_is_refused_leaves_no_audit_event(agency: AgencyLike) -> None:
    with pytest.raises(Unprocessable, match="session_not_found"):
        await agency.store.ask(new_enquiry(agency, session_id=uuid7()))
    assert await agency.db.fetchval("SELECT count(*) FROM enquiries") == 0
    assert await events(agency) == []
