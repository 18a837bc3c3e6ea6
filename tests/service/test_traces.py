"""What all flows of accounts leave behind: an event for each act, and no secret anywhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pyotp
import pytest
import structlog

from tests.mail_server import MailServer
from tests.service import at_rest
from voyagent.actors.accounts.retention import AccountRetention
from voyagent.actors.domain.identity import Role
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.leased_store import leased_for
from voyagent.http.service import Service
from voyagent.storage.accounts import throttles
from voyagent.storage.accounts.users import AddMember
from voyagent.storage.audit_chain import Verify

if TYPE_CHECKING:
    from tests.service.conftest import Make

FIRST, SECOND, THIRD, WRONG = "first-password-11", "second-password-22", "third-password-33", "wrong-password-99"
FREE = [f"VOYAGENT_GUARD_{of}FREE_ATTEMPTS" for of in ("", "ACCOUNT_", "NETWORK_")]
"""Throttled, so that Redis has its counters, and by none of them kept waiting."""
COMMON = {"request_id", "ip", "user_agent"}

SHAPES: dict[str, tuple[str, set[str], str]] = {
    "auth.sign_up": ("human", {"email", "tenant_name"}, "succeeded"),
    "auth.sign_in": ("human", {"method", "session_id"}, "succeeded"),
    "auth.sign_in_failed": ("system", {"code"}, "rejected"),
    "auth.refresh_reused": ("system", {"session_id", "counter", "presented"}, "rejected"),
    "auth.sign_out": ("human", {"session_id"}, "succeeded"),
    "auth.session_revoked": ("human", {"session_id"}, "succeeded"),
    "auth.password_reset_requested": ("system", set(), "succeeded"),
    "auth.password_reset": (
        "human",
        {"live_api_keys", "sessions_ended", "api_keys_ended", "invites_ended", "totp_removed"},
        "succeeded",
    ),
    "auth.password_changed": ("human", {"live_api_keys", "sessions_ended"}, "succeeded"),
    "auth.email_verified": ("human", {"email", "by"}, "succeeded"),
    "auth.email_changed": ("human", {"from", "to"}, "succeeded"),
    "auth.email_change_undone": (
        "human",
        {"from", "to", "cause", "sessions_ended", "api_keys_ended", "invites_ended", "totp_removed"},
        "succeeded",
    ),
    "auth.profile_changed": ("human", {"before", "after"}, "succeeded"),
    "auth.account_closed": ("system", {"email"}, "succeeded"),
    "auth.totp_enabled": ("human", set(), "succeeded"),
    "auth.totp_disabled": ("human", {"method"}, "succeeded"),
    "auth.recovery_code_used": ("human", {"left"}, "succeeded"),
    "auth.api_key_created": ("human", {"key_id", "name", "prefix", "expires_at"}, "succeeded"),
    "auth.api_key_revoked": ("human", {"key_id", "prefix", "creator_id"}, "succeeded"),
    "auth.member_changed": (
        "human",
        {"user_id", "before", "after", "api_keys_ended", "invites_ended", "sessions_ended"},
        "succeeded",
    ),
    "auth.denied": ("human", {"method", "path", "status", "code", "via", "api_key_id"}, "rejected"),
    "settings.changed": ("human", {"before", "after"}, "succeeded"),
}
"""Kind -> who did it, its inputs besides the common ones, and how it ended."""


@dataclass
class Life:
    """One agency that does everything once, and all that must stay secret about it."""

    service: Service
    http: aiohttp.ClientSession
    mail_server: MailServer
    db: asyncpg.Connection[asyncpg.Record]
    lines: list[Any]
    tenant_id: str = ""
    secrets: set[str] = field(default_factory=set)

    async def send(self, method: str, path: str, body: Any = None, token: str = "", *, want: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.request(method, path, json=body, headers=headers) as answer:
            said = await answer.read()
            assert answer.status == want, (path, answer.status, said)
            made = json.loads(said) if said else {}
        for name in ("access_token", "refresh_token", "key", "secret"):
            if name in made:
                self.secrets.add(made[name])
        self.secrets.update(made.get("recovery_codes") or ())
        return made

    async def enter(self, password: str) -> Any:
        return await self.send("POST", "/auth/sign-in", {"email": "asha@example.com", "password": password})

    async def prove(self, subject: str) -> str:
        token = await self.mail_server.token(subject)
        await self.send("POST", "/auth/verify-email", {"token": token})
        return token

    async def live(self) -> None:
        """Everything, once."""
        self.secrets |= {FIRST, SECOND, THIRD, WRONG}
        person = {"email": "asha@example.com", "full_name": "Asha", "agency_name": "Rao", "password": FIRST}
        born = await self.send("POST", "/auth/sign-up", person, want=201)
        self.tenant_id = born["user"]["tenant_id"]
        await self.prove("Confirm your e-mail address")
        await self._sessions()
        access = await self._passwords()
        access = await self._addresses(access)
        access = await self._second_factor(access)
        await self._keys_and_settings(access)
        await self._members(access)
        self.secrets.update(self.mail_server.tokens())

    async def _sessions(self) -> None:
        for email in ("asha@example.com", "nobody@example.com"):
            await self.send("POST", "/auth/sign-in", {"email": email, "password": WRONG}, want=401)
        first = await self.enter(FIRST)
        pair = first
        for _ in range(2):
            pair = await self.send("POST", "/auth/refresh", {"refresh_token": pair["refresh_token"]})
        await self.send("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]}, want=401)
        left = await self.enter(FIRST)
        await self.send(
            "POST", "/auth/sign-out", {"refresh_token": left["refresh_token"]}, left["access_token"], want=204
        )
        other, mine = await self.enter(FIRST), await self.enter(FIRST)
        sessions = await self.send("GET", "/auth/sessions", token=other["access_token"])
        own = next(each["id"] for each in sessions["items"] if each["current"])
        await self.send("POST", f"/auth/sessions/{own}/revoke", token=mine["access_token"], want=204)

    async def _passwords(self) -> str:
        await self.send("POST", "/auth/request-password-reset", {"email": "nobody@example.com"})
        await self.send("POST", "/auth/request-password-reset", {"email": "asha@example.com"})
        token = await self.mail_server.token("Set a new password")
        await self.send("POST", "/auth/reset-password", {"token": token, "new_password": SECOND})
        access = (await self.enter(SECOND))["access_token"]
        change = {"current_password": SECOND, "new_password": THIRD}
        return str((await self.send("POST", "/auth/change-password", change, access))["access_token"])

    async def _addresses(self, access: str) -> str:
        await self.send("PATCH", "/auth/profile", {"full_name": "Asha Rao"}, access)
        await self.send("PATCH", "/auth/profile", {"email": "thief@example.com"}, access)
        resets = self.mail_server.subjects().count("Set a new password")
        await self.prove("Your e-mail address was changed")
        token = await self.mail_server.token("Set a new password", resets + 1)
        await self.send("POST", "/auth/reset-password", {"token": token, "new_password": THIRD})
        return str((await self.enter(THIRD))["access_token"])

    async def _second_factor(self, access: str) -> str:
        seed = (await self.send("POST", "/auth/totp/setup", token=access))["secret"]
        code = pyotp.TOTP(seed).now()
        codes = (await self.send("POST", "/auth/totp/verify", {"code": code}, access))["recovery_codes"]
        person = {"email": "asha@example.com", "password": THIRD}
        await self.send("POST", "/auth/sign-in", person, want=401)
        access = (await self.send("POST", "/auth/sign-in-totp", person | {"totp_code": codes[0]}))["access_token"]
        await self.send("POST", "/auth/totp/disable", {"password": THIRD, "code": codes[1]}, access)
        return str(access)

    async def _keys_and_settings(self, access: str) -> None:
        made = await self.send("POST", "/auth/api-keys", {"name": "till"}, access, want=201)
        await self.send("GET", "/auth/api-keys", token=made["key"], want=403)
        await self.send("GET", "/tenant-settings", token=made["key"])
        await self.send("POST", f"/auth/api-keys/{made['api_key']['id']}/revoke", token=access, want=204)
        await self.send("PATCH", "/tenant-settings", {"timezone": "Asia/Kolkata"}, access)

    async def _members(self, access: str) -> None:
        """One is demoted; another never proved an address, and a week has passed."""
        storage, clock = self.service.system.storage, self.service.system.clock
        agent, ghost = uuid7(), uuid7()
        for user_id in (agent, ghost):
            add = AddMember(
                tenant_id=self.tenant_id,
                user_id=user_id,
                email=f"{user_id}@example.com",
                role=Role.AGENT,
                now=clock.now(),
            )
            await storage.ask(add)
        await self.send("PATCH", f"/auth/members/{agent}", {"role": "viewer"}, access)
        age = "UPDATE users SET email_verified = false, created_at = $2 WHERE id = $1"
        await self.db.execute(age, ghost, datetime.now(UTC) - timedelta(days=8))
        system = self.service.system
        accounts, leased = system.accounts, leased_for(storage, system.ownership, self.tenant_id)
        await AccountRetention(
            store=leased, accounts=accounts, clock=clock, settings=self.service.system.settings
        ).run()


@pytest.fixture
async def life(settings_for: Make, database: Any) -> AsyncIterator[Life]:
    async with MailServer() as mail_server:
        settings = settings_for(
            VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION="false",
            VOYAGENT_SMTP_URL=mail_server.url,
            VOYAGENT_GUARD="on",
            **dict.fromkeys(FREE, "1000"),
        )
        db = await asyncpg.connect(database.admin_url)
        with structlog.testing.capture_logs() as lines:
            async with Service(settings) as service, aiohttp.ClientSession(service.url) as http:
                made = Life(service, http, mail_server, db, lines)
                await made.live()
                yield made
        await db.close()


async def test_r51_every_act_is_an_event_of_its_agency_and_the_chain_holds(life: Life) -> None:
    rows = await life.db.fetch("SELECT kind, actor_kind, actor_id, inputs::text, status, tenant_id FROM audit_events")
    seen = {row["kind"] for row in rows}
    assert seen == set(SHAPES)
    for row in rows:
        actor_kind, inputs, status = SHAPES[row["kind"]]
        said = json.loads(row["inputs"])
        assert set(said) == COMMON | inputs, row["kind"]
        assert (row["actor_kind"], row["status"]) == (actor_kind, status), row["kind"]
        assert (row["actor_id"] is None) == (actor_kind == "system"), row["kind"]
        assert said["request_id"]
        assert str(row["tenant_id"]) == life.tenant_id
    assert "nobody@example.com" not in repr([tuple(row) for row in rows])
    assert (await life.service.system.storage.ask(Verify(tenant_id=life.tenant_id))).ok


async def test_r18_no_secret_is_in_the_database_redis_or_log(
    life: Life, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await life.service.stop()
    dump, kept = await at_rest.rows(life.db), await at_rest.values(redis_url)
    logged = repr(life.lines) + caplog.text
    assert "asha@example.com" in dump
    assert "/auth/sign-in" in logged
    assert len(life.secrets) > 30
    assert throttles.PREFIX in kept
    for secret in life.secrets:
        assert not at_rest.is_in(dump, secret)
        assert secret not in kept
        assert secret not in logged
