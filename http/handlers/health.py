"""Health checks for load balancers and operators: liveness, readiness, and each dependency."""

from __future__ import annotations

import json
from typing import Final

from ...actors.domain.errors import Unavailable
from ..health import DATABASE, REDIS
from ..operation import OBJECT, STRINGS, operation
from ..request_context import Answer, RequestContext

STATUS_OK: Final = {"status": "ok"}
OK = Answer(b'{"status":"ok"}')
NOT_READY = frozenset({"down", "stopping"})


@operation(reply=STRINGS, example=STATUS_OK)
async def health(_call: RequestContext) -> Answer:
    """Check that the service answers. No dependency is checked."""
    return OK


@operation(reply=STRINGS, example=STATUS_OK, addition=True)
async def live(_call: RequestContext) -> Answer:
    """Liveness probe."""
    return OK


@operation(
    reply=OBJECT,
    refusals={503: ("not_ready",)},
    example={
        **STATUS_OK,
        "checks": {"service": "ok", "database": "ok", "process": "ok", "redis": "ok", "tasks": "ok", "mail": "ok"},
    },
    addition=True,
)
async def ready(call: RequestContext) -> Answer:
    """Readiness probe, with the status of each component.

    Returns 503 ``not_ready`` until the start is complete, while stopping, and while the database is unavailable.
    """
    checks = await call.services.health.statuses()
    report = {"checks": checks, **call.services.health.details()}
    if NOT_READY.isdisjoint(checks.values()):
        return Answer(_json({"status": "ok", **report}))
    return Answer(_json({"detail": "not_ready", **report}), 503, {"Retry-After": "1"})


@operation(
    reply=OBJECT,
    refusals={503: ("VOYAGENT_DB_URL is not configured.", "db unreachable")},
    example={**STATUS_OK, "select_1": 1},
)
async def health_db(call: RequestContext) -> Answer:
    """Check that the database answers ``SELECT 1``."""
    await _works(call, DATABASE, "VOYAGENT_DB_URL is not configured.", "db unreachable")
    return Answer(b'{"status":"ok","select_1":1}')


@operation(
    reply=OBJECT,
    refusals={503: ("VOYAGENT_REDIS_URL is not configured.", "redis unreachable")},
    example={**STATUS_OK, "ping": True},
)
async def health_redis(call: RequestContext) -> Answer:
    """Check that Redis answers a ping."""
    await _works(call, REDIS, "VOYAGENT_REDIS_URL is not configured.", "redis unreachable")
    return Answer(b'{"status":"ok","ping":true}')


async def _works(call: RequestContext, part: str, not_configured: str, unreachable: str) -> None:
    works = await call.services.health.works(part)
    if not works:
        raise Unavailable(not_configured if works is None else unreachable)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
