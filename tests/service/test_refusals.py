"""Each refusal of accounts, agencies and infrastructure as a client of the whole service provokes it (R-61)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pyotp
import pytest

from voyagent.actors.domain.ids import uuid7
from voyagent.http.openapi_responses import refusals
from voyagent.http.routes import ROUTES
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Make, Person, Running

Join = Callable[["Person", str], Awaitable["Person"]]
Answers = list[tuple[int, Any]]
PASSWORD, WEAK = "a long password 1", "password1234"
TESTS = Path(__file__).parents[1]


@dataclass(slots=True)
class Scene:
    """An agency with its admin, and what a case needs besides."""

    asha: Person
    member: Join
    admin: Admin
    running: Running

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Somebody nobody knows."""
        async with self.running.http.request(method, self.running.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def mine(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The admin."""
        return await self.asha.call(method, path, json=body, headers=headers)

    async def sign_in(self, password: str = PASSWORD, code: str | None = None, **changes: Any) -> tuple[int, Any]:
        body = {"email": self.asha.user["email"], "password": password} | changes
        if code is None:
            return await self.send("POST", "/auth/sign-in", body)
        return await self.send("POST", "/auth/sign-in-totp", body | {"totp_code": code})

    async def invite(self, email: str = "ravi@example.com") -> tuple[str, str]:
        _status, body = await self.mine("POST", "/auth/invites", {"email": email})
        return body["invite"]["id"], body["invite_link"][-43:]

    async def accept(self, token: str, password: str = PASSWORD) -> tuple[int, Any]:
        body = {"token": token, "password": password, "full_name": "Ravi"}
        return await self.send("POST", "/auth/accept-invite", body)

    async def revoke(self, invite_id: str) -> tuple[int, Any]:
        return await self.mine("POST", f"/auth/invites/{invite_id}/revoke")

    async def second_factor(self) -> None:
        """Turn it on."""
        _status, made = await self.mine("POST", "/auth/totp/setup")
        shown = pyotp.TOTP(made["secret"]).at(self.running.service.system.clock.now())
        status, _body = await self.mine("POST", "/auth/totp/verify", {"code": shown})
        assert status == 200


Case = Callable[[Scene], Awaitable[Answers]]
CASES: dict[tuple[int, str], Case] = {}


def row(status: int, code: str) -> Callable[[Case], Case]:
    """The case of a row: all its ways must answer ``status`` and ``code``."""

    def keep(case: Case) -> Case:
        assert (status, code) not in CASES
        CASES[status, code] = case
        return case

    return keep


@row(400, "token_invalid")
async def _(s: Scene) -> Answers:
    reset = {"token": "x", "new_password": PASSWORD}
    return [
        await s.send("POST", "/auth/verify-email", {"token": "x"}),
        await s.send("POST", "/auth/reset-password", reset),
    ]


@row(400, "invite_not_pending")
async def _(s: Scene) -> Answers:
    invite_id, token = await s.invite()
    await s.revoke(invite_id)
    _id, used = await s.invite()
    await s.accept(used)
    looks = [await s.send("GET", f"/auth/invites/lookup?token={each}") for each in (token, used)]
    return [*looks, await s.accept(token), await s.accept(used)]


@row(400, "invite_expired")
async def _(s: Scene) -> Answers:
    _id, token = await s.invite()
    await s.admin.execute("UPDATE invites SET expires_at = now()")
    return [await s.send("GET", f"/auth/invites/lookup?token={token}"), await s.accept(token)]


@row(400, "invalid_status")
async def _(s: Scene) -> Answers:
    return [await s.mine("GET", f"/auth/invites?status={each}") for each in ("", "open")]


@row(400, "totp_not_initialized")
async def _(s: Scene) -> Answers:
    return [await s.mine("POST", "/auth/totp/verify", {"code": "123456"})]


@row(400, "totp_not_enabled")
async def _(s: Scene) -> Answers:
    return [await s.sign_in(code="123456")]


@row(400, "password_too_weak")
async def _(s: Scene) -> Answers:
    sign_up = {"email": "x@example.com", "password": WEAK, "full_name": "X", "agency_name": "X"}
    change = {"current_password": PASSWORD, "new_password": WEAK}
    return [
        await s.send("POST", "/auth/sign-up", sign_up),
        await s.accept("x", WEAK),
        await s.send("POST", "/auth/reset-password", {"token": "x", "new_password": WEAK}),
        await s.mine("POST", "/auth/change-password", change),
    ]


@row(400, "cors_origin_not_allowed")
async def _(s: Scene) -> Answers:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    return [await s.send("OPTIONS", "/auth/me", **asked)]


@row(401, "unauthorized")
async def _(s: Scene) -> Answers:
    forms = ("", "x", "Basic x", "Bearer x", "Bearer vy_x")
    return [await s.send("GET", "/auth/me", **({"Authorization": form} if form else {})) for form in forms]


@row(401, "invalid_credentials")
async def _(s: Scene) -> Answers:
    wrong = {"password": "wrong"}
    return [
        await s.sign_in(**wrong),
        await s.sign_in(code="123456", **wrong),
        await s.sign_in(email="nobody@example.com"),
        await s.sign_in(email="nobody@example.com", code="123456"),
    ]


@row(401, "account_inactive")
async def _(s: Scene) -> Answers:
    agent = await s.member(s.asha, "agent")
    await s.mine("PATCH", f"/auth/members/{agent.user['id']}", {"is_active": False})
    email = agent.user["email"]
    return [await s.sign_in(email=email), await s.sign_in(email=email, code="123456")]


@row(401, "totp_required")
async def _(s: Scene) -> Answers:
    await s.second_factor()
    return [await s.sign_in()]


@row(401, "totp_invalid")
async def _(s: Scene) -> Answers:
    await s.second_factor()
    return [await s.mine("POST", "/auth/totp/verify", {"code": "zzzzzz"}), await s.sign_in(code="zzzzzz")]


@row(403, "totp_invalid")
async def _(s: Scene) -> Answers:
    await s.second_factor()
    return [await s.mine("POST", "/auth/totp/disable", {"password": PASSWORD, "code": "zzzzzz"})]


@row(401, "invalid_refresh_token")
async def _(s: Scene) -> Answers:
    return [await s.send("POST", "/auth/refresh", {"refresh_token": "x"})]


@row(403, "forbidden_role")
async def _(s: Scene) -> Answers:
    viewer, agent = await s.member(s.asha, "viewer"), await s.member(s.asha, "agent")
    for_admins = [
        await agent.call(method, path, json={})
        for method, path in (
            ("GET", "/auth/invites"),
            ("POST", "/auth/invites"),
            ("GET", "/auth/members"),
            ("PATCH", "/tenant-settings"),
        )
    ]
    return [
        *for_admins,
        await viewer.call("POST", "/auth/api-keys", json={}),
        await viewer.call("POST", "/chat/sessions"),
    ]


@row(403, "api_key_not_allowed")
async def _(s: Scene) -> Answers:
    _status, made = await s.mine("POST", "/auth/api-keys", {"name": "till"})
    by_key = {"Authorization": f"Bearer {made['key']}"}
    return [await s.send("GET", path, **by_key) for path in ("/auth/sessions", "/auth/invites", "/auth/api-keys")]


@row(403, "invalid_password")
async def _(s: Scene) -> Answers:
    change = {"current_password": "wrong", "new_password": PASSWORD}
    return [
        await s.mine("POST", "/auth/totp/disable", {"password": "wrong", "code": "123456"}),
        await s.mine("POST", "/auth/change-password", change),
    ]


@row(404, "invite_not_found")
async def _(s: Scene) -> Answers:
    other = await s.running.sign_up("other")
    invite_id, _token = await s.invite()
    foreign = await other.call("POST", f"/auth/invites/{invite_id}/revoke")
    looks = [await s.send("GET", "/auth/invites/lookup?token=x"), await s.accept("x")]
    return [foreign, *looks, await s.revoke("x"), await s.revoke(uuid7())]


@row(404, "not_found")
async def _(s: Scene) -> Answers:
    _status, made = await s.mine("POST", "/auth/api-keys", {"name": "till"})
    agent, other = await s.member(s.asha, "agent"), await s.running.sign_up("other")
    path = f"/auth/api-keys/{made['api_key']['id']}/revoke"
    unknown = [await s.mine("POST", f"/auth/api-keys/{each}/revoke") for each in ("x", uuid7())]
    return [*unknown, await agent.call("POST", path), await other.call("POST", path)]


@row(404, "session_not_found")
async def _(s: Scene) -> Answers:
    return [await s.mine("POST", f"/auth/sessions/{each}/revoke") for each in ("x", uuid7())]


@row(404, "member_not_found")
async def _(s: Scene) -> Answers:
    other = await s.running.sign_up("other")
    ids = ("x", uuid7(), other.user["id"])
    return [await s.mine("PATCH", f"/auth/members/{each}", {"role": "agent"}) for each in ids]


@row(404, "not found")
async def _(s: Scene) -> Answers:
    through = {"X-Forwarded-For": "127.0.0.1"}
    return [await s.send("GET", path, **through) for path in ("/internal/metrics", "/internal/actors")]


@row(409, "email_already_registered")
async def _(s: Scene) -> Answers:
    other, email = await s.running.sign_up("other"), s.asha.user["email"]
    _id, token = await s.invite(other.user["email"])
    sign_up = {"email": email, "password": PASSWORD, "full_name": "X", "agency_name": "X"}
    return [
        await s.send("POST", "/auth/sign-up", sign_up),
        await other.call("PATCH", "/auth/profile", json={"email": email}),
        await s.accept(token),
        await s.mine("POST", "/auth/invites", {"email": email}),
    ]


@row(409, "invite_already_exists")
async def _(s: Scene) -> Answers:
    await s.invite()
    return [await s.mine("POST", "/auth/invites", {"email": "Ravi@Example.com"})]


@row(409, "invite_not_pending")
async def _(s: Scene) -> Answers:
    revoked, _token = await s.invite()
    await s.revoke(revoked)
    used, token = await s.invite()
    await s.accept(token)
    expired, _token = await s.invite("mira@example.com")
    await s.admin.execute("UPDATE invites SET expires_at = now() WHERE id = $1", expired)
    return [await s.revoke(each) for each in (revoked, used, expired)]


@row(409, "totp_already_enabled")
async def _(s: Scene) -> Answers:
    await s.second_factor()
    return [await s.mine("POST", "/auth/totp/setup")]


@row(409, "api_key_limit")
async def _(s: Scene) -> Answers:
    for _number in range(50):
        assert (await s.mine("POST", "/auth/api-keys", {"name": "till"}))[0] == 201
    return [await s.mine("POST", "/auth/api-keys", {"name": "till"})]


@row(409, "last_admin")
async def _(s: Scene) -> Answers:
    path = f"/auth/members/{s.asha.user['id']}"
    return [await s.mine("PATCH", path, body) for body in ({"role": "viewer"}, {"is_active": False})]


@row(413, "body_too_large")
async def _(s: Scene) -> Answers:
    body = {"data": b"x" * (16 * 1024 + 1), "headers": {"Content-Type": "application/json"}}
    return [await s.asha.call("POST", path, **body) for path in ("/auth/sign-in", "/auth/invites")]


@row(415, "unsupported_content_encoding")
async def _(s: Scene) -> Answers:
    """Nothing of it is read, so a bomb is as good as anything."""
    bomb = {"data": gzip.compress(b"x" * (2**20 + 1)), "headers": {"Content-Encoding": "gzip"}}
    return [await s.asha.call("POST", path, **bomb) for path in ("/auth/sign-in", "/auth/invites")]


@row(422, "rate_limit_hour_below_minute")
async def _(s: Scene) -> Answers:
    bodies = ({"rate_limit_per_hour": 59}, {"rate_limit_per_minute": 2000})
    return [await s.mine("PATCH", "/tenant-settings", body) for body in bodies]


@row(500, "internal_error")
async def _(s: Scene) -> Answers:
    """A stored answer that was tampered with does not open."""
    once = ("POST", "/auth/api-keys", {"name": "till"})
    await s.mine(*once, **{"Idempotency-Key": "k"})
    await s.admin.execute("UPDATE idempotency_keys SET reply = sha256(reply)")
    return [await s.mine(*once, **{"Idempotency-Key": "k"})]


STRICT = {(401, "email_not_verified"), (403, "email_not_verified")}
"""What only a service that verifies addresses says: a test of its own."""

ELSEWHERE = {
    (408, "request_timeout"): "http/test_app.py",
    (429, "too_many_attempts"): "http/test_middleware.py",
    (503, "storage_unavailable"): "http/handlers/test_accounts.py",
    (503, "overloaded"): "http/handlers/test_accounts.py",
    (503, "deadline_exceeded"): "actors/runtime/test_actor.py",
    (503, "not_ready"): "http/test_health.py",
    (503, "agent_runtime_unavailable"): "actors/runtime/test_supervisor.py",
    (503, "VOYAGENT_DB_URL is not configured."): "http/test_health.py",
    (503, "db unreachable"): "http/test_health.py",
    (503, "VOYAGENT_REDIS_URL is not configured."): "http/test_health.py",
    (503, "redis unreachable"): "http/test_health.py",
}
"""What needs a broken or crowded service, and where it is shown."""


KEYED = {
    (409, "idempotency_key_in_flight"),
    (422, "idempotency_key_reused"),
    (422, "invalid_idempotency_key"),
}
"""Refusals of repeated acts, for every operation that knows them (business 1.4)."""


@pytest.mark.parametrize(("status", "code"), sorted(CASES), ids=str)
async def test_r61_a_refusal_has_exactly_its_status_and_code(
    asha: Person, member: Join, admin: Admin, running: Running, status: int, code: str
) -> None:
    answers = await CASES[status, code](Scene(asha, member, admin, running))

    assert answers
    for answer, body in answers:
        detail = body["detail"]
        if code == "password_too_weak":
            assert detail == {"error": code, "code": "password_common"}
            detail = detail["error"]
        assert (answer, detail) == (status, code)
        assert set(body) == ({"detail", "request_id"} if status == 500 else {"detail"})


async def test_r61_an_unverified_address_is_401_at_sign_in_and_403_behind_it(settings_for: Make) -> None:
    async with (
        Service(settings_for(VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION="false")) as service,
        aiohttp.ClientSession(service.url) as http,
    ):
        known = {"email": "asha@example.com", "password": PASSWORD}
        async with http.post("/auth/sign-up", json=known | {"full_name": "A", "agency_name": "A"}) as answer:
            token = (await answer.json())["access_token"]
        for path, more in (("/auth/sign-in", {}), ("/auth/sign-in-totp", {"totp_code": "123456"})):
            async with http.post(path, json=known | more) as answer:
                assert (answer.status, await answer.json()) == (401, {"detail": "email_not_verified"})
        for path in ("/chat/sessions", "/tenant-settings", "/approvals"):
            async with http.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
                assert (answer.status, await answer.json()) == (403, {"detail": "email_not_verified"})


@pytest.mark.parametrize("row", sorted(ELSEWHERE), ids=lambda row: row[1])
def test_r61_what_needs_a_broken_service_is_shown_elsewhere(row: tuple[int, str]) -> None:
    assert f'"{row[1]}"' in (TESTS / ELSEWHERE[row]).read_text("utf-8")


def test_r61_nothing_else_is_declared() -> None:
    ours = [route for route in ROUTES if route.path.startswith(("/auth/", "/tenant-settings", "/health", "/internal"))]
    declared = {(status, code) for route in ours for status, codes in refusals(route).items() for code in codes}

    assert declared - CASES.keys() - ELSEWHERE.keys() - STRICT == KEYED
    assert (CASES.keys() | STRICT) - declared == {(400, "cors_origin_not_allowed")}
