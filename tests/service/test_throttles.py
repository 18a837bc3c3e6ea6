"""Guessing is slowed (identity 7): the whole service with throttling on, callers in many networks, a clock to move."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import asyncpg
import pyotp
import pytest
from redis.asyncio import Redis

from tests.figures import counted
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.foundation import metrics
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.manual_clock import ManualClock
    from tests.service.conftest import Make

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


@pytest.fixture
def desks(settings_for: Make, database: Any, clock: ManualClock) -> Callable[..., Any]:
    """A service with these settings besides the guard's."""

    @asynccontextmanager
    async def serve(**changes: str) -> AsyncIterator[Harness]:
        db = await asyncpg.connect(database.admin_url)
        settings = settings_for(**{**ON, **changes})
        async with Service(settings, clock) as service, aiohttp.ClientSession(service.url) as http:
            yield Harness(http, clock, db)
        await db.close()

    return serve


@pytest.fixture
async def harness(desks: Callable[..., Any]) -> AsyncIterator[Harness]:
    async with desks() as opened:
        assert (await opened.sign_up()).status == 201
        yield opened


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
    """The token of a email, put where it would be kept."""
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


@pytest.mark.parametrize("name", OPERATIONS)
async def test_r8_r9_guessing_is_slowed_and_a_right_word_does_not_end_the_wait(name: str, harness: Harness) -> None:
    row = OPERATIONS[name]
    await row.before(harness)
    for _ in range(row.free + 1):
        assert (await row.wrong(harness)).status == row.counted
    waits = []
    for _ in range(3):
        for attempt in (row.wrong, row.right):
            told = await attempt(harness)
            assert told.short == (429, "too_many_attempts")
        waits.append(told.wait)
        assert told.wait is not None
        await harness.clock.advance(told.wait)
        assert (await row.wrong(harness)).status == row.counted
    assert waits == [2, 4, 8]
    await harness.clock.advance(16)
    assert (await row.right(harness)).status == row.right_is


@pytest.mark.parametrize("name", [name for name, row in OPERATIONS.items() if row.counted in {400, 401, 403}])
async def test_r9_whoever_errs_as_often_as_is_free_and_then_is_right_waits_for_nothing(
    name: str, harness: Harness
) -> None:
    row = OPERATIONS[name]
    await row.before(harness)
    for _ in range(row.free):
        assert (await row.wrong(harness)).status == row.counted
    assert (await row.right(harness)).status == row.right_is


async def test_r9_a_hundred_guesses_at_once_are_no_more_than_six(harness: Harness) -> None:
    await harness.turn_totp_on()
    judged = metrics.AUTH_ATTEMPTS_TOTAL.labels("sign_in_totp", "totp_invalid")
    before = counted(judged)
    wrong = OPERATIONS["sign-in-totp"].wrong
    told = await asyncio.gather(*(wrong(harness) for _ in range(100)))
    assert sorted({one.status for one in told}) == [401, 429]
    assert sum(one.status == 401 for one in told) == counted(judged) - before == 6


async def test_r9_the_free_attempts_are_configurable(desks: Callable[..., Any]) -> None:
    async with desks(VOYAGENT_GUARD_FREE_ATTEMPTS="8", VOYAGENT_GUARD_MAX_DELAY_SECONDS="3") as harness:
        await harness.sign_up()
        assert [(await harness.sign_in(WRONG)).status for _ in range(10)] == [401] * 9 + [429]
        await harness.clock.advance(2)
        assert (await harness.sign_in(WRONG)).status == 401
        assert (await harness.sign_in(WRONG)).wait == 3


async def test_sign_in_and_sign_in_totp_are_one_counter_and_a_right_password_alone_clears_nothing(
    harness: Harness,
) -> None:
    await harness.turn_totp_on()
    wrong_code = OPERATIONS["sign-in-totp"].wrong
    for _ in range(3):
        assert (await wrong_code(harness)).short == (401, "totp_invalid")
        assert (await harness.sign_in(PASSWORD)).short == (401, "totp_required")
        assert (await harness.sign_in(WRONG)).short == (401, "invalid_credentials")
    assert (await harness.sign_in(PASSWORD)).status == 429
    assert (await OPERATIONS["sign-in-totp"].right(harness)).status == 429


async def test_a_success_clears_the_pair_and_an_hour_of_silence_everything(harness: Harness) -> None:
    for _ in range(3):
        assert [(await harness.sign_in(WRONG)).status for _ in range(5)] == [401] * 5
        assert (await harness.sign_in(PASSWORD)).status == 200
    assert [(await harness.sign_in(WRONG)).status for _ in range(7)] == [401] * 6 + [429]
    harness.clock.skip(3600)
    assert [(await harness.sign_in(WRONG)).status for _ in range(5)] == [401] * 5


async def test_r10_an_unknown_network_cannot_lock_the_owner_out(harness: Harness) -> None:
    for number in range(21):
        assert (await harness.sign_in(WRONG, f"203.0.113.{number}")).status == 401
    for password in (WRONG, PASSWORD):
        told = await harness.sign_in(password, "203.0.113.99")
        assert (told.short, told.wait) == ((429, "too_many_attempts"), 2)
    assert (await harness.sign_in(WRONG)).short == (401, "invalid_credentials")
    assert (await harness.sign_in(PASSWORD)).status == 200
    assert (await harness.sign_in(PASSWORD, "203.0.113.99")).status == 429


async def test_r10_the_networks_of_an_ipv6_owner_are_their_64(desks: Callable[..., Any]) -> None:
    async with desks() as harness:
        await harness.sign_up(ip="2001:db8:1:2::1")
        for number in range(21):
            assert (await harness.sign_in(WRONG, f"2001:db8:1:{number + 100}::1")).status == 401
        assert (await harness.sign_in(PASSWORD, "2001:db8:1:3::1")).status == 429
        assert (await harness.sign_in(PASSWORD, "2001:db8:1:2:ffff::9")).status == 200


async def test_a_full_network_stops_unknown_callers_and_not_its_known_ones(harness: Harness) -> None:
    for number in range(51):
        assert (await harness.sign_in(WRONG, email=f"nobody-{number}@example.com")).status == 401
    assert (await harness.sign_in(WRONG, email="nobody@example.com")).status == 429
    assert (await harness.sign_in(PASSWORD)).status == 200
    assert (await harness.sign_in(WRONG)).status == 401


async def test_failures_in_a_known_network_are_not_counted_against_the_network_or_the_account(harness: Harness) -> None:
    """Each counted as unknown until it was found out whose it was."""
    for number in range(20):
        assert (await harness.sign_in(WRONG, f"203.0.113.{number}")).status == 401
    for _ in range(5):
        assert (await harness.sign_in(WRONG)).status == 401
    assert (await harness.sign_in(WRONG, "203.0.113.90")).status == 401
    assert (await harness.sign_in(WRONG, "203.0.113.91")).wait == 2


async def test_a_password_reset_clears_the_pair_and_the_account(harness: Harness) -> None:
    for number in range(21):
        await harness.sign_in(WRONG, f"203.0.113.{number}")
    for _ in range(6):
        await harness.sign_in(WRONG)
    assert (await harness.sign_in(PASSWORD)).status == (await harness.sign_in(PASSWORD, "203.0.113.99")).status == 429
    assert (await reset(harness)).status == 200
    assert (await harness.sign_in(OTHER)).status == 200
    assert (await harness.sign_in(OTHER, "203.0.113.99")).status == 200


async def test_the_throttle_comes_after_bearer_and_body_and_before_all_else(harness: Harness) -> None:
    wrong = OPERATIONS["change-password"].wrong
    for _ in range(6):
        await wrong(harness)
    assert (await wrong(harness)).status == 429
    weak = {"current_password": PASSWORD, "new_password": "password1234"}
    assert (await harness.send("/auth/change-password", weak, bearer=True)).status == 429
    assert (await harness.send("/auth/change-password", {}, bearer=True)).status == 422
    assert (await harness.send("/auth/change-password", weak)).status == 401


async def test_a_wait_costs_no_hash_and_no_look_up(harness: Harness) -> None:
    for _ in range(6):
        await harness.sign_in(WRONG)
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.sign_in_failed'", 6)
    assert (await harness.sign_in(WRONG)).status == 429
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.throttled'", 1)

    def work() -> tuple[float, float]:
        asked = sum(
            sample.value
            for metric in metrics.STORAGE_OPERATIONS_TOTAL.collect()
            for sample in metric.samples
            if sample.labels["operation"] in {"Find", "Networks", "SignIn"}
        )
        hashed = next(
            sample.value
            for metric in metrics.PASSWORD_HASH_SECONDS.collect()
            for sample in metric.samples
            if sample.name.endswith("_count")
        )
        return asked, hashed

    before = work()
    for password in (WRONG, PASSWORD):
        assert (await harness.sign_in(password)).status == 429
    assert work() == before


@pytest.mark.parametrize("mode", ["accounts", "off"])
async def test_where_everybody_comes_from_one_network_it_is_not_counted(mode: str, desks: Callable[..., Any]) -> None:
    async with desks(VOYAGENT_GUARD=mode) as harness:
        await harness.sign_up()
        statuses = await asyncio.gather(*(OPERATIONS["refresh"].wrong(harness) for _ in range(60)))
        assert {told.status for told in statuses} == {401}
        signed_in = [(await harness.sign_in(WRONG)).status for _ in range(7)]
        assert signed_in == [401] * 6 + [429 if mode == "accounts" else 401]


async def test_r30_the_22nd_sign_up_from_a_network_waits_whether_the_address_is_taken_or_free(harness: Harness) -> None:
    statuses = [(await harness.sign_up(f"new-{n}@example.com" if n % 2 else EMAIL)).status for n in range(20)]
    assert statuses == [409, 201] * 10
    for email in (EMAIL, "yet-another@example.com"):
        assert (await harness.sign_up(email)).short == (429, "too_many_attempts")
    assert (await harness.sign_up("elsewhere@example.com", "203.0.113.7")).status == 201


async def test_r30_a_change_of_address_tells_taken_from_free_as_slowly_as_a_sign_up(harness: Harness) -> None:
    await harness.sign_up("ravi@example.com")
    told = [await harness.update(email=EMAIL if n % 2 else f"mine-{n}@example.com") for n in range(6)]
    assert [one.status for one in told] == [200, 409] * 3
    for email in (EMAIL, "free@example.com"):
        told_now = await harness.update(email=email)
        assert (told_now.short, told_now.wait) == ((429, "too_many_attempts"), 2)
    mine = told[4].body["user"]["email"]
    assert (await harness.update(full_name="Ravi", email=mine)).status == 200, "nothing is claimed"
    assert (await harness.update(full_name="Ravi Rao")).status == 200


async def test_r30_sign_ups_and_changes_of_address_fill_one_bucket_of_the_network(harness: Harness) -> None:
    """Whoever makes an account for each five changes gains nothing, at home in the network or not."""
    statuses = []
    for number in range(4):
        statuses.append((await harness.sign_up(f"probe-{number}@example.com")).status)
        statuses += [(await harness.update(email=EMAIL)).status for _ in range(5)]
    assert statuses.count(409) + statuses.count(201) == 20
    assert statuses[-1] == 429
    assert (await harness.update("203.0.113.7", email=EMAIL)).status == 409


async def test_keys_made_and_revoked_again_are_counted_too(harness: Harness) -> None:
    """Fifty live keys are no bound for the rows they leave."""
    for number in range(201):
        made = await harness.send("/auth/api-keys", {"name": f"key {number}"}, bearer=True)
        assert made.status == 201
        assert (await harness.send(f"/auth/api-keys/{made.body['api_key']['id']}/revoke", bearer=True)).status == 204
    assert (await harness.send("/auth/api-keys", {"name": "another"}, bearer=True)).short == (429, "too_many_attempts")


async def test_right_passwords_of_one_network_leave_room_for_everybody_else(harness: Harness) -> None:
    """Twelve accounts, five sign-ins each at once, all right: who comes from elsewhere is served all the same."""
    for number in range(12):
        assert (await harness.sign_up(f"crowd-{number}@example.com", f"203.0.113.{number}")).status == 201
    crowd = [
        asyncio.create_task(harness.sign_in(PASSWORD, "203.0.113.99", f"crowd-{number % 12}@example.com"))
        for number in range(60)
    ]
    bystander = [(await harness.sign_in(PASSWORD)).status for _ in range(3)]
    told = await asyncio.gather(*crowd)
    assert bystander == [200] * 3
    assert {one.status for one in told} == {200, 429}
    assert all(one.wait for one in told if one.status == 429)
    assert (await harness.sign_in(PASSWORD, "203.0.113.99", "crowd-1@example.com")).status == 200


async def test_the_networks_of_one_48_share_a_bucket_of_ten_times_the_size(desks: Callable[..., Any]) -> None:
    wrong = {"refresh_token": "x" * 43}
    async with desks(VOYAGENT_GUARD_NETWORK_FREE_ATTEMPTS="2") as harness:
        for number in range(21):
            assert (await harness.send("/auth/refresh", wrong, f"2001:db8:1:{number:x}::1")).status == 401
        for ip in ("2001:db8:1:ffff::1", "2001:db8:1:0::1"):
            assert (await harness.send("/auth/refresh", wrong, ip)).short == (429, "too_many_attempts")
        assert (await harness.send("/auth/refresh", wrong, "2001:db8:2:1::1")).status == 401


async def test_an_office_that_comes_back_at_once_is_not_taken_for_guessing(desks: Callable[..., Any]) -> None:
    """Nobody guesses a secret of 128 bits and more: such attempts are counted once they have failed."""
    async with desks(VOYAGENT_GUARD_NETWORK_FREE_ATTEMPTS="2") as harness:
        await harness.sign_up()
        right = OPERATIONS["refresh"].right
        assert {told.status for told in await asyncio.gather(*(right(harness) for _ in range(32)))} == {200}
        wrong = OPERATIONS["refresh"].wrong
        assert [(await wrong(harness)).status for _ in range(4)] == [401] * 3 + [429]
        assert (await right(harness)).status == 429


async def test_r30_twenty_reset_requests_from_twenty_networks_are_five_emails(desks: Callable[..., Any]) -> None:
    async with desks(VOYAGENT_AUTH_DEBUG_TOKENS="false") as harness:
        await harness.sign_up()
        told = [
            await harness.send("/auth/request-password-reset", {"email": EMAIL}, f"203.0.113.{number}")
            for number in range(20)
        ]
        assert {(one.status, str(one.body)) for one in told} == {(200, str(told[0].body))}
        waiting = "SELECT count(*) FROM outbox WHERE state = 'due'"
        await harness.until(waiting, 0)
        emails = await harness.db.fetchval("SELECT count(*) FROM outbox WHERE kind = 'password_reset'")
        living = await harness.db.fetchval(
            "SELECT count(*) FROM one_time_tokens WHERE kind = 'reset' AND used_at IS NULL"
        )
        assert (emails, living) == (5, 1)


async def test_r51_the_first_refusal_of_each_wait_is_in_the_audit_and_of_nobody_none(harness: Harness) -> None:
    counter = metrics.AUTH_THROTTLED_TOTAL.labels("sign_in", "pair")
    before = counted(counter)
    for email in (EMAIL, "nobody@example.com"):
        for _ in range(6):
            await harness.sign_in(WRONG, email=email)
        for _ in range(3):
            assert (await harness.sign_in(WRONG, email=email)).status == 429
    await harness.clock.advance(2)
    assert (await harness.sign_in(WRONG)).status == 401
    for _ in range(3):
        assert (await harness.sign_in(WRONG)).status == 429
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.throttled'", 2)
    for event in await harness.events():
        said = json.loads(event["inputs"])
        assert (said["operation"], said["bucket"], said["ip"]) == ("sign_in", "pair", HOME)
        assert said["request_id"]
        assert (event["status"], event["actor_kind"], event["actor_id"]) == ("rejected", "system", None)
        assert str(event["tenant_id"]) == harness.user["tenant_id"]
        assert json.loads(event["entity_refs"]) == {"user_id": harness.user["id"]}
    assert counted(counter) - before == 9


async def test_r52_a_thousand_refusals_are_one_row_and_an_exact_count(harness: Harness) -> None:
    counter = metrics.AUTH_THROTTLED_TOTAL.labels("sign_in", "pair")
    for _ in range(6):
        await harness.sign_in(WRONG)
    before = counted(counter)
    for _ in range(20):
        told = await asyncio.gather(*(harness.sign_in(WRONG) for _ in range(50)))
        assert {one.status for one in told} == {429}
    assert counted(counter) - before == 1_000
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.throttled'", 1)
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.sign_in_failed'", 6)


async def test_r11_the_count_goes_on_when_redis_is_gone_in_the_middle(harness: Harness, servers: Any) -> None:
    assert [(await harness.sign_in(WRONG)).status for _ in range(3)] == [401] * 3
    await servers.redis.stop()
    try:
        assert [(await harness.sign_in(WRONG)).status for _ in range(4)] == [401] * 3 + [429]
        assert (await harness.sign_in(PASSWORD)).status == 429
        assert (await harness.sign_in(WRONG, "203.0.113.9")).status == 401
    finally:
        await servers.redis.start()
    await harness.clock.advance(2)
    assert (await harness.sign_in(WRONG)).status == 401
    assert (await harness.sign_in(WRONG)).wait == 4


async def test_r11_a_restart_forgives_nobody_and_redis_holds_no_address(
    desks: Callable[..., Any], redis_url: str
) -> None:
    async with desks() as harness:
        await harness.sign_up()
        assert [(await harness.sign_in(WRONG)).status for _ in range(7)] == [401] * 6 + [429]
    async with Redis.from_url(redis_url) as redis:
        names = [name.decode() for name in await redis.keys("voyagent:guard:*")]
        assert names
        assert not any("asha" in name or HOME in name for name in names)
        expiries = [await redis.ttl(name) for name in names]
        assert all(0 < seconds <= 3600 for seconds in expiries)
    async with desks() as harness:
        assert (await harness.sign_in(PASSWORD)).short == (429, "too_many_attempts")
        assert (await harness.sign_in(PASSWORD, "203.0.113.9")).status == 200
    async with desks(VOYAGENT_REDIS_URL="") as harness:
        assert (await harness.sign_in(PASSWORD)).status == 200


async def test_r11_without_redis_people_come_in_stay_and_leave_as_ever(desks: Callable[..., Any], servers: Any) -> None:
    await servers.redis.stop()
    try:
        async with desks() as harness:
            await harness.sign_up()
            first = (await harness.sign_in(PASSWORD)).body
            harness.token = first["access_token"]
            pair = (await harness.send("/auth/refresh", {"refresh_token": first["refresh_token"]})).body
            assert (await harness.send("/auth/sign-out", {}, bearer=True)).status == 204
            for path, sent in (("/auth/totp/setup", None), ("/auth/send-verification-email", None)):
                assert (await harness.send(path, sent, bearer=True)).status == 401
            told = await harness.send("/auth/refresh", {"refresh_token": pair["refresh_token"]})
            assert told.short == (401, "invalid_refresh_token")
            second, third = [(await harness.sign_in(PASSWORD)).body for _ in range(2)]
            harness.token = second["access_token"]
            async with harness.http.get(
                "/auth/sessions", headers={"Authorization": f"Bearer {harness.token}"}
            ) as answer:
                items = (await answer.json())["items"]
            for other in (item["id"] for item in items if not item["current"]):
                assert (await harness.send(f"/auth/sessions/{other}/revoke", bearer=True)).status == 204
            harness.token = third["access_token"]
            assert (await harness.send("/auth/totp/setup", bearer=True)).status == 401
            told = await harness.send("/auth/refresh", {"refresh_token": third["refresh_token"]})
            assert told.short == (401, "invalid_refresh_token")
            assert [(await harness.sign_in(WRONG)).status for _ in range(7)] == [401] * 6 + [429]
    finally:
        await servers.redis.start()


async def test_bodies_that_cannot_be_read_are_slowed_by_network_and_nobody_else_is(desks: Callable[..., Any]) -> None:
    async with desks(VOYAGENT_GUARD_NETWORK_FREE_ATTEMPTS="3") as harness:
        for body in ({"email": 1}, {"else": 2}, {"email": "a" * 20_000}, {}):
            assert (await harness.send("/auth/sign-in", body)).status in {413, 422}
        slowed = await harness.send("/auth/sign-up", {"email": 1})
        assert slowed.short == (429, "too_many_attempts")
        assert slowed.wait is not None
        assert (await harness.send("/auth/sign-in", {"email": 1}, ip="203.0.113.9")).status == 422
        assert (await harness.send("/auth/sign-in", {"email": EMAIL, "password": PASSWORD})).status in {200, 401}
