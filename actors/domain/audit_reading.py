"""How a stored audit event is shown: its actor, status, summary and payload (docs/contract/business.md 6.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from .audit import ActorKind, AuditEvent, Status, wire_time

ShownActor = Literal["user", "agent", "system"]
ShownStatus = Literal["ok", "error"]

ACTORS: Final[dict[ActorKind, ShownActor]] = {"human": "user", "agent": "agent", "system": "system"}
STATUSES: Final[dict[Status, ShownStatus]] = {
    "started": "ok",
    "succeeded": "ok",
    "cancelled": "ok",
    "failed": "error",
    "rejected": "error",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """An audit event at its place in the chain. ``actor_email`` is the present address of its actor, if it has one."""

    event: AuditEvent
    seq: int
    hash: str
    actor_email: str | None

    @property
    def actor_kind(self) -> ShownActor:
        """Who acted: a person reads ``user``."""
        return ACTORS[self.event.actor_kind]

    @property
    def status(self) -> ShownStatus:
        """Whether it went well, or has not failed yet."""
        return STATUSES[self.event.status]

    @property
    def summary(self) -> str:
        """One line: the kind, with the error, or else the supplier and the stored status."""
        event = self.event
        if event.error is not None:
            return f"{event.kind}: {event.error}"
        via = "" if event.driver is None else f" via {event.driver}"
        return f"{event.kind}{via} ({event.status})"

    def payload(self) -> dict[str, Any]:
        """What it was about; optional parts are omitted when unset."""
        event = self.event
        optional = {
            "driver": event.driver,
            "error": event.error,
            "approval_required": event.approval_required or None,
            "approved_by": event.approved_by,
            "approved_at": event.approved_at and wire_time(event.approved_at),
            "completed_at": event.completed_at and wire_time(event.completed_at),
        }
        always = {"inputs": event.inputs, "outputs": event.outputs, "entity_refs": event.entity_refs}
        return {**always, **{name: value for name, value in optional.items() if value is not None}}
