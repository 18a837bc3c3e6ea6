"""Bearers as a client sends them: read, refused, outdated by a change, and let through the gates."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from tests.waiting import until
from voyagent.actors.accounts.actor import ChangeMember
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.identity import Role
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.foundation.clock import Clock
from voyagent.storage.accounts.users import AddMember

if TYPE_CHECKING:
    from tests.conftest import Database
from tests.http.handlers.served import SECRET, Harness, foreign, harness


@pytest.mark.parametrize("authorization", ["Bearer {}", "bearer {}", "BEARER   {}", "  Bearer {}  "])
async def test_a_bearer_is_read_however_it_is_spaced(front: Harness, authorization: str) -> None:
    token = (await front.sign_up()).token
    answer = await front.send("GET", "/auth/me", Authorization=authorization.format(token))
    assert answer.status == 200


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", "Bearer a.b.c", "Token x", "Bearer vy_x"]
)
async def test_nobodys_bearer_is_401(front: Harness, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await front.send("GET", "/auth/me", **headers)
    assert (answer.status, answer.detail) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_r25_a_foreign_token_works_until_the_version_moves(front: Harness) -> None:
    user = (await front.sign_up()).body["user"]
    token = foreign(user)
    assert (await front.get("/auth/me", token)).body == user
    other = AddMember(
        tenant_id=user["tenant_id"],
        user_id=uuid7(),
        email="ravi@example.com",
        role=Role.AGENCY_ADMIN,
        now=front.services.clock.now(),
    )
    await front.services.storage.ask(other)
    for active in (False, True):
        await front.services.accounts.ask(
            ChangeMember(
                tenant_id=user["tenant_id"],
                user_id=user["id"],
                is_active=active,
                by=None,
                origin=Origin(request_id="r"),
            )
        )
        assert (await front.get("/auth/me", token)).status == 401


async def test_r23_what_is_odd_about_a_signed_token_is_401(front: Harness) -> None:
    user = (await front.sign_up()).body["user"]
    now = int(Clock().now().timestamp())
    odd: list[dict[str, Any]] = [
        {"tid": ""},
        {"sub": "x"},
        {"jti": ""},
        {"iat": now + 30},
        {"nbf": now + 30},
        {"exp": now - 30},
        {"ver": "0"},
    ]
    for changes in odd:
        assert (await front.get("/auth/me", foreign(user, **changes))).status == 401
    fine: list[dict[str, Any]] = [{"iat": now + 8}, {"nbf": now + 8}, {"exp": now - 5}, {"aud": ["x", "voyagent-api"]}]
    for changes in fine:
        assert (await front.get("/auth/me", foreign(user, **changes))).status == 200


async def test_r40_a_principal_that_vanished_is_401_on_every_route(front: Harness) -> None:
    user = (await front.sign_up()).body["user"]
    gone = foreign(user | {"id": uuid7()})
    for method, path in [
        ("GET", "/auth/me"),
        ("GET", "/chat/sessions"),
        ("POST", "/chat/sessions"),
        ("GET", "/approvals"),
    ]:
        answer = await front.send(method, path, Authorization=f"Bearer {gone}")
        assert (answer.status, answer.detail) == (401, "unauthorized")


async def test_r26_the_unverified_reach_auth_only(database: Database) -> None:
    async with harness(database, auth_skip_email_verification=False) as front:
        answer = await front.sign_up()
        assert answer.body["user"]["email_verified"] is False
        assert (await front.get("/auth/me", answer.token)).status == 200
        for path in ("/chat/sessions", "/approvals"):
            gated = await front.get(path, answer.token)
            assert (gated.status, gated.detail) == (403, "email_not_verified")
        refused = await front.sign_in()
        assert (refused.status, refused.detail) == (401, "email_not_verified")
        assert (await front.sign_in(password="wrong")).detail == "invalid_credentials"


async def test_r26_without_the_rule_there_is_no_gate(database: Database) -> None:
    async with harness(database, auth_skip_email_verification=False) as strict:
        token = (await strict.sign_up()).token
    async with harness(database) as lenient:
        assert (await lenient.get("/chat/sessions", token)).status == 200


async def test_r41_a_viewers_write_is_forbidden_and_remembered(front: Harness) -> None:
    user = (await front.sign_up()).body["user"]
    assert front.db is not None
    await front.db.execute("UPDATE users SET role = 'viewer'")
    answer = await front.send("POST", "/chat/sessions", Authorization=f"Bearer {foreign(user)}")
    assert (answer.status, answer.detail) == (403, "forbidden_role")
    row = await until(partial(front.db.fetchrow, "SELECT * FROM audit_events WHERE kind = 'auth.denied'"))
    said = json.loads(row["inputs"])
    assert (said["method"], said["path"], said["status"], said["code"]) == (
        "POST",
        "/chat/sessions",
        403,
        "forbidden_role",
    )


async def test_r24_after_a_rotation_old_tokens_work_and_new_ones_carry_the_new_key(database: Database) -> None:
    old, new = {"a": "a-secret-" * 8}, {"b": "b-secret-" * 8, "a": "a-secret-" * 8}
    async with harness(database, auth_secret=None, auth_secrets=old) as before:
        token = (await before.sign_up()).token
    async with harness(database, auth_secret=None, auth_secrets=new) as after:
        assert (await after.get("/auth/me", token)).status == 200
        assert jwt.get_unverified_header((await after.sign_in()).token)["kid"] == "b"
    async with harness(database, auth_secret=None, auth_secrets={"b": new["b"]}) as dropped:
        assert (await dropped.get("/auth/me", token)).status == 401


async def test_the_figures_of_the_configuration_are_obeyed(database: Database) -> None:
    async with harness(database, auth_access_ttl_seconds=600, auth_issuer="house", auth_audience="harness") as front:
        answer = await front.sign_up()
        assert answer.body["expires_in"] == 600
        claims = jwt.decode(answer.token, SECRET, ["HS256"], audience="harness", issuer="house")
        assert timedelta(seconds=claims["exp"] - claims["iat"]) == timedelta(minutes=10)
