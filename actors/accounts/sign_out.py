"""Sign-out with any token, and revocation of one's other sessions."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime

from ...storage.accounts import refresh_tokens, sign_outs
from ...storage.engine.idempotency import IdempotencyKey, IdempotentReply, Once
from ..domain.audit import Origin
from ..domain.identity import Principal
from ..foundation.clock import Clock
from ..runtime.actor import Message, Recipient
from .revocation import Revocation
from .tokens import MAX_TIMESTAMP, Claims, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOut(Message[None]):
    """Revoke the family of the bearer token, of the refresh token, or both. Unknown or expired tokens are ignored.

    Replies once the revocation is stored; Unavailable if it cannot be.
    """

    bearer: str | None
    refresh_token: str | None
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeSession(Message[IdempotentReply[None]]):
    """Revoke one of ``principal``'s own sessions. NotFound ``session_not_found``."""

    principal: Principal
    session_id: str
    origin: Origin
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A valid bearer token: its principal and its claims."""

    principal: Principal
    claims: Claims


class SignOutFlows:
    """Revokes sessions. ``leeway`` (seconds) is how long an expired access token is still accepted."""

    def __init__(self, storage: Recipient, clock: Clock, *, leeway: int, revocation: Revocation) -> None:
        self._storage = storage
        self._clock = clock
        self._leeway = leeway
        self._revocation = revocation

    async def sign_out(
        self, bearer: Awaitable[PresentedToken | None] | None, refresh_token: str | None, origin: Origin
    ) -> None:
        """Revoke the presented tokens; another user's refresh token beside a valid bearer is ignored."""
        presented = None if bearer is None else await bearer
        place = None
        if refresh_token:
            place = await self._storage.ask(refresh_tokens.Find(token_hash=digest(refresh_token)))
        if place is not None and presented is not None and place.user_id != presented.principal.user_id:
            place = None
        owner = place if presented is None else presented.principal
        if owner is None:
            return
        families = {
            family for family in (place and place.family_id, presented and presented.principal.family_id) if family
        }
        denied = None if presented is None or presented.principal.family_id else self._denied(presented.claims)
        command = sign_outs.SignOut(
            tenant_id=owner.tenant_id,
            user_id=owner.user_id,
            families=sorted(families),
            denied=denied,
            origin=origin,
            now=self._clock.now(),
        )
        credential_ids = (*families, *([denied.token_id] if denied else []))
        try:
            await self._storage.ask(command)
        finally:  # also when the outcome is unknown
            self._revocation.invalidate(*credential_ids)
        self._revocation.revoke(*credential_ids)

    async def revoke(self, message: RevokeSession) -> IdempotentReply[None]:
        """See ``RevokeSession``."""
        caller, now = message.principal, self._clock.now()
        command = sign_outs.Revoke(
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            session_id=message.session_id,
            origin=message.origin,
            now=now,
        )
        once = Once(tenant_id=caller.tenant_id, key=message.key, command=command, reply=type(None), now=now)
        try:
            done = await self._storage.ask(once)
        finally:
            self._revocation.invalidate(message.session_id)
        self._revocation.revoke(message.session_id)
        return done

    def _denied(self, claims: Claims) -> sign_outs.Denied:
        until = datetime.fromtimestamp(min(claims.expires_at + self._leeway, MAX_TIMESTAMP), UTC)
        return sign_outs.Denied(token_id=claims.token_id, expires_at=until)
