"""Clients that ask for much and read nothing of it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from tests.waiting import until
from voyagent.actors.foundation.config_fields import SettingFields
from voyagent.http.app import UNREAD_SECONDS
from voyagent.http.guards import PUBLIC
from voyagent.http.request_context import Answer, RequestContext
from voyagent.http.route import Route

if TYPE_CHECKING:
    from tests.http.conftest import Client, Serve

MUCH = bytes(8 * 1024 * 1024)
"""More than the kernel buffers for a connection."""


async def much(_call: RequestContext) -> Answer:
    return Answer(MUCH)


@pytest.fixture
async def generous(serve: Serve) -> Client:
    return await serve([Route("GET", "/much", much, PUBLIC)])


async def ask(client: Client) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client with a small window who has asked for much."""
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, (client.host, client.port))
    reader, writer = await asyncio.open_connection(sock=own, limit=4096)
    writer.write(b"GET /much HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return reader, writer


async def test_a_client_that_reads_nothing_is_disconnected(generous: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voyagent.http.app.UNREAD_SECONDS", 0.3)
    _reader, writer = await ask(generous)
    (server,) = generous.runner.server.args[:1]
    await until(lambda: server.connections)

    await until(lambda: not server.connections)

    writer.close()


async def test_a_client_that_reads_slowly_gets_everything(generous: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voyagent.http.app.UNREAD_SECONDS", 0.3)
    reader, writer = await ask(generous)
    received = 0
    while piece := await reader.read(256 * 1024):
        received += len(piece)
        if received < 256 * 1024:
            await asyncio.sleep(0.02)

    assert received > len(MUCH)
    writer.close()


def test_a_stream_is_given_up_for_its_own_reasons_first() -> None:
    (bound,) = [rule.le for rule in SettingFields.model_fields["sse_stall_seconds"].metadata if hasattr(rule, "le")]
    assert bound <= UNREAD_SECONDS
