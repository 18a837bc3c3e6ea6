"""The download of the audit trail as CSV, row by row with flat memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from ..actors.accounts.access_watch import AccessWatch
from ..actors.domain.audit import wire_time
from ..actors.domain.audit_reading import Stored
from ..actors.domain.spreadsheets import BYTE_ORDER_MARK, lines
from ..actors.foundation import log
from ..actors.runtime.actor import Recipient
from ..storage.audit_lists import Batch, Extent
from .stalls import stall_timeout

HEADER: Final = (
    "created_at",
    "kind",
    "actor_kind",
    "actor_id",
    "actor_email",
    "status",
    "summary",
    "payload_json",
)
ROWS: Final = 200
"""Rows read and encoded at a time: some milliseconds, between which the event loop serves others."""

DROPPED: Final = "download_dropped"
"""The event that is logged of a client that stalls."""
REVOKED: Final = "download_revoked"
"""The event that is logged of a client that loses its access while it downloads."""
_log = log.get(__name__)
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class AuditExport:
    """One download. No connection to the database is held while the client reads."""

    def __init__(
        self, store: Recipient, tenant_id: str, extent: Extent, stall_seconds: float, access: AccessWatch
    ) -> None:
        self._store = store
        self._tenant_id = tenant_id
        self._extent = extent
        self._stall_seconds = stall_seconds
        self._access = access

    async def send(self, request: web.Request, name: str, *, byte_order_mark: bool) -> web.StreamResponse:
        """Answer ``request``. A client that receives nothing for the stall timeout is disconnected.

        So is one whose access is revoked, at once: it must not take the end of what it has for the end of the file.
        """
        response = web.StreamResponse()
        response.headers[hdrs.CONTENT_TYPE] = "text/csv; charset=utf-8"
        response.headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{name}"'
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        if request.version < HttpVersion11:
            response.force_close()  # no chunks: the end of the connection ends the file
        await response.prepare(request)
        if request.method == hdrs.METH_HEAD:
            return response
        with self._ended_by_revocation(request):
            async for piece in self._pieces(byte_order_mark=byte_order_mark):
                async with stall_timeout(request, self._stall_seconds, DROPPED):
                    await response.write(piece)
            async with stall_timeout(request, self._stall_seconds, DROPPED):
                await response.write_eof()
        return response

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

    async def _pieces(self, *, byte_order_mark: bool) -> AsyncIterator[bytes]:
        yield (BYTE_ORDER_MARK if byte_order_mark else b"") + lines([HEADER])
        before = self._extent.last + 1
        while rows := await self._store.ask(
            Batch(tenant_id=self._tenant_id, of=self._extent, before=before, limit=ROWS)
        ):
            yield lines(map(_cells, rows))
            before = rows[-1].seq


def _cells(stored: Stored) -> tuple[str | None, ...]:
    event = stored.event
    return (
        wire_time(event.created_at),
        event.kind,
        stored.actor_kind,
        event.actor_id,
        stored.actor_email,
        stored.status,
        stored.summary,
        _json(stored.payload()),
    )
