"""Stream tickets: a browser's ``EventSource`` sends no headers, so the credential is part of the URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from ...storage.accounts.principals import Person
from ..domain.errors import Unauthorized
from ..domain.identity import Principal
from ..domain.ids import parse_uuid
from ..runtime.envelope import Message
from .denial_audit import DeniedRequest
from .principals import is_active
from .tokens import ALGORITHM, KeyRing

AUDIENCE = "voyagent-stream"
LIFETIME = 3600
"""Seconds a ticket is valid."""

NAMES = ("sub", "tid", "session", "iss", "aud", "iat", "exp")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket to subscribe to one session, and its expiry."""

    ticket: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueTicket(Message[Ticket]):
    """Issue a ticket for ``session_id``. The caller has checked access. It is revoked with its login session or key."""

    principal: Principal
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowTicket(Message[Principal]):
    """The principal of a ticket for ``session_id``. Unauthorized ``unauthorized`` if it is invalid or revoked."""

    ticket: str
    session_id: str | None
    request: DeniedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketClaims:
    """The verified claims of a ticket, and the credential it depends on."""

    user_id: str
    tenant_id: str
    session_id: str
    family_id: str | None
    token_id: str | None
    api_key_id: str | None
    version: int | None

    def borne_out_by(self, person: Person, now: float) -> bool:
        """Whether user and credential are active. A password change revokes login sessions, but not API keys."""
        return is_active(person, now) and self.version in {None, person.principal.token_version}


class Tickets:
    """JWTs signed like access tokens, with a separate audience, so that neither is accepted as the other."""

    def __init__(self, ring: KeyRing, *, issuer: str) -> None:
        self._ring = ring
        self._issuer = issuer

    def issue(self, message: IssueTicket, now: datetime) -> Ticket:
        """Sign a ticket."""
        of, issued_at = message.principal, int(now.timestamp())
        claims: dict[str, Any] = {
            "sub": of.user_id,
            "tid": of.tenant_id,
            "session": message.session_id,
            "iss": self._issuer,
            "aud": AUDIENCE,
            "iat": issued_at,
            "exp": issued_at + LIFETIME,
        }
        if of.api_key_id is not None:
            claims["key"] = of.api_key_id
        else:
            claims["ver"] = of.token_version
            claims |= {"sid": of.family_id} if of.family_id is not None else {"tok": of.token_id}
        ticket = jwt.encode(claims, self._ring.signing_secret, ALGORITHM, headers={"kid": self._ring.signing_kid})
        return Ticket(ticket, datetime.fromtimestamp(issued_at + LIFETIME, UTC))

    def read(self, presented: ShowTicket, now: datetime) -> TicketClaims:
        """The claims of a valid ticket for this session; Unauthorized otherwise."""
        try:
            secret = self._ring.secret(jwt.get_unverified_header(presented.ticket).get("kid"))
            if secret is None:
                raise Unauthorized("unauthorized")
            claims = jwt.decode(
                presented.ticket,
                secret,
                [ALGORITHM],
                {"require": list(NAMES), "verify_exp": False, "verify_iat": False, "strict_aud": True},
                audience=AUDIENCE,
                issuer=self._issuer,
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise Unauthorized("unauthorized") from error
        if type(claims["exp"]) is not int or now.timestamp() >= claims["exp"]:
            raise Unauthorized("unauthorized")
        read = _claims(claims)
        if read is None or read.session_id != presented.session_id:
            raise Unauthorized("unauthorized")
        return read


def _claims(claims: Mapping[str, Any]) -> TicketClaims | None:
    """The claims, type-checked, with exactly one credential; None if any is malformed."""
    ids = {name: parse_uuid(str(claims[name])) for name in ("sub", "tid", "session", "sid", "key") if name in claims}
    token_id, version = claims.get("tok"), claims.get("ver")
    credential_ids = [ids.get("sid"), ids.get("key"), token_id if isinstance(token_id, str) else None]
    if None in ids.values() or sum(credential_id is not None for credential_id in credential_ids) != 1:
        return None
    if "key" not in ids and type(version) is not int:
        return None
    return TicketClaims(
        user_id=str(ids["sub"]),
        tenant_id=str(ids["tid"]),
        session_id=str(ids["session"]),
        family_id=credential_ids[0],
        token_id=credential_ids[2],
        api_key_id=credential_ids[1],
        version=version,
    )
