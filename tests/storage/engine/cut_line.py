"""A line to Postgres that breaks off at a chosen moment: after so many answers, for both ends at once."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

READY = b"Z"
"""The type of the message that ends each answer of the server."""


class CutLine:
    """Passes everything on until the server has given ``left`` more answers, on all connections together."""

    def __init__(self, server: Path, folder: Path) -> None:
        self.left: int | None = None
        """None: it stays whole."""
        self._folder = folder
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, database: str, role: str = "voyagent") -> str:
        """The database at the end of this line."""
        return f"postgresql://{role}@/{database}?host={self._folder}"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Accept connections while this is open."""
        listener = await asyncio.start_unix_server(self._accept, self._folder / self._server.name)
        try:
            yield
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        server, asked = await asyncio.open_unix_connection(self._server)
        self._tasks.add(asyncio.create_task(self._ask(client, asked)))
        self._tasks.add(asyncio.create_task(self._answer(server, answers, asked)))

    @staticmethod
    async def _ask(client: asyncio.StreamReader, asked: asyncio.StreamWriter) -> None:
        try:
            while data := await client.read(65536):
                asked.write(data)
        finally:
            asked.close()

    async def _answer(
        self, server: asyncio.StreamReader, answers: asyncio.StreamWriter, asked: asyncio.StreamWriter
    ) -> None:
        try:
            while head := await server.read(1):
                length = await server.readexactly(4)
                body = await server.readexactly(struct.unpack("!i", length)[0] - 4)
                answers.write(head + length + body)
                if self.left is not None and head == READY:
                    self.left -= 1
                    if not self.left:
                        return
        finally:
            answers.close()
            asked.close()
