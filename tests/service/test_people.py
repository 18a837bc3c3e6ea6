"""Refresh, sign-out, sessions, keys and members as a client of the whole service meets them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from voyagent.actors.accounts.actor import Invalidate
from voyagent.actors.accounts.api_keys import generate
from voyagent.actors.domain.ids import uuid7
from voyagent.http.routes import ROUTES
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Make, Person, Running

Join = Callable[["Person", str], Awaitable["Person"]]
PASSWORD = "a long password 1"


async def send(http: Any, url: str, body: Any = None, bearer: str | None = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON of a POST."""
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    async with http.post(url, json=body, headers=headers) as answer:
        text = await answer.text()
        if answer.status == 204:
            assert not text
            assert "Content-Type" not in answer.headers
        return answer.status, json.loads(text) if text else None


async def sign_in(running: Running, who: Person) -> Any:
    body = {"email": who.user["email"], "password": PASSWORD}
    status, answer = await send(running.http, f"{running.url}/auth/sign-in", body)
    assert status == 200
    return answer


def by(person: Person, token: str) -> Person:
    """The same person with another bearer."""
    return type(person)(person.http, person.url, token, person.user)


async def test_a_refresh_answers_the_pair_and_nothing_else(running: Running, asha: Person) -> None:
    first = await sign_in(running, asha)
    url = f"{running.url}/auth/refresh"
    status, pair = await send(running.http, url, {"refresh_token": first["refresh_token"], "more": 1}, bearer="x")
    assert status == 200
    assert set(pair) == {"access_token", "refresh_token", "expires_in"}
    assert (await by(asha, pair["access_token"]).get("/auth/me")) == asha.user
    for token, refused in (("x", 401), ("x" * 512, 401), ("x" * 513, 422), ("", 422), (None, 422)):
        status, body = await send(running.http, url, {"refresh_token": token})
        assert status == refused
        assert refused == 422 or body == {"detail": "invalid_refresh_token"}


async def test_r12_sixteen_refreshes_over_the_wire_agree(running: Running, asha: Person) -> None:
    body = {"refresh_token": (await sign_in(running, asha))["refresh_token"]}
    url = f"{running.url}/auth/refresh"
    answers = await asyncio.gather(*(send(running.http, url, body) for _ in range(16)))
    assert {status for status, _ in answers} == {200}
    assert len({pair["refresh_token"] for _, pair in answers}) == 1


async def test_r57_sign_out_takes_every_shape_of_body_that_is_allowed(running: Running, asha: Person) -> None:
    url = f"{running.url}/auth/sign-out"
    assert (await send(running.http, url))[0] == 204
    async with running.http.post(url, data=b"") as answer:
        assert answer.status == 204
    json_body = {"Content-Type": "application/json"}
    for sent in (b"null", b"{}", b'{"refresh_token": null}', b'{"refresh_token": "x", "more": 1}'):
        async with running.http.post(url, data=sent, headers=json_body) as answer:
            assert answer.status == 204
    for wrong in (b"[]", b'"x"', b"1", b'{"refresh_token": 1}', b"{"):
        async with running.http.post(url, data=wrong, headers=json_body) as answer:
            assert answer.status == 422
    session = await sign_in(running, asha)
    status, _ = await send(running.http, url, {"refresh_token": session["refresh_token"]}, asha.token)
    assert status == 204
    for token in (asha.token, session["access_token"]):
        assert (await by(asha, token).call("GET", "/auth/me"))[0] == 401


async def test_r17_a_sign_out_outlives_the_process(running: Running, asha: Person, settings_for: Make) -> None:
    assert (await send(running.http, f"{running.url}/auth/sign-out", bearer=asha.token))[0] == 204
    await running.service.stop()
    async with Service(settings_for()) as again, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {asha.token}"}
        async with http.get(f"{again.url}/auth/me", headers=headers) as answer:
            assert answer.status == 401


async def test_sessions_are_listed_and_ended_one_by_one(running: Running, asha: Person, admin: Admin) -> None:
    other = await sign_in(running, asha)
    listed = (await asha.get("/auth/sessions"))["items"]
    assert [each["current"] for each in listed] == [False, True]
    assert set(listed[0]) == {"id", "created_at", "last_used_at", "expires_at", "user_agent", "ip", "current"}
    assert listed[0]["ip"] == "127.0.0.1"
    key = {"Idempotency-Key": "k-1"}
    for place in range(3):
        status, body = await asha.call("POST", f"/auth/sessions/{listed[0]['id']}/revoke", headers=key if place else {})
        assert (status, body) == (204, None)
    assert (await by(asha, other["access_token"]).call("GET", "/auth/me"))[0] == 401
    assert [each["current"] for each in (await asha.get("/auth/sessions"))["items"]] == [True]
    for unknown in ("x", uuid7()):
        status, body = await asha.call("POST", f"/auth/sessions/{unknown}/revoke")
        assert (status, body) == (404, {"detail": "session_not_found"})
    assert (await admin.audit_kinds()).count("auth.session_revoked") == 1


async def test_r60_anothers_session_is_not_found(running: Running, asha: Person, member: Join) -> None:
    agent, outsider = await member(asha, "agent"), await running.sign_up("other")
    for person in (agent, outsider):
        (theirs,) = (await person.get("/auth/sessions"))["items"]
        status, body = await asha.call("POST", f"/auth/sessions/{theirs['id']}/revoke")
        assert (status, body) == (404, {"detail": "session_not_found"})
        await person.get("/auth/me")


async def new_key(who: Person, **body: Any) -> Any:
    status, made = await who.call("POST", "/auth/api-keys", json={"name": "till", **body})
    assert status == 201, made
    return made


async def test_a_key_is_shown_once_and_listed_without_itself(asha: Person) -> None:
    made = await new_key(asha, name="  till 4 ", expires_in_days=30)
    assert set(made) == {"key", "warning", "api_key"}
    summary = made["api_key"]
    assert summary["name"] == "till 4"
    assert summary["scopes"] == ["full"]
    assert (summary["revoked_at"], summary["last_used_at"]) == (None, None)
    assert made["key"][3:11] == summary["prefix"]
    (listed,) = (await asha.get("/auth/api-keys"))["items"]
    assert listed == summary
    bad = [
        {"name": " "},
        {"name": ""},
        {"name": "x" * 121},
        {"name": None},
        {},
        {"name": "x", "expires_in_days": 0},
        {"name": "x", "expires_in_days": 3651},
        {"name": "x", "expires_in_days": True},
        {"name": "x", "expires_in_days": "30"},
        {"name": "x", "scopes": []},
    ]
    for body in bad:
        assert (await asha.call("POST", "/auth/api-keys", json=body))[0] == 422, body
    _, told = await asha.call("POST", "/auth/api-keys", json={"name": " "})
    assert told["detail"][0]["ctx"] == {"code": "name_required"}


async def test_r38_a_key_works_on_business_routes_and_me_and_its_acts_say_so(asha: Person, admin: Admin) -> None:
    made = await new_key(asha)
    program = by(asha, made["key"])
    assert await program.get("/auth/me") == asha.user
    session = await program.session()
    assert (await program.say(session, "hello"))[-1].kind == "final"
    await program.get("/tenant-settings")
    await program.get("/approvals")
    assert (await program.call("PATCH", "/tenant-settings", json={"locale": "hi"}))[0] == 200
    inputs = await admin.value("SELECT inputs::text FROM audit_events WHERE kind = 'settings.changed'")
    told = json.loads(inputs)
    assert (told["via"], told["api_key_id"]) == ("api_key", made["api_key"]["id"])
    refused = [
        ("POST", "/auth/api-keys", {"name": "x"}),
        ("GET", "/auth/api-keys", None),
        ("POST", f"/auth/api-keys/{made['api_key']['id']}/revoke", None),
        ("GET", "/auth/sessions", None),
        ("GET", "/auth/members", None),
        ("POST", f"/approvals/{uuid7()}/resolve", {"granted": True}),
    ]
    for method, path, body in refused:
        assert await program.call(method, path, json=body) == (403, {"detail": "api_key_not_allowed"})


BUSINESS = [
    route
    for route in ROUTES
    if route.guard.needs_bearer and not route.path.startswith("/auth/") and not route.path.endswith("/resolve")
]
PERSONAL = [
    route
    for route in ROUTES
    if route.guard.needs_bearer and (route.path.startswith("/auth/") or route.path.endswith("/resolve"))
]


async def test_r38_b59_a_key_is_let_in_by_every_business_route_and_by_no_other_but_me(asha: Person) -> None:
    program = by(asha, (await new_key(asha))["key"])
    assert BUSINESS
    for route in BUSINESS:
        path = route.path.format(**dict.fromkeys(route.parameters, uuid7()))
        status, _ = await program.call(route.method, path)
        assert status not in {401, 403, 500, 503}, (route.method, path)
    for route in PERSONAL:
        path = route.path.format(**dict.fromkeys(route.parameters, uuid7()))
        status, body = await program.call(route.method, path)
        if path == "/auth/me":
            assert status == 200
        else:
            assert (status, body) == (403, {"detail": "api_key_not_allowed"}), (route.method, path)


async def test_r26_the_key_of_an_unverified_person_is_gated_with_them(
    running: Running, asha: Person, admin: Admin, settings_for: Make
) -> None:
    key = (await new_key(asha))["key"]
    await admin.execute("UPDATE users SET email_verified = false")
    await running.service.stop()
    async with Service(settings_for(VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION="false")) as strict:
        program = type(asha)(running.http, strict.url, key, asha.user)
        assert (await program.get("/auth/me"))["email_verified"] is False
        for path in ("/chat/sessions", "/tenant-settings"):
            assert await program.call("GET", path) == (403, {"detail": "email_not_verified"})


async def test_r39_the_fifty_first_key_is_409(asha: Person, admin: Admin) -> None:
    await admin.execute(
        "INSERT INTO api_keys (id, tenant_id, created_by_user_id, name, prefix, key_hash, created_at)"
        " SELECT gen_random_uuid(), $1, $2, 'k', 'abcdefgh', sha256(n::text::bytea), now()"
        " FROM generate_series(1, 50) AS n",
        asha.user["tenant_id"],
        asha.user["id"],
    )
    assert await asha.call("POST", "/auth/api-keys", json={"name": "x"}) == (409, {"detail": "api_key_limit"})


async def test_r38_a_key_signs_nobody_out(running: Running, asha: Person) -> None:
    key = (await new_key(asha))["key"]
    assert (await send(running.http, f"{running.url}/auth/sign-out", bearer=key))[0] == 204
    assert (await by(asha, key).call("GET", "/auth/me"))[0] == 200


async def test_r38_a_viewers_and_a_bad_key(asha: Person, member: Join) -> None:
    agent = await member(asha, "agent")
    made = await new_key(agent)
    await asha.call("PATCH", f"/auth/members/{agent.user['id']}", json={"role": "viewer"})
    program = by(agent, made["key"])
    assert await program.call("POST", "/chat/sessions") == (403, {"detail": "forbidden_role"})
    assert (await program.call("GET", "/chat/sessions"))[0] == 200
    assert await agent.call("POST", "/auth/api-keys", json={"name": "x"}) == (403, {"detail": "forbidden_role"})
    for bad in (generate().key, made["key"][:-1], made["key"].lower(), "vy_"):
        assert await by(agent, bad).call("GET", "/auth/me") == (401, {"detail": "unauthorized"})


async def test_r39_only_admins_see_and_end_the_keys_of_others(asha: Person, member: Join, running: Running) -> None:
    agent, other = await member(asha, "agent"), await running.sign_up("other")
    mine, theirs = await new_key(asha), await new_key(agent)
    assert [key["id"] for key in (await asha.get("/auth/api-keys"))["items"]] == [
        theirs["api_key"]["id"],
        mine["api_key"]["id"],
    ]
    assert [key["id"] for key in (await agent.get("/auth/api-keys"))["items"]] == [theirs["api_key"]["id"]]
    not_found = (404, {"detail": "not_found"})
    assert await agent.call("POST", f"/auth/api-keys/{mine['api_key']['id']}/revoke") == not_found
    for unknown in ("x", uuid7()):
        assert await asha.call("POST", f"/auth/api-keys/{unknown}/revoke") == not_found
    assert await other.call("POST", f"/auth/api-keys/{mine['api_key']['id']}/revoke") == not_found
    for _ in range(2):
        assert await asha.call("POST", f"/auth/api-keys/{theirs['api_key']['id']}/revoke") == (204, None)
    assert (await by(agent, theirs["key"]).call("GET", "/auth/me"))[0] == 401


async def test_r18_a_replayed_key_is_the_same_key_and_the_row_holds_ciphertext_only(asha: Person, admin: Admin) -> None:
    once: dict[str, Any] = {"json": {"name": "till"}, "headers": {"Idempotency-Key": "k-1"}}
    first = await asha.call("POST", "/auth/api-keys", **once)
    assert first[0] == 201
    assert await asha.call("POST", "/auth/api-keys", **once) == first
    assert await admin.value("SELECT count(*) FROM api_keys") == 1
    kept = await admin.value("SELECT reply FROM idempotency_keys")
    key = first[1]["key"].encode()
    assert key not in kept
    assert key[12:] not in kept
    assert b"till" not in kept
    other = await asha.call("POST", "/auth/api-keys", json={"name": "x"}, headers={"Idempotency-Key": "k-1"})
    assert other == (422, {"detail": "idempotency_key_reused"})
    path = f"/auth/api-keys/{first[1]['api_key']['id']}/revoke"
    for _ in range(2):
        assert await asha.call("POST", path, headers={"Idempotency-Key": "k-2"}) == (204, None)
    assert (await admin.audit_kinds()).count("auth.api_key_revoked") == 1


async def test_r59_a_sealed_answer_opens_in_its_own_row_only(asha: Person, admin: Admin) -> None:
    once: dict[str, Any] = {"json": {"name": "till"}}
    for name in ("k-1", "k-2"):
        assert (await asha.call("POST", "/auth/api-keys", **once, headers={"Idempotency-Key": name}))[0] == 201
    await admin.execute(
        "UPDATE idempotency_keys SET reply = (SELECT reply FROM idempotency_keys WHERE key = 'k-2') WHERE key = 'k-1'"
    )
    status, body = await asha.call("POST", "/auth/api-keys", **once, headers={"Idempotency-Key": "k-1"})
    assert (status, body["detail"]) == (500, "internal_error")


async def test_members_are_listed_oldest_first_in_pages(asha: Person, member: Join, admin: Admin) -> None:
    agent, viewer = await member(asha, "agent"), await member(asha, "viewer")
    page = await asha.get("/auth/members")
    assert (page["total"], page["limit"], page["offset"]) == (3, 50, 0)
    assert [each["id"] for each in page["items"]] == [who.user["id"] for who in (asha, agent, viewer)]
    assert set(page["items"][0]) == {
        "id",
        "email",
        "full_name",
        "role",
        "is_active",
        "email_verified",
        "totp_enabled",
        "last_login_at",
        "created_at",
    }
    second = await asha.get("/auth/members?limit=1&offset=1")
    assert [each["id"] for each in second["items"]] == [agent.user["id"]]
    beyond = await asha.get("/auth/members?offset=99")
    assert (beyond["items"], beyond["total"]) == ([], 3)
    for query in ("limit=0", "limit=201", "offset=-1", "limit=x"):
        assert (await asha.call("GET", f"/auth/members?{query}"))[0] == 422
    assert await agent.call("GET", "/auth/members") == (403, {"detail": "forbidden_role"})
    await admin.execute("UPDATE users SET released_at = now(), is_active = false WHERE id = $1", viewer.user["id"])
    assert (await asha.get("/auth/members"))["total"] == 2


async def change(by_whom: Person, of: Person, **changes: Any) -> tuple[int, Any]:
    return await by_whom.call("PATCH", f"/auth/members/{of.user['id']}", json=changes)


async def test_r15_a_member_changed_is_changed_on_their_next_request(asha: Person, member: Join) -> None:
    agent = await member(asha, "agent")
    key = (await new_key(agent))["key"]
    status, item = await change(asha, agent, role="viewer")
    assert (status, item["role"], item["id"]) == (200, "viewer", agent.user["id"])
    assert await agent.call("POST", "/chat/sessions") == (403, {"detail": "forbidden_role"})
    assert (await change(asha, agent))[1] == item
    status, item = await change(asha, agent, is_active=False)
    assert (status, item["is_active"]) == (200, False)
    for bearer in (agent.token, key):
        assert (await by(agent, bearer).call("GET", "/auth/me"))[0] == 401
    assert (await change(asha, agent, is_active=True, role="agent"))[0] == 200
    for bearer in (agent.token, key):
        assert (await by(agent, bearer).call("GET", "/auth/me"))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        {"role": None},
        {"role": "owner"},
        {"role": "x" * 33},
        {"role": 1},
        {"is_active": None},
        {"is_active": 1},
        {"is_active": "true"},
        {"email": "x@example.com"},
    ],
)
async def test_a_member_is_changed_by_what_is_allowed_only(asha: Person, body: dict[str, Any]) -> None:
    assert (await change(asha, asha, **body))[0] == 422


async def test_r60_others_are_no_members(running: Running, asha: Person, member: Join) -> None:
    other, agent = await running.sign_up("other"), await member(asha, "agent")
    missing = (404, {"detail": "member_not_found"})
    assert await change(asha, other, role="viewer") == missing
    for unknown in ("x", uuid7()):
        assert await asha.call("PATCH", f"/auth/members/{unknown}", json={"role": "viewer"}) == missing
    assert await change(agent, asha, role="viewer") == (403, {"detail": "forbidden_role"})
    _, told = await change(asha, agent, role="owner")
    assert told["detail"][0]["ctx"] == {"code": "invalid_role"}


async def test_r42_the_last_admin_stays(asha: Person, member: Join) -> None:
    last = (409, {"detail": "last_admin"})
    assert await change(asha, asha, role="agent") == last
    assert await change(asha, asha, is_active=False) == last
    for _ in range(10):
        second = await member(asha, "agency_admin")
        outcomes = await asyncio.gather(change(asha, second, role="agent"), change(second, asha, role="agent"))
        statuses = sorted(status for status, _ in outcomes)
        assert statuses in ([200, 409], [200, 403]), outcomes
        if (await asha.get("/auth/me"))["role"] != "agency_admin":
            assert (await change(second, asha, role="agency_admin"))[0] == 200
            assert (await change(asha, second, role="agent"))[0] == 200


async def test_r41_a_viewer_looks_after_their_own_account(asha: Person, member: Join) -> None:
    viewer = await member(asha, "viewer")
    assert (await viewer.get("/auth/sessions"))["items"]
    assert (await viewer.get("/auth/api-keys"))["items"] == []
    other = (await viewer.get("/auth/sessions"))["items"][0]["id"]
    assert await viewer.call("POST", f"/auth/sessions/{other}/revoke") == (204, None)
    assert (await viewer.call("GET", "/auth/me"))[0] == 401


async def test_r40_who_vanished_is_401_on_every_route_of_theirs(asha: Person, admin: Admin) -> None:
    await admin.execute("UPDATE users SET released_at = now(), is_active = false")
    await admin.running.service.system.accounts.ask(Invalidate(tenant_id=asha.user["tenant_id"]))
    routes = [
        ("GET", "/auth/api-keys", None),
        ("POST", "/auth/api-keys", {"name": "x"}),
        ("GET", "/auth/sessions", None),
        ("GET", "/auth/members", None),
        ("PATCH", f"/auth/members/{asha.user['id']}", {"role": "agent"}),
        ("GET", "/tenant-settings", None),
        ("PATCH", "/tenant-settings", {"locale": "hi"}),
    ]
    for method, path, body in routes:
        assert await asha.call(method, path, json=body) == (401, {"detail": "unauthorized"}), path
