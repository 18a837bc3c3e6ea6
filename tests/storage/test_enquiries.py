"""How the enquiries of one customer are found: by an index of each key, whatever else an agency has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from sqlalchemy import insert

from tests.figures import sample
from tests.storage.test_enquiry_lists import WHOLE_CALENDAR, WRITTEN
from tests.waiting import until
from voyagent.actors.domain.audit import AuditEvent, Author, Origin
from voyagent.actors.domain.enquiries import COLUMNS, Enquiry, opened
from voyagent.actors.domain.errors import Unprocessable
from voyagent.actors.domain.ids import uuid7
from voyagent.storage import audit
from voyagent.storage.audit_chain import Verify
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.operations import Batch
from voyagent.storage.engine.pool import connect
from voyagent.storage.engine.statements import binds, statement
from voyagent.storage.enquiries import CREATE, Create, Opened, Read
from voyagent.storage.tables import enquiries

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
    row = {
        "created_by_user_id": ours,
        "customer_name": "Asha Rao",
        "customer_email": "Front.Desk@example.com",
        "customer_phone": "098123 45678",
        "pax_count": 1,
        "status": "new",
        "created_at": NOW,
    }

    def new() -> dict[str, Any]:
        rows = to_json([row | {"id": uuid7()}]).decode()
        return {"tenant_id": ours, "rows": rows, **audit.written(created(ours))}

    for _ in range(20):
        await CREATE.fetch(db, **new())
    plans = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1"
    assert [*await db.fetchrow(plans, CREATE.sql)] == [15, 5], "one plan serves, once the planner has seen a few calls"
    await db.execute("SET plan_cache_mode = force_generic_plan")
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {CREATE.sql}"
    ((told,),) = await db.fetch(explain, *CREATE.arguments(new()))
    ((_, alike),) = await CREATE.fetch(db, **new())
    assert [each["same"] for each in json.loads(alike)] == [["email", "phone"]] * 5
    plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
    scans = [
        node for node in nodes(plan) if node["Node Type"].endswith("Index Scan") and node["Index Name"] not in BY_ID
    ]
    assert scans
    assert all(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) <= 7 for node in scans)
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


def ids(opened: Opened) -> list[str]:
    """The ids of those that may be of the same customer."""
    return [each["id"] for each in json.loads(opened.possible_duplicates)]


async def together(agency: AgencyLike, creations: Sequence[Create]) -> list[Opened]:
    return await agency.store.ask(Batch(tenant_id=agency.tenant_id, operations=creations))


async def events(agency: AgencyLike) -> list[str]:
    rows = await agency.db.fetch("SELECT kind FROM audit_events ORDER BY seq")
    return [row["kind"] for row in rows if row["kind"].startswith("enquiry.")]


async def test_a_creation_that_is_run_again_stores_nothing_and_replies_the_same(agency: AgencyLike) -> None:
    """Its connection may break after the server has stored it."""
    earlier = await agency.store.ask(new_enquiry(agency))
    one = new_enquiry(agency, customer_name="Asha")
    first, second = [await agency.store.ask(one) for _ in range(2)]
    assert first == second
    assert ids(first) == [earlier.enquiry.id]
    assert await agency.db.fetchval("SELECT count(*) FROM enquiries") == 2
    assert await events(agency) == ["enquiry.created"] * 2
    assert (await agency.store.ask(Verify(tenant_id=agency.tenant_id))).ok


async def test_a_creation_that_is_refused_leaves_no_audit_event(agency: AgencyLike) -> None:
    failures = sample("audit_write_failures_total")
    with pytest.raises(Unprocessable, match="session_not_found"):
        await agency.store.ask(new_enquiry(agency, session_id=uuid7()))
    assert await agency.db.fetchval("SELECT count(*) FROM enquiries") == 0
    assert await events(agency) == []
    assert sample("audit_write_failures_total") == failures, "nobody is paged for it"


async def test_creations_of_one_batch_are_stored_audited_and_answered_in_their_order(agency: AgencyLike) -> None:
    earlier = await agency.store.ask(new_enquiry(agency, customer_phone="+91 98123 45678"))
    given = [
        {"customer_name": "Asha"},
        {"customer_email": "x@example.com", "customer_phone": "098123 45678", "budget_amount": Decimal("0.10")},
        {
            "customer_email": None,
            "depart_date": date.max,
            "return_date": date.max,
            "notes": "{\"a\", 'b'\n}",
        },
    ]
    creations = [new_enquiry(agency, **one) for one in given]
    made = await together(agency, creations)
    assert [each.enquiry for each in made] == [each.enquiry for each in creations]
    assert [ids(each) for each in made] == [[earlier.enquiry.id], [earlier.enquiry.id], []]
    for each in made:
        read = await agency.store.ask(Read(tenant_id=agency.tenant_id, enquiry_id=each.enquiry.id))
        assert read.enquiry == each.enquiry
    assert await agency.db.fetchval("SELECT count(*) FROM enquiries WHERE depart_date = 'infinity'") == 1
    audited = "SELECT entity_refs ->> 'enquiry_id' FROM audit_events WHERE kind = 'enquiry.created' ORDER BY seq"
    assert [row[0] for row in await agency.db.fetch(audited)] == [each.enquiry.id for each in (earlier, *made)]
    assert (await agency.store.ask(Verify(tenant_id=agency.tenant_id))).ok


PLAIN = statement(insert(enquiries).values(**binds(*(name for name in COLUMNS if name != "updated_at"))))
STORED = "SELECT to_jsonb(e) - 'id' FROM enquiries e WHERE id = $1"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WRITTEN, min_size=2, max_size=5))
@example([WHOLE_CALENDAR, WHOLE_CALENDAR | {"depart_date": date.max, "notes": "\\u0000 \x1f\x7f\u2028"}])
async def test_whatever_an_enquiry_contains_it_is_stored_as_the_driver_alone_stores_it(
    agency: AgencyLike, database: Any, rows: list[dict[str, Any]]
) -> None:
    known = {"tenant_id": agency.tenant_id, "created_by_user_id": agency.user_id, "session_id": None}
    author = Author(agency.user_id, "owner", Origin("a request"))
    new = [Enquiry(id=uuid7(), **known, **row) for row in rows]
    await together(agency, [Create(tenant_id=agency.tenant_id, enquiry=each, author=author) for each in new])
    db = await connect(database.url)
    await db.serve(agency.tenant_id)
    for each in new:
        plain = each._asdict() | {"id": uuid7()}
        del plain["updated_at"]
        await PLAIN.execute(db, **plain)
        stored = [await agency.db.fetchval(STORED, one) for one in (each.id, plain["id"])]
        assert stored[0] == stored[1]
    await db.close()


async def test_a_batch_that_is_run_again_stores_nothing_and_finds_the_same_and_each_other(agency: AgencyLike) -> None:
    earlier = (await agency.store.ask(new_enquiry(agency))).enquiry.id
    creations = [new_enquiry(agency) for _ in range(3)]
    first, second = [await together(agency, creations) for _ in range(2)]
    assert [each.enquiry for each in first] == [each.enquiry for each in second]
    assert [ids(each) for each in first] == [[earlier]] * 3
    stored = {earlier, *(each.enquiry.id for each in creations)}
    assert [{each.enquiry.id, *ids(each)} for each in second] == [stored] * 3
    assert await agency.db.fetchval("SELECT count(*) FROM enquiries") == 4
    assert await events(agency) == ["enquiry.created"] * 4


@pytest.mark.parametrize("count", [1, 3])
async def test_a_creation_whose_first_run_is_still_under_way_is_stored_once_and_answered(
    count: int, agency: AgencyLike, database: Any
) -> None:
    """A line that breaks ends nothing on the server: what waits there for a lock is committed later."""
    earlier = await agency.store.ask(new_enquiry(agency))
    creations = [new_enquiry(agency) for _ in range(count)]
    runs = Batch(tenant_id=agency.tenant_id, operations=creations)
    first, second = [await connect(database.url) for _ in range(2)]
    for db in (first, second):
        await db.serve(agency.tenant_id)
    async with agency.db.transaction():
        await agency.db.execute("SELECT FROM audit_heads WHERE tenant_id = $1 FOR UPDATE", agency.tenant_id)
        abandoned = asyncio.ensure_future(runs.run(first))
        await waiting_for_locks(agency, 1)
        again = asyncio.ensure_future(runs.run(second))
        await waiting_for_locks(agency, 2)
    await abandoned
    made = await again
    assert [each.enquiry for each in made] == [each.enquiry for each in creations]
    assert all(earlier.enquiry.id in ids(each) for each in made)
    assert await agency.db.fetchval("SELECT count(*) FROM enquiries") == 1 + count
    assert await events(agency) == ["enquiry.created"] * (1 + count)
    for db in (first, second):
        await db.close()


async def test_a_creation_whose_asker_has_left_counts_as_what_became_of_it(agency: AgencyLike) -> None:
    await agency.store.ask(new_enquiry(agency))
    before = [ended(outcome) for outcome in ("ok", "failed")]
    async with agency.db.transaction():
        await agency.db.execute("SELECT FROM audit_heads WHERE tenant_id = $1 FOR UPDATE", agency.tenant_id)
        abandoned = asyncio.ensure_future(agency.store.ask(new_enquiry(agency)))
        await waiting_for_locks(agency, 1)
        abandoned.cancel()
        await asyncio.wait({abandoned})
        assert [ended(outcome) for outcome in ("ok", "failed")] == before
    await agency.store.ask(new_enquiry(agency))
    assert [ended(outcome) for outcome in ("ok", "failed")] == [before[0] + 2, before[1]]


def ended(outcome: str) -> float:
    """Creations that ended so."""
    return sample("storage_operations_total", operation="Create", outcome=outcome)


async def waiting_for_locks(agency: AgencyLike, count: int) -> None:
    """Return when so many connections to the database wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    async def all_wait() -> bool:
        return bool(await agency.db.fetchval(waiting) == count)

    await until(all_wait)


async def test_a_batch_with_one_that_is_refused_stores_none(agency: AgencyLike) -> None:
    with pytest.raises(Unprocessable, match="session_not_found"):
        await together(agency, [new_enquiry(agency), new_enquiry(agency, session_id=uuid7())])
    assert await agency.db.fetchval("SELECT count(*) FROM enquiries") == 0
    assert await events(agency) == []


async def test_creations_at_once_share_statements_and_one_that_is_refused_refuses_no_other(agency: AgencyLike) -> None:
    before = batches()
    creations = [new_enquiry(agency, **({"session_id": uuid7()} if n == 20 else {})) for n in range(64)]
    asked = [agency.store.ask(each) for each in creations]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [n for n, one in enumerate(done) if isinstance(one, BaseException)] == [20]
    assert isinstance(done[20], Unprocessable)
    stored = await agency.db.fetch("SELECT id::text FROM enquiries")
    assert {row["id"] for row in stored} == {each.enquiry.id for each in creations} - {creations[20].enquiry.id}
    assert await events(agency) == ["enquiry.created"] * 63
    assert (await agency.store.ask(Verify(tenant_id=agency.tenant_id))).ok
    assert batches() - before <= 1 + 64, "together once, then each alone"
    await asyncio.gather(*(agency.store.ask(new_enquiry(agency)) for _ in range(64)))
    assert batches() - before <= 1 + 64 + 2


def batches() -> float:
    """Batches run so far."""
    return sample("storage_batch_operations_count")
