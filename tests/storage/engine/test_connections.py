"""The connections of a pool: used by turns, replaced when they were closed, none left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from voyagent.storage.embedded.servers import EmbeddedServers
from voyagent.storage.engine.connection import PROBED, Connection
from voyagent.storage.engine.connections import Connections
from voyagent.storage.engine.pool import connect

OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def two(database: Any) -> AsyncIterator[Connections]:
    opened = await Connections.open(partial(connect, database.url), 2, 5.0)
    yield opened
    opened.terminate()


async def test_the_newest_one_released_is_used_next(two: Connections) -> None:
    one, other = [await two.acquire() for _ in range(2)]
    assert (two.idle, two.busy) == (0, 2)
    two.release(one)
    two.release(other)
    assert (two.idle, two.busy) == (2, 0)
    assert await two.acquire() is other


async def test_who_finds_none_free_waits_in_turn_and_not_for_ever(database: Any) -> None:
    pool = await Connections.open(partial(connect, database.url), 1, 0.2)
    held = await pool.acquire()
    with pytest.raises(TimeoutError):
        await pool.acquire()
    order: list[int] = []

    async def use(number: int) -> None:
        db = await pool.acquire()
        order.append(number)
        await asyncio.sleep(0)
        pool.release(db)

    using = [asyncio.create_task(use(number)) for number in range(3)]
    await asyncio.sleep(0)
    pool.release(held)
    await asyncio.gather(*using)
    assert order == [0, 1, 2]
    pool.terminate()


async def test_one_that_was_closed_is_replaced(two: Connections) -> None:
    one, other = [await two.acquire() for _ in range(2)]
    one.terminate()
    two.release(one)
    two.release(other)
    other.terminate()
    replaced = [await two.acquire() for _ in range(2)]
    assert not {one, other} & {*replaced}
    assert [await db.fetchval("SELECT 1") for db in replaced] == [1, 1]


@pytest.fixture
async def port(servers: EmbeddedServers) -> AsyncIterator[int]:
    """Where the server is reached over TCP."""
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
        finally:
            target.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_unix_connection(f"{servers.postgres._sockets}/.s.PGSQL.5432")
        tasks.update(asyncio.create_task(pass_on(*ends)) for ends in ((reader, down), (up, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_on_which_nothing_passes_is_probed_so_that_no_firewall_forgets_it(database: Any, port: int) -> None:
    db = await connect(f"postgresql://voyagent@127.0.0.1:{port}/{database.name}?sslmode=disable")
    line = db._transport.get_extra_info("socket")
    assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, between, lost = (line.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in PROBED)
    assert idle + between * lost <= 60
    await db.close()


async def test_one_within_a_transaction_is_not_used_again(two: Connections) -> None:
    db = await two.acquire()
    await db.execute("BEGIN")
    two.release(db)
    assert db.is_closed()
    assert not (await two.acquire()).is_in_transaction()


async def test_a_connection_that_cannot_be_made_keeps_nobody_from_the_next(database: Any) -> None:
    refused: list[Exception] = []

    async def connecting() -> Connection:
        if refused:
            raise refused.pop()
        return await connect(database.url)

    pool = await Connections.open(connecting, 1, 5.0)
    db = await pool.acquire()
    db.terminate()
    pool.release(db)
    refused.append(OSError("nobody listens"))
    with pytest.raises(OSError, match="nobody listens"):
        await pool.acquire()
    assert await (await pool.acquire()).fetchval("SELECT 1") == 1
    pool.terminate()


async def test_when_one_cannot_be_opened_none_stays_open(database: Any, admin: Connection) -> None:
    count = 0

    async def connecting() -> Connection:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError("nobody listens")
        return await connect(database.url)

    with pytest.raises(OSError, match="nobody listens"):
        await Connections.open(connecting, 3, 5.0)
    async with asyncio.timeout(5):
        while await admin.fetchval(OTHERS):  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.001)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_closing_waits_for_those_in_use_and_hands_out_no_more(two: Connections) -> None:
    used = await two.acquire()
    closing = asyncio.create_task(two.close())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not closing.done()
    two.release(used)
    await closing
    assert used.is_closed()
    with pytest.raises(asyncpg.InterfaceError):
        await two.acquire()


async def test_closing_is_done_although_a_server_is_gone_and_nobody_has_noticed(two: Connections) -> None:
    used = [await two.acquire() for _ in range(2)]
    backend = used[1].get_server_pid()
    for db in used:
        two.release(db)
    os.kill(backend, signal.SIGTERM)
    while Path(f"/proc/{backend}").exists():
        time.sleep(0.001)  # noqa: ASYNC251  # the loop must not hear of it
    await two.close()
    assert [db.is_closed() for db in used] == [True, True]


async def test_terminating_closes_those_in_use(two: Connections) -> None:
    used = await two.acquire()
    two.terminate()
    assert used.is_closed()
    two.release(used)
    assert (two.idle, two.busy) == (0, 0)
