"""Writes audit events of refusals asynchronously, after the response."""

from __future__ import annotations

from ..storage.accounts.users import Record
from .domain.audit import AuditEvent
from .domain.errors import Refusal
from .foundation import log, metrics
from .runtime.actor import Recipient

_log = log.get(__name__)


async def record(storage: Recipient, entry: AuditEvent) -> None:
    """Write ``entry``. A failure is logged and counted; the refusal itself is not affected."""
    try:
        await storage.ask(Record(tenant_id=entry.tenant_id, entries=(entry,)))
    except Refusal as refusal:
        metrics.AUDIT_WRITE_FAILURES_TOTAL.inc()
        _log.warning("refusal_audit_failed", kind=entry.kind, refusal=refusal.code)
