"""An aiohttp handler for a route: guard, body size, validation, idempotency key, handler, in that order."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from aiohttp import web

from ..actors.accounts.actor import Denied
from ..actors.accounts.throttling import Malformed
from ..actors.domain.errors import (
    Forbidden,
    PayloadTooLarge,
    Refusal,
    Unauthorized,
    Unavailable,
    Unprocessable,
    Unsupported,
)
from ..actors.domain.ids import parse_uuid
from ..actors.foundation import log, metrics
from ..storage.engine.idempotency import IdempotencyKey
from . import decode
from .errors import JSON_HEADERS, Invalid, status_of
from .guards import PUBLIC, denied_request
from .request_context import Answer, RequestContext, Services, encoded
from .request_info import REQUEST_INFO
from .route import Route
from .router import ask_for_body

IDEMPOTENCY_KEY = "Idempotency-Key"

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_NO_BODY = frozenset({204, 304})
_log = log.get(__name__)


class Endpoint:
    """One route, bound to the services its handler uses."""

    def __init__(self, route: Route, services: Services) -> None:
        self._route = route
        self._operation = route.operation
        self._services = services

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer ``request``, or raise a refusal."""
        path = {name: decode.storable(value) for name, value in request.match_info.items()}
        call = RequestContext(request=request, services=self._services, info=request[REQUEST_INFO], path=path)
        try:
            if self._route.guard is not PUBLIC:
                await self._route.guard.admit(call)
            try:
                await self._decode(call)
            except (Invalid, PayloadTooLarge, Unsupported):
                await self._count_malformed(call)
                raise
            answer = await self._operation.handler(call)
        except (Unauthorized, Forbidden) as refusal:
            self._denied(call, refusal)
            raise
        return answer if isinstance(answer, web.StreamResponse) else self._encode(answer)

    async def expect(self, request: web.Request) -> None:
        """``Expect: 100-continue`` (RFC 9110, 10.1.1): ask for the body, unless it will not be read."""
        too_long = (request.content_length or 0) > self._route.body_limit
        if not too_long and not decode.is_encoded(request):
            await ask_for_body(request)

    async def _decode(self, call: RequestContext) -> None:
        route, operation = self._route, self._operation
        if call.request.body_exists:
            await self._read(call)
        if operation.body is not None or operation.query is not None:
            call.body, call.query = decode.validate(
                call.request,
                call.raw_body,
                body=operation.body,
                body_required=operation.body_required,
                query=operation.query,
                context=self._services.settings,
            )
        if route.idempotent:
            call.idempotency = self._key(call)

    async def _read(self, call: RequestContext) -> None:
        """Read the body. A caller it had to be waited for is admitted again: they may have lost their access since."""
        arrived = call.request.content.is_eof()
        call.raw_body = await decode.read(call.request, self._route.body_limit)
        if not arrived and self._route.guard is not PUBLIC:
            call.principal = None
            await self._route.guard.admit(call)

    def _key(self, call: RequestContext) -> IdempotencyKey | None:
        """The request's idempotency key in its scope. Unprocessable ``invalid_idempotency_key``."""
        given = call.request.headers.getall(IDEMPOTENCY_KEY, [])
        if not given:
            return None
        if len(given) > 1 or not _KEY.fullmatch(given[0]):
            raise Unprocessable("invalid_idempotency_key")
        return IdempotencyKey(
            tenant_id=call.person.tenant_id,
            user_id=call.person.user_id,
            route=f"{self._route.method} {_filled(self._route.path, call.path)}",
            key=given[0],
            body_hash=hashlib.sha256(call.raw_body).digest(),
        )

    async def _count_malformed(self, call: RequestContext) -> None:
        """Throttle clients that send many malformed public requests. Throttled then replaces the original error."""
        if not self._route.counts_malformed:
            return
        try:
            await self._services.accounts.ask(Malformed(call.origin))
        except Unavailable as unavailable:
            _log.warning("malformed_not_counted", refusal=unavailable.code)

    def _denied(self, call: RequestContext, refusal: Refusal) -> None:
        """Count a denial, and audit it if the caller is authenticated."""
        status = status_of(refusal)
        metrics.AUTH_DENIED_TOTAL.labels(str(status), refusal.code).inc()
        if call.principal is None:
            return
        event = Denied(principal=call.principal, request=denied_request(call), status=status, code=refusal.code)
        try:
            self._services.accounts.tell(event)
        except Refusal as dropped:
            metrics.AUDIT_WRITE_FAILURES_TOTAL.inc()
            _log.warning("denial_audit_failed", refusal=dropped.code)

    def _encode(self, answer: Answer) -> web.Response:
        status = answer.status or self._route.status
        if status in _NO_BODY:
            return web.Response(status=status, headers=answer.headers)
        headers = {**JSON_HEADERS, **answer.headers} if answer.headers else JSON_HEADERS
        return web.Response(status=status, body=encoded(answer.body), headers=headers)


def _filled(template: str, path: Mapping[str, str]) -> str:
    """The path with its ids in canonical form."""
    return template.format(**{name: parse_uuid(value) or value for name, value in path.items()})
