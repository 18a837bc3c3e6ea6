"""Rows for every table there is, made from what the tables say of themselves, so that a new table is tested unasked."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

import pytest
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Table
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.types import Boolean, Date, DateTime, Integer, LargeBinary, Numeric, SmallInteger

from voyagent.storage.embedded.servers import SUPERUSER, EmbeddedServers
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import Engine, connect
from voyagent.storage.tables import metadata

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

Row = dict[str, Any]
World = dict[str, Row]
"""A row of each table, all of one agency."""


class Url(Protocol):
    url: str
    admin_url: str


FIXED: dict[str, Callable[[], Any]] = {
    "idempotency_keys.status": lambda: 200,
    "tenant_settings.rate_limit_per_hour": lambda: 2**31 - 1,
    "tenant_settings.financial_year_start_month": lambda: 4,
    "invoices.number": lambda: uuid.uuid4().hex[:16],
    "invoices.voided_on": lambda: None,
    "bills.number": lambda: uuid.uuid4().hex[:16],
    "bills.voided_on": lambda: None,
    "journals.line_count": lambda: 2,
    "journal_lines.credit": lambda: None,
    "ledger_accounts.code": lambda: uuid.uuid4().hex,
    "tax_rates.code": lambda: f"T{uuid.uuid4().int % 10**12}",
    "tax_rates.supply": lambda: "standard",
    "tax_rates.rate_bps": lambda: 1800,
    "tickets.number": lambda: f"220-{uuid.uuid4().int % 10**10:010d}",
}
RIVALS = {"journals.bill_id": "invoice_id", "payments.bill_id": "invoice_id"}
"""A column that is set only where its rival is not: of these a row gets the rival."""
KINDS: tuple[tuple[type, Callable[[], Any]], ...] = (
    (UUID, lambda: str(uuid.uuid4())),
    (JSONB, lambda: {"any": ["thing"]}),
    (ARRAY, lambda: ["full"]),
    (Boolean, lambda: True),
    (LargeBinary, lambda: uuid.uuid4().bytes * 2),
    (SmallInteger, lambda: 1),
    (Integer, lambda: uuid.uuid4().int % 2**31),
    (Numeric, lambda: Decimal("12.5000")),
    (DateTime, lambda: NOW),
    (Date, lambda: date(2030, 1, 1)),
)


def value_of(column: Column[Any]) -> Any:
    """Something the column takes, different each time where its type has room for that."""
    if str(column) in FIXED:
        return FIXED[str(column)]()
    for check in column.table.constraints:
        if isinstance(check, CheckConstraint) and (
            words := re.match(rf"{column.name} IN \('(\w+)'", str(check.sqltext))
        ):
            return words[1]
    for kind, make in KINDS:
        if isinstance(column.type, kind):
            return make()
    if "currency" in column.name:
        return "INR"
    return (uuid.uuid4().hex * 2)[: getattr(column.type, "length", None)]


def references(table: Table) -> list[ForeignKeyConstraint]:
    return [each for each in table.constraints if isinstance(each, ForeignKeyConstraint)]


def row_of(table: Table, world: Mapping[str, Row]) -> Row:
    """A new row that refers to the rows of ``world``."""
    row = {
        column.name: NOW if column.name == "updated_at" else value_of(column)
        for column in table.columns
        if column.computed is None
    }
    for reference in references(table):
        if reference.referred_table is table and table.name not in world:
            row[next(element.parent.name for element in reference.elements if element.parent.name != "tenant_id")] = (
                None
            )
            continue
        for element in reference.elements:
            if str(element.parent) in RIVALS:
                row[element.parent.name] = None
                continue
            row[element.parent.name] = world[element.column.table.name][element.column.name]
    return row


async def insert(db: Connection, table: Table, row: Row) -> None:
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    await db.execute(f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({places})", *row.values())


async def build_world(db: Connection) -> World:
    """A new agency with one row in each table, written on a connection that serves it."""
    world: World = {}
    for table in metadata.sorted_tables:
        if table.name != "tenants" and "tenant_id" not in table.columns:
            continue  # the service's own
        row = world[table.name] = row_of(table, world)
        if table.name == "tenants":
            await db.serve(row["id"])
            await db.execute("BEGIN")
        await insert(db, table, row)
    await balance(db, world)
    await db.execute("COMMIT")
    return world


async def balance(db: Connection, world: World) -> None:
    """A journal's other line: one alone would not be committed."""
    other = row_of(metadata.tables["journal_lines"], world)
    await insert(db, metadata.tables["journal_lines"], other | {"debit": None, "credit": other["debit"]})


@pytest.fixture
def make_row() -> Callable[[Table, Mapping[str, Row]], Row]:
    return row_of


@pytest.fixture
def put() -> Callable[[Connection, Table, Row], Awaitable[None]]:
    return insert


@pytest.fixture
async def admin(database: Url) -> AsyncIterator[Connection]:
    """The superuser, whom nothing stops."""
    connection = await connect(database.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def engine(database: Url) -> AsyncIterator[Engine]:
    opened = await Engine.open(database.url, size=4, system_size=2)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def build() -> Callable[[Connection], Awaitable[World]]:
    """Makes an agency on a connection and leaves it serving that."""
    return build_world


@pytest.fixture
async def world(database: Url) -> World:
    """One agency with a row in each table."""
    connection = await connect(database.url)
    try:
        return await build_world(connection)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def walled(servers: EmbeddedServers, template: str) -> AsyncIterator[str]:
    """The URL of a database that the tests of one file share."""
    name = f"shared_{uuid.uuid4().hex[:8]}"
    cluster = await connect(servers.postgres.url(SUPERUSER, SUPERUSER))
    await cluster.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield servers.postgres.url(database=name)
    await cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await cluster.close()
