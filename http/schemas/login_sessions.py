"""Responses of ``/auth/sessions`` (docs/contract/identity.md 10)."""

from __future__ import annotations

from ...storage.accounts.sign_outs import Session
from .shared import Reply, UtcTime


class SignedInSession(Reply):
    """A login session of the caller."""

    id: str
    created_at: UtcTime
    last_used_at: UtcTime
    expires_at: UtcTime
    user_agent: str | None
    ip: str | None
    current: bool

    @classmethod
    def of(cls, session: Session, current: str | None) -> SignedInSession:
        return cls(
            id=session.id,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
            user_agent=session.user_agent,
            ip=session.ip,
            current=session.id == current,
        )


class SignedInSessionsResponse(Reply):
    """The caller's active login sessions, most recently used first."""

    items: list[SignedInSession]
