"""Audit events for denied requests: a few per minute, address and route; the rest are counted."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain import audit
from ..domain.identity import Principal
from ..domain.ids import uuid7
from ..foundation.clock import Clock

WINDOW_SECONDS = 60.0
EVENTS_PER_WINDOW = 5
MAX_TALLIES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedRequest:
    """The request that was denied: method and route template, never the raw path."""

    method: str
    path: str
    origin: audit.Origin


@dataclass(slots=True)
class Tally:
    """Denials of one client address on one route with one code."""

    since: float
    written: int = 0
    suppressed: int = 0


class DenialAudit:
    """Decides which denials become audit events. Memory is bounded: the oldest tally is evicted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tallies: dict[tuple[str | None, str, str, str], Tally] = {}

    def event(self, principal: Principal, request: DeniedRequest, status: int, code: str) -> audit.AuditEvent | None:
        """The event to write for this denial; None if it is only counted, in ``suppressed`` of the next one."""
        tally = self._tally((request.origin.ip, request.method, request.path, code))
        if tally.written >= EVENTS_PER_WINDOW:
            tally.suppressed += 1
            return None
        tally.written += 1
        inputs = request.origin.inputs() | {
            "method": request.method,
            "path": request.path,
            "status": status,
            "code": code,
        }
        if tally.suppressed:
            inputs["suppressed"], tally.suppressed = tally.suppressed, 0
        return audit.AuditEvent(
            id=uuid7(),
            tenant_id=principal.tenant_id,
            created_at=self._clock.now(),
            kind="auth.denied",
            status="rejected",
            actor_kind="human",
            actor_id=principal.user_id,
            inputs=inputs,
        )

    def _tally(self, key: tuple[str | None, str, str, str]) -> Tally:
        now = self._clock.monotonic()
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= MAX_TALLIES:
                del self._tallies[next(iter(self._tallies))]
            tally = self._tallies[key] = Tally(now)
        elif now - tally.since >= WINDOW_SECONDS:
            tally.since, tally.written = now, 0
        return tally
