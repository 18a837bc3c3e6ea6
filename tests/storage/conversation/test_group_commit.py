"""Group commit under everything that can happen to a connection, and with rows that cannot be stored."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from voyagent.actors.domain.errors import Unavailable
from voyagent.storage.conversation import group_commit
from voyagent.storage.conversation.group_commit import AppendRejected, EventWriter
from voyagent.storage.conversation.steps import EventRow
from voyagent.storage.embedded.servers import EmbeddedServers
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.errors import StorageUnavailable

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TENANT = "0193f5a0-0000-7000-8000-00000000000a"
SESSIONS = [str(uuid.UUID(int=place + 1)) for place in range(40)]


def rows(session: str, first: int, *texts: str) -> list[EventRow]:
    return [
        EventRow(TENANT, session, first + place, "t-000000000001", "text_delta", text, NOW)
        for place, text in enumerate(texts)
    ]


@pytest.fixture(autouse=True)
async def sessions(admin: Connection) -> None:
    await admin.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Asha', $2)", TENANT, NOW)
    await admin.execute(
        "INSERT INTO sessions (id, tenant_id, actor_id, created_at) SELECT unnest($1::uuid[]), $2, $2, $3",
        SESSIONS,
        TENANT,
        NOW,
    )


Start = Callable[..., tuple[EventWriter, "asyncio.Task[None]"]]


@pytest.fixture
async def start(database: Any) -> AsyncIterator[Start]:
    tasks: list[asyncio.Task[None]] = []

    def begin(**more: Any) -> tuple[EventWriter, asyncio.Task[None]]:
        writer = EventWriter(database.url, **more)
        tasks.append(asyncio.ensure_future(writer.run()))
        return writer, tasks[-1]

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def writer(start: Start) -> EventWriter:
    return start()[0]


async def append(writer: EventWriter, rows: list[EventRow]) -> None:
    """Put the rows and return when they are durable."""
    stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writer.put(rows, stored)
    await stored


async def log_of(admin: Connection, session: str) -> list[tuple[int, str]]:
    found = await admin.fetch("SELECT seq, frame FROM session_events WHERE session_id = $1 ORDER BY seq", session)
    return [(row["seq"], row["frame"]) for row in found]


async def newest(admin: Connection, session: str) -> int:
    value: int = await admin.fetchval(group_commit.NEWEST, session)
    return value


async def test_b13_what_is_acknowledged_is_stored_in_order(writer: EventWriter, admin: Connection) -> None:
    async def talk(session: str) -> None:
        for place in range(1, 31, 3):
            await append(writer, rows(session, place, f"{place}", "naïve “x”", '{"k":"\\\\n"}'))

    await asyncio.gather(*map(talk, SESSIONS))
    for session in SESSIONS:
        log = await log_of(admin, session)
        assert [seq for seq, _ in log] == list(range(1, 31))
        assert log[3] == (4, "4")
        assert log[1:3] == [(2, "naïve “x”"), (3, '{"k":"\\\\n"}')]


async def test_appends_that_come_together_are_written_together(
    writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(group_commit.metrics.STORAGE_GROUP_COMMIT_EVENTS, "observe", sizes.append)
    await asyncio.gather(*(append(writer, rows(session, 1, "a", "b")) for session in SESSIONS))
    assert sizes == [80]


async def test_appends_that_come_soon_after_one_another_are_written_together(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(group_commit.metrics.STORAGE_GROUP_COMMIT_EVENTS, "observe", sizes.append)
    writer, _ = start(pace=1.0)
    first, *others = SESSIONS
    await append(writer, rows(first, 1, "a"))
    stored: list[asyncio.Future[None]] = []
    for session in others:
        stored.append(asyncio.get_running_loop().create_future())
        writer.put(rows(session, 1, "a"), stored[-1])
        await asyncio.sleep(0.001)
    await asyncio.gather(*stored)
    assert sizes == [1, len(others)]


async def test_a_batch_has_a_limit_and_an_append_is_never_parted(
    writer: EventWriter, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_AT_ONCE", 5_000)
    await asyncio.gather(*(append(writer, rows(session, 1, *["x" * 900] * 7)) for session in SESSIONS))
    assert await admin.fetchval("SELECT count(*) FROM session_events") == 280


KILL_THE_WRITER = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND query LIKE '%session_events%' AND pid <> pg_backend_pid()
"""


async def test_b21_killed_backends_and_poison_lose_nothing_and_leave_no_gap(
    writer: EventWriter, admin: Connection
) -> None:
    told: dict[str, dict[int, str]] = {session: {} for session in SESSIONS}
    refused = 0

    async def talk(session: str) -> None:
        """As a session's actor does: one append at a time; after a rejection read again where the log ends."""
        nonlocal refused
        seq = 1
        for turn in range(60):
            texts = [f"{session} {turn}", "\0poison" if turn == 20 and session in SESSIONS[:5] else "fine"]
            try:
                await append(writer, rows(session, seq, *texts))
            except AppendRejected:
                refused += 1
                async with reading:
                    seq = await newest(admin, session) + 1
                continue
            told[session] |= {seq: texts[0], seq + 1: texts[1]}
            seq += 2

    reading = asyncio.Lock()
    talks = asyncio.gather(*map(talk, SESSIONS))
    kills = 0
    while not talks.done():
        async with reading:
            kills += await admin.fetchval(KILL_THE_WRITER)
        await asyncio.wait({talks}, timeout=0.05)
    await talks
    assert kills > 0
    assert refused == 5
    for session in SESSIONS:
        log = await log_of(admin, session)
        assert dict(log) == told[session]
        assert [seq for seq, _ in log] == list(range(1, len(log) + 1))


@pytest.mark.parametrize("poison", ["nul \0", "lone surrogate \ud800"])
async def test_only_the_guilty_append_is_refused(poison: str, writer: EventWriter, admin: Connection) -> None:
    texts = {session: poison if place == 17 else "good" for place, session in enumerate(SESSIONS)}
    outcomes = await asyncio.gather(
        *(append(writer, rows(session, 1, "first", text)) for session, text in texts.items()), return_exceptions=True
    )
    assert [place for place, outcome in enumerate(outcomes) if outcome is not None] == [17]
    assert isinstance(outcomes[17], AppendRejected)
    assert await log_of(admin, SESSIONS[17]) == []
    assert await admin.fetchval("SELECT count(*) FROM session_events") == 78


async def test_after_a_refusal_a_session_writes_only_where_its_log_ends(writer: EventWriter, admin: Connection) -> None:
    session = SESSIONS[0]
    await append(writer, rows(session, 1, "a"))
    both = (append(writer, rows(session, 2, "\0")), append(writer, rows(session, 3, "behind the gap")))
    assert [type(outcome) for outcome in await asyncio.gather(*both, return_exceptions=True)] == [AppendRejected] * 2
    with pytest.raises(AppendRejected):
        await append(writer, rows(session, 3, "still behind it"))
    await append(writer, rows(session, 2, "b"))
    await append(writer, rows(session, 3, "c"))
    assert await log_of(admin, session) == [(1, "a"), (2, "b"), (3, "c")]


async def test_a_deleted_session_is_refused_and_hinders_nobody(writer: EventWriter, admin: Connection) -> None:
    gone = str(uuid.uuid4())
    outcomes = await asyncio.gather(
        append(writer, rows(gone, 1, "x")), append(writer, rows(SESSIONS[0], 1, "x")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [AppendRejected, type(None)]
    assert await log_of(admin, SESSIONS[0]) == [(1, "x")]


async def test_the_same_rows_again_are_fine_and_other_rows_under_their_numbers_are_not(
    writer: EventWriter, admin: Connection
) -> None:
    session = SESSIONS[0]
    await append(writer, rows(session, 1, "a", "b"))
    await append(writer, rows(session, 1, "a", "b"))
    with pytest.raises(AppendRejected):
        await append(writer, rows(session, 2, "another b", "c"))
    assert (await log_of(admin, session))[:2] == [(1, "a"), (2, "b")]


async def test_an_unavailable_postgres_refuses_in_time_and_goes_on_when_it_is_back(
    start: Start, servers: EmbeddedServers, admin: Connection, database: Any
) -> None:
    brief, _ = start(append_timeout=0.7)
    patient, _ = start()
    await append(brief, rows(SESSIONS[0], 1, "a"))
    await servers.postgres.stop()
    try:
        waiting = asyncio.ensure_future(append(patient, rows(SESSIONS[1], 1, "kept")))
        async with asyncio.timeout(5):
            with pytest.raises(StorageUnavailable, match="storage_unavailable"):
                await append(brief, rows(SESSIONS[0], 2, "b"))
        assert not waiting.done()
    finally:
        await servers.postgres.start()
    await waiting
    async with asyncio.timeout(10):
        await append(brief, rows(SESSIONS[0], 2, "b, again"))
    after = await group_commit.connect(database.admin_url)
    assert await log_of(after, SESSIONS[0]) == [(1, "a"), (2, "b, again")]
    assert await log_of(after, SESSIONS[1]) == [(1, "kept")]
    await after.close()


async def test_when_the_writer_ends_whoever_waits_is_told(start: Start, servers: EmbeddedServers) -> None:
    writer, task = start()
    await append(writer, rows(SESSIONS[0], 1, "a"))
    waiting = [asyncio.ensure_future(append(writer, rows(session, 1, "x"))) for session in SESSIONS[1:]]
    await asyncio.wait(waiting, timeout=0)
    task.cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    with pytest.raises(StorageUnavailable):
        await append(writer, rows(SESSIONS[0], 2, "b"))


async def test_more_than_fits_is_refused_at_once(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MOST_WAITING", 10_000)
    idle = EventWriter(database.url, append_timeout=0.2)
    waiting = [asyncio.ensure_future(append(idle, rows(session, 1, "x" * 3_000))) for session in SESSIONS[:3]]
    await asyncio.wait(waiting, timeout=0)
    with pytest.raises(Unavailable, match="overloaded"):
        await append(idle, rows(SESSIONS[3], 1, "x" * 3_000))
    assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {StorageUnavailable}


async def test_an_append_of_two_sessions_is_refused(writer: EventWriter) -> None:
    with pytest.raises(ValueError, match="one session"):
        await append(writer, [*rows(SESSIONS[0], 1, "x"), *rows(SESSIONS[1], 1, "x")])


HOLDS = {
    "its row": "SELECT FROM sessions WHERE id = $1 FOR UPDATE",
    "its next event": """
        INSERT INTO session_events (tenant_id, session_id, seq, turn_id, kind, frame, created_at)
        SELECT tenant_id, id, 2, 't', 'text_delta', 'another', now() FROM sessions WHERE id = $1
    """,
}
"""Ways of another transaction to keep the events of one session out."""


@pytest.fixture
async def other(database: Any) -> AsyncIterator[Connection]:
    connection = await group_commit.connect(database.admin_url)
    yield connection
    connection.terminate()


async def backend(admin: Connection) -> int:
    pid: int = await admin.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%session_events%' AND pid <> pg_backend_pid() LIMIT 1"
    )
    return pid


@pytest.mark.parametrize("hold", HOLDS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("guilty", [1, 3, len(SESSIONS)])
async def test_a_session_somebody_else_holds_waits_alone_and_in_order(
    hold: str, guilty: int, start: Start, admin: Connection, other: Connection
) -> None:
    writer, _ = start()
    await asyncio.gather(*(append(writer, rows(session, 1, "a")) for session in SESSIONS))
    pid = await backend(admin)
    held, free = SESSIONS[:guilty], SESSIONS[guilty:]
    await other.execute("BEGIN")
    for session in held:
        await other.execute(HOLDS[hold], session)
    waiting = [
        asyncio.ensure_future(append(writer, rows(session, place, f"{place}")))
        for place in (2, 3)
        for session in SESSIONS
    ]
    async with asyncio.timeout(8):
        await asyncio.gather(*(waiting[SESSIONS.index(session) + at] for session in free for at in (0, len(SESSIONS))))
    reply_later = [asyncio.ensure_future(append(writer, rows(session, 4, "4"))) for session in SESSIONS]
    async with asyncio.timeout(8):
        await asyncio.gather(*reply_later[guilty:])
    assert not any(each.done() for each in (*waiting[:guilty], *reply_later[:guilty]))
    await other.execute("ROLLBACK")
    async with asyncio.timeout(8):
        await asyncio.gather(*waiting, *reply_later)
    for session in SESSIONS:
        assert await log_of(admin, session) == [(1, "a"), (2, "2"), (3, "3"), (4, "4")]
    assert await backend(admin) == pid, "the connection was dropped for a lock"


async def test_a_statement_that_is_cancelled_is_written_again(
    start: Start, admin: Connection, other: Connection
) -> None:
    writer, _ = start()
    await append(writer, rows(SESSIONS[0], 1, "a"))
    pid = await backend(admin)
    await other.execute("BEGIN; LOCK TABLE session_events IN SHARE MODE")
    appends = [asyncio.ensure_future(append(writer, rows(SESSIONS[0], 2, "b")))]
    appends += [asyncio.ensure_future(append(writer, rows(session, 1, "b"))) for session in SESSIONS[1:6]]
    for _ in range(20):
        await admin.execute("SELECT pg_cancel_backend($1)", pid)
    await other.execute("ROLLBACK")
    async with asyncio.timeout(8):
        await asyncio.gather(*appends)
    assert await log_of(admin, SESSIONS[0]) == [(1, "a"), (2, "b")]
    assert await backend(admin) == pid


async def test_who_waits_too_long_for_a_lock_is_refused_and_takes_no_room(
    start: Start, admin: Connection, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_WAITING", 5_000)
    writer, _ = start(append_timeout=1.0)
    await other.execute("BEGIN")
    await other.execute(HOLDS["its row"], SESSIONS[0])
    for _ in range(4):
        with pytest.raises(StorageUnavailable):
            await append(writer, rows(SESSIONS[0], 1, "x" * 2_000))
        await append(writer, rows(SESSIONS[1], 1, "fine"))
    await other.execute("ROLLBACK")

    async def has_room() -> bool:
        try:
            await append(writer, rows(SESSIONS[0], 1, "y" * 4_000))
        except Unavailable:
            return False
        return True

    async with asyncio.timeout(8):
        while not await has_room():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    assert await log_of(admin, SESSIONS[0]) == [(1, "y" * 4_000)]
