"""Tickets for streams: genuine, timely, for one session, and no access token."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from voyagent.actors.accounts.denial_audit import DeniedRequest
from voyagent.actors.accounts.tickets import AUDIENCE, IssueTicket, ShowTicket, Tickets
from voyagent.actors.accounts.tokens import AccessTokens, KeyRing
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Unauthorized
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET, OLD = "new-" * 16, "old-" * 16
RING = KeyRing({"b": SECRET, "a": OLD}, None)
TICKETS = Tickets(RING, issuer="voyagent")
ASHA = Principal(
    user_id=uuid7(),
    tenant_id=uuid7(),
    role=Role.VIEWER,
    email="asha@example.com",
    email_verified=True,
    full_name="Asha",
    tenant_name="Rao Travels",
    created_at=NOW,
    token_version=3,
    family_id=uuid7(),
)
SESSION = uuid7()


def shown(ticket: str, session_id: str | None = SESSION) -> ShowTicket:
    return ShowTicket(
        ticket=ticket,
        session_id=session_id,
        request=DeniedRequest(method="GET", path="/", origin=Origin(request_id="r")),
    )


def made(secret: str = SECRET, kid: str = "b", algorithm: str = "HS256", **changes: Any) -> str:
    at = int(NOW.timestamp())
    claims = {
        "sub": ASHA.user_id,
        "tid": ASHA.tenant_id,
        "session": SESSION,
        "iss": "voyagent",
        "aud": AUDIENCE,
        "iat": at,
        "exp": at + 3600,
        "sid": ASHA.family_id,
        "ver": 3,
    } | changes
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not ...}, secret, algorithm, {"kid": kid}
    )


def test_a_ticket_names_its_session_person_and_sign_in_for_an_hour() -> None:
    issued = TICKETS.issue(IssueTicket(principal=ASHA, session_id=SESSION), NOW)
    assert issued.expires_at == NOW + timedelta(hours=1)
    last = NOW + timedelta(hours=1) - timedelta(microseconds=1)
    claims = TICKETS.read(shown(issued.ticket), last)
    assert (claims.user_id, claims.tenant_id, claims.family_id) == (ASHA.user_id, ASHA.tenant_id, ASHA.family_id)
    assert (claims.session_id, claims.version, claims.api_key_id) == (SESSION, 3, None)
    with pytest.raises(Unauthorized):
        TICKETS.read(shown(issued.ticket), issued.expires_at)
    assert TICKETS.read(shown(made(OLD, "a")), NOW) == claims


def test_nothing_else_is_a_ticket_and_a_ticket_is_nothing_else() -> None:
    access = AccessTokens(RING, issuer="voyagent", audience="voyagent-api", ttl=3600, leeway=10)
    good = made()
    odd = [
        "",
        "x",
        "\ud800",
        good[:-2],
        access.issue(ASHA, NOW),
        made("other" * 10),
        made(OLD),
        made(kid="c"),
        made(algorithm="HS512"),
        made(aud=[AUDIENCE]),
        made(aud="voyagent-api"),
        made(iss="other"),
        made(exp="never"),
        made(exp=...),
        made(session="x"),
        made(session=...),
        made(sub="1"),
        made(tid=...),
        made(sid="no id"),
        made(sid=...),
        made(ver="3"),
        made(ver=None),
    ]
    for ticket in odd:
        with pytest.raises(Unauthorized):
            TICKETS.read(shown(ticket), NOW)
    for session in (uuid7(), None):
        with pytest.raises(Unauthorized):
            TICKETS.read(shown(good, session), NOW)
    with pytest.raises(Unauthorized):
        access.read(good, NOW)
