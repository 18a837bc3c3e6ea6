"""Audit entries of refusals: written on their own, after the answer, and nobody waits for them."""

from __future__ import annotations

from ..storage.accounts import Record
from . import log, metrics
from .domain.audit import Entry
from .domain.errors import Refusal
from .runtime import Asks

_log = log.get(__name__)


async def record(storage: Asks, entry: Entry) -> None:
    """Write ``entry``. If that fails the refusal stands all the same; the log has it, and a counter."""
    try:
        await storage.ask(Record(tenant_id=entry.tenant_id, entries=(entry,)))
    except Refusal as away:
        metrics.AUDIT_WRITE_FAILURES_TOTAL.inc()
        _log.warning("refusal not audited", kind=entry.kind, refusal=away.code)
