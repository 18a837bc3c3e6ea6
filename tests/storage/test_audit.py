"""The audit chain: without holes at any concurrency, unchangeable, and telling when somebody changed it after all."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest

from voyagent.actors.domain.audit import AuditEvent, chained
from voyagent.actors.domain.errors import Conflict
from voyagent.storage import audit, audit_chain, audit_heads
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.operations import Command
from voyagent.storage.engine.pool import SYSTEM_ROLE, Engine, connect
from voyagent.storage.tables import audit_events

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
US = "0193f5a0-0000-7000-8000-00000000000a"
THEM = "0193f5a0-0000-7000-8000-00000000000b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(Command[None]):
    entries: Sequence[AuditEvent]
    refused: bool = False

    async def run(self, db: Connection) -> None:
        await audit.append(db, self.entries)
        if self.refused:
            raise Conflict("no")


def entry(tenant_id: str = US, **more: Any) -> AuditEvent:
    given = {
        "kind": "session.renamed",
        "status": "succeeded",
        "actor_kind": "human",
        "inputs": {"from": None, "to": "Goa"},
    }
    return AuditEvent(**{"id": str(uuid.uuid4()), "tenant_id": tenant_id, "created_at": NOW, **given, **more})


@pytest.fixture(autouse=True)
async def agencies(admin: Connection) -> None:
    for tenant in (US, THEM):
        await admin.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Asha', $2)", tenant, NOW)


async def verdict(engine: Engine, tenant_id: str = US) -> audit_chain.Verdict:
    return await engine.run(audit_chain.Verify(tenant_id=tenant_id))


def whole(found: audit_chain.Verdict, rows: int) -> bool:
    return (found.ok, found.checked, found.head.seq) == (True, rows, rows)


async def places(admin: Connection, tenant_id: str = US) -> list[int]:
    rows = await admin.fetch("SELECT seq FROM audit_events WHERE tenant_id = $1 ORDER BY seq", tenant_id)
    return [row["seq"] for row in rows]


async def test_a_chain_verifies_whatever_its_entries_hold(engine: Engine, admin: Connection) -> None:
    assert whole(await verdict(engine), 0)
    full = entry(
        status="failed",
        actor_kind="agent",
        actor_id=str(uuid.uuid4()),
        driver="house",
        inputs={"z": 1, "a": {"deep": [1, True, None, 'ümlaut \\ " \n'], "big": 2**60}, "é": ""},
        outputs={"amount": "1200.5000"},
        entity_refs={"tool_call_id": str(uuid.uuid4())},
        error="offer_expired",
        approval_required=True,
        approved_by=str(uuid.uuid4()),
        approved_at=NOW.astimezone(timezone(timedelta(hours=5, minutes=30))),
        completed_at=NOW,
    )
    await engine.run(Act(tenant_id=US, entries=[entry(), full, entry()]))
    await engine.run(Act(tenant_id=US, entries=[entry()]))
    assert whole(await verdict(engine), 4)
    assert await places(admin) == [1, 2, 3, 4]


async def test_acts_at_once_leave_no_hole_and_no_double(engine: Engine, admin: Connection) -> None:
    await asyncio.gather(*(engine.run(Act(tenant_id=US, entries=[entry(), entry()])) for _ in range(40)))
    assert await places(admin) == list(range(1, 81))
    assert whole(await verdict(engine), 80)


async def test_a_refused_act_leaves_no_entry_and_no_hole(engine: Engine, admin: Connection) -> None:
    for refused in (False, True, False):
        try:
            await engine.run(Act(tenant_id=US, entries=[entry()], refused=refused))
        except Conflict:
            assert refused
    assert await places(admin) == [1, 2]
    assert (await verdict(engine)).ok


async def test_system_work_writes_to_each_agencys_own_chain(engine: Engine, admin: Connection) -> None:
    orders = [(THEM, US, THEM), (US, THEM)] * 5
    await asyncio.gather(*(engine.run(Act(tenant_id=None, entries=list(map(entry, order)))) for order in orders))
    assert len(await places(admin, US)) == 10
    assert len(await places(admin, THEM)) == 15
    assert (await verdict(engine, US)).ok
    assert (await verdict(engine, THEM)).ok


async def test_nobody_writes_into_another_agencys_chain(engine: Engine) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await engine.run(Act(tenant_id=US, entries=[entry(THEM)]))


@pytest.mark.parametrize("role", [None, SYSTEM_ROLE])
@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE audit_events SET kind = 'nothing'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "DELETE FROM audit_heads",
        "TRUNCATE audit_heads",
        "UPDATE audit_heads SET seq = seq - 1",
        "UPDATE audit_heads SET hash = repeat('0', 64)",
    ],
)
async def test_what_stands_in_the_chain_cannot_be_changed(
    deed: str, role: str | None, engine: Engine, database: Any
) -> None:
    await engine.run(Act(tenant_id=US, entries=[entry(), entry()]))
    db = await connect(database.url, role=role)
    await db.serve(US)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(deed)
    await db.close()


async def test_the_trigger_holds_where_no_grant_does(engine: Engine, admin: Connection) -> None:
    await engine.run(Act(tenant_id=US, entries=[entry()]))
    for deed in ("UPDATE audit_events SET kind = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await admin.execute(deed)


FORGERIES = [
    ('UPDATE audit_events SET inputs = \'{"to": "Pune"}\' WHERE seq = 3', 3),
    ("UPDATE audit_events SET created_at = created_at + interval '1 microsecond' WHERE seq = 2", 2),
    ("UPDATE audit_events SET actor_id = id WHERE seq = 1", 1),
    ("UPDATE audit_events SET hash = repeat('a', 64) WHERE seq = 4", 4),
    ("UPDATE audit_events SET hash_v = 2 WHERE seq = 4", 4),
    ("DELETE FROM audit_events WHERE seq = 2", 2),
    ("DELETE FROM audit_events WHERE seq = 5", 5),
    ("DELETE FROM audit_events", 1),
    ("UPDATE audit_heads SET seq = 4", 5),
    ("UPDATE audit_heads SET hash = repeat('a', 64)", 5),
    ("DELETE FROM audit_heads", 1),
]


HASH = "SELECT hash FROM audit_events WHERE seq = $1"


@pytest.mark.parametrize(("forgery", "broken_at"), FORGERIES)
async def test_a_forgery_by_someone_who_may_do_anything_is_named(
    forgery: str, broken_at: int, engine: Engine, admin: Connection
) -> None:
    await engine.run(Act(tenant_id=US, entries=[entry() for _ in range(5)]))
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(forgery)
    found = await verdict(engine)
    assert not found.ok
    assert found.broken_at == broken_at


async def test_b40_a_last_row_changed_together_with_its_hash_is_not_the_heads(
    engine: Engine, admin: Connection
) -> None:
    entries = [entry() for _ in range(5)]
    await engine.run(Act(tenant_id=US, entries=entries))
    changed = chained(replace(entries[4], inputs={"to": "Pune"}), 5, await admin.fetchval(HASH, 4))
    await admin.execute("SET session_replication_role = replica")
    await admin.execute('UPDATE audit_events SET inputs = \'{"to": "Pune"}\', hash = $1 WHERE seq = 5', changed)
    found = await verdict(engine)
    assert (found.broken, found.checked) == (audit_chain.Broken(5, entries[4].id, "hash"), 4)


async def test_a_chain_longer_than_one_reading_verifies(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "BATCH", 3)
    await engine.run(Act(tenant_id=US, entries=[entry() for _ in range(9)]))
    assert whole(await verdict(engine), 9)


async def test_b40_a_signed_head_shows_an_end_cut_together_with_its_head(engine: Engine, admin: Connection) -> None:
    await engine.run(Act(tenant_id=US, entries=[entry() for _ in range(5)]))
    signed = (await verdict(engine)).head
    await engine.run(Act(tenant_id=US, entries=[entry()]))
    check = audit_chain.Verify(tenant_id=US, signed=signed)
    assert whole(await engine.run(check), 6)
    known = audit_heads.ReadHeads(known={US: signed, THEM: audit_chain.Point(1, "0" * 64)})
    assert await engine.run(known) == audit_heads.Heads({US: (await verdict(engine)).head}, frozenset({THEM}))
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM audit_events WHERE seq > 3")
    await admin.execute("UPDATE audit_heads SET seq = 3, hash = (SELECT hash FROM audit_events WHERE seq = 3)")
    assert whole(await verdict(engine), 3)
    assert (await engine.run(check)).broken == audit_chain.Broken(4, None, "gap")
    assert (await engine.run(known)).lost == {US, THEM}
    await admin.execute("SET session_replication_role = origin")
    await engine.run(Act(tenant_id=US, entries=[entry() for _ in range(3)]))
    assert whole(await verdict(engine), 6)
    broken = (await engine.run(check)).broken
    assert broken is not None
    assert (broken.seq, broken.why) == (5, "hash")


COLUMNS = [column.name for column in audit_events.c if column.name != "tenant_id"]
CHANGES = {
    "id": "gen_random_uuid()",
    "seq": "20",
    "prev_hash": "repeat('a', 64)",
    "hash": "repeat('a', 64)",
    "hash_v": "2",
    "actor_id": "gen_random_uuid()",
    "actor_kind": "'agent'",
    "approval_required": "true",
    "approved_by": "gen_random_uuid()",
    "status": "'failed'",
    **dict.fromkeys(("kind", "driver", "error"), "'other'"),
    **dict.fromkeys(("inputs", "outputs", "entity_refs"), "'{\"other\": 1}'"),
    **dict.fromkeys(("approved_at", "completed_at", "created_at"), "now()"),
}


@pytest.mark.parametrize("column", COLUMNS)
async def test_b40_a_change_of_any_column_is_found_and_named(column: str, engine: Engine, admin: Connection) -> None:
    await engine.run(Act(tenant_id=US, entries=[entry() for _ in range(5)]))
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(f"UPDATE audit_events SET {column} = {CHANGES[column]} WHERE seq = 3")
    broken = (await verdict(engine)).broken
    assert broken is not None
    assert (broken.seq, broken.why) == (3, {"seq": "gap", "prev_hash": "prev_hash"}.get(column, "hash"))
