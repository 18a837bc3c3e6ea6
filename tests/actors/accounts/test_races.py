"""Races run many times over: what holds once by luck does not hold thirty times."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pyotp

from tests.actors.accounts.test_second_factor import enter, set_up, verify
from voyagent.actors.accounts.refresh_tokens import Refresh
from voyagent.actors.accounts.second_factor import SignInTotp
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Conflict, Refusal
from voyagent.storage.accounts.settings import Load

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

ORIGIN = Origin(request_id="race")
ROUNDS = 30


async def test_r12_thirty_two_refreshes_with_one_token_agree_thirty_times(harness: AccountsHarness) -> None:
    token = (await harness.sign_up()).refresh_token
    for played in range(1, ROUNDS + 1):
        asked = Refresh(refresh_token=token, origin=ORIGIN)
        pairs = await asyncio.gather(*(harness.ref.ask(asked) for _ in range(32)))
        (successor,) = {pair.refresh_token for pair in pairs}
        assert successor != token
        assert await harness.db.fetchval("SELECT counter FROM auth_families") == played
        assert await harness.count("auth_refresh_tokens") == played + 1
        token = successor
    assert await harness.db.fetchval("SELECT revoked_at FROM auth_families") is None


async def test_r44_first_readers_of_settings_agree_thirty_times(harness: AccountsHarness) -> None:
    who = (await harness.sign_up()).principal
    load = Load(tenant_id=who.tenant_id, now=harness.clock.now())
    for _ in range(ROUNDS):
        await harness.db.execute("DELETE FROM tenant_settings")
        read = await asyncio.gather(*(harness.storage.ask(load) for _ in range(12)))
        assert all(settings == read[0] for settings in read)
        assert await harness.count("tenant_settings") == 1


async def test_r58_of_two_sign_ups_with_one_address_one_wins_thirty_times(harness: AccountsHarness) -> None:
    for played in range(ROUNDS):
        email = f"asha-{played}@example.com"
        outcomes = await asyncio.gather(harness.sign_up(email), harness.sign_up(email), return_exceptions=True)
        (lost,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert isinstance(lost, Conflict)
        assert lost.code == "email_already_registered"
    for table in ("tenants", "users", "auth_families"):
        assert await harness.count(table) == ROUNDS


async def test_r4_a_code_that_is_used_twice_at_once_comes_in_once_thirty_times(harness: AccountsHarness) -> None:
    who = (await harness.sign_up()).principal
    seed = await set_up(harness, who)
    await verify(harness, who, pyotp.TOTP(seed).at(harness.clock.now()))
    for _ in range(ROUNDS):
        harness.clock.skip(30)
        code = pyotp.TOTP(seed).at(harness.clock.now())
        outcomes = await asyncio.gather(*(enter(harness, code) for _ in range(2)), return_exceptions=True)
        assert [each.code for each in outcomes if isinstance(each, Refusal)] == ["totp_invalid"]
    await harness.ref.ask(
        SignInTotp(
            email=who.email,
            password="mango-trellis-47",
            code=pyotp.TOTP(seed).at(harness.clock.now(), counter_offset=1),
            origin=ORIGIN,
        )
    )
    assert await harness.count("auth_families") == ROUNDS + 2
