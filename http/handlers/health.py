"""What a load balancer and an operator ask: whether it lives, is ready, and each part works."""

from __future__ import annotations

import json

from ...actors.domain.errors import Unavailable
from ..health import DATABASE, REDIS
from ..request_context import Answer, RequestContext

OK = Answer(b'{"status":"ok"}')
NOT_READY = frozenset({"down", "stopping"})


async def health(_call: RequestContext) -> Answer:
    """Whether the service answers at all; nothing behind it is asked."""
    return OK


async def live(_call: RequestContext) -> Answer:
    """Whether the process turns its loop."""
    return OK


async def ready(call: RequestContext) -> Answer:
    """Whether requests should be sent here, with a word for each part.

    503 ``not_ready`` before the start is complete, while stopping, and while the database is unavailable.
    """
    checks = await call.services.health.words()
    told = {"checks": checks, **call.services.health.notes()}
    if NOT_READY.isdisjoint(checks.values()):
        return Answer(_json({"status": "ok", **told}))
    return Answer(_json({"detail": "not_ready", **told}), 503, {"Retry-After": "1"})


async def health_db(call: RequestContext) -> Answer:
    """Whether the database answers ``SELECT 1``."""
    await _works(call, DATABASE, "VOYAGENT_DB_URL is not configured.", "db unreachable")
    return Answer(b'{"status":"ok","select_1":1}')


async def health_redis(call: RequestContext) -> Answer:
    """Whether Redis answers a ping."""
    await _works(call, REDIS, "VOYAGENT_REDIS_URL is not configured.", "redis unreachable")
    return Answer(b'{"status":"ok","ping":true}')


async def _works(call: RequestContext, part: str, not_configured: str, unreachable: str) -> None:
    works = await call.services.health.works(part)
    if not works:
        raise Unavailable(not_configured if works is None else unreachable)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
