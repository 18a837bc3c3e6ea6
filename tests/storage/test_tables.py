"""Row-level security and composite keys, over every table there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from sqlalchemy import DateTime, ForeignKeyConstraint, Table, Text

from voyagent.actors.domain.placement import SHARDS
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.errors import CONSTRAINTS
from voyagent.storage.engine.pool import SYSTEM_ROLE, connect
from voyagent.storage.tables import metadata

TABLES = [table for table in metadata.sorted_tables if table.name == "tenants" or "tenant_id" in table.columns]
OWN = {"sealing_canaries", "digest_keys", "nodes", "shards"}
"""Tables that belong to no agency."""
REFERENCES = [
    constraint
    for table in TABLES
    for constraint in sorted(table.constraints, key=lambda each: str(each.name))
    if isinstance(constraint, ForeignKeyConstraint) and constraint.referred_table.name != "tenants"
]

MakeRow = Callable[[Table, dict[str, dict[str, Any]]], dict[str, Any]]
Put = Callable[[Connection, Table, dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Walls:
    """Two agencies in one database, and connections of each kind."""

    ours: dict[str, dict[str, Any]]
    theirs: dict[str, dict[str, Any]]
    db: Connection
    system: Connection

    @property
    def us(self) -> str:
        return str(self.ours["tenants"]["id"])

    @property
    def them(self) -> str:
        return str(self.theirs["tenants"]["id"])


@pytest.fixture(scope="module")
async def walls(walled: Any, build: Any) -> AsyncIterator[Walls]:
    """Shared by all these tests: each leaves it as it was."""
    db = await connect(walled)
    system = await connect(walled, role=SYSTEM_ROLE)
    yield Walls(await build(db), await build(db), db, system)
    await db.close()
    await system.close()


def key_of(table: Table) -> str:
    return "id" if table.name == "tenants" else "tenant_id"


@asynccontextmanager
async def nothing_stays(db: Connection) -> AsyncIterator[None]:
    await db.execute("BEGIN")
    try:
        yield
    finally:
        await db.execute("ROLLBACK")


def test_every_table_belongs_to_an_agency_but_the_services_own() -> None:
    assert {table.name for table in TABLES} | OWN == set(metadata.tables)


@pytest.mark.parametrize(
    ("table", "put"),
    [
        ("sealing_canaries", "(key_id, sealed, created_at) VALUES ('a', '', now())"),
        ("digest_keys", "(id, derived_from, sealed, key_id, created_at) VALUES ('1', 'a', '', 'a', now())"),
    ],
)
async def test_what_is_the_services_own_is_the_system_roles_alone(walls: Walls, table: str, put: str) -> None:
    put, count = f"INSERT INTO {table} {put}", f"SELECT count(*) FROM {table}"
    async with nothing_stays(walls.system):
        await walls.system.execute(put)
        assert await walls.system.fetchval(count) == 1
    for tenant in ("", walls.us):
        await walls.db.serve(tenant)
        assert await walls.db.fetchval(count) == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await walls.db.execute(put)


async def test_nodes_are_the_system_roles_alone_and_shards_are_read_and_locked_by_everybody(walls: Walls) -> None:
    put = "INSERT INTO nodes (node, version, until) VALUES ($1, '', now())"
    async with nothing_stays(walls.system):
        await walls.system.execute(put, walls.us)
        assert await walls.system.execute("UPDATE shards SET node = $1, epoch = epoch + 1", walls.us) == "UPDATE 256"
    for tenant in ("", walls.us):
        await walls.db.serve(tenant)
        assert await walls.db.fetchval("SELECT count(*) FROM nodes") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await walls.db.execute(put, walls.us)
        assert len(await walls.db.fetch("SELECT FROM shards FOR SHARE")) == SHARDS
        for deed in ("UPDATE shards SET epoch = epoch + 1", "INSERT INTO shards (shard) VALUES (0)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await walls.db.execute(deed)
        assert await walls.db.execute("DELETE FROM shards") == "DELETE 0"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_r60_a_forgotten_where_shows_an_agency_its_own_rows_and_no_others(table: Table, walls: Walls) -> None:
    key = key_of(table)
    for tenant in (walls.us, walls.them):
        await walls.db.serve(tenant)
        assert {row[key] for row in await walls.db.fetch(f"SELECT {key} FROM {table.name}")} == {tenant}
    assert await walls.db.fetchval(f"SELECT count(*) FROM {table.name} WHERE {key} = $1", walls.us) == 0


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_a_connection_that_serves_nobody_sees_and_writes_nothing(
    table: Table, walls: Walls, make_row: MakeRow, put: Put
) -> None:
    await walls.db.serve("")
    assert await walls.db.fetchval(f"SELECT count(*) FROM {table.name}") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await put(walls.db, table, make_row(table, walls.ours))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_the_system_role_sees_every_agency(table: Table, walls: Walls) -> None:
    rows = await walls.system.fetch(f"SELECT {key_of(table)} AS tenant FROM {table.name}")
    assert {row["tenant"] for row in rows} == {walls.us, walls.them}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_no_agency_writes_into_another(table: Table, walls: Walls, make_row: MakeRow, put: Put) -> None:
    key = key_of(table)
    await walls.db.serve(walls.them)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await put(walls.db, table, make_row(table, walls.ours))
    if table.name in ("audit_events", "invoice_lines", "journal_lines", "journals", "payments"):
        return  # nobody changes what stands there: test_audit, test_journals
    with pytest.raises(asyncpg.InsufficientPrivilegeError):  # not even by giving its own rows away
        await walls.db.execute(f"UPDATE {table.name} SET {key} = $1", walls.us)
    if table.name == "audit_heads":
        return
    column = next(column.name for column in table.columns if column.computed is None)
    async with nothing_stays(walls.db):
        assert await walls.db.execute(f"UPDATE {table.name} SET {column} = {column}") == "UPDATE 1"
    async with nothing_stays(walls.db):
        assert await walls.db.execute(f"DELETE FROM {table.name} WHERE {key} = $1", walls.us) == "DELETE 0"


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: reference.name)
async def test_no_row_refers_to_another_agencys(
    reference: ForeignKeyConstraint, walls: Walls, make_row: MakeRow, put: Put
) -> None:
    local = next(element for element in reference.elements if element.parent.name != "tenant_id")
    calls = metadata.tables["tool_calls"]
    call = make_row(calls, walls.ours)  # one nobody refers to yet
    row = make_row(reference.table, walls.ours | {"tool_calls": call})
    if local.parent.name == "bill_id":
        row["invoice_id"] = None  # it is about the one or the other
    row[local.parent.name] = walls.theirs[reference.referred_table.name][local.column.name]
    async with nothing_stays(walls.system):
        await put(walls.system, calls, call)
        with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
            await put(walls.system, reference.table, row)
    assert refused.value.constraint_name == reference.name


def test_every_reference_names_the_agency() -> None:
    assert len(REFERENCES) >= 30
    assert [each.name for each in REFERENCES if each.column_keys[0] != "tenant_id"] == []


async def test_rows_of_no_agency_are_the_systems_alone(walls: Walls, make_row: MakeRow, put: Put) -> None:
    outbox = metadata.tables["outbox"]
    row = make_row(outbox, walls.ours) | {"tenant_id": None}
    await walls.db.serve(walls.us)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await put(walls.db, outbox, row)
    await put(walls.system, outbox, row)
    try:
        assert await walls.db.fetchval("SELECT count(*) FROM outbox WHERE tenant_id IS NULL") == 0
        assert await walls.system.fetchval("SELECT count(*) FROM outbox WHERE tenant_id IS NULL") == 1
    finally:
        await walls.system.execute("DELETE FROM outbox WHERE tenant_id IS NULL")


async def test_a_nonsense_agency_is_an_error_and_not_everybody(walls: Walls) -> None:
    await walls.db.serve("*")
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await walls.db.fetch("SELECT id FROM users")


async def test_deleting_a_session_takes_its_log_along_and_leaves_what_it_did(walls: Walls) -> None:
    await walls.db.serve(walls.us)
    async with nothing_stays(walls.db):
        await walls.db.execute("DELETE FROM sessions")
        for gone in ("turns", "messages", "session_events", "pending_approvals"):
            assert await walls.db.fetchval(f"SELECT count(*) FROM {gone}") == 0
        for kept in ("tool_calls", "model_calls", "offers", "bookings", "invoices", "bills", "enquiries"):
            row = await walls.db.fetchrow(f"SELECT tenant_id, session_id FROM {kept}")
            assert (row["tenant_id"], row["session_id"]) == (walls.us, None)


def change_of(table: Table) -> str:
    """An assignment that changes the row each time."""
    checked = {str(each.name).removeprefix(f"ck_{table.name}_") for each in table.constraints}
    plain = [c for c in table.columns if not c.foreign_keys and c.computed is None and c.name not in checked]
    for column in plain:
        if isinstance(column.type, DateTime) and column.name not in {"created_at", "updated_at"}:
            return f"{column.name} = {column.name} + interval '1 day'"
    name = next(column.name for column in plain if isinstance(column.type, Text))
    return f"{name} = {name} || '.'"


@pytest.mark.parametrize("table", [table for table in TABLES if "updated_at" in table.columns], ids=lambda t: t.name)
async def test_b34_updated_at_moves_with_every_change_and_only_then(table: Table, walls: Walls) -> None:
    read = f"SELECT updated_at FROM {table.name}"
    await walls.db.serve(walls.us)
    async with nothing_stays(walls.db):
        moments = [await walls.db.fetchval(read)]
        for _ in range(2):
            await walls.db.execute(f"UPDATE {table.name} SET {change_of(table)}")
            moments.append(await walls.db.fetchval(read))
        assert moments == sorted(set(moments))
        name = change_of(table).split()[0]
        await walls.db.execute(f"UPDATE {table.name} SET {name} = {name}")
        assert await walls.db.fetchval(read) == moments[-1]


def test_constraint_names_are_unique_and_fit_postgres() -> None:
    names = [str(each.name) for table in metadata.tables.values() for each in (*table.constraints, *table.indexes)]
    assert len(names) == len(set(names))
    assert [name for name in names if len(name) > 63 or name == "None"] == []


def test_every_translated_constraint_exists() -> None:
    names = {str(each.name) for table in metadata.tables.values() for each in (*table.constraints, *table.indexes)}
    assert set(CONSTRAINTS) - names == set()
