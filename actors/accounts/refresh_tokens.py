"""Refresh token rotation; a reused token revokes its family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...storage.accounts.refresh_tokens import REFUSED, Find, RefreshTokenRow, Renew, Renewed, Rules, Successor
from ..domain.audit import Origin
from ..domain.email_texts import Kind
from ..domain.errors import Unauthorized
from ..domain.ids import uuid7
from ..foundation import metrics
from ..foundation.clock import Clock
from ..runtime.actor import Message, Recipient
from .outgoing import OutgoingEmails
from .revocation import Revocation
from .tokens import AccessTokens, RefreshTokens, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """Access and refresh token. ``expires_in`` is the access token's lifetime in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh(Message[TokenPair]):
    """Exchange a refresh token for the next pair. Unauthorized ``invalid_refresh_token``, whatever the reason."""

    refresh_token: str
    origin: Origin


class RefreshFlow:
    """Validates refresh tokens and issues their successors."""

    def __init__(
        self,
        storage: Recipient,
        access: AccessTokens,
        refresh: RefreshTokens,
        rules: Rules,
        clock: Clock,
        revocation: Revocation,
        emails: OutgoingEmails,
        on_enqueued: Callable[[], None],
    ) -> None:
        """``on_enqueued`` is called when there is a notice to deliver."""
        self._storage = storage
        self._access = access
        self._refresh = refresh
        self._rules = rules
        self._clock = clock
        self._revocation = revocation
        self._emails = emails
        self._on_enqueued = on_enqueued

    async def refresh(self, message: Refresh) -> TokenPair:
        """The next pair; see ``Refresh``."""
        presented = await self._storage.ask(Find(token_hash=digest(message.refresh_token)))
        if presented is None:
            raise Unauthorized(REFUSED)
        now = self._clock.now()
        following = self._refresh.derive(presented.family_id, presented.counter + 1)
        command = Renew(
            tenant_id=presented.tenant_id,
            presented=presented,
            successor=Successor(id=uuid7(), token_hash=following.digest, key_id=following.key_id),
            rules=self._rules,
            reused=self._emails.notice(Kind.REFRESH_REUSED),
            origin=message.origin,
            now=now,
        )
        try:
            outcome = await self._storage.ask(command)
        finally:  # the family lives longer now, or has ended; an unknown outcome may be either
            self._revocation.invalidate(presented.family_id)
        if not isinstance(outcome, Renewed):
            metrics.AUTH_REFRESH_REUSE_TOTAL.inc()
            self._revocation.revoke(presented.family_id)
            self._on_enqueued()
            raise Unauthorized(REFUSED)
        return TokenPair(
            access_token=self._access.issue(outcome.principal, now),
            refresh_token=self._successor(presented, outcome),
            expires_in=self._access.ttl,
        )

    def _successor(self, presented: RefreshTokenRow, outcome: Renewed) -> str:
        """Derived with the key it was first issued under, which may no longer be the signing key."""
        return self._refresh.derive(presented.family_id, presented.counter + 1, outcome.key_id).token
