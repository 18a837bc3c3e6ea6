"""Login sessions: each sign-in opens a family of refresh tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ...storage.accounts.login_sessions import NewFamily
from ..domain.audit import Origin
from ..domain.identity import Principal, network_of
from ..domain.ids import uuid7
from .tokens import AccessTokens, RefreshTokens

MAX_USER_AGENT = 255
MAX_ADDRESS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A signed-in user and their tokens."""

    access_token: str
    refresh_token: str
    expires_in: int
    principal: Principal


@dataclass(frozen=True, slots=True)
class NewSession:
    """A family to be stored, and its first refresh token, of which only the hash is stored."""

    family: NewFamily
    refresh_token: str


class LoginSessions:
    """Creates token families and issues their tokens. Ages in seconds."""

    def __init__(self, access: AccessTokens, refresh: RefreshTokens, *, refresh_ttl: int, max_age: int) -> None:
        self._access = access
        self._refresh = refresh
        self._refresh_ttl = timedelta(seconds=refresh_ttl)
        self._max_age = timedelta(seconds=max_age)

    def open(self, origin: Origin, now: datetime) -> NewSession:
        """A new family for a sign-in from ``origin``."""
        family_id = uuid7()
        first = self._refresh.derive(family_id, 0)
        ends_at = now + self._max_age
        family = NewFamily(
            id=family_id,
            token_id=uuid7(),
            token_hash=first.digest,
            key_id=first.key_id,
            expires_at=min(now + self._refresh_ttl, ends_at),
            ends_at=ends_at,
            user_agent=origin.user_agent and origin.user_agent[:MAX_USER_AGENT],
            ip=origin.ip and origin.ip[:MAX_ADDRESS],
            network=network_of(origin.ip),
        )
        return NewSession(family, first.token)

    def issue_tokens(self, principal: Principal, new_session: NewSession, now: datetime) -> SignedIn:
        """The tokens for ``principal``, once the family is stored."""
        return SignedIn(
            access_token=self._access.issue(principal, now),
            refresh_token=new_session.refresh_token,
            expires_in=self._access.ttl,
            principal=principal,
        )
