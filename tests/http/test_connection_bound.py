"""More clients than the process has descriptors for."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tests.waiting import until
from voyagent.http.app import BACKLOG, Runner, allowed_descriptors
from voyagent.http.guards import PUBLIC
from voyagent.http.request_context import Answer, RequestContext
from voyagent.http.route import Route

if TYPE_CHECKING:
    from tests.http.conftest import Client, Serve

DESCRIPTORS = 45
MOST = 30
GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


class Held:
    """An operation that answers when it is told to."""

    def __init__(self) -> None:
        self.waiting = 0
        self.free = asyncio.Event()

    async def wait(self, _call: RequestContext) -> Answer:
        """Wait."""
        self.waiting += 1
        await self.free.wait()
        return Answer(b"{}")


async def at_once(_call: RequestContext) -> Answer:
    return Answer(b"{}")


class Crowd:
    """Connections of many clients."""

    def __init__(self, client: Client, stack: AsyncExitStack) -> None:
        self._client = client
        self._stack = stack

    async def join(self, sent: bytes = b"") -> asyncio.StreamReader:
        """One more client, who sends this."""
        reader, writer = await asyncio.open_connection(self._client.host, self._client.port)
        self._stack.callback(writer.close)
        writer.write(sent)
        return reader


async def answered(reader: asyncio.StreamReader) -> bool:
    """Whether the answer is a success; not, if the connection was closed in its place."""
    async with asyncio.timeout(10):
        return (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_whoever_idles_longest_makes_room_and_nobody_who_is_being_answered(serve: Serve) -> None:
    held = Held()
    table = [Route("GET", "/held", held.wait, PUBLIC), Route("GET", "/now", at_once, PUBLIC)]
    async with AsyncExitStack() as stack:
        crowd = Crowd(await serve(table, descriptors=DESCRIPTORS), stack)
        served = [await crowd.join(GET % b"held") for _ in range(5)]
        await until(lambda: held.waiting == len(served))
        idle = [await crowd.join(b"GET /now HT" if number % 2 else b"") for number in range(MOST - len(served))]
        await asyncio.sleep(0)

        new = [await crowd.join(GET % b"now") for _ in range(10)]

        assert all([await answered(reader) for reader in new])
        for reader in idle[:10]:
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        assert not any(reader.at_eof() for reader in idle[10:])
        held.free.set()
        assert all([await answered(reader) for reader in served])


async def test_a_request_that_has_come_is_answered_though_it_is_not_handled_yet(serve: Serve) -> None:
    """The loop hears of both at once, first of somebody new and then of the request."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        client = await serve([Route("GET", "/now", at_once, PUBLIC)], descriptors=DESCRIPTORS)
        where = (client.host, client.port)
        oldest = stack.enter_context(socket.create_connection(where))
        oldest.setblocking(False)
        crowd = Crowd(client, stack)
        assert all([await answered(await crowd.join(GET % b"now")) for _ in range(MOST - 1)])

        stack.enter_context(socket.create_connection(where))
        oldest.sendall(GET % b"now")

        async with asyncio.timeout(10):
            assert (await loop.sock_recv(oldest, 15)) == b"HTTP/1.1 200 OK"


async def test_if_everybody_is_being_answered_the_new_one_is_disconnected(serve: Serve) -> None:
    held = Held()
    async with AsyncExitStack() as stack:
        crowd = Crowd(await serve([Route("GET", "/held", held.wait, PUBLIC)], descriptors=DESCRIPTORS), stack)
        served = [await crowd.join(GET % b"held") for _ in range(MOST)]
        await until(lambda: held.waiting == MOST)

        assert not await answered(await crowd.join())

        held.free.set()
        assert all([await answered(reader) for reader in served])


def test_a_full_backlog_beside_all_connections_leaves_descriptors_for_the_rest(client: Client) -> None:
    for descriptors in (256, 1024, 65_536):
        runner = Runner(client.runner.app, descriptors)
        assert runner.backlog <= BACKLOG
        assert descriptors * 2 // 3 + 3 * runner.backlog < descriptors - 30
    assert allowed_descriptors() >= 256
