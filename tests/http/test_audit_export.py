"""A download waits for a client that reads slowly, and for none that does not read."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from tests.downloads import ended
from tests.figures import gauged
from tests.http.conftest import TENANT
from tests.waiting import Event
from voyagent.actors.accounts.access_watch import AccessWatch
from voyagent.actors.accounts.actor import Watch
from voyagent.actors.domain.audit import AuditEvent
from voyagent.actors.domain.audit_reading import Stored
from voyagent.actors.foundation import metrics
from voyagent.http import audit_export
from voyagent.storage.audit_lists import Batch, BeginExport, Extent, Filters

if TYPE_CHECKING:
    from tests.http.conftest import Client, Serve

STALL_SECONDS = 0.4
LONG = "a" * 40_000
"""Two hundred rows with such a text are more than the buffers between service and client take."""


def stored(seq: int) -> Stored:
    event = AuditEvent.by_system("n", TENANT, datetime(2026, 11, 23, tzinfo=UTC), inputs={"text": LONG})
    return Stored(event, seq, "0" * 64, None)


@asynccontextmanager
async def downloading(client: Client) -> AsyncIterator[socket.socket]:
    """A client with a small buffer that has asked for an export and has the status of its answer."""
    rows = audit_export.ROWS
    client.accounts.answers[Watch] = lambda watch: AccessWatch(watch.principal)
    client.storage.answers[BeginExport] = lambda _begin: Extent(Filters(), rows, 1, rows, {})
    client.storage.answers[Batch] = lambda batch: [stored(seq) for seq in range(batch.before - 1, 0, -1)]
    loop = asyncio.get_running_loop()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        line.setblocking(False)
        await loop.sock_connect(line, (client.host, client.port))
        asked = b"GET /audit/export.csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer agency_admin\r\n\r\n"
        await loop.sock_sendall(line, asked)
        async with asyncio.timeout(10):
            assert await loop.sock_recv(line, 12) == b"HTTP/1.1 200"
        yield line


async def test_a_client_that_takes_little_at_a_time_gets_the_whole_file(serve: Serve) -> None:
    # all rows are one write, which takes many times as long as a client may take nothing
    client = await serve(sse_stall_seconds=STALL_SECONDS)
    loop, got = asyncio.get_running_loop(), bytearray()
    async with downloading(client) as line:
        began = loop.time()
        while loop.time() - began < 4 * STALL_SECONDS:
            got += await loop.sock_recv(line, 16 * 1024)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            while not got.endswith(b"0\r\n\r\n"):
                more = await loop.sock_recv(line, 1024 * 1024)
                assert more
                got += more
    assert got.count(LONG.encode()) == audit_export.ROWS


async def test_a_client_is_not_disconnected_because_the_service_was_suspended(serve: Serve) -> None:
    client = await serve(sse_stall_seconds=STALL_SECONDS)
    loop, got = asyncio.get_running_loop(), b""
    async with downloading(client) as line:
        await asyncio.sleep(STALL_SECONDS / 4)  # into the write, which waits for the client
        time.sleep(2 * STALL_SECONDS)  # noqa: ASYNC251  # as a stopped process: it neither sends nor looks
        async with asyncio.timeout(20):
            while not got.endswith(b"0\r\n\r\n"):
                more = await loop.sock_recv(line, 1024 * 1024)
                assert more
                got = got[-10:] + more


async def test_a_client_that_takes_nothing_is_disconnected(serve: Serve) -> None:
    client = await serve(sse_stall_seconds=STALL_SECONDS)
    held = gauged(metrics.API_REQUESTS_IN_PROGRESS)
    async with downloading(client):
        await ended(held)


async def test_a_client_that_takes_all_but_the_end_is_disconnected_too(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_self: web.StreamResponse, _data: bytes = b"") -> None:
        await asyncio.Event().wait()

    client = await serve(sse_stall_seconds=STALL_SECONDS)
    held = gauged(metrics.API_REQUESTS_IN_PROGRESS)
    monkeypatch.setattr(web.StreamResponse, "write_eof", never)
    async with downloading(client) as line:
        async with asyncio.timeout(20):
            with suppress(ConnectionResetError):
                while await asyncio.get_running_loop().sock_recv(line, 1024 * 1024):
                    pass
        await ended(held)


async def test_a_client_whose_access_is_revoked_is_disconnected_in_the_middle(client: Client) -> None:
    watches: list[AccessWatch] = []
    asked = Event()

    def watched(watch: Watch) -> AccessWatch:
        watches.append(AccessWatch(watch.principal))
        return watches[-1]

    def endless(batch: Batch) -> list[Stored]:
        asked.set()
        return [stored(seq) for seq in range(batch.before - 1, batch.before - 11, -1)]

    client.accounts.answers[Watch] = watched
    client.storage.answers[BeginExport] = lambda _begin: Extent(Filters(), 10**6, 1, 10**6, {})
    client.storage.answers[Batch] = endless
    held = gauged(metrics.API_REQUESTS_IN_PROGRESS)
    url = f"http://{client.host}:{client.port}/audit/export.csv"
    async with client.session.get(url, headers={"Authorization": "Bearer agency_admin"}) as answer:
        assert (await answer.content.readany()).startswith(b"created_at,")
        await asked.wait()
        watches[0].revoke()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    await ended(held)
    assert watches[0].on_revoked is None


async def test_access_that_was_revoked_before_the_first_row_downloads_nothing(client: Client) -> None:
    def revoked(watch: Watch) -> AccessWatch:
        made = AccessWatch(watch.principal)
        made.revoke()
        return made

    client.accounts.answers[Watch] = revoked
    client.storage.answers[BeginExport] = lambda _begin: Extent(Filters(), 1, 1, 1, {})
    client.storage.answers[Batch] = lambda _batch: []
    url = f"http://{client.host}:{client.port}/audit/export.csv"
    with pytest.raises(aiohttp.ClientError):
        async with client.session.get(url, headers={"Authorization": "Bearer agency_admin"}) as answer:
            await answer.read()
