"""Audit events of what users do to their own accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...actors.domain.audit import AuditEvent, Origin
from ...actors.domain.ids import uuid7


def event(
    kind: str, tenant_id: str, user_id: str, origin: Origin, now: datetime, inputs: dict[str, Any] | None = None
) -> AuditEvent:
    """An audit event with the user as its actor."""
    return AuditEvent(
        id=uuid7(),
        tenant_id=tenant_id,
        created_at=now,
        kind=kind,
        status="succeeded",
        actor_kind="human",
        actor_id=user_id,
        inputs=origin.inputs() | (inputs or {}),
        entity_refs={"user_id": user_id},
    )
