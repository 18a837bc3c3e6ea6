"""Audit entries of what people do to their own accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..actors.domain.audit import Entry, Origin
from ..actors.ids import uuid7


def event(
    kind: str, tenant_id: str, user_id: str, origin: Origin, now: datetime, inputs: dict[str, Any] | None = None
) -> Entry:
    """Something the person did."""
    return Entry(
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
