"""A file that is sent piece by piece, with flat memory, to a client that may be slow, gone, or no longer allowed it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from ..actors.accounts.access_watch import AccessWatch
from ..actors.foundation import log
from .stalls import stall_timeout

DROPPED: Final = "download_dropped"
"""The event that is logged of a client that stalls."""
REVOKED: Final = "download_revoked"
"""The event that is logged of a client that loses its access while it downloads."""
_log = log.get(__name__)


class Download:
    """One download. Its pieces are made as the client takes them."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], stall_seconds: float, access: AccessWatch) -> None:
        self._pieces = pieces
        self._stall_seconds = stall_seconds
        self._access = access

    async def send(
        self, request: web.Request, name: str, media: str, headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        """Answer ``request``. A client that receives nothing for the stall timeout is disconnected.

        So is one whose access is revoked, at once: it must not take the end of what it has for the end of the file.
        """
        response = web.StreamResponse(headers=headers)
        response.headers[hdrs.CONTENT_TYPE] = media
        response.headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{name}"'
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        if request.version < HttpVersion11:
            response.force_close()  # no chunks: the end of the connection ends the file
        async with aclosing(self._pieces):
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                await self._write(request, response)
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse) -> None:
        with self._ended_by_revocation(request):
            async for piece in self._pieces:
                async with stall_timeout(request, self._stall_seconds, DROPPED):
                    await response.write(piece)
            async with stall_timeout(request, self._stall_seconds, DROPPED):
                await response.write_eof()

    @contextmanager
    def _ended_by_revocation(self, request: web.Request) -> Iterator[None]:
        def abort() -> None:
            _log.info(REVOKED)
            if request.transport is not None:
                request.transport.abort()

        self._access.on_revoked = abort
        if self._access.is_revoked:
            abort()
        try:
            yield
        finally:
            self._access.on_revoked = None
