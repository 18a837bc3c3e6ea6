"""The audit trail as CSV, row by row."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Final

from ..actors.domain.audit import wire_time
from ..actors.domain.audit_reading import Stored
from ..actors.domain.spreadsheets import BYTE_ORDER_MARK, lines
from ..actors.runtime.actor import Recipient
from ..storage.audit_lists import Batch, Extent

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
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


async def pieces(
    store: Recipient, tenant_id: str, extent: Extent, *, byte_order_mark: bool
) -> AsyncGenerator[bytes, None]:
    """The file. No connection to the database is held while a piece is taken."""
    yield (BYTE_ORDER_MARK if byte_order_mark else b"") + lines([HEADER])
    before = extent.last + 1
    while rows := await store.ask(Batch(tenant_id=tenant_id, of=extent, before=before, limit=ROWS)):
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
