"""A sealing key that is not this database's is a mistake in the configuration, told before anything is served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from voyagent.actors.database import Faults, Probe, StorageActor
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.ids import uuid7
from voyagent.storage import outbox
from voyagent.storage.engine import canary
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import SYSTEM_ROLE, connect
from voyagent.storage.engine.sealing import Sealing

if TYPE_CHECKING:
    from tests.conftest import Agency, Database

OLD, NEW, OTHER = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
Ring = dict[str, bytes]


@pytest.fixture
async def system(database: Database) -> AsyncIterator[Connection]:
    db = await connect(database.url, role=SYSTEM_ROLE)
    yield db
    await db.close()


async def started(db: Connection, ring: Ring) -> list[str]:
    """What a start with this ring says and does."""
    found = await canary.faults(db, ring)
    if not found:
        await canary.keep(db, ring)
    return found


async def post(db: Connection, ring: Ring, sealed: bytes | None = None) -> None:
    """An e-mail with something sealed in it."""
    row = uuid7()
    place = {"table": outbox.TABLE, "column": outbox.COLUMN, "row": row}
    await db.execute(
        """INSERT INTO outbox (id, kind, recipient, state, due_at, message_id, created_at, updated_at,
                               payload_sealed, key_id)
           VALUES ($1, 'verification', 'a@example.com', 'due', now(), 'x', now(), now(), $2, $3)""",
        row,
        sealed or Sealing(ring).seal(b"{}", **place),
        next(iter(ring)),
    )


async def enrol(agency: Agency, ring: Ring) -> None:
    """A seed of the agency's person."""
    place = {"table": "users", "column": "totp_sealed", "row": agency.user_id}
    await agency.db.execute("UPDATE users SET totp_sealed = $1", Sealing(ring).seal(b"seed", **place))


@pytest.mark.parametrize(
    ("rings", "told"),
    [
        ([{"a": OLD}, {"a": OLD}], None),
        ([{"a": OLD}, {"a": NEW}], "key 'a' is not the one"),
        ([{"a": OLD}, {"b": NEW, "a": OLD}, {"b": NEW, "a": OLD}], None),
        ([{"a": OLD}, {"b": NEW, "a": OLD}, {"b": NEW}], None),
        ([{"a": OLD}, {"b": NEW, "a": OLD}, {"b": NEW}, {"c": OLD, "b": NEW}, {"a": OTHER, "b": NEW}], None),
        ([{"a": OLD}, {"b": NEW, "a": OLD}, {"b": OTHER, "a": OLD}], "key 'b' is not the one"),
        ([{"a": OLD}, {"b": NEW, "a": OTHER}], "key 'a' is not the one"),
        ([{"a": OLD}, {"a": NEW}, {"a": OLD}], "key 'a' is not the one"),
    ],
)
async def test_a_ring_that_cannot_open_the_canary_is_told_of_by_the_id_of_its_key(
    system: Connection, rings: list[Ring], told: str | None
) -> None:
    found = [fault for ring in rings for fault in await started(system, ring)]
    assert [told in fault for fault in found] == ([] if told is None else [True])
    assert all(fault.startswith("VOYAGENT_KMS_KEY: ") for fault in found)


async def test_a_key_may_leave_the_ring_when_nothing_is_sealed_with_it_any_more(
    agency: Agency, system: Connection
) -> None:
    assert await started(system, {"a": OLD}) == []
    await enrol(agency, {"a": OLD})
    assert await started(system, {"b": NEW, "a": OLD}) == []
    (fault,) = await started(system, {"b": NEW})
    assert "key 'a' is missing" in fault
    assert "users.totp_sealed" in fault
    await enrol(agency, {"b": NEW})
    await post(system, {"a": OLD})
    (fault,) = await started(system, {"b": NEW})
    assert "outbox.payload_sealed" in fault
    await system.execute("UPDATE outbox SET payload_sealed = NULL, key_id = NULL, state = 'sent', sent_at = now()")
    assert await started(system, {"b": NEW}) == []


async def test_without_any_key_a_database_with_sealed_values_is_refused(system: Connection) -> None:
    assert await started(system, {}) == []
    await post(system, {"a": OLD})
    (fault,) = await started(system, {})
    assert "key 'a' is missing" in fault


@pytest.mark.parametrize(("ring", "fits"), [({"a": OLD}, True), ({"a": NEW}, False), ({"b": NEW}, False)])
async def test_a_database_of_an_older_release_is_asked_by_what_it_holds(
    system: Connection, ring: Ring, fits: bool
) -> None:
    """There is no canary yet: an upgrade with a wrong key must not make it the right one."""
    await post(system, {"a": OLD})
    assert (await started(system, ring) == []) is fits
    assert (await system.fetchval("SELECT count(*) FROM sealing_canaries") == 1) is fits


async def test_one_altered_value_does_not_make_the_key_wrong(system: Connection) -> None:
    await post(system, {"a": OLD}, sealed=b"\x01a" + bytes(40))
    await post(system, {"a": OLD})
    await post(system, {"a": OLD}, sealed=b"\x01")
    assert await started(system, {"a": OLD}) == []


async def test_storage_does_not_serve_a_database_it_cannot_open(database: Database, system: Connection) -> None:
    """Also when it was not there at the start, and nobody could be told then."""
    assert await started(system, {"a": OLD}) == []
    store = StorageActor.start(database.url, size=1, system_size=1, sealing_keys={"a": NEW})
    faults: Any = await store.ask(Faults())
    assert "key 'a' is not the one" in faults[0]
    assert await store.ask(Probe()) is False
    with pytest.raises(Unavailable, match="storage_unavailable"):
        await store.ask(outbox.Standing())
    await store.stop_and_wait(5.0)
    right = StorageActor.start(database.url, size=1, system_size=1, sealing_keys={"a": OLD})
    assert await right.ask(outbox.Standing()) == {}
    await right.stop_and_wait(5.0)
