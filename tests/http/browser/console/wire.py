"""The network between a browser and the service. It can fall silent, as it does for a laptop that sleeps."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

CHUNK = 65_536


class Wire:
    """Passes bytes on, both ways, until it falls silent."""

    def __init__(self, to: str) -> None:
        """``to`` is the service's URL; ``url`` leads to the same service through the wire."""
        self.url = ""
        self._to = urlsplit(to)
        self._sound = asyncio.Event()
        self._sound.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._dead: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def fall_silent(self) -> None:
        """What is connected carries nothing any more: the service sees its end, the browser is not told."""
        self._sound.clear()
        for connection in self._connections:
            connection.cancel()

    def heal(self) -> None:
        """New connections pass, and those begun in the silence; what is sent on those from before it is refused."""
        self._sound.set()

    async def end(self) -> None:
        assert self._server is not None
        self.fall_silent()
        self._server.close()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for writer in self._dead:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._sound.wait()
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        carried = asyncio.gather(_carry(reader, back), _carry(there, writer))
        connection = asyncio.ensure_future(carried)
        self._connections.add(connection)
        try:
            await connection
            writer.close()
        except asyncio.CancelledError:
            self._dead.append(writer)
            back.close()
            await self._refuse(reader, writer)
        finally:
            self._connections.discard(connection)
            back.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Swallow what is sent in the silence; reset the connection by what is sent after it, as the far end does."""
        with suppress(ConnectionError):
            while await reader.read(CHUNK) and not self._sound.is_set():
                pass
        writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
