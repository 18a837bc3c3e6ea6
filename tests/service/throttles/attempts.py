"""The operations that are throttled, and people who try them from wherever a test says."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import asyncpg
import pyotp

from voyagent.actors.domain.ids import uuid7

if TYPE_CHECKING:
    from tests.manual_clock import ManualClock


HOME = "198.51.100.1"
EMAIL, PASSWORD, WRONG, OTHER = "asha@example.com", "a long password 1", "a wrong password 1", "another password 2"
WRONG_CODE = "zzzzzz"
ON = {"VOYAGENT_GUARD": "on", "VOYAGENT_TRUSTED_PROXIES": "127.0.0.1", "VOYAGENT_AUTH_DEBUG_TOKENS": "true"}


class Told(NamedTuple):
    status: int
    body: Any
    wait: int | None
    """``Retry-After``."""

    @property
    def short(self) -> tuple[int, Any]:
        return self.status, self.body["detail"] if self.body and "detail" in self.body else None


@dataclass(slots=True)
class Harness:
    """A service, and people who call it from wherever a test says."""

    http: aiohttp.ClientSession
    clock: ManualClock
    db: asyncpg.Connection[asyncpg.Record]
    token: str = ""
    refresh: str = ""
    seed: str = ""
    user: dict[str, Any] = field(default_factory=dict)

    async def send(self, path: str, body: Any = None, ip: str = HOME, *, bearer: bool = False) -> Told:
        headers = {"X-Forwarded-For": ip} | ({"Authorization": f"Bearer {self.token}"} if bearer else {})
        async with self.http.post(path, json=body, headers=headers) as answer:
            text = await answer.read()
            wait = answer.headers.get("Retry-After")
            return Told(answer.status, json.loads(text) if text else None, None if wait is None else int(wait))

    async def update(self, ip: str = HOME, **changes: str) -> Told:
        headers = {"X-Forwarded-For": ip, "Authorization": f"Bearer {self.token}"}
        async with self.http.patch("/auth/profile", json=changes, headers=headers) as answer:
            wait = answer.headers.get("Retry-After")
            return Told(answer.status, await answer.json(), None if wait is None else int(wait))

    async def sign_up(self, email: str = EMAIL, ip: str = HOME) -> Told:
        person = {"email": email, "password": PASSWORD, "full_name": "Asha", "agency_name": "Rao"}
        told = await self.send("/auth/sign-up", person, ip)
        if told.status == 201:
            self.token, self.refresh, self.user = (
                told.body[name] for name in ("access_token", "refresh_token", "user")
            )
        return told

    async def sign_in(self, password: str, ip: str = HOME, email: str = EMAIL) -> Told:
        return await self.send("/auth/sign-in", {"email": email, "password": password}, ip)

    async def set_up_totp(self) -> None:
        self.seed = (await self.send("/auth/totp/setup", bearer=True)).body["secret"]

    async def turn_totp_on(self) -> None:
        await self.set_up_totp()
        assert (await self.send("/auth/totp/verify", {"code": self.code()}, bearer=True)).status == 200
        await self.clock.advance(30)

    def code(self) -> str:
        return pyotp.TOTP(self.seed).at(self.clock.now()) if self.seed else ""

    async def events(self) -> list[dict[str, Any]]:
        rows = await self.db.fetch("SELECT * FROM audit_events WHERE kind = 'auth.throttled' ORDER BY seq")
        return [dict(row) for row in rows]

    async def until(self, query: str, found: Any) -> None:
        """Wait until the database says so."""
        async with asyncio.timeout(10):
            while await self.db.fetchval(query) != found:  # noqa: ASYNC110  # the database has no event to wait for
                await asyncio.sleep(0.01)


Act = Callable[[Harness], Awaitable[Told]]


async def nothing(_desk: Harness) -> None:
    """Needs no preparation."""


class Row(NamedTuple):
    """An operation: how it answers a counted event, how many are free, and a call that is one and one that is right."""

    counted: int
    free: int
    wrong: Act
    right: Act
    right_is: int = 200
    before: Callable[[Harness], Awaitable[None]] = nothing


def post(path: str, make: Callable[[Harness], Any], *, bearer: bool = False) -> Act:
    return lambda harness: harness.send(path, make(harness), bearer=bearer)


def login(password: str, code: str | None = None) -> Callable[[Harness], Any]:
    return lambda harness: {"email": EMAIL, "password": password, "totp_code": code or harness.code()}


async def reset(harness: Harness) -> Told:
    """A right token, taken from the database's side: asking for a email would count elsewhere."""
    return await harness.send("/auth/reset-password", {"token": await kept(harness, "reset"), "new_password": OTHER})


async def verify(harness: Harness) -> Told:
    return await harness.send("/auth/verify-email", {"token": await kept(harness, "verification")})


async def kept(harness: Harness, kind: str) -> str:
    """The token of an e-mail, put where it would be kept."""
    token, now = uuid7(), harness.clock.now()
    await harness.db.execute("DELETE FROM one_time_tokens WHERE kind = $1", kind)
    await harness.db.execute(
        """INSERT INTO one_time_tokens (id, tenant_id, user_id, kind, token_hash, email, expires_at, created_at,
                                        updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7::timestamptz + '1 day', $7, $7)""",
        uuid7(),
        harness.user["tenant_id"],
        harness.user["id"],
        kind,
        hashlib.sha256(token.encode()).digest(),
        EMAIL,
        now,
    )
    return token


def change(password: str) -> Callable[[Harness], Any]:
    return lambda _desk: {"current_password": password, "new_password": OTHER}


async def join(harness: Harness) -> Told:
    """A right token, of an invite nobody has used."""
    made = await harness.send("/auth/invites", {"email": f"{uuid7()}@example.com"}, bearer=True)
    return await harness.send("/auth/accept-invite", {"token": made.body["invite_link"][-43:]} | JOINING)


JOINING = {"password": PASSWORD, "full_name": "Ravi"}
TAKEN = {"email": EMAIL, "password": PASSWORD, "full_name": "A", "agency_name": "B"}
FREE_ADDRESS = TAKEN | {"email": "new@example.com"}
BAD_TOKEN = {"token": "x" * 43}
OPERATIONS = {
    "sign-in": Row(401, 5, lambda harness: harness.sign_in(WRONG), lambda harness: harness.sign_in(PASSWORD)),
    "sign-in-totp": Row(
        401,
        5,
        post("/auth/sign-in-totp", login(PASSWORD, WRONG_CODE)),
        post("/auth/sign-in-totp", login(PASSWORD)),
        before=Harness.turn_totp_on,
    ),
    "totp/verify": Row(
        401,
        5,
        post("/auth/totp/verify", lambda _desk: {"code": WRONG_CODE}, bearer=True),
        post("/auth/totp/verify", lambda harness: {"code": harness.code()}, bearer=True),
        before=Harness.set_up_totp,
    ),
    "totp/disable by password": Row(
        403,
        5,
        post("/auth/totp/disable", lambda harness: {"password": WRONG, "code": harness.code()}, bearer=True),
        post("/auth/totp/disable", lambda harness: {"password": PASSWORD, "code": harness.code()}, bearer=True),
        before=Harness.turn_totp_on,
    ),
    "totp/disable by code": Row(
        403,
        5,
        post("/auth/totp/disable", lambda _desk: {"password": PASSWORD, "code": WRONG_CODE}, bearer=True),
        post("/auth/totp/disable", lambda harness: {"password": PASSWORD, "code": harness.code()}, bearer=True),
        before=Harness.turn_totp_on,
    ),
    "change-password": Row(
        403,
        5,
        post("/auth/change-password", change(WRONG), bearer=True),
        post("/auth/change-password", change(PASSWORD), bearer=True),
    ),
    "refresh": Row(
        401,
        50,
        post("/auth/refresh", lambda _desk: {"refresh_token": "x" * 43}),
        post("/auth/refresh", lambda harness: {"refresh_token": harness.refresh}),
    ),
    "reset-password": Row(
        400, 20, post("/auth/reset-password", lambda _desk: BAD_TOKEN | {"new_password": OTHER}), reset
    ),
    "verify-email": Row(400, 20, post("/auth/verify-email", lambda _desk: BAD_TOKEN), verify),
    "request-password-reset": Row(
        200,
        5,
        post("/auth/request-password-reset", lambda _desk: {"email": EMAIL}),
        post("/auth/request-password-reset", lambda _desk: {"email": EMAIL}),
    ),
    "request-password-reset of nobody": Row(
        200,
        5,
        post("/auth/request-password-reset", lambda _desk: {"email": "nobody@example.com"}),
        post("/auth/request-password-reset", lambda _desk: {"email": "nobody@example.com"}),
    ),
    "send-verification-email": Row(
        200,
        5,
        post("/auth/send-verification-email", lambda _desk: None, bearer=True),
        post("/auth/send-verification-email", lambda _desk: None, bearer=True),
    ),
    "sign-up": Row(
        409, 19, post("/auth/sign-up", lambda _desk: TAKEN), post("/auth/sign-up", lambda _desk: FREE_ADDRESS), 201
    ),
    "accept-invite": Row(404, 30, post("/auth/accept-invite", lambda _desk: BAD_TOKEN | JOINING), join, 201),
}
"""The sign-up that made the account is the first of the twenty."""
