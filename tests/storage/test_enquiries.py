"""How the enquiries of one customer are found: by an index of each key, whatever else an agency has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from voyagent.actors.domain.ids import uuid7
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import connect
from voyagent.storage.enquiries import CREATE

FILL = """
INSERT INTO enquiries (id, tenant_id, created_by_user_id, customer_name, customer_email, customer_phone, pax_count,
                       status, created_at)
SELECT gen_random_uuid(), $1, $1, 'Asha Rao', CASE WHEN n % $2 = 0 THEN 'Front.Desk@example.com' ELSE n || '@b.com' END,
       CASE WHEN n % $2 = 0 THEN '+91 98123 45678' ELSE '+91 7' || (100000000 + n) END, 1, 'new',
       timestamptz '2026-01-01 00:00Z' + n * interval '1 minute'
  FROM generate_series(1, 3000) n
"""
BY_KEY = ("ix_enquiries_email_key", "ix_enquiries_phone_key")


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


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
        "created_at": datetime(2026, 12, 1, tzinfo=UTC),
        "limit": 5,
    }
    (row,) = await db.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {CREATE.sql}", *CREATE.arguments(new))
    told = row[0]
    alike = await CREATE.fetch(db, **new | {"id": uuid7()})
    assert [each["same"] for each in alike] == ["email"] * 5 + ["phone"] * 5
    assert new["id"] in {each["id"] for each in alike}, "those that are stored already, and not the new one"
    plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
    scans = [node for node in nodes(plan) if node["Node Type"].endswith("Index Scan")]
    assert [node["Actual Rows"] + node.get("Rows Removed by Filter", 0) <= 7 for node in scans] == [True] * len(scans)
    if every > 1:
        assert sorted(node["Index Name"] for node in scans) == sorted(BY_KEY)
    await db.close()
