"""Invites as clients of the whole service meet them: statuses, codes and order, emails, the log, repeated acts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import structlog

from voyagent.actors.domain.ids import uuid7
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Make, Person, Running

Join = Callable[["Person", str], Awaitable["Person"]]
PASSWORD = "a long password 1"
NOT_FOUND = (404, {"detail": "invite_not_found"})
NOT_PENDING = "invite_not_pending"
SUMMARY = {
    "id",
    "tenant_id",
    "email",
    "role",
    "status",
    "expires_at",
    "created_at",
    "accepted_at",
    "revoked_at",
    "invited_by_user_id",
}


async def invite(who: Person, email: str = "ravi@example.com", **more: Any) -> tuple[str, str]:
    """The new invite's id and the token of its link."""
    status, body = await who.call("POST", "/auth/invites", json={"email": email, **more})
    assert status == 201, body
    return body["invite"]["id"], body["invite_link"].partition("?token=")[2]


async def lookup(who: Person, token: str) -> tuple[int, Any]:
    async with who.http.get(f"{who.url}/auth/invites/lookup", params={"token": token}) as answer:
        return answer.status, await answer.json()


async def accept(who: Person, token: str, **changes: Any) -> tuple[int, Any]:
    body = {"token": token, "password": PASSWORD, "full_name": " Ravi Nair "} | changes
    async with who.http.post(f"{who.url}/auth/accept-invite", json=body) as answer:
        return answer.status, await answer.json()


async def revoke(who: Person, invite_id: str, **headers: str) -> tuple[int, Any]:
    return await who.call("POST", f"/auth/invites/{invite_id}/revoke", headers=headers)


async def token_of(folder: Path, to: str, page: str) -> tuple[str, str]:
    """The link and the token of the email to somebody that leads to this page, once it is there; HTML has it too."""
    async with asyncio.timeout(10):
        while True:
            for path in await asyncio.to_thread(lambda: list(folder.glob("*.eml"))):
                email = message_from_bytes(path.read_bytes(), policy=policy.default)
                plain, html = email.get_body(("plain",)), email.get_body(("html",))
                assert plain is not None
                assert html is not None
                found = re.search(rf"(\S+/app/{page}\?token=([\w-]{{43}}))\s", plain.get_content())
                if email["To"] == to and found is not None:
                    assert f'href="{found[1]}"' in html.get_content()
                    return found[1], found[2]
            await asyncio.sleep(0.02)


async def test_an_invite_brings_somebody_in_with_its_role(asha: Person) -> None:
    status, body = await asha.call("POST", "/auth/invites", json={"email": " Ravi <Ravi@Example.com> "})
    assert status == 201
    assert set(body) == {"invite", "invite_link"}
    told = body["invite"]
    assert set(told) == SUMMARY
    assert (told["email"], told["role"], told["status"]) == ("ravi@example.com", "agent", "pending")
    assert (told["accepted_at"], told["revoked_at"]) == (None, None)
    assert (told["tenant_id"], told["invited_by_user_id"]) == (asha.user["tenant_id"], asha.user["id"])
    link, token = body["invite_link"].split("?token=")
    assert (link, len(token)) == ("http://127.0.0.1:8010/app/accept-invite", 43)
    status, seen = await lookup(asha, token)
    assert (status, seen) == (
        200,
        {
            "email": "ravi@example.com",
            "role": "agent",
            "tenant_name": asha.user["tenant_name"],
            "inviter_email": asha.user["email"],
            "expires_at": told["expires_at"],
        },
    )
    status, joined = await accept(asha, token)
    assert status == 201
    assert set(joined) == {"access_token", "refresh_token", "expires_in", "user"}
    ravi = type(asha)(asha.http, asha.url, joined["access_token"], joined["user"])
    assert await ravi.get("/auth/me") == joined["user"]
    assert (ravi.user["full_name"], ravi.user["role"]) == ("Ravi Nair", "agent")
    assert ravi.user["tenant_id"] == asha.user["tenant_id"]
    (item,) = (await asha.get("/auth/invites"))["items"]
    assert item["status"] == "accepted"
    assert item["accepted_at"] is not None


async def test_r61_every_refusal_of_the_invites_has_its_status_and_code(
    asha: Person, member: Join, admin: Admin, running: Running
) -> None:
    other = await running.sign_up("other")
    agent = await member(asha, "agent")
    for status in ("", "open", "PENDING"):
        assert await asha.call("GET", "/auth/invites", params={"status": status}) == (400, {"detail": "invalid_status"})
    for method, path in (("GET", "/auth/invites"), ("POST", "/auth/invites"), ("POST", "/auth/invites/x/revoke")):
        assert await agent.call(method, path, json={}) == (403, {"detail": "forbidden_role"})
    taken = (409, {"detail": "email_already_registered"})
    assert await asha.call("POST", "/auth/invites", json={"email": agent.user["email"]}) == taken
    invite_id, token = await invite(asha, role="viewer")
    exists = await asha.call("POST", "/auth/invites", json={"email": "RAVI@example.com"})
    assert exists == (409, {"detail": "invite_already_exists"})
    for unknown in ("x", uuid7()):
        assert await revoke(asha, unknown) == NOT_FOUND
    assert await revoke(other, invite_id) == NOT_FOUND
    assert await lookup(asha, "x") == await accept(asha, "x") == NOT_FOUND
    status, body = await revoke(asha, invite_id)
    assert (status, set(body), set(body["invite"])) == (200, {"invite"}, SUMMARY)
    assert body["invite"]["status"] == "revoked"
    assert body["invite"]["revoked_at"] is not None
    assert await revoke(asha, invite_id) == (409, {"detail": NOT_PENDING})
    assert await lookup(asha, token) == await accept(asha, token) == (400, {"detail": NOT_PENDING})
    lapsing, late = await invite(asha)
    await admin.execute("UPDATE invites SET expires_at = now() WHERE id = $1", lapsing)
    assert await lookup(asha, late) == await accept(asha, late) == (400, {"detail": "invite_expired"})
    assert await revoke(asha, lapsing) == (409, {"detail": NOT_PENDING})
    stolen, elsewhere = await invite(asha, other.user["email"])
    assert await accept(asha, elsewhere) == taken
    statuses = {item["id"]: item["status"] for item in (await asha.get("/auth/invites"))["items"]}
    assert list(statuses) == [stolen, lapsing, invite_id], "newest first"
    assert list(statuses.values()) == ["pending", "expired", "revoked"]
    for wanted in ("pending", "expired", "revoked", "accepted"):
        items = (await asha.get(f"/auth/invites?status={wanted}"))["items"]
        assert [item["id"] for item in items] == [key for key, each in statuses.items() if each == wanted]


@pytest.mark.parametrize(
    ("path", "body", "place", "kind", "code"),
    [
        ("/auth/invites", {}, "email", "missing", None),
        ("/auth/invites", {"email": "nobody"}, "email", "value_error", "invalid_email"),
        ("/auth/invites", {"email": "a@example.com", "role": "owner"}, "role", "value_error", "invalid_role"),
        ("/auth/invites", {"email": "a@example.com", "role": None}, "role", "string_type", None),
        ("/auth/invites", {"email": "a@example.com", "role": "x" * 33}, "role", "string_too_long", None),
        ("/auth/invites", {"email": "a@example.com", "more": 1}, "more", "extra_forbidden", None),
        ("/auth/accept-invite", {"token": ""}, "token", "string_too_short", None),
        ("/auth/accept-invite", {"token": "x" * 129}, "token", "string_too_long", None),
        ("/auth/accept-invite", {"full_name": "  "}, "full_name", "value_error", "full_name_required"),
        ("/auth/accept-invite", {"password": "eleven char"}, "password", "string_too_short", None),
        ("/auth/accept-invite", {"more": 1}, "more", "extra_forbidden", None),
        ("/auth/invites/lookup", None, "token", "missing", None),
    ],
)
async def test_r61_what_is_not_well_formed_is_422_at_its_field(
    asha: Person, path: str, body: Any, place: str, kind: str, code: str | None
) -> None:
    whole = {"token": "x", "password": PASSWORD, "full_name": "Ravi"} if path.endswith("accept-invite") else {}
    method = "GET" if body is None else "POST"
    status, answer = await asha.call(method, path, json=None if body is None else whole | body)
    assert status == 422
    (item,) = answer["detail"]
    assert (item["type"], item["loc"][1], item.get("ctx", {}).get("code")) == (kind, place, code)
    assert "input" not in item


async def test_r36_the_password_policy_holds_for_who_accepts(asha: Person) -> None:
    _invite_id, token = await invite(asha)
    weak = (400, {"detail": {"error": "password_too_weak", "code": "password_common"}})
    assert await accept(asha, token, password="password1234") == weak
    assert await accept(asha, "x", password="password1234") == weak, "judged before the token is"
    assert (await accept(asha, token, password="пароль-длинный-٤٧"))[0] == 201


async def test_r18_a_repeated_invite_answers_the_same_link_and_the_row_holds_ciphertext_only(
    asha: Person, admin: Admin
) -> None:
    once: dict[str, Any] = {"json": {"email": "ravi@example.com"}, "headers": {"Idempotency-Key": "k-1"}}
    first = await asha.call("POST", "/auth/invites", **once)
    assert first[0] == 201
    assert await asha.call("POST", "/auth/invites", **once) == first
    assert await admin.value("SELECT count(*) FROM invites") == 1
    assert await admin.value("SELECT count(*) FROM outbox WHERE kind = 'invite'") == 1
    kept = await admin.value("SELECT reply FROM idempotency_keys")
    assert first[1]["invite_link"][-43:].encode() not in kept
    assert b"ravi" not in kept
    invite_id = first[1]["invite"]["id"]
    done = await revoke(asha, invite_id, **{"Idempotency-Key": "k-2"})
    assert done[0] == 200
    assert await revoke(asha, invite_id, **{"Idempotency-Key": "k-2"}) == done
    assert (await admin.audit_kinds()).count("auth.invite_revoked") == 1
    reused = await asha.call("POST", "/auth/invites", json={"email": "x@example.com"}, headers=once["headers"])
    assert reused == (422, {"detail": "idempotency_key_reused"})


async def test_r18_the_log_has_the_template_of_a_lookup_and_no_token(asha: Person) -> None:
    _invite_id, token = await invite(asha)
    with structlog.testing.capture_logs() as lines:
        assert (await lookup(asha, token))[0] == 200
        async with asha.http.get(f"{asha.url}/app/accept-invite?token={token}") as page:
            assert page.status == 200
        assert (await accept(asha, token))[0] == 201
    paths = [line["path"] for line in lines if line["event"] == "request"]
    assert paths == ["/auth/invites/lookup", "/app/accept-invite", "/auth/accept-invite"]
    assert token not in repr(lines)


async def test_r34_r35_all_links_follow_the_public_url_and_held_emails_wait_for_the_verification(
    settings_for: Make, tmp_path: Path
) -> None:
    base, mail = "http://desk.example/base", tmp_path / "mail"
    settings = settings_for(VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION="false", VOYAGENT_PUBLIC_URL=base)
    async with Service(settings) as service, aiohttp.ClientSession() as http:

        async def send(path: str, body: Any, bearer: str = "") -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            async with http.post(service.url + path, json=body, headers=headers) as answer:
                return answer.status, json.loads(await answer.text())

        founder = {"email": "asha@example.com", "full_name": "Asha", "agency_name": "Rao", "password": PASSWORD}
        access = (await send("/auth/sign-up", founder))[1]["access_token"]
        status, made = await send("/auth/invites", {"email": "ravi@example.com"}, access)
        assert status == 201, "an unverified admin may invite"
        assert made["invite_link"].startswith(f"{base}/app/accept-invite?token=")
        link, token = await token_of(mail, "asha@example.com", "verify-email")
        assert link.startswith(f"{base}/app/verify-email")
        assert len(await asyncio.to_thread(lambda: list(mail.glob("*.eml")))) == 1
        assert await send("/auth/verify-email", {"token": token}) == (200, {"verified": True})
        link, token = await token_of(mail, "ravi@example.com", "accept-invite")
        assert link.startswith(f"{base}/app/accept-invite")
        assert token != made["invite_link"][-43:]
        joining = {"token": token, "password": PASSWORD, "full_name": "Ravi"}
        status, joined = await send("/auth/accept-invite", joining)
        assert (status, joined["user"]["email_verified"]) == (201, True)
        _status, handed = await send("/auth/invites", {"email": "mira@example.com"}, access)
        status, joined = await send("/auth/accept-invite", joining | {"token": handed["invite_link"][-43:]})
        assert (status, joined["user"]["email_verified"]) == (201, False)
        _link, token = await token_of(mail, "mira@example.com", "verify-email")
        assert await send("/auth/verify-email", {"token": token}) == (200, {"verified": True})
        assert (await send("/auth/request-password-reset", {"email": "mira@example.com"}))[0] == 200
        link, _token = await token_of(mail, "mira@example.com", "reset-password")
        assert link.startswith(f"{base}/app/reset-password")


async def test_r51_what_became_of_invites_is_in_the_audit(asha: Person, admin: Admin) -> None:
    first, _token = await invite(asha)
    await revoke(asha, first)
    _second, token = await invite(asha)
    await accept(asha, token)
    kinds = [kind for kind in await admin.audit_kinds() if kind.startswith("auth.invite")]
    assert kinds == ["auth.invite_created", "auth.invite_revoked", "auth.invite_created", "auth.invite_accepted"]
    assert await admin.value("SELECT bool_and(status = 'succeeded') FROM audit_events WHERE kind LIKE 'auth.invite%'")
