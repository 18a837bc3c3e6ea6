"""Audit entries of refusals: written on their own, after the answer, and nobody waits for them."""

from __future__ import annotations

from ..storage.accounts.users import Record
from .domain.audit import AuditEvent
from .domain.errors import Refusal
from .foundation import log, metrics
from .runtime.actor import Recipient

_log = log.get(__name__)


async def record(storage: Recipient, entry: AuditEvent) -> None:
    """Write ``entry``. If that fails the refusal stands all the same; the log has it, and a counter."""
    try:
        await storage.ask(Record(tenant_id=entry.tenant_id, entries=(entry,)))
    except Refusal as away:
        metrics.AUDIT_WRITE_FAILURES_TOTAL.inc()
        _log.warning("refusal_audit_failed", kind=entry.kind, refusal=away.code)
