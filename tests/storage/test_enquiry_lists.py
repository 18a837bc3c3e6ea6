"""Lists of enquiries: their statements' plans, their times over 100,000 rows, their answers against Python."""

from __future__ import annotations

import json
import statistics
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from voyagent.actors.domain.enquiries import STATUSES, Enquiry
from voyagent.actors.domain.ids import uuid7
from voyagent.http.request_context import encoded
from voyagent.http.schemas.enquiries import EnquiryListQuery, EnquiryListResponse, EnquiryResponse
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import connect
from voyagent.storage.enquiry_lists import Enquiries, Filters, Page, page

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
FILL = """
INSERT INTO enquiries (id, tenant_id, created_by_user_id, customer_name, customer_email, customer_phone, origin,
                       destination, depart_date, pax_count, status, notes, created_at)
SELECT gen_random_uuid(), $1, $1, 'Asha Rao ' || n, 'asha.rao' || n || '@example.com', '+91 98' || (10000000 + n),
       (ARRAY['Mumbai', 'Delhi', 'Pune', 'Kolkata'])[1 + n % 4],
       (ARRAY['Dubai', 'Paris', 'Goa', 'Singapore', 'Bali'])[1 + n % 5], date '2026-01-01' + n % 400, 1 + n % 5,
       (ARRAY['new', 'quoted', 'booked', 'cancelled'])[1 + n * 7 % 11 % 4], repeat('note ', 20),
       timestamptz '2026-01-01 00:00Z' + n * interval '525600 minutes' / $2::int
  FROM generate_series(1, $2::int) n
"""

PUT_COLUMNS = (
    "id",
    "tenant_id",
    "created_by_user_id",
    "customer_name",
    "customer_email",
    "origin",
    "destination",
    "depart_date",
    "status",
    "created_at",
)
PUT = f"INSERT INTO enquiries ({', '.join(PUT_COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"


class Url(Protocol):
    url: str


@dataclass(frozen=True, slots=True)
class Crowded:
    """An agency among others with many enquiries, as the service's role sees them."""

    db: Connection
    tenant_id: str

    def values(self, filters: Filters, limit: int = 50, offset: int = 0) -> dict[str, Any]:
        return {"tenant_id": self.tenant_id, "limit": limit, "offset": offset, **filters.given()}

    async def plan(self, filters: Filters, **paging: int) -> Mapping[str, Any]:
        """What the database did, node by node."""
        one = page(frozenset(filters.given()), is_wide=filters.is_wide)
        arguments = one.arguments(self.values(filters, **paging))
        (row,) = await self.db.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {one.sql}", *arguments)
        told = row[0]
        return dict((json.loads(told) if isinstance(told, str) else told)[0]["Plan"])

    async def milliseconds(self, filters: Filters, rounds: int = 15) -> float:
        """The median of the processor time that the database takes for a page: what an idle machine would need."""
        one, values = page(frozenset(filters.given()), is_wide=filters.is_wide), self.values(filters)
        times = []
        for _ in range(rounds):
            began = processor_time(self.db.get_server_pid())
            await one.fetch(self.db, **values)
            times.append((processor_time(self.db.get_server_pid()) - began) / 1_000_000)
        return statistics.median(times)


def processor_time(pid: int) -> int:
    """Nanoseconds that a process was on a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0])


async def crowded(database: Url, admin: Connection, count: int) -> AsyncIterator[Crowded]:
    tenants = [uuid7(), uuid7()]
    await admin.execute("SET statement_timeout = 0")
    for tenant in tenants:
        await admin.execute(
            "INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Rao Travels', now())", tenant
        )
        await admin.execute(FILL, tenant, count, timeout=200)
    await admin.execute("VACUUM (ANALYZE, FREEZE) enquiries", timeout=100)
    db = await connect(database.url)
    await db.serve(tenants[0])
    yield Crowded(db, tenants[0])
    await db.close()


@pytest.fixture
async def some(database: Url, admin: Connection) -> AsyncIterator[Crowded]:
    async for each in crowded(database, admin, 6_000):
        await each.db.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")  # dear only for more rows
        yield each


@pytest.fixture
async def many(database: Url, admin: Connection) -> AsyncIterator[Crowded]:
    async for each in crowded(database, admin, 100_000):
        await each.db.execute("SET max_parallel_workers_per_gather = 0")  # one process does the work and is measured
        yield each


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def reads(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The scans that ran, but for those of the page's rows by their ids: their kind, and their index."""
    scans = [node for node in nodes(plan) if "Scan" in node["Node Type"] and node["Node Type"] not in OF_OTHERS]
    found = [(node["Node Type"], node.get("Index Name", "")) for node in scans if node["Actual Loops"]]
    return [(kind, index) for kind, index in found if index not in BY_ID]


BY_CREATION = ("Index Only Scan", "ix_enquiries_created_at_id")
BY_STATUS = ("Index Only Scan", "ix_enquiries_status_created_at_id")
BY_DEPARTURE = ("Index Only Scan", "ix_enquiries_depart_date_status")
BY_ID = {"pk_enquiries", "uq_enquiries_id"}
OF_OTHERS = {"CTE Scan", "Subquery Scan"}
"""Scans of what another node has read."""
INDEXED = {
    "first": (Filters(), [BY_CREATION, BY_DEPARTURE]),
    "status": (Filters(status="new"), [BY_STATUS, BY_STATUS]),
    "created": (Filters(created_from=MARCH, created_before=APRIL), [BY_CREATION, BY_CREATION]),
    "created and status": (Filters(created_from=MARCH, created_before=APRIL, status="new"), [BY_STATUS, BY_STATUS]),
}
"""Filters, and where the page is found and all are counted: without any in the smallest index."""


@pytest.mark.parametrize("name", INDEXED)
async def test_pages_by_status_and_creation_are_found_and_counted_in_an_index_alone(some: Crowded, name: str) -> None:
    filters, indexes = INDEXED[name]
    plan = await some.plan(filters, limit=20, offset=10)
    assert reads(plan) == indexes
    assert [node["Filter"] for node in nodes(plan) if "Filter" in node and node.get("Index Name") not in BY_ID] == []
    found = next(node for node in nodes(plan) if node["Node Type"] == "Limit")
    assert max(node["Actual Rows"] for node in nodes(found)) == 30


DEPART = {
    "days": Filters(depart_from=date(2026, 3, 1), depart_to=date(2026, 3, 2)),
    "month": Filters(depart_from=date(2026, 3, 1), depart_to=date(2026, 3, 31)),
    "quarter": Filters(depart_from=date(2026, 1, 1), depart_to=date(2026, 3, 31)),
    "year": Filters(depart_from=date(2026, 1, 1), depart_to=date(2026, 12, 31)),
    "year and status": Filters(depart_from=date(2026, 1, 1), depart_to=date(2026, 12, 31), status="new"),
    "from a day on": Filters(depart_from=date(2026, 2, 1)),
    "until a day": Filters(depart_to=date(2026, 6, 30)),
    "year beyond all": Filters(depart_from=date(2030, 1, 1), depart_to=date(2030, 12, 31)),
    "days and status": Filters(depart_from=date(2026, 3, 1), depart_to=date(2026, 3, 9), status="new"),
}


@pytest.mark.parametrize("name", [name for name, filters in DEPART.items() if filters.is_wide])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_pages_of_many_travel_dates_are_found_newest_first_and_counted_by_index(
    some: Crowded, name: str, mode: str
) -> None:
    """Whatever dates a plan is made for, since one that is made for any dates expects few days."""
    await some.db.execute(f"SET plan_cache_mode = {mode}")
    plan = await some.plan(DEPART[name])
    found, *counted = [index for _, index in reads(plan)]
    by_date, newest_first = BY_DEPARTURE[1], {BY_CREATION[1], BY_STATUS[1]}
    assert found in newest_first
    assert set(counted) <= ({BY_STATUS[1], by_date} if "status" in name else {by_date})
    assert bool(counted) is ("beyond" not in name)


@pytest.mark.parametrize("name", [name for name, filters in DEPART.items() if not filters.is_wide])
async def test_pages_of_few_travel_dates_read_no_table_whole(some: Crowded, name: str) -> None:
    plan = await some.plan(DEPART[name])
    assert {kind for kind, _ in reads(plan)} <= {
        "Index Only Scan",
        "Index Scan",
        "Bitmap Index Scan",
        "Bitmap Heap Scan",
    }
    assert BY_DEPARTURE[1] in {index for _, index in reads(plan)}


async def test_a_page_that_is_not_full_tells_the_total_without_counting(some: Crowded) -> None:
    one_day = Filters(created_from=MARCH, created_before=MARCH + timedelta(days=1))
    rows = await some.db.fetchval(
        "SELECT count(*) FROM enquiries WHERE created_at >= $1 AND created_at < $2", MARCH, MARCH + timedelta(days=1)
    )
    for limit, offset, scans in ((50, 0, 1), (50, rows - 1, 1), (rows, 0, 2), (50, rows, 2)):
        plan = await some.plan(one_day, limit=limit, offset=offset)
        assert len(reads(plan)) == scans, (limit, offset)
        one = page(frozenset(one_day.given()))
        (first, *_) = await one.fetch(some.db, **some.values(one_day, limit, offset))
        assert first["total"] == rows


TEXTS = {
    "q, one match": Filters(q="RAO 77777"),
    "q, none": Filters(q="nobody at all"),
    "q, all": Filters(q="asha"),
    "destination": Filters(destination="goa"),
    "all texts and status": Filters(q="rao 5", destination="goa", customer_email="asha", status="new"),
}
MOST, MOST_BY_TEXT = 15.0, 150.0
"""Milliseconds at the database."""


@pytest.mark.slow
async def test_lists_of_a_hundred_thousand_enquiries_are_within_their_times(many: Crowded) -> None:
    listed = {name: filters for name, (filters, _) in INDEXED.items()}
    listed |= {f"depart {name}": filters for name, filters in DEPART.items()}
    for group, most in ((listed, MOST), (TEXTS, MOST_BY_TEXT)):
        for name, filters in group.items():
            taken = await many.milliseconds(filters)
            print(f"{name}: {taken:.1f} ms")  # noqa: T201  # the figures of docs/figures.md
            assert taken < most, name
    for name, (filters, indexes) in INDEXED.items():
        found, counted = reads(await many.plan(filters))
        assert found == indexes[0], name
        assert counted in {indexes[1], BY_DEPARTURE}, name
    for name, filters in DEPART.items():
        plan = await many.plan(filters)
        assert "Seq Scan" not in {kind for kind, _ in reads(plan)}, name
        assert not filters.is_wide or {kind for kind, _ in reads(plan)} == {"Index Only Scan"}, name


class AgencyLike(Protocol):
    tenant_id: str
    user_id: str
    store: Any
    db: Any


LETTERS = st.text(alphabet="aAbB%_\\é É\x1f", min_size=1, max_size=4)
MAYBE = st.none() | LETTERS


@st.composite
def enquiries(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "customer_name": draw(LETTERS),
        "customer_email": draw(MAYBE),
        "origin": draw(MAYBE),
        "destination": draw(MAYBE),
        "depart_date": draw(st.none() | st.dates(date(2026, 1, 1), date(2026, 1, 4))),
        "status": draw(st.sampled_from(["new", "quoted", "booked"])),
        "created_at": MARCH + timedelta(hours=draw(st.integers(0, 3))),
    }


FILTERS = st.builds(
    Filters,
    status=st.none() | st.sampled_from(["new", "cancelled"]),
    q=MAYBE,
    customer_email=MAYBE,
    origin=MAYBE,
    depart_from=st.none() | st.dates(date(2026, 1, 1), date(2026, 1, 4)),
    depart_to=st.none() | st.dates(date(2026, 1, 1), date(2026, 1, 4)),
    created_from=st.none() | st.just(MARCH + timedelta(hours=1)),
    created_before=st.none() | st.just(MARCH + timedelta(hours=3)),
)


def matches(enquiry: Enquiry, wanted: Filters) -> bool:
    """What the filters mean, in Python."""

    def has(text: str | None, part: str | None) -> bool:
        return not part or part.lower() in (text or "").lower()

    searched = (enquiry.customer_name, enquiry.customer_email, enquiry.origin, enquiry.destination)
    depart = enquiry.depart_date
    return (
        wanted.status in {None, enquiry.status}
        and any(has(text, wanted.q) for text in searched)
        and has(enquiry.customer_email, wanted.customer_email)
        and has(enquiry.origin, wanted.origin)
        and (wanted.depart_from is None or (depart is not None and depart >= wanted.depart_from))
        and (wanted.depart_to is None or (depart is not None and depart <= wanted.depart_to))
        and (wanted.created_from is None or enquiry.created_at >= wanted.created_from)
        and (wanted.created_before is None or enquiry.created_at < wanted.created_before)
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(enquiries(), max_size=8), FILTERS, st.integers(1, 4), st.integers(0, 4))
async def test_b25_b32_filters_find_what_python_finds_and_pages_are_its_slices(
    agency: AgencyLike, rows: list[dict[str, Any]], wanted: Filters, limit: int, offset: int
) -> None:
    await agency.db.execute("DELETE FROM enquiries")
    stored = []
    for row in rows:
        known = {"id": uuid7(), "tenant_id": agency.tenant_id, "created_by_user_id": agency.user_id}
        unset = dict.fromkeys(Enquiry._fields) | {"pax_count": 1}
        stored.append(Enquiry(**{**unset, **known, **row, "updated_at": row["created_at"]}))
        await agency.db.execute(PUT, *(getattr(stored[-1], name) for name in PUT_COLUMNS))
    found = [each for each in stored if matches(each, wanted)]
    found.sort(key=lambda each: (each.created_at, each.id), reverse=True)
    got = await agency.store.ask(Page(tenant_id=agency.tenant_id, filters=wanted, limit=limit, offset=offset))
    assert got.total == len(found)
    assert json.loads(got.items) == [shown(each) for each in found[offset : offset + limit]]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds it
WRITTEN = st.fixed_dictionaries(
    {
        "customer_name": TEXT,
        "customer_email": st.none() | TEXT,
        "customer_phone": st.none() | TEXT,
        "origin": st.none() | TEXT,
        "destination": st.none() | TEXT,
        "depart_date": st.none() | st.dates(date(1, 1, 1), date(2026, 1, 1)),
        "return_date": st.none() | st.dates(date(2026, 1, 1)),
        "pax_count": st.integers(1, 2**31 - 1),
        "budget_amount": st.none() | st.decimals(0, Decimal("999999999999.99"), places=2),
        "budget_currency": st.none() | st.just("INR"),
        "status": st.sampled_from(STATUSES),
        "notes": st.none() | TEXT,
        "created_at": TIMES,
        "updated_at": TIMES,
    }
)

WHOLE_CALENDAR: dict[str, Any] = {
    **dict.fromkeys(("customer_email", "customer_phone", "origin", "destination", "notes")),
    **dict.fromkeys(("budget_amount", "budget_currency")),
    "customer_name": "Asha",
    "depart_date": date.min,
    "return_date": date.max,
    "pax_count": 1,
    "status": STATUSES[0],
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "updated_at": datetime(2026, 1, 1, tzinfo=UTC),
}


def shown(enquiry: Enquiry) -> Any:
    """What the API's model of an enquiry shows."""
    return json.loads(EnquiryResponse.of(enquiry).model_dump_json())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITTEN)
@example(WHOLE_CALENDAR)
async def test_the_json_of_a_page_is_what_its_model_would_be(agency: AgencyLike, row: dict[str, Any]) -> None:
    await agency.db.execute("DELETE FROM enquiries")
    known = {"id": uuid7(), "tenant_id": agency.tenant_id, "created_by_user_id": agency.user_id, "session_id": None}
    one = Enquiry(**known, **row)
    places = ", ".join(f"${number}" for number in range(1, len(Enquiry._fields) + 1))
    await agency.db.execute(f"INSERT INTO enquiries ({', '.join(Enquiry._fields)}) VALUES ({places})", *one)
    got = await agency.store.ask(Page(tenant_id=agency.tenant_id, filters=Filters(), limit=1, offset=0))
    query = EnquiryListQuery(limit=1)
    model = EnquiryListResponse(items=[EnquiryResponse.of(one)], total=1, limit=1, offset=0)
    assert EnquiryListResponse.encoded(got, query) == encoded(model)


async def test_the_page_beyond_the_last_is_empty(agency: AgencyLike) -> None:
    got = await agency.store.ask(Page(tenant_id=agency.tenant_id, filters=Filters(), limit=5, offset=5))
    assert got == Enquiries(b"[]", 0)
