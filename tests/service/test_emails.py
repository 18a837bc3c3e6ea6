"""E-mails end to end: the real service, a real client, and the files a machine without a mail server writes."""

from __future__ import annotations

import asyncio
import re
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Make

PASSWORD, OTHER = "a long password 1", "another password 2"


async def token_of(folder: Path, subject: str) -> str:
    """The token of the one email with this subject, once it is there."""
    async with asyncio.timeout(10):
        while True:
            for path in await asyncio.to_thread(lambda: list(folder.glob("*.eml"))):
                email = message_from_bytes(path.read_bytes(), policy=policy.default)
                body = email.get_body(("plain",))
                if email["Subject"] == subject and body is not None:
                    found = re.search(r"http://desk\.example/app/[\w-]+\?token=([\w-]{43})\s", body.get_content())
                    assert found is not None
                    return found[1]
            await asyncio.sleep(0.02)


async def test_r26_r35_a_person_verifies_their_address_and_resets_their_password(
    settings_for: Make, tmp_path: Path
) -> None:
    settings = settings_for(VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION="false", VOYAGENT_PUBLIC_URL="http://desk.example/")
    async with Service(settings) as service, aiohttp.ClientSession(service.url) as http:

        async def send(method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with http.request(method, path, json=body, headers=headers) as answer:
                return answer.status, await answer.json()

        person = {"email": "asha@example.com", "full_name": "Asha", "agency_name": "Rao"}
        status, signed_in = await send("POST", "/auth/sign-up", person | {"password": PASSWORD})
        assert status == 201
        access = signed_in["access_token"]
        assert (await send("GET", "/chat/sessions", token=access))[0] == 403
        token = await token_of(tmp_path / "mail", "Confirm your e-mail address")
        assert await send("POST", "/auth/verify-email", {"token": token}) == (200, {"verified": True})
        assert await send("POST", "/auth/verify-email", {"token": token}) == (400, {"detail": "token_invalid"})
        assert (await send("GET", "/chat/sessions", token=access))[0] == 200
        assert await send("POST", "/auth/send-verification-email", token=access) == (200, {"queued": True})

        for email in ("asha@example.com", "nobody@example.com"):
            answer = await send("POST", "/auth/request-password-reset", {"email": email})
            assert answer == (200, {"queued": True, "debug_token": None})
        reset = await token_of(tmp_path / "mail", "Set a new password")
        weak = await send("POST", "/auth/reset-password", {"token": reset, "new_password": "password1234"})
        assert weak == (400, {"detail": {"error": "password_too_weak", "code": "password_common"}})
        done = await send("POST", "/auth/reset-password", {"token": reset, "new_password": OTHER})
        assert done == (200, {"reset": True})
        assert (await send("GET", "/auth/me", token=access))[0] == 401

        status, signed_in = await send("POST", "/auth/sign-in", {"email": "asha@example.com", "password": OTHER})
        assert status == 200
        change = {"current_password": OTHER, "new_password": PASSWORD}
        access = signed_in["access_token"]
        status, pair = await send("POST", "/auth/change-password", change, access)
        assert (status, set(pair)) == (200, {"access_token", "refresh_token", "expires_in"})
        assert (await send("GET", "/auth/me", token=access))[0] == 401
        access = pair["access_token"]
        refused = await send("POST", "/auth/change-password", change, access)
        assert refused == (403, {"detail": "invalid_password"})

        status, changed = await send("PATCH", "/auth/profile", {"full_name": " Asha R ", "email": None}, access)
        assert (status, changed["user"]["full_name"], changed["email_verification_required"]) == (200, "Asha R", False)
        status, changed = await send("PATCH", "/auth/profile", {"email": "Asha@Example.org"}, access)
        assert (changed["user"]["email"], changed["email_verification_required"]) == ("asha@example.org", True)
        assert (await send("GET", "/chat/sessions", token=access))[1] == {"detail": "email_not_verified"}
        undo = await token_of(tmp_path / "mail", "Your e-mail address was changed")
        assert (await send("POST", "/auth/verify-email", {"token": undo}))[0] == 200
        assert (await send("GET", "/auth/me", token=access))[0] == 401
