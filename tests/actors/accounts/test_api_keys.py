"""API keys: their format, whom they authenticate, and how they are created and revoked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import until
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.api_keys import ALPHABET, checksum, generate, well_formed
from voyagent.actors.accounts.denial_audit import DeniedRequest
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.storage.accounts.api_keys import All, Create, CreatedKey, Find, Secret, Used
from voyagent.storage.accounts.principals import FindPrincipal

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")
DENIED = DeniedRequest(method="GET", path="/chat/sessions", origin=ORIGIN)


async def new(harness: AccountsHarness, who: Principal, name: str = "till", days: int | None = None) -> CreatedKey:
    wanted = accounts.CreateKey(principal=who, name=name, expires_in_days=days, origin=ORIGIN)
    minted: CreatedKey = (await harness.ref.ask(wanted)).value
    return minted


async def revoke(harness: AccountsHarness, who: Principal, key_id: str) -> None:
    await harness.ref.ask(accounts.RevokeKey(principal=who, key_id=key_id, origin=ORIGIN))


async def member(harness: AccountsHarness, admin: Principal, role: Role) -> Principal:
    return replace(admin, user_id=await harness.add(admin.tenant_id, role), role=role, family_id=None)


def test_a_key_has_its_form_and_its_checksum() -> None:
    for _ in range(200):
        made = generate()
        assert re.fullmatch(r"vy_[A-Za-z0-9]{8}_[A-Za-z0-9]{32}", made.key)
        assert made.prefix == made.key[3:11]
        assert made.key_hash == hashlib.sha256(made.key.encode()).digest()
        rest = zlib.crc32(made.key[:38].encode())
        assert [ALPHABET.index(digit) for digit in made.key[38:]] == [rest // 62**n % 62 for n in range(5, -1, -1)]
        assert well_formed(made.key)
        assert made.key not in repr(made)
    assert checksum("") == "000000"


def test_r38_any_one_mistyped_character_is_noticed() -> None:
    key = generate().key
    for place in range(len(key)):
        assert not well_formed(key[:place] + ("b" if key[place] == "a" else "a") + key[place + 1 :])
    for wrong in ("", "vy_", key[:-1], key + "a", key.replace("_", "-"), key.upper(), f" {key}"):
        assert not well_formed(wrong)


async def test_r38_a_mistyped_key_causes_no_query(harness: AccountsHarness, refusal: Code) -> None:
    key = (await new(harness, (await harness.sign_up()).principal)).key
    harness.storage.asked.clear()
    assert await refusal(harness.who(key[:-1] + ("x" if key[-1] != "x" else "y"))) == "unauthorized"
    assert harness.storage.asked == []


async def test_a_key_stands_for_its_creator_as_they_are_now(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    minted = await new(harness, admin)
    who = await harness.who(minted.key)
    assert who == replace(admin, family_id=None, api_key_id=minted.api_key.id)
    await harness.add(admin.tenant_id, Role.AGENCY_ADMIN)
    await harness.change(admin, role=Role.VIEWER)
    assert (await harness.who(minted.key)).role is Role.VIEWER


async def test_what_is_stored_of_a_key_is_its_hash_and_prefix_and_an_event(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    minted = await new(harness, admin, days=30)
    assert minted.api_key.prefix == minted.key[3:11]
    assert minted.api_key.scopes == ("full",)
    assert minted.api_key.expires_at == harness.clock.now() + timedelta(days=30)
    row = await harness.db.fetchval("SELECT k::text FROM api_keys k")
    assert minted.key not in row
    assert minted.key[12:] not in row
    (event,) = await harness.events("auth.api_key_created")
    said = json.loads(event["said"])
    assert said["key_id"] == minted.api_key.id
    assert (said["name"], said["prefix"]) == ("till", minted.api_key.prefix)
    assert said["expires_at"] == "2026-12-23T12:00:00.000000Z"
    assert minted.key[12:] not in event["said"]


async def test_r38_an_expired_key_is_refused(harness: AccountsHarness, refusal: Code) -> None:
    minted = await new(harness, (await harness.sign_up()).principal, days=1)
    harness.clock.skip(86_399)
    watching = await harness.ref.ask(accounts.Watch(await harness.who(minted.key)))
    await harness.clock.advance(1)
    assert await refusal(harness.who(minted.key)) == "unauthorized"
    assert (await harness.ref.ask(accounts.Watch(watching.principal))).is_revoked


async def test_r38_a_revoked_key_is_refused_on_the_next_request_and_its_streams_end(
    harness: AccountsHarness, refusal: Code
) -> None:
    me = (await harness.sign_up()).principal
    minted, other = await new(harness, me), await new(harness, me)
    watching = await harness.ref.ask(accounts.Watch(await harness.who(minted.key)))
    staying = await harness.ref.ask(accounts.Watch(await harness.who(other.key)))
    await revoke(harness, me, minted.api_key.id)
    assert await refusal(harness.who(minted.key, DENIED)) == "unauthorized"
    assert watching.is_revoked
    assert not staying.is_revoked
    assert await harness.who(other.key)
    (event,) = await until(lambda: harness.events("auth.denied"))
    said = json.loads(event["said"])
    assert (said["via"], said["api_key_id"]) == ("api_key", minted.api_key.id)


async def test_r16_a_suspended_agency_and_an_inactive_creator_stop_a_key(
    harness: AccountsHarness, refusal: Code
) -> None:
    admin = (await harness.sign_up()).principal
    agent = await member(harness, admin, Role.AGENT)
    key = (await new(harness, agent)).key
    assert await harness.who(key)
    await harness.ref.ask(accounts.SwitchTenant(tenant_id=admin.tenant_id, is_active=False))
    assert await refusal(harness.who(key)) == "unauthorized"
    await harness.ref.ask(accounts.SwitchTenant(tenant_id=admin.tenant_id, is_active=True))
    assert await harness.who(key)
    await harness.change(agent, is_active=False)
    assert await refusal(harness.who(key)) == "unauthorized"
    await harness.change(agent, is_active=True)
    assert await refusal(harness.who(key)) == "unauthorized", "revoked for good"


async def test_keys_outlive_a_new_token_version(harness: AccountsHarness) -> None:
    key = (await new(harness, (await harness.sign_up()).principal)).key
    await harness.db.execute("UPDATE users SET token_version = token_version + 1, token_version_at = now()")
    assert await harness.who(key)


async def test_a_key_nobody_has_is_asked_about_once_in_thirty_seconds(harness: AccountsHarness, refusal: Code) -> None:
    ghost = generate().key
    for _ in range(5):
        assert await refusal(harness.who(ghost)) == "unauthorized"
    assert harness.storage.asked.count(Find) == 1
    await harness.clock.advance(30)
    assert await refusal(harness.who(ghost)) == "unauthorized"
    assert harness.storage.asked.count(Find) == 2


async def test_r39_a_thousand_uses_are_one_write_a_minute(harness: AccountsHarness) -> None:
    minted = await new(harness, (await harness.sign_up()).principal)

    async def written() -> Any:
        return await harness.db.fetchval(
            "SELECT last_used_at FROM api_keys WHERE last_used_at = $1", harness.clock.now()
        )

    for _ in range(1000):
        await harness.who(minted.key)
    assert await until(written) == harness.clock.now()
    assert harness.storage.asked.count(Used) == 1
    assert harness.storage.asked.count(Find) == harness.storage.asked.count(FindPrincipal) == 1
    await harness.clock.advance(59)
    await harness.who(minted.key)
    assert harness.storage.asked.count(Used) == 1
    await harness.clock.advance(1)
    await harness.who(minted.key)
    assert await until(written)
    assert harness.storage.asked.count(Used) == 2


async def test_r39_another_process_does_not_write_it_twice(harness: AccountsHarness) -> None:
    minted = await new(harness, me := (await harness.sign_up()).principal)
    for seconds in (0, 30):
        moment = harness.clock.now() + timedelta(seconds=seconds)
        await harness.storage.ask(Used(tenant_id=me.tenant_id, key_id=minted.api_key.id, now=moment))
    assert await harness.db.fetchval("SELECT last_used_at FROM api_keys") == harness.clock.now()


async def test_r39_a_use_that_cannot_be_written_is_still_a_use(harness: AccountsHarness) -> None:
    minted = await new(harness, (await harness.sign_up()).principal)
    await harness.who(minted.key)
    await harness.clock.advance(25)
    harness.storage.away = True
    assert await harness.who(minted.key)


async def test_r17_neither_cache_nor_database_is_503_for_keys_too(harness: AccountsHarness, refusal: Code) -> None:
    key = (await new(harness, (await harness.sign_up()).principal)).key
    harness.storage.away = True
    assert await refusal(harness.who(key)) == "storage_unavailable"


async def test_r39_the_fifty_first_live_key_is_refused(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    other = (await harness.sign_up("ravi@example.com")).principal
    first = await new(harness, me)
    await new(harness, me, days=1)
    for _ in range(48):
        await new(harness, me)
    assert await refusal(new(harness, me)) == "api_key_limit"
    assert await new(harness, other), "the limit is each agency's own"
    await revoke(harness, me, first.api_key.id)
    assert await new(harness, me)
    assert await refusal(new(harness, me)) == "api_key_limit"
    harness.clock.skip(86_400)
    assert await new(harness, me), "an expired key does not count"


async def test_r39_the_limit_is_exact_under_sixteen_parallel_mints(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    for _ in range(45):
        await new(harness, me)
    outcomes = await asyncio.gather(*(new(harness, me) for _ in range(16)), return_exceptions=True)
    assert sum(isinstance(outcome, CreatedKey) for outcome in outcomes) == 5
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {"api_key_limit"}
    assert await harness.count("api_keys") == 50
    assert len(await harness.events("auth.api_key_created")) == 50


async def test_r39_who_only_reads_and_who_is_gone_mints_nothing(harness: AccountsHarness, refusal: Code) -> None:
    admin = (await harness.sign_up()).principal
    viewer = await member(harness, admin, Role.VIEWER)
    assert await refusal(new(harness, viewer)) == "forbidden_role"
    gone = await member(harness, admin, Role.AGENT)
    await harness.change(gone, is_active=False)
    assert await refusal(new(harness, gone)) == "unauthorized"
    assert await refusal(new(harness, replace(gone, user_id=uuid7()))) == "unauthorized"
    assert await harness.count("api_keys") == 0


async def test_r37_a_key_minted_beside_a_deactivation_does_not_survive_it(
    harness: AccountsHarness, refusal: Code
) -> None:
    admin = (await harness.sign_up()).principal
    agent = await member(harness, admin, Role.AGENT)
    for _ in range(10):
        minted, _changed = await asyncio.gather(
            new(harness, agent), harness.change(agent, is_active=False), return_exceptions=True
        )
        await harness.change(agent, is_active=True)
        if isinstance(minted, CreatedKey):
            assert await refusal(harness.who(minted.key)) == "unauthorized"
    assert await harness.count("api_keys WHERE revoked_at IS NULL") == 0


async def test_r39_a_member_neither_sees_nor_ends_anothers_key_and_an_admin_does(
    harness: AccountsHarness, refusal: Code
) -> None:
    admin = (await harness.sign_up()).principal
    outsider = (await harness.sign_up("ravi@example.com")).principal
    one, two = await member(harness, admin, Role.AGENT), await member(harness, admin, Role.ACCOUNTING_LEAD)
    first = await new(harness, one)
    await harness.clock.advance(1)
    second = await new(harness, two)
    mine = await harness.storage.ask(All(tenant_id=one.tenant_id, created_by=one.user_id))
    assert [key.id for key in mine] == [first.api_key.id]
    every = await harness.storage.ask(All(tenant_id=one.tenant_id, created_by=None))
    assert [key.id for key in every] == [second.api_key.id, first.api_key.id]
    for who in (one, outsider):
        assert await refusal(revoke(harness, who, second.api_key.id)) == "not_found"
    assert await refusal(revoke(harness, admin, uuid7())) == "not_found"
    await revoke(harness, admin, second.api_key.id)
    assert await refusal(harness.who(second.key)) == "unauthorized"


async def test_a_second_revocation_keeps_the_first_end_and_is_no_event(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    minted = await new(harness, me)
    await revoke(harness, me, minted.api_key.id)
    ended = await harness.db.fetchval("SELECT revoked_at FROM api_keys")
    await harness.clock.advance(5)
    await revoke(harness, me, minted.api_key.id)
    assert await harness.db.fetchval("SELECT revoked_at FROM api_keys") == ended
    (event,) = await harness.events("auth.api_key_revoked")
    said = json.loads(event["said"])
    assert (said["key_id"], said["prefix"]) == (minted.api_key.id, minted.api_key.prefix)
    assert said["creator_id"] == me.user_id


async def test_a_key_that_exists_already_is_minted_again(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    taken, fresh = generate(), generate()
    turns = iter([taken, taken, fresh])

    def create(made: Callable[[], Secret]) -> Create:
        return Create(
            token_version=me.token_version,
            tenant_id=me.tenant_id,
            user_id=me.user_id,
            name="till",
            expires_at=None,
            generate=made,
            origin=ORIGIN,
            now=harness.clock.now(),
        )

    await harness.storage.ask(create(lambda: next(turns)))
    assert (await harness.storage.ask(create(lambda: next(turns)))).key == fresh.key
    assert await harness.count("api_keys") == 2


@pytest.mark.parametrize("days", [1, 3650])
async def test_a_key_lives_as_many_days_as_was_said(harness: AccountsHarness, days: int) -> None:
    minted = await new(harness, (await harness.sign_up()).principal, days=days)
    assert minted.api_key.expires_at == harness.clock.now() + timedelta(days=days)
