"""The fence: when a shard has another owner, nothing that its former owner still writes is stored."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from tests.fakes.store import FakeStore
from tests.waiting import Event, until
from voyagent.actors.domain.audit import Author, Origin
from voyagent.actors.domain.enquiries import WRITABLE, opened
from voyagent.actors.domain.placement import SHARDS, Lease, shard_of
from voyagent.actors.leased_store import LeasedStore
from voyagent.storage import enquiries
from voyagent.storage.conversation import group_commit, model_calls
from voyagent.storage.conversation.group_commit import EventWriter
from voyagent.storage.conversation.steps import EventRow
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.errors import LostShard
from voyagent.storage.engine.idempotency import Once
from voyagent.storage.engine.operations import ACCOUNTS, Batch, Command
from voyagent.storage.engine.pool import Engine

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NODE = "0193f5a0-0000-7000-8000-0000000000ff"
WRITERS = 4
OWN = "UPDATE shards SET node = $1, epoch = 1"
TAKE_OVER = "UPDATE shards SET epoch = epoch + 1 WHERE shard = $1"
UNLOCKED_FENCE = """
CREATE OR REPLACE FUNCTION voyagent_fence(of_shard integer, of_node uuid, of_epoch bigint) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM shards WHERE shard = of_shard AND node = of_node AND epoch = of_epoch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lost' USING ERRCODE = 'VY001';
    END IF;
END $$
"""
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION slow()
"""
"""A take-over falls into the middle of a write more often then."""
COUNTS = [30, pytest.param(500, marks=pytest.mark.slow)]
"""Take-overs."""
LOCK = "FOR SHARE OF shards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Command[None]):
    """Store who wrote it."""

    async def run(self, db: Connection) -> None:
        epoch = 0 if self.lease is None else self.lease.epoch
        await db.execute("INSERT INTO written (epoch) VALUES ($1)", epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anybody(Write):
    """What any node may write."""

    UNFENCED = ACCOUNTS


WriteOnce = Callable[[Lease], Awaitable[None]]


@dataclass(slots=True)
class Stage:
    """A database with an agency, and the four writers of the node that owns it, in one of the two forms."""

    admin: Connection
    shard: int
    writers: list[WriteOnce]
    counted: str
    """The statement that counts what was written in an epoch."""
    in_time: int = 0
    """How much was stored before its epoch was over."""

    async def take_over(self, epoch: int) -> int:
        """Let the writers write under an epoch, then give the shard the next; answers how much came in too late."""
        lease = Lease(NODE, self.shard, epoch)
        writing = [asyncio.create_task(self._write(write, lease)) for write in self.writers]
        await asyncio.sleep(random.uniform(0.003, 0.01))
        await self.admin.execute(TAKE_OVER, self.shard)
        at_once = await self.admin.fetchval(self.counted, epoch)
        await asyncio.gather(*writing)
        self.in_time += at_once
        return int(await self.admin.fetchval(self.counted, epoch) - at_once)

    @staticmethod
    async def _write(write: WriteOnce, lease: Lease) -> None:
        """Write until it is refused."""
        while True:
            try:
                await write(lease)
            except LostShard:
                return


@pytest.fixture
async def commands(database: Any, admin: Connection) -> AsyncIterator[Stage]:
    """The fence travels with BEGIN."""
    tenant = str(uuid4())
    await admin.execute("CREATE TABLE written (epoch bigint)")
    await admin.execute("GRANT ALL ON written TO PUBLIC")
    await admin.execute(SLOW.format("written"))
    await admin.execute(OWN, NODE)
    engine = await Engine.open(database.url, size=WRITERS, system_size=1, node=NODE)

    async def write(lease: Lease) -> None:
        await engine.run(Write(tenant_id=tenant, lease=lease))

    yield Stage(admin, shard_of(tenant), [write] * WRITERS, "SELECT count(*) FROM written WHERE epoch = $1")
    await engine.close()


@pytest.fixture
async def appends(database: Any, admin: Connection, world: Any) -> AsyncIterator[Stage]:
    """The fence is part of the INSERT."""
    tenant, session = world["sessions"]["tenant_id"], world["sessions"]
    await admin.execute(OWN, NODE)
    await admin.execute(SLOW.format("session_events"))
    async with writer_of(database.url, WRITERS) as writers:
        sessions = [await new_session(admin, session) for _ in writers]
        puts = [partial(put, *pair, tenant, seqs()) for pair in zip(writers, sessions, strict=True)]
        counted = "SELECT count(*) FROM session_events WHERE turn_id = $1::bigint::text"
        yield Stage(admin, shard_of(tenant), puts, counted)


def seqs() -> list[int]:
    """The last number that was used."""
    return [0]


async def put(writer: EventWriter, session: str, tenant: str, last: list[int], lease: Lease) -> None:
    """Append the next event; its turn is the epoch."""
    stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writer.put([event(tenant, session, last[0] + 1, str(lease.epoch))], stored, lease)
    await stored
    last[0] += 1


def event(tenant: str, session: str, seq: int, turn: str = "t") -> EventRow:
    return EventRow(tenant, session, seq, turn, "text_delta", "x", NOW)


async def new_session(admin: Connection, like: dict[str, Any]) -> str:
    new = str(uuid4())
    await admin.execute(
        "INSERT INTO sessions (id, tenant_id, actor_id, created_at) VALUES ($1, $2, $3, $4)",
        new,
        like["tenant_id"],
        like["actor_id"],
        NOW,
    )
    return new


@asynccontextmanager
async def writer_of(url: str, count: int) -> AsyncIterator[list[EventWriter]]:
    writers = [EventWriter(url, node=NODE) for _ in range(count)]
    running = [asyncio.create_task(writer.run()) for writer in writers]
    yield writers
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def late_of(stage: Stage, take_overs: int) -> list[int]:
    """The take-overs after which a write of the former owner still came in."""
    return [epoch for epoch in range(1, take_overs + 1) if await stage.take_over(epoch)]


@pytest.mark.parametrize("count", COUNTS)
async def test_no_command_of_a_former_owner_is_stored_after_a_take_over(count: int, commands: Stage) -> None:
    await no_late_write(commands, count)


@pytest.mark.parametrize("count", COUNTS)
async def test_no_append_of_a_former_owner_is_stored_after_a_take_over(count: int, appends: Stage) -> None:
    await no_late_write(appends, count)


async def no_late_write(stage: Stage, count: int) -> None:
    assert await late_of(stage, count) == []
    assert await stage.admin.fetchval("SELECT epoch FROM shards WHERE shard = $1", stage.shard) == count + 1
    assert stage.in_time > count, "there was something to fence"


async def test_commands_whose_fence_locks_nothing_come_in_late(commands: Stage) -> None:
    """The control: what looks at the epoch without holding it lets writes through."""
    await commands.admin.execute(UNLOCKED_FENCE)
    assert await first_late(commands)


async def test_appends_whose_fence_locks_nothing_come_in_late(appends: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control, likewise."""
    assert LOCK in group_commit.INSERT
    monkeypatch.setattr(group_commit, "INSERT", group_commit.INSERT.replace(LOCK, ""))
    assert await first_late(appends)


async def first_late(stage: Stage) -> int | None:
    """The first take-over of five hundred that a write came in after."""
    for epoch in range(1, 501):
        if await stage.take_over(epoch):
            return epoch
    return None


async def test_a_take_over_waits_for_the_transaction_that_holds_the_fence(commands: Stage, database: Any) -> None:
    begun, go_on = Event(), Event()

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Slow(Write):
        async def run(self, db: Connection) -> None:
            begun.set()
            await go_on.wait()
            await db.execute("INSERT INTO written (epoch) VALUES (1)")

    engine = await Engine.open(database.url, size=1, system_size=1, node=NODE)
    lease = Lease(NODE, commands.shard, 1)
    writing = asyncio.create_task(engine.run(Slow(tenant_id=str(uuid4()), lease=lease)))
    await begun.wait()
    taking = asyncio.create_task(commands.admin.execute(TAKE_OVER, commands.shard))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    other = await Engine.open(database.url, size=1, system_size=1)
    async with other.acquire_system() as db:
        await until(lambda: db.fetchval(waits))
    await other.close()
    assert not taking.done()
    go_on.set()
    await writing
    await taking
    assert await commands.admin.fetchval(commands.counted, 1) == 1
    await engine.close()


@pytest.mark.parametrize(
    "lease",
    [
        Lease(NODE, 0, 0),
        Lease(NODE, 0, 2),
        Lease("0193f5a0-0000-7000-8000-0000000000fe", 0, 1),
        Lease(NODE, SHARDS, 1),
    ],
    ids=["an earlier epoch", "a later epoch", "another node", "no shard"],
)
async def test_a_command_under_any_other_lease_is_refused_counted_and_not_retried(
    lease: Lease, commands: Stage, database: Any
) -> None:
    engine = await Engine.open(database.url, size=1, system_size=1, node=NODE)
    before = refused(), retried()
    with pytest.raises(LostShard) as told:
        await engine.run(Write(tenant_id=str(uuid4()), lease=lease))
    assert told.value.code == "not_ready"
    assert (refused(), retried()) == (before[0] + 1, before[1])
    await engine.run(Write(tenant_id=str(uuid4()), lease=Lease(NODE, 0, 1)))
    await engine.close()


def refused() -> float:
    return REGISTRY.get_sample_value("voyagent_fence_refused_total") or 0.0


def retried() -> float:
    samples = (sample for family in REGISTRY.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == "voyagent_storage_retries_total")


async def test_a_node_writes_nothing_without_a_lease_but_what_says_why_it_needs_none(
    commands: Stage, database: Any
) -> None:
    engine = await Engine.open(database.url, size=1, system_size=1, node=NODE)
    bare = Write(tenant_id=str(uuid4()))
    for command in (bare, Once(tenant_id=bare.tenant_id, key=None, command=bare, reply=type(None), now=NOW)):
        with pytest.raises(RuntimeError, match="has no lease"):
            await engine.run(command)
    free = Anybody(tenant_id=bare.tenant_id)
    await engine.run(free)
    await engine.run(Once(tenant_id=bare.tenant_id, key=None, command=free, reply=type(None), now=NOW))
    assert await commands.admin.fetchval(commands.counted, 0) == 2
    await engine.close()


async def test_a_model_call_of_a_former_owner_is_not_begun(database: Any, admin: Connection, world: Any) -> None:
    """It is stored by one statement in autocommit, and paid for once that is done."""
    session = world["sessions"]
    await admin.execute(OWN, NODE)
    engine = await Engine.open(database.url, size=1, system_size=1, node=NODE)
    held = Lease(NODE, shard_of(session["tenant_id"]), 1)
    begin = model_calls.Begin(
        tenant_id=session["tenant_id"],
        id=str(uuid4()),
        session_id=session["id"],
        turn_id="t",
        pass_no=1,
        desk=None,
        model="m",
        estimate=1,
        now=NOW,
    )
    with pytest.raises(RuntimeError, match="Begin has no lease"):
        await engine.run(begin)
    store = FakeStore()
    store.on(model_calls.Begin, lambda _: None)
    await LeasedStore(store, held).ask(begin)
    [leased] = store.of(model_calls.Begin)
    await engine.run(leased)
    await engine.run(leased)  # as after a connection that broke behind the first
    await admin.execute(TAKE_OVER, held.shard)
    before = refused()
    with pytest.raises(LostShard):
        await engine.run(replace(leased, id=str(uuid4())))
    assert refused() == before + 1
    rows = await admin.fetch("SELECT id, state, estimate FROM model_calls WHERE turn_id = 't'")
    assert [tuple(row) for row in rows] == [(begin.id, "started", 1)]
    await engine.close()


async def test_an_enquiry_of_a_former_owner_is_not_created(database: Any, admin: Connection, world: Any) -> None:
    """It is stored by one statement in autocommit, its audit event with it; so are several together."""
    tenant_id, user_id = world["users"]["tenant_id"], world["users"]["id"]
    await admin.execute(OWN, NODE)
    engine = await Engine.open(database.url, size=1, system_size=1, node=NODE)
    held = Lease(NODE, shard_of(tenant_id), 1)
    counts = "SELECT (SELECT count(*) FROM enquiries), (SELECT count(*) FROM audit_events)"

    def create(lease: Lease | None) -> enquiries.Create:
        given = dict.fromkeys(WRITABLE) | {"customer_name": "Asha Rao", "pax_count": 1, "status": "new"}
        new = opened(given, enquiry_id=str(uuid4()), tenant_id=tenant_id, by=user_id, now=NOW)
        author = Author(user_id, "owner", Origin("a request"))
        return enquiries.Create(tenant_id=tenant_id, enquiry=new, author=author, lease=lease)

    def together(*creations: enquiries.Create) -> Batch:
        return Batch(tenant_id=tenant_id, lease=creations[0].lease, operations=creations)

    for one in (create(None), together(create(None), create(None))):
        with pytest.raises(RuntimeError, match="Create has no lease"):
            await engine.run(one)
    before = await admin.fetchrow(counts)
    await engine.run(create(held))
    await engine.run(together(create(held), create(held)))
    stored = await admin.fetchrow(counts)
    assert [*stored] == [count + 3 for count in before]
    await admin.execute(TAKE_OVER, held.shard)
    for one in (create(held), together(create(held), create(held))):
        with pytest.raises(LostShard):
            await engine.run(one)
    assert await admin.fetchrow(counts) == stored
    await engine.close()


async def test_a_batch_that_has_lost_some_shards_stores_the_others(
    database: Any, admin: Connection, world: Any
) -> None:
    """In one INSERT: it stores nothing, and is tried again without them."""
    tenant, like = world["sessions"]["tenant_id"], world["sessions"]
    await admin.execute(OWN, NODE)
    kept, lost = Lease(NODE, 1, 1), Lease(NODE, 2, 1)
    await admin.execute(TAKE_OVER, lost.shard)
    sessions = [await new_session(admin, like) for _ in range(6)]
    before = refused()
    async with writer_of(database.url, 1) as [writer]:
        replies = [asyncio.get_running_loop().create_future() for _ in sessions]
        for number, (session, stored) in enumerate(zip(sessions, replies, strict=True)):
            writer.put([event(tenant, session, 1)], stored, lost if number % 2 else kept)
        await asyncio.wait(replies)
        assert [type(stored.exception()) for stored in replies] == [type(None), LostShard] * 3
        stored = await admin.fetch("SELECT session_id FROM session_events WHERE turn_id = 't'")
        assert {row["session_id"] for row in stored} == set(sessions[::2])
        assert refused() == before + 3
        again: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        writer.put([event(tenant, sessions[0], 1)], again, kept)
        await again  # the same once more is no loss: it was stored before
        with pytest.raises(RuntimeError, match="no lease"):
            writer.put([event(tenant, sessions[0], 2)], again)
