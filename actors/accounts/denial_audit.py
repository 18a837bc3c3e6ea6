"""Audit events for denied requests: a few per minute, agency, address and route; the rest are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..domain.audit import AuditEvent, Origin
from ..domain.identity import Principal
from ..foundation.clock import Clock

WINDOW_SECONDS = 60.0
EVENTS_PER_WINDOW = 5
MAX_COUNTS = 10_000

_Key = tuple[str, str | None, str, str, str]
"""Agency, address, method, path and code: nobody's denials are counted in the audit trail of another agency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedRequest:
    """The request that was denied: method and route template, never the raw path."""

    method: str
    path: str
    origin: Origin


@dataclass(slots=True)
class DenialCount:
    """Denials of an agency's people from one client address on one route with one code."""

    since: float
    written: int = 0
    suppressed: int = 0


class DenialAudit:
    """Decides which denials become audit events. Memory is bounded: the oldest count is evicted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[_Key, DenialCount] = {}

    def event(self, principal: Principal, request: DeniedRequest, status: int, code: str) -> AuditEvent | None:
        """The event to write for this denial; None if it is only counted, in ``suppressed`` of the next one."""
        count = self._count((principal.tenant_id, request.origin.ip, request.method, request.path, code))
        if count.written >= EVENTS_PER_WINDOW:
            count.suppressed += 1
            return None
        count.written += 1
        inputs: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "status": status,
            "code": code,
        }
        if count.suppressed:
            inputs["suppressed"], count.suppressed = count.suppressed, 0
        return AuditEvent.by_person(
            "auth.denied",
            principal.tenant_id,
            principal.user_id,
            request.origin,
            self._clock.now(),
            status="rejected",
            inputs=inputs,
        )

    def _count(self, key: _Key) -> DenialCount:
        now = self._clock.monotonic()
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= MAX_COUNTS:
                del self._counts[next(iter(self._counts))]
            count = self._counts[key] = DenialCount(now)
        elif now - count.since >= WINDOW_SECONDS:
            count.since, count.written = now, 0
        return count
