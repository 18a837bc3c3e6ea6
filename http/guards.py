"""Authentication and authorisation of an operation, before its body is read."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import ClassVar

from ..actors.accounts.actor import Authenticate, DeniedRequest, ShowTicket
from ..actors.domain.errors import Forbidden, NotFound, Unauthorized, Unavailable
from ..actors.domain.identity import Principal, Role
from ..actors.domain.ids import parse_uuid
from ..actors.domain.placement import Lease
from ..actors.foundation import log
from .client_address import is_direct_loopback
from .health import DATABASE
from .request_context import RequestContext

EVERYONE = frozenset(Role)
WRITERS = EVERYONE - {Role.VIEWER}
ADMINS = frozenset({Role.AGENCY_ADMIN})
LEADS = ADMINS | {Role.TICKETING_LEAD, Role.ACCOUNTING_LEAD}

METRICS_TOKEN = "X-Voyagent-Metrics-Token"  # noqa: S105 -- the header's name

BEARER_WORDS = 2
"""The scheme and the token."""

Identify = Callable[[RequestContext], Awaitable[Principal]]


class Guard:
    """Admits every caller. Subclasses refuse some."""

    needs_bearer: ClassVar[bool] = False
    needs_token: ClassVar[bool] = False

    @property
    def takes_ticket(self) -> bool:
        """Whether a ticket in the query string replaces the bearer token."""
        return False

    @property
    def refusals(self) -> dict[int, tuple[str, ...]]:
        """The statuses and codes it refuses with, for the OpenAPI document."""
        return {}

    async def admit(self, call: RequestContext) -> None:
        """Admit the caller and set ``call.principal`` if there is one, or raise a refusal."""


class Internal(Guard):
    """Operators only: the metrics token, or if none is set a request from this machine. Others get 404."""

    needs_token: ClassVar[bool] = True

    @property
    def refusals(self) -> dict[int, tuple[str, ...]]:
        return {404: ("not found",)}

    async def admit(self, call: RequestContext) -> None:
        """NotFound ``not found`` for others, so that the route's existence is not disclosed."""
        expected = call.services.settings.metrics_token
        if not expected:
            allowed = is_direct_loopback(call.request)
        else:
            given = (call.request.headers.get(METRICS_TOKEN, "").strip(), bearer(call) or "")
            pairs = itertools.product(given, expected)
            allowed = any(compare_digest(one.encode("utf-8", "replace"), other.encode()) for one, other in pairs)
        if not allowed:
            raise NotFound("not found")


def bearer(call: RequestContext) -> str | None:
    """The token in ``Authorization: Bearer``; None if the header is missing or malformed."""
    words = call.request.headers.get("Authorization", "").split(maxsplit=1)
    if len(words) != BEARER_WORDS or words[0].lower() != "bearer" or not words[1].isascii():
        return None
    return words[1].rstrip()


async def by_bearer(call: RequestContext) -> Principal:
    """The principal of the bearer token. Unauthorized ``unauthorized`` without a valid one."""
    token = bearer(call)
    if token is None:
        raise Unauthorized("unauthorized")
    return await call.services.accounts.ask(Authenticate(token, denied_request(call)))


async def by_ticket(call: RequestContext) -> Principal:
    """The principal of the stream ticket in the query string; without a ticket, of the bearer token."""
    tickets = call.request.query.getall("ticket", [])
    if not tickets:
        return await by_bearer(call)
    shown = ShowTicket(ticket=tickets[-1], session_id=parse_uuid(call.path["session_id"]), request=denied_request(call))
    return await call.services.accounts.ask(shown)


def denied_request(call: RequestContext) -> DeniedRequest:
    """The request as a denial is audited."""
    return DeniedRequest(method=call.request.method, path=call.info.template, origin=call.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerGuard(Guard):
    """Admits authenticated callers. Checks in this order: bearer, API key, verified address, owner, role."""

    roles: frozenset[Role] = EVERYONE
    keys: bool = True
    verified: bool = True
    identify: Identify = by_bearer
    needs_bearer: ClassVar[bool] = True

    @property
    def takes_ticket(self) -> bool:
        return self.identify is by_ticket

    @property
    def refusals(self) -> dict[int, tuple[str, ...]]:
        forbidden = {
            "api_key_not_allowed": not self.keys,
            "email_not_verified": self.verified,
            "forbidden_role": self.roles != EVERYONE,
        }
        codes = tuple(code for code, possible in forbidden.items() if possible)
        return {
            401: ("unauthorized",),
            **({403: codes} if codes else {}),
            **({503: ("not_ready",)} if self.verified else {}),
        }

    async def admit(self, call: RequestContext) -> None:
        """Unauthorized; Forbidden ``api_key_not_allowed``, ``email_not_verified``, ``forbidden_role``."""
        principal = await self.identify(call)
        call.principal = call.info.principal = principal
        log.bind(tenant=principal.tenant_id)
        if principal.api_key_id is not None and not self.keys:
            raise Forbidden("api_key_not_allowed")
        if self.verified and not principal.email_verified and not call.services.settings.auth_skip_email_verification:
            raise Forbidden("email_not_verified")
        if self.verified:
            call.lease = await self._lease(call, principal.tenant_id)
        if principal.role not in self.roles:
            raise Forbidden("forbidden_role")

    async def _lease(self, call: RequestContext, tenant_id: str) -> Lease | None:
        """Unavailable ``not_ready`` if another node owns the agency, ``storage_unavailable`` if none can."""
        ownership = call.services.ownership
        await ownership.settled()
        try:
            return ownership.grant(tenant_id)
        except Unavailable:
            if await call.services.health.works(DATABASE, since=ownership.lost_at):
                raise
        raise Unavailable("storage_unavailable")


PUBLIC = Guard()
INTERNAL = Internal()

MYSELF = BearerGuard(verified=False)
"""Any member, also unverified, also by API key: ``GET /auth/me``."""

PERSON = BearerGuard(keys=False, verified=False)
"""Any person, for their own account under ``/auth``; no API keys."""

PERSON_WRITER = BearerGuard(keys=False, verified=False, roles=WRITERS)
PERSON_ADMIN = BearerGuard(keys=False, verified=False, roles=ADMINS)

READER = BearerGuard()
STREAM = BearerGuard(identify=by_ticket)
"""Any member, by bearer token or by a ticket in the query string."""

WRITER = BearerGuard(roles=WRITERS)
ADMIN = BearerGuard(roles=ADMINS)
LEAD = BearerGuard(roles=LEADS)

DECIDER = BearerGuard(keys=False, roles=WRITERS)
"""A person who may decide approvals of some tools. Which ones depends on the approval."""
