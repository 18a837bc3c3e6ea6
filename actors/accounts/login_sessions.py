"""Opening a family of tokens: what every way in ends with."""

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
    """A person who has come in, and the tokens they go on with."""

    access_token: str
    refresh_token: str
    expires_in: int
    principal: Principal


@dataclass(frozen=True, slots=True)
class NewSession:
    """A family about to be stored, with the first refresh token that only its owner will hold."""

    family: NewFamily
    refresh_token: str


class LoginSessions:
    """Makes families and the tokens that go out with them. Ages in seconds."""

    def __init__(self, access: AccessTokens, refresh: RefreshTokens, *, refresh_ttl: int, max_age: int) -> None:
        self._access = access
        self._refresh = refresh
        self._refresh_ttl = timedelta(seconds=refresh_ttl)
        self._max_age = timedelta(seconds=max_age)

    def open(self, origin: Origin, now: datetime) -> NewSession:
        """A new family for whoever comes from ``origin``."""
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
        """The answer to ``principal``, once the family is stored."""
        return SignedIn(
            access_token=self._access.issue(principal, now),
            refresh_token=new_session.refresh_token,
            expires_in=self._access.ttl,
            principal=principal,
        )
