"""A node's lease: renewed while it lives, lost when it is paused or cut off, given up at a stop, and taken over."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.storage.engine.nodes import CUT, OWNERS, Line, node, owning
from tests.waiting import PATIENCE, Event, until
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.placement import SHARDS, Lease, shard_of
from voyagent.storage.embedded.servers import EmbeddedServers
from voyagent.storage.engine import coordinator, fitness
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.coordinator import Coordinator
from voyagent.storage.engine.ownership import Ownership
from voyagent.storage.engine.pool import SYSTEM_ROLE, application_of, connect

TENANT = "0193f5a0-0000-7000-8000-00000000000a"


def names(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines]


async def test_one_node_claims_every_shard_in_the_next_epoch(database: Any, admin: Connection) -> None:
    for epoch in (1, 2):
        async with node(database.url) as own:
            await owning(own)
            assert own.lease(TENANT) == Lease(own.node, shard_of(TENANT), epoch)
            assert own.owns(TENANT)
            assert await admin.fetch(OWNERS) == [(own.node, epoch)]
        assert not own.serves
        assert await admin.fetch(OWNERS) == [(None, epoch)]
        assert await admin.fetch("SELECT node FROM nodes") == []


async def test_a_second_node_waits_and_says_so_once(
    database: Any, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "RETRY", 0.01)
    async with node(database.url) as first:
        await owning(first)
        with structlog.testing.capture_logs() as lines:
            async with node(database.url) as second:
                registered = "SELECT count(*) FROM nodes WHERE node = $1 AND until > now() + interval '4 seconds'"
                await until(lambda: admin.fetchval(registered, second.node))
                await until(lambda: "shards_owned_by_another_node" in names(lines))
                await asyncio.sleep(0.1)
                assert not second.serves
                with pytest.raises(Unavailable, match="not_ready"):
                    second.grant(TENANT)
                assert first.serves
        assert names(lines).count("shards_owned_by_another_node") == 1


async def test_the_next_node_need_not_wait_for_the_lease_of_one_that_stopped(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "TTL", 600.0)
    async with node(database.url) as second:
        await owning(second)
        third = asyncio.create_task(first_to_own(database.url))
        assert second.serves
    await third


async def first_to_own(url: str) -> None:
    async with node(url) as own:
        await owning(own)


async def test_a_node_whose_process_was_killed_is_replaced_at_once(
    database: Any, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is gone, though its lease is not."""
    monkeypatch.setattr(coordinator, "GRACE", 0.0)
    monkeypatch.setattr(coordinator, "TTL", 600.0)
    gone = Ownership().node
    await admin.execute("INSERT INTO nodes (node, version, until) VALUES ($1, '', now() + interval '1 hour')", gone)
    await admin.execute("UPDATE shards SET node = $1, epoch = 7", gone)
    async with node(database.url) as own:
        await owning(own)
        assert await admin.fetch(OWNERS) == [(own.node, 8)]
        found = {each.node: each for each in await fitness.nodes(database.url)}
        assert (found[own.node].lives, found[own.node].shards) == (True, SHARDS)
        assert (found[gone].lives, found[gone].shards, found[gone].seconds) == (False, 0, None)


async def test_a_paused_node_is_replaced_when_its_lease_is_over_and_what_it_had_begun_is_ended(
    database: Any, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is there, and so are its connections, one of them in the middle of a write."""
    monkeypatch.setattr(coordinator, "GRACE", 0.0)
    paused = Ownership().node
    key = await admin.fetchval(
        "INSERT INTO nodes (node, version, until) VALUES ($1, '', now() + interval '1 second') RETURNING key", paused
    )
    await admin.execute("UPDATE shards SET node = $1, epoch = 7", paused)
    lock = await connect(database.url, application=application_of(paused))
    await lock.execute(f"SELECT pg_advisory_lock(1988, {key})")
    busy = await connect(database.url, application=application_of(paused))
    await busy.execute(f"BEGIN; SELECT voyagent_fence(3, '{paused}', 7)")
    with structlog.testing.capture_logs() as lines:
        async with node(database.url) as own:
            await until(lambda: "shards_owned_by_another_node" in names(lines))
            assert not own.serves
            await owning(own)
            assert await admin.fetch(OWNERS) == [(own.node, 8)]
    assert "nodes_declared_dead" in names(lines)
    await until(busy.is_closed)
    await until(lock.is_closed)


async def test_nobody_is_declared_dead_just_after_a_start_of_postgres(
    database: Any, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who still owns the shards may be reconnecting. A server that this process has started has no other client."""
    monkeypatch.setattr(coordinator, "GRACE", 1e6)
    gone = Ownership().node
    await admin.execute("INSERT INTO nodes (node, version, until) VALUES ($1, '', now() - interval '1 hour')", gone)
    await admin.execute("UPDATE shards SET node = $1, epoch = 7", gone)
    with structlog.testing.capture_logs() as lines:
        async with node(database.url) as own:
            await until(lambda: "shards_owned_by_another_node" in names(lines))
            assert not own.serves
    async with node(database.url, alone=True) as own:
        await owning(own)


async def test_a_connection_that_is_cut_and_made_again_moves_no_shard_but_stops_the_agencies_first(
    database: Any, admin: Connection
) -> None:
    lost, stopped = Event(), Event()
    own = Ownership()
    serving: list[bool] = []

    async def stop(shards: frozenset[int]) -> None:
        serving.append(own.serves)
        assert len(shards) == SHARDS
        lost.set()
        await stopped.wait()

    with structlog.testing.capture_logs() as lines:
        async with node(database.url, own, on_lost=stop):
            await owning(own)
            assert await admin.fetch(CUT)
            await lost.wait()
            assert not own.serves
            stopped.set()
            await owning(own)
            assert await admin.fetch(OWNERS) == [(own.node, 1)]
    assert serving == [False]
    assert names(lines).count("lease_connection_lost") == 1
    assert "shards_lost" not in names(lines)
    assert "shards_given_up" in names(lines)


async def test_a_node_that_hears_nothing_from_the_database_serves_nothing_after_four_fifths_of_its_lease(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not notice: what it relies on ends by itself, on a clock that counts while the machine is suspended."""
    now = 0.0
    own = Ownership(now=lambda: now)
    monkeypatch.setattr(coordinator, "BEAT", 600.0)
    async with node(database.url, own):
        await owning(own)
        now = 3.99
        assert own.owns(TENANT)
        now = 4.0
        assert not own.owns(TENANT)
        assert own.lease(TENANT) is None


async def test_a_late_heartbeat_is_good_if_nobody_has_claimed_the_shards(
    database: Any, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that stood still for longer than its lease goes on in the same epoch, and stops nothing."""
    monkeypatch.setattr(coordinator, "BEAT", 0.05)
    now = 0.0
    own = Ownership(now=lambda: now)
    stops: list[frozenset[int]] = []

    async def stop(shards: frozenset[int]) -> None:
        stops.append(shards)

    async with node(database.url, own, on_lost=stop):
        await owning(own)
        now = 100.0
        assert not own.serves
        await own.settled()
        assert own.serves, "whoever came meanwhile need not be refused"
        assert await admin.fetch(OWNERS) == [(own.node, 1)]
    assert stops == []


async def test_an_answer_that_is_too_old_to_rely_on_is_not_what_a_request_waits_for() -> None:
    """It was sent before the loop stood still; the next one is under way."""
    now = 0.0
    own = Ownership(now=lambda: now)
    held = frozenset({Lease(own.node, shard_of(TENANT), 1)})
    own.confirm(held, 0.0, 4.0)
    now = 10.0
    waiting = asyncio.create_task(own.settled())
    await asyncio.sleep(0)
    own.confirm(held, 1.0, 5.0)
    await asyncio.wait({waiting}, timeout=0.01)
    assert not waiting.done()
    own.confirm(held, 10.0, 14.0)
    await waiting
    assert own.owns(TENANT)


async def test_a_claim_is_relied_on_no_longer_than_the_heartbeat_before_it(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node counts from that, whatever the database has done between the two."""
    now = 0.0
    own = Ownership(now=lambda: now)
    renew = Coordinator._renew

    async def slow(self: Coordinator, connection: Connection) -> frozenset[Lease]:
        nonlocal now
        held = await renew(self, connection)
        now += 3.0
        return held

    monkeypatch.setattr(Coordinator, "_renew", slow)
    monkeypatch.setattr(coordinator, "BEAT", 600.0)
    async with node(database.url, own):
        await owning(own)
        assert own.trusted_until == coordinator.TRUST


async def test_a_heartbeat_that_changes_nothing_makes_no_lease(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is sent each second, for 256 shards."""
    made: list[int] = []

    def counted(node: str, shard: int, epoch: int) -> Lease:
        made.append(shard)
        return Lease(node, shard, epoch)

    monkeypatch.setattr(coordinator, "Lease", counted)
    monkeypatch.setattr(coordinator, "BEAT", 0.01)
    async with node(database.url) as own:
        await owning(own)
        for _beat in range(5):
            before = own.trusted_until
            await until(lambda before=before: own.trusted_until > before)
    assert len(made) == 2 * SHARDS, "claimed, and read for the first time"


async def test_shards_that_another_node_has_claimed_are_lost_with_the_next_heartbeat(
    database: Any, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them: the others go on meanwhile."""
    monkeypatch.setattr(coordinator, "BEAT", 0.05)
    stopped: list[frozenset[int]] = []

    async def stop(shards: frozenset[int]) -> None:
        stopped.append(shards)

    with structlog.testing.capture_logs() as lines:
        async with node(database.url, on_lost=stop) as own:
            await owning(own)
            other = Ownership().node
            await admin.execute("INSERT INTO nodes (node, version, until) VALUES ($1, '', 'infinity')", other)
            await admin.execute("UPDATE shards SET node = $1, epoch = epoch + 1 WHERE shard IN (5, 6)", other)
            await until(lambda: stopped)
            assert len(own.leases) == SHARDS - 2
            assert own.lease_of(5) is None
            assert own.holds(7)
    assert stopped == [frozenset({5, 6})]
    assert [line["shards"] for line in lines if line["event"] == "shards_lost"] == [2]


async def test_a_release_without_leases_and_one_with_them_exclude_each_other(database: Any, admin: Connection) -> None:
    """The former holds the lock (1987, 1) exclusively while it serves."""
    earlier = await connect(database.url)
    assert await earlier.fetchval("SELECT pg_try_advisory_lock(1987, 1)")
    with structlog.testing.capture_logs() as lines:
        async with node(database.url) as own:
            await until(lambda: "shards_owned_by_another_node" in names(lines))
            assert not own.serves
            await earlier.close()
            await owning(own)
            assert not await admin.fetchval("SELECT pg_try_advisory_lock(1987, 1)")


async def test_a_node_cut_off_without_an_end_ends_its_own_earlier_connection(database: Any) -> None:
    """The server has not noticed yet, and holds the lock for it."""
    own = Ownership()
    zombie = await connect(database.url, role=SYSTEM_ROLE, application=application_of(own.node))
    key = await zombie.fetchval(
        "INSERT INTO nodes (node, version, until) VALUES ($1, '', now()) RETURNING key", own.node
    )
    await zombie.execute(f"SELECT pg_advisory_lock(1988, {key})")
    async with node(database.url, own):
        await owning(own)
    assert zombie.is_closed()


async def test_a_node_whose_line_goes_dead_stops_serving_before_another_begins(
    database: Any, servers: EmbeddedServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither end of the line is told: the one's trust ends by its own clock, the other's lease by the database's."""
    for name, seconds in {"TTL": 1.5, "TRUST": 1.2, "BEAT": 0.2, "RETRY": 0.05, "GRACE": 0.0}.items():
        monkeypatch.setattr(coordinator, name, seconds)
    server = Path(str(servers.postgres._sockets)) / ".s.PGSQL.5432"
    line = Line(server, tmp_path)
    async with line.listening(), node(f"postgresql://voyagent@/{database.name}?host={tmp_path}") as first:
        await owning(first)
        async with node(database.url) as second:
            line.go_dead()
            gone_at = time.monotonic()
            served: list[tuple[bool, bool]] = []
            while not second.serves:
                served.append((first.serves, second.serves))
                assert time.monotonic() - gone_at < PATIENCE
                await asyncio.sleep(0.002)
            assert not first.serves
            assert served[0] == (True, False)
            assert (False, False) in served, "nobody served in between"
            assert len(second.leases) == SHARDS


@pytest.mark.parametrize("away", [0.0, pytest.param(10.0, marks=pytest.mark.slow)])
async def test_a_restart_of_postgres_moves_no_shard(away: float, servers: EmbeddedServers, database: Any) -> None:
    """An immediate shutdown, with a second node that would take them: the first is back in time."""
    async with node(database.url) as first:
        await owning(first)
        async with node(database.url) as second:
            assert servers.postgres._child is not None
            await servers.postgres._child.stop((signal.SIGQUIT, 10.0))
            servers.postgres._child = None
            back_at = time.monotonic() + away
            await until(lambda: not first.serves and time.monotonic() >= back_at)
            await servers.postgres.start()
            await owning(first)
            assert not second.serves
            db = await connect(database.url)
            assert await db.fetch(OWNERS) == [(first.node, 1)]
            await db.close()
