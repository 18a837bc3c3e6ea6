"""Audit events of what users do to their own accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...actors.domain.audit import AuditEvent, Origin


def event(
    kind: str, tenant_id: str, user_id: str, origin: Origin, now: datetime, inputs: dict[str, Any] | None = None
) -> AuditEvent:
    """An audit event with the user as its actor."""
    about = {"user_id": user_id}
    return AuditEvent.by_person(kind, tenant_id, user_id, origin, now, inputs=inputs or {}, refs=about)
