"""After a rotation everything sealed comes under the newest key, whatever changes meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from sqlalchemy import LargeBinary

from tests.storage.conftest import NOW, World, insert, row_of
from tests.waiting import until
from voyagent.storage.engine import canary, digest_keys, sealed_columns
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import SYSTEM_ROLE, connect
from voyagent.storage.engine.resealing import Reseal, Resealed
from voyagent.storage.engine.sealed_columns import COLUMNS, SealedColumn
from voyagent.storage.engine.sealing import Sealing, key_id
from voyagent.storage.tables import metadata

if TYPE_CHECKING:
    from tests.conftest import Database

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
BEFORE, ROTATED, AFTER = Sealing({"old": OLD}), Sealing({"new": NEW, "old": OLD}), Sealing({"new": NEW})
COLUMN = {each.name: each for each in COLUMNS}
HASHES = {
    "auth_refresh_tokens.token_hash",
    "one_time_tokens.token_hash",
    "recovery_codes.code_mac",
    "invites.token_hash",
    "invites.letter_token_hash",
    "api_keys.key_hash",
    "passengers.passport_index",
    "idempotency_keys.body_hash",
    "turns.text_hash",
}
"""Columns of bytes that are digests."""


@pytest.fixture
async def system(database: Database) -> AsyncIterator[Connection]:
    db = await connect(database.url, role=SYSTEM_ROLE)
    yield db
    await db.close()


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[asyncpg.Connection]:
    db = await asyncpg.connect(database.admin_url)
    yield db
    await db.close()


class Sealed:
    """A row with a value of a column, sealed by an earlier ring."""

    def __init__(self, admin: asyncpg.Connection, column: SealedColumn, row: dict[str, Any]) -> None:
        self.admin, self.column, self.row = admin, column, row
        key = [column.name for column in column.table.primary_key]
        self._where = " AND ".join(f"{name} = ${place}" for place, name in enumerate(key, start=2))
        self._key = [row[name] for name in key]

    async def seal(self, ring: Sealing, plain: bytes = b"the value") -> None:
        await self.put(ring.seal(plain, **self.column.place(self.row)))

    async def put(self, value: bytes) -> None:
        name = self.column.column.name
        sql = f"UPDATE {self.column.table.name} SET {name} = $1 WHERE {self._where}"
        await self.admin.execute(sql, value, *self._key)

    async def stored(self) -> Any:
        sql = f"SELECT * FROM {self.column.table.name} WHERE $1::int = 1 AND {self._where}"
        return await self.admin.fetchrow(sql, 1, *self._key)

    async def opened(self, ring: Sealing) -> bytes:
        row = await self.stored()
        return ring.open(row[self.column.column.name], **self.column.place({**row}))


@pytest.fixture
async def world(world: World, admin: asyncpg.Connection) -> World:
    """A row of each table, without anything sealed."""
    for each in COLUMNS:
        await admin.execute(f"UPDATE {each.table.name} SET {each.column.name} = ''")
    return world


async def run(db: Connection, reseal: Reseal) -> Resealed:
    """A command is one transaction."""
    async with db.transaction():
        return await reseal.run(db)


async def sealed(column: str, admin: asyncpg.Connection, world: World) -> Sealed:
    """A row of ``world`` for the column; of the service's own tables a new one."""
    each = COLUMN[column]
    row = world.get(each.table.name) or row_of(each.table, world)
    if each.table.name not in world:
        await insert(admin, each.table, row)
    return Sealed(admin, each, row)


def test_every_column_of_bytes_is_sealed_again_or_a_digest() -> None:
    found = {
        str(column) for table in metadata.sorted_tables for column in table.c if isinstance(column.type, LargeBinary)
    }
    assert found == {*COLUMN, *HASHES, "sealing_canaries.sealed"}


async def test_a_value_comes_under_the_newest_key_once_and_its_row_stays_the_same(
    system: Connection, admin: asyncpg.Connection, world: World
) -> None:
    for column, each in COLUMN.items():
        value = await sealed(column, admin, world)
        await value.seal(BEFORE)
        if each.key_id is not None:
            await admin.execute(f"UPDATE {each.table.name} SET {each.key_id.name} = 'old'")
        before = dict(await value.stored())
        needed = 0 if column == "digest_keys.sealed" else 1
        assert (await sealed_columns.usage(system)).get("old", {}).get(column, 0) == needed
        reseal = Reseal(column=column, sealing=ROTATED)
        assert await run(system, reseal) == Resealed(done=1)
        assert await run(system, reseal) == Resealed(done=0)
        assert await value.opened(AFTER) == b"the value"
        after = dict(await value.stored())
        ours = {part.name for part in (each.column, each.key_id, each.digest) if part is not None}
        assert {name for name in after if after[name] != before[name]} <= ours | {"updated_at"}
        if each.key_id is not None:
            assert after[each.key_id.name] == "new"
        if each.digest is not None:
            place = {"table": each.table.name, "column": each.column.name, "scope": str(after["tenant_id"])}
            assert after[each.digest.name] == AFTER.digests(b"the value", **place)[0]
    assert "old" not in await sealed_columns.usage(system)


async def test_what_cannot_be_opened_stays_is_named_and_stops_no_other(
    system: Connection, admin: asyncpg.Connection, world: World
) -> None:
    for column in COLUMN:
        value = await sealed(column, admin, world)
        intact = BEFORE.seal(b"the value", **value.column.place(value.row))
        altered = intact[:-1] + bytes([intact[-1] ^ 1])
        await value.put(altered)
        named = (value.column.place(value.row)["row"],)
        assert await run(system, Reseal(column=column, sealing=ROTATED)) == Resealed(done=0, not_opened=named)
        assert await run(system, Reseal(column=column, sealing=ROTATED, skip=1)) == Resealed(done=0)
        assert (await value.stored())[value.column.column.name] == altered


async def test_what_is_no_sealed_value_is_passed_over(
    system: Connection, admin: asyncpg.Connection, world: World
) -> None:
    value = await sealed("idempotency_keys.reply", admin, world)
    for other in (b"", b"\x01", b"\xff" * 40, b'{"plain": "json"}', b"\x00nobody's", b"\x03\xff\xfe\x00 and more"):
        await value.put(other)
        assert await sealed_columns.usage(system) == {}
        assert await run(system, Reseal(column="idempotency_keys.reply", sealing=ROTATED)) == Resealed(done=0)


async def test_many_are_sealed_again_batch_by_batch_behind_those_that_cannot_be_opened(
    system: Connection, admin: asyncpg.Connection, world: World
) -> None:
    outbox = COLUMN["outbox.payload_sealed"]
    rows = sorted((row_of(outbox.table, world) for _ in range(5)), key=lambda row: str(row["id"]))
    values = [Sealed(admin, outbox, row) for row in rows]
    for value in values:
        await insert(admin, outbox.table, value.row)
        await value.seal(BEFORE)
    await values[0].put(b"\x03oldaltered")
    skip, done, batches, more = 0, 0, 0, True
    while more:
        batch = await run(system, Reseal(column=outbox.name, sealing=ROTATED, skip=skip, most=2))
        skip, done, more, batches = skip + len(batch.not_opened), done + batch.done, batch.more, batches + 1
    assert (skip, done, batches) == (1, 4, 3)
    assert [await value.opened(AFTER) for value in values[1:]] == [b"the value"] * 4


@pytest.mark.parametrize("other", [AFTER, BEFORE])
async def test_a_value_that_is_replaced_meanwhile_is_the_new_one(
    other: Sealing, database: Database, system: Connection, admin: asyncpg.Connection, world: World
) -> None:
    """Whoever comes second waits for the row, and sees what the first has written."""
    value = await sealed("users.totp_sealed", admin, world)
    await value.seal(BEFORE, b"the first seed")
    rival = await asyncpg.connect(database.admin_url)
    async with rival.transaction():
        await Sealed(rival, value.column, value.row).seal(other, b"the second seed")
        waiting = asyncio.create_task(run(system, Reseal(column="users.totp_sealed", sealing=ROTATED)))
        pid = system.get_server_pid()

        async def waits() -> bool:
            return bool(await admin.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid))

        await until(waits)
    await rival.close()
    assert await waiting == Resealed(done=int(other is BEFORE))
    assert await value.opened(AFTER) == b"the second seed"


async def test_two_that_seal_again_at_once_do_so_once(
    database: Database, system: Connection, admin: asyncpg.Connection, world: World
) -> None:
    value = await sealed("users.totp_sealed", admin, world)
    await value.seal(BEFORE)
    other = await connect(database.url, role=SYSTEM_ROLE)
    reseal = Reseal(column="users.totp_sealed", sealing=ROTATED)
    results = await asyncio.gather(run(system, reseal), run(other, reseal))
    await other.close()
    assert sorted(result.done for result in results) == [0, 1]
    assert await value.opened(AFTER) == b"the value"


async def test_a_digest_key_outlives_the_sealing_key_it_comes_from_as_long_as_a_code_needs_it(
    system: Connection, admin: asyncpg.Connection, world: World
) -> None:
    code = world["recovery_codes"]
    await admin.execute("UPDATE recovery_codes SET key_id = 'old', used_at = NULL")
    await canary.keep(system, {"old": OLD})
    await canary.keep(system, {"new": NEW, "old": OLD})
    assert await canary.faults(system, {"new": NEW}) == []
    await canary.keep(system, {"new": NEW})
    stored = await digest_keys.ReadDigestKeys().run(system)
    keys, not_opened = digest_keys.opened(AFTER, stored)
    assert (sorted(keys), not_opened) == (sorted(map(digest_keys.derived, (OLD, NEW))), [])
    assert {key_id(each) for each in stored.values()} == {"new"}
    await admin.execute("UPDATE recovery_codes SET used_at = $1 WHERE id = $2", NOW, code["id"])
    await canary.keep(system, {"new": NEW})
    assert list(await digest_keys.ReadDigestKeys().run(system)) == [digest_keys.fingerprint(digest_keys.derived(NEW))]


async def test_codes_of_a_release_that_stored_no_digest_key_hold_their_sealing_key(
    system: Connection, admin: asyncpg.Connection, world: World
) -> None:
    assert world["recovery_codes"]
    await admin.execute("UPDATE recovery_codes SET key_id = 'old', used_at = NULL")
    (fault,) = await canary.faults(system, {"new": NEW})
    assert "key 'old' is missing, which has sealed what stands in recovery_codes (1)" in fault
    assert json.dumps(await sealed_columns.usage(system)) == '{"old": {"recovery_codes": 1}}'
