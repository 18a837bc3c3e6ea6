"""Authentication: who a bearer token, an API key or a stream ticket is, and whether it still has access."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from ...storage.accounts.principals import Person
from ..domain.audit import AuditEvent
from ..domain.errors import Unauthorized
from ..domain.identity import Principal
from ..foundation.clock import Clock
from ..runtime.actor import Message, NoReply, Outcome
from .access_watch import AccessWatch, AccessWatches
from .api_keys import PREFIX, ApiKeys, KeyOwner, hashed, well_formed
from .denial_audit import DenialAudit, DeniedRequest
from .principals import CredentialRef, Principals, authorize, is_active
from .sign_out import PresentedToken
from .tickets import ShowTicket, TicketClaims, Tickets
from .tokens import AccessTokens, Claims

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Authenticate(Message[Principal]):
    """The principal of a bearer token or API key. Unauthorized if invalid or revoked; Unavailable without storage.

    With ``request`` a denial of a known person leaves an audit event.
    """

    bearer: str
    request: DeniedRequest | None = None


@dataclass(frozen=True, slots=True)
class Watch(Message[AccessWatch]):
    """Watch the access of ``principal``. If it is revoked already, so is the watch."""

    principal: Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied(Message[None]):
    """``principal`` was refused with 401 or 403. Sent by tell; the audit event is written in the background."""

    principal: Principal
    request: DeniedRequest
    status: int
    code: str


class Owner(Protocol):
    """The accounts actor, as far as authentication needs it."""

    def reply_after(self, awaited: asyncio.Future[R], then: Callable[[Outcome[R]], Any]) -> NoReply: ...

    def spawn(self, work: Coroutine[Any, Any, R], *, name: str) -> asyncio.Task[R]: ...


class Authentication:
    """Answers from the caches, or after the queries they need. Part of the accounts actor, called in its messages."""

    def __init__(
        self,
        owner: Owner,
        *,
        access: AccessTokens,
        tickets: Tickets,
        keys: ApiKeys,
        principals: Principals,
        watches: AccessWatches,
        clock: Clock,
        record: Callable[[AuditEvent], None],
    ) -> None:
        """``record`` writes an audit event in the background."""
        self._owner = owner
        self._access = access
        self._tickets = tickets
        self._keys = keys
        self._principals = principals
        self._watches = watches
        self._clock = clock
        self._record = record
        self._denial_audit = DenialAudit(clock)

    def authenticate(self, message: Authenticate) -> Principal | NoReply:
        """See ``Authenticate``."""
        if message.bearer.startswith(PREFIX):
            return self._authenticate_key(message)
        claims = self._access.read(message.bearer, self._clock.now())
        return self._with_person(claims, lambda person: self._judge(claims, person, message.request))

    def _with_person(self, bearer: CredentialRef, judge: Callable[[Person | None], R]) -> R | NoReply:
        """Judge the cached person, or read it first."""
        entry = self._principals.cached(bearer)
        if entry is not None:
            return judge(entry.value)
        return self._owner.reply_after(self._principals.read(bearer), lambda outcome: judge(outcome.value))

    def _authenticate_key(self, message: Authenticate) -> Principal | NoReply:
        """Malformed keys are refused without a query; cached ones are answered from memory."""
        if not well_formed(message.bearer):
            raise Unauthorized("unauthorized")
        key_hash = hashed(message.bearer)
        entry = self._keys.cached(key_hash)
        if entry is not None:
            return self._owner_found(entry.value, message.request)
        found = self._keys.find(key_hash)
        return self._owner.reply_after(found, lambda outcome: self._owner_found(outcome.value, message.request))

    def _owner_found(self, bearer: KeyOwner | None, request: DeniedRequest | None) -> Principal | NoReply:
        if bearer is None:
            raise Unauthorized("unauthorized")
        return self._with_person(bearer, lambda person: self._judge_key(person, request))

    def _judge_key(self, person: Person | None, request: DeniedRequest | None) -> Principal:
        """Keys survive password changes, so no token version is compared: user and key have to be active."""
        if person is None:
            raise Unauthorized("unauthorized")
        principal, key_id = person.principal, person.principal.api_key_id
        if not is_active(person, self._clock.now().timestamp()):
            if request is not None:
                by_key = replace(request.origin, via="api_key", api_key_id=key_id)
                self.deny(principal, replace(request, origin=by_key), 401, "unauthorized")
            raise Unauthorized("unauthorized")
        if key_id is not None and self._keys.due(key_id):
            self._owner.spawn(self._keys.use(principal.tenant_id, key_id), name="key_used")
        return principal

    def _judge(self, claims: Claims, person: Person | None, request: DeniedRequest | None) -> Principal:
        if person is not None:
            principal = authorize(claims, person, self._clock.now().timestamp())
            if principal is not None:
                return principal
            if request is not None:
                self.deny(person.principal, request, 401, "unauthorized")
        raise Unauthorized("unauthorized")

    def show_ticket(self, presented: ShowTicket) -> Principal | NoReply:
        """See ``ShowTicket``."""
        claims = self._tickets.read(presented, self._clock.now())
        return self._with_person(claims, lambda person: self._judge_ticket(claims, person, presented.request))

    def _judge_ticket(self, claims: TicketClaims, person: Person | None, request: DeniedRequest) -> Principal:
        if person is not None and claims.borne_out_by(person, self._clock.now().timestamp()):
            return replace(person.principal, token_id=claims.token_id)
        if person is not None:
            self.deny(person.principal, request, 401, "unauthorized")
        raise Unauthorized("unauthorized")

    def watch(self, principal: Principal) -> AccessWatch | NoReply:
        """Watch first, then read, so that no revocation in between is missed."""
        watch = self._watches.add(principal)

        def judge(person: Person | None) -> AccessWatch:
            if not is_active(person, self._clock.now().timestamp()):
                watch.revoke()
            return watch

        return self._with_person(principal, judge)

    def presented(self, bearer: str) -> Coroutine[Any, Any, PresentedToken | None]:
        """Who a valid access token is, None for an invalid one; a query it needs begins at once.

        API keys cannot sign out.
        """
        try:
            claims = self._access.read(bearer, self._clock.now())
        except Unauthorized:
            return _nobody()
        entry = self._principals.cached(claims)
        if entry is not None:
            return self._judge_presented(claims, entry.value)
        return self._read_presented(claims, self._principals.read(claims))

    async def _read_presented(self, claims: Claims, reading: asyncio.Future[Person | None]) -> PresentedToken | None:
        return await self._judge_presented(claims, await asyncio.shield(reading))

    async def _judge_presented(self, claims: Claims, person: Person | None) -> PresentedToken | None:
        principal = None if person is None else authorize(claims, person, self._clock.now().timestamp())
        return None if principal is None else PresentedToken(principal, claims)

    def deny(self, principal: Principal, request: DeniedRequest, status: int, code: str) -> None:
        """Write the audit event of a denial, unless there are many."""
        event = self._denial_audit.event(principal, request, status, code)
        if event is not None:
            self._record(event)


async def _nobody() -> None:
    """The token is not valid."""
