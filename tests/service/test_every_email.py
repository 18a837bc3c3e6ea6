"""Every e-mail of the contract (identity, section 8) is posted by an act over the wire, to the address it is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pyotp
import pytest

from tests.mail_server import MailServer
from voyagent.actors.domain.email_texts import WORDS, Kind
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Make

EMAIL, MOVED, INVITED = "asha@example.com", "asha@new.example", "ravi@example.com"
PASSWORD, OTHER, THIRD = "a long password 1", "another password 2", "a third password 3"


class Client:
    """One person at the service, and their mailbox."""

    def __init__(self, http: aiohttp.ClientSession, mail_server: MailServer) -> None:
        self.http = http
        self.mail_server = mail_server
        self.tokens: dict[str, str] = {}
        self.device = ""
        self.codes: list[str] = []

    async def send(self, path: str, body: Any = None, *, method: str = "POST", status: int = 200) -> Any:
        token = self.tokens.get("access_token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.request(method, f"/auth/{path}", json=body, headers=headers) as answer:
            found = await answer.json()
            assert answer.status == status, found
            if isinstance(found, dict) and "access_token" in found:
                self.tokens = found
            return found

    async def token(self, kind: Kind) -> str:
        return await self.mail_server.token(WORDS["en"][kind].subject)

    def now(self) -> str:
        return pyotp.TOTP(self.device).now()


async def sign_up(client: Client) -> None:
    person = {"email": EMAIL, "full_name": "Asha", "agency_name": "Rao", "password": PASSWORD}
    await client.send("sign-up", person, status=201)
    await client.send("verify-email", {"token": await client.token(Kind.VERIFICATION)})


async def reset(client: Client) -> None:
    await client.send("request-password-reset", {"email": EMAIL})
    await client.send("reset-password", {"token": await client.token(Kind.PASSWORD_RESET), "new_password": OTHER})
    client.tokens = {}
    await client.send("sign-in", {"email": EMAIL, "password": OTHER})


async def change_password(client: Client) -> None:
    await client.send("change-password", {"current_password": OTHER, "new_password": THIRD})


async def invite(client: Client) -> None:
    await client.send("invites", {"email": INVITED}, status=201)


async def totp_on(client: Client) -> None:
    client.device = (await client.send("totp/setup"))["secret"]
    client.codes = (await client.send("totp/verify", {"code": client.now()}))["recovery_codes"]


async def recover(client: Client) -> None:
    body = {"email": EMAIL, "password": THIRD, "totp_code": client.codes[0]}
    await client.send("sign-in-totp", body)


async def totp_off(client: Client) -> None:
    await client.send("totp/disable", {"password": THIRD, "code": client.now()})


async def reuse(client: Client) -> None:
    first = dict(client.tokens)
    await client.send("refresh", {"refresh_token": first["refresh_token"]})
    await client.send("refresh", {"refresh_token": first["refresh_token"]}, status=401)
    client.tokens = {}
    await client.send("sign-in", {"email": EMAIL, "password": THIRD})


async def move(client: Client) -> None:
    await client.send("profile", {"email": MOVED}, method="PATCH")


ACTS: list[tuple[Callable[[Client], Awaitable[None]], dict[Kind, str]]] = [
    (sign_up, {Kind.VERIFICATION: EMAIL}),
    (reset, {Kind.PASSWORD_RESET: EMAIL, Kind.PASSWORD_WAS_RESET: EMAIL}),
    (change_password, {Kind.PASSWORD_CHANGED: EMAIL}),
    (invite, {Kind.INVITE: INVITED}),
    (totp_on, {Kind.TOTP_ON: EMAIL}),
    (recover, {Kind.RECOVERY_CODE_USED: EMAIL}),
    (totp_off, {Kind.TOTP_OFF: EMAIL}),
    (reuse, {Kind.REFRESH_REUSED: EMAIL}),
    (move, {Kind.EMAIL_CHANGED: EMAIL}),
]


def test_no_kind_is_without_an_act() -> None:
    assert {kind for _, posted in ACTS for kind in posted} == set(Kind)


async def test_r13_every_act_queues_its_email_once_to_whom_it_is_for(settings_for: Make) -> None:
    async with MailServer() as mail_server:
        settings = settings_for(
            VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION="false",
            VOYAGENT_AUTH_REFRESH_GRACE_SECONDS="0",
            VOYAGENT_SMTP_URL=mail_server.url,
            VOYAGENT_GUARD="off",
        )
        async with Service(settings) as service, aiohttp.ClientSession(service.url) as http:
            client, expected = Client(http, mail_server), 0
            for act, posted in ACTS:
                await act(client)
                expected += len(posted) + (act is move)  # the new address is to be verified
                await mail_server.had(emails=expected)
                newest = [(str(each["Subject"]), str(each["To"])) for each in mail_server.emails[-len(posted) - 1 :]]
                for kind, address in posted.items():
                    assert (WORDS["en"][kind].subject, address) in newest, act.__name__
            assert len(mail_server.emails) == expected


@pytest.mark.parametrize("gone", ["is_active = false", "released_at = now()"])
async def test_nobody_is_told_whose_account_is_closed(settings_for: Make, database: Any, gone: str) -> None:
    """A reuse is found out for the family's sake; the address may be somebody else's by now."""
    settings = settings_for(VOYAGENT_AUTH_REFRESH_GRACE_SECONDS="0", VOYAGENT_GUARD="off")
    db = await asyncpg.connect(database.admin_url)
    async with (
        MailServer() as mail_server,
        Service(settings) as service,
        aiohttp.ClientSession(service.url) as http,
    ):
        client = Client(http, mail_server)
        person = {"email": EMAIL, "full_name": "Asha", "agency_name": "Rao", "password": PASSWORD}
        first = await client.send("sign-up", person, status=201)
        await client.send("refresh", {"refresh_token": first["refresh_token"]})
        await db.execute(f"UPDATE users SET {gone}")
        client.tokens = {}
        await client.send("refresh", {"refresh_token": first["refresh_token"]}, status=401)
        assert await db.fetchval("SELECT count(*) FROM outbox WHERE kind = 'refresh_reused'") == 0
        assert await db.fetchval("SELECT count(*) FROM auth_families WHERE revoked_why = 'reused'") == 1
    await db.close()
