"""What a server says when it cannot do its work is no defect of ours: unavailable, and another connection is tried."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.storage.engine.test_statements import all_statements
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.errors import StorageUnavailable
from voyagent.storage.engine.operations import Command, Query
from voyagent.storage.engine.pool import Engine
from voyagent.storage.tables import metadata

STORAGE = Path(__file__).parents[3] / "storage"
TENANT = "0193f5a0-0000-7000-8000-00000000000a"
UNAVAILABLE = [
    *("25006", "08000", "08003", "08006", "53000", "53100", "53200", "53300", "53400"),
    *("57000", "57014", "57P01", "57P02", "57P03", "57P05", "58000", "58030", "55P03"),
]
DEFECTS = ["22012", "23514", "42601", "25001", "XX000", "P0001"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Says(Command[None]):
    state: str

    async def run(self, db: Connection) -> None:
        await db.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{self.state}'; END $$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(Query[int]):
    async def run(self, db: Connection) -> int:
        return int(await db.fetchval("SELECT pg_backend_pid()"))


@pytest.fixture
async def narrow(database: Any) -> AsyncIterator[Engine]:
    engine = await Engine.open(database.url, size=1, system_size=1)
    yield engine
    await engine.close()


@pytest.mark.parametrize("state", UNAVAILABLE)
async def test_a_server_that_cannot_work_is_unavailable_and_left_unless_only_a_lock_is_held(
    state: str, narrow: Engine
) -> None:
    before = await narrow.run(Backend(tenant_id=TENANT))
    with pytest.raises(StorageUnavailable):
        await narrow.run(Says(tenant_id=TENANT, state=state))
    after = await narrow.run(Backend(tenant_id=TENANT))
    assert (before == after) is (state == "55P03")


@pytest.mark.parametrize("state", DEFECTS)
async def test_a_defect_stays_a_defect_and_costs_no_connection(state: str, narrow: Engine) -> None:
    before = await narrow.run(Backend(tenant_id=TENANT))
    with pytest.raises(Exception) as told:  # noqa: PT011 -- as it is, whatever it is
        await narrow.run(Says(tenant_id=TENANT, state=state))
    assert not isinstance(told.value, StorageUnavailable)
    assert await narrow.run(Backend(tenant_id=TENANT)) == before


def locks_in_text() -> Iterator[tuple[str, str]]:
    """Statements that are SQL text and lock rows FOR UPDATE: their names and tables."""
    for path in STORAGE.rglob("*.py"):
        text = path.read_text()
        for lock in re.finditer(r"FOR UPDATE", text):
            before = text[: lock.start()]
            name = re.findall(r"^(\w+) = ", before, re.MULTILINE)[-1]
            yield name, re.findall(r"\b(?:FROM|JOIN|UPDATE)\s+(\w+)", before)[-1]


def locks_in_core() -> Iterator[tuple[str, str]]:
    """The same of compiled statements."""
    for name, made in all_statements():
        if "FOR UPDATE" in made.sql:
            yield name.rpartition(".")[2], re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", made.sql)[-1]


def test_no_lock_of_a_row_that_others_refer_to_keeps_their_inserts_waiting() -> None:
    referred = {key.column.table.name for table in metadata.tables.values() for key in table.foreign_keys}
    text, core = dict(locks_in_text()), dict(locks_in_core())
    assert text["CLAIM"] == "outbox"
    assert text["AUDIT"] == "audit_heads"
    assert core["HOLD_AGENCY"] == "tenants"
    found = {name: table for name, table in (text | core).items() if table in referred}
    assert found == {"LAST_TITLE": "sessions", "HOLD_AGENCY": "tenants"}, "a row about to go, or that nobody may join"
