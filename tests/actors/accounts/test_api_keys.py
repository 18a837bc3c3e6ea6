"""API keys: their form, whom they stand for, and how they come and go."""

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

from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.api_keys import ALPHABET, checksum, mint, well_formed
from voyagent.actors.accounts.denial_audit import DeniedRequest
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.storage.accounts.api_keys import All, Create, CreatedKey, Find, Secret, Used
from voyagent.storage.accounts.principals import FindPrincipal

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import House

Code = Callable[[Awaitable[Any]], Awaitable[str]]
Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")
DOOR = DeniedRequest(method="GET", path="/chat/sessions", origin=ORIGIN)


async def new(house: House, who: Principal, name: str = "till", days: int | None = None) -> CreatedKey:
    wanted = accounts.CreateKey(principal=who, name=name, expires_in_days=days, origin=ORIGIN)
    minted: CreatedKey = await house.ref.ask(wanted)
    return minted


async def revoke(house: House, who: Principal, key_id: str) -> None:
    await house.ref.ask(accounts.RevokeKey(principal=who, key_id=key_id, origin=ORIGIN))


async def member(house: House, admin: Principal, role: Role) -> Principal:
    return replace(admin, user_id=await house.add(admin.tenant_id, role), role=role, family_id=None)


def test_a_key_has_its_form_and_its_checksum() -> None:
    for _ in range(200):
        made = mint()
        assert re.fullmatch(r"vy_[A-Za-z0-9]{8}_[A-Za-z0-9]{32}", made.key)
        assert made.prefix == made.key[3:11]
        assert made.key_hash == hashlib.sha256(made.key.encode()).digest()
        rest = zlib.crc32(made.key[:38].encode())
        assert [ALPHABET.index(digit) for digit in made.key[38:]] == [rest // 62**n % 62 for n in range(5, -1, -1)]
        assert well_formed(made.key)
        assert made.key not in repr(made)
    assert checksum("") == "000000"


def test_r38_any_one_mistyped_character_is_noticed() -> None:
    key = mint().key
    for place in range(len(key)):
        assert not well_formed(key[:place] + ("b" if key[place] == "a" else "a") + key[place + 1 :])
    for wrong in ("", "vy_", key[:-1], key + "a", key.replace("_", "-"), key.upper(), f" {key}"):
        assert not well_formed(wrong)


async def test_r38_a_mistyped_key_causes_no_query(house: House, refusal: Code) -> None:
    key = (await new(house, (await house.sign_up()).principal)).key
    house.storage.asked.clear()
    assert await refusal(house.who(key[:-1] + ("x" if key[-1] != "x" else "y"))) == "unauthorized"
    assert house.storage.asked == []


async def test_a_key_stands_for_its_creator_as_they_are_now(house: House) -> None:
    admin = (await house.sign_up()).principal
    minted = await new(house, admin)
    who = await house.who(minted.key)
    assert who == replace(admin, family_id=None, api_key_id=minted.api_key.id)
    await house.add(admin.tenant_id, Role.AGENCY_ADMIN)
    await house.change(admin, role=Role.VIEWER)
    assert (await house.who(minted.key)).role is Role.VIEWER


async def test_what_is_stored_of_a_key_is_its_hash_and_prefix_and_an_event(house: House) -> None:
    admin = (await house.sign_up()).principal
    minted = await new(house, admin, days=30)
    assert minted.api_key.prefix == minted.key[3:11]
    assert minted.api_key.scopes == ("full",)
    assert minted.api_key.expires_at == house.clock.now() + timedelta(days=30)
    row = await house.db.fetchval("SELECT k::text FROM api_keys k")
    assert minted.key not in row
    assert minted.key[12:] not in row
    (event,) = await house.events("auth.api_key_created")
    said = json.loads(event["said"])
    assert said["key_id"] == minted.api_key.id
    assert (said["name"], said["prefix"]) == ("till", minted.api_key.prefix)
    assert said["expires_at"] == "2026-12-23T12:00:00.000000Z"
    assert minted.key[12:] not in event["said"]


async def test_r38_a_lapsed_key_is_refused(house: House, refusal: Code) -> None:
    minted = await new(house, (await house.sign_up()).principal, days=1)
    await house.clock.advance(86_399)
    watching = await house.ref.ask(accounts.Watch(await house.who(minted.key)))
    await house.clock.advance(1)
    assert await refusal(house.who(minted.key)) == "unauthorized"
    assert (await house.ref.ask(accounts.Watch(watching.principal))).is_revoked


async def test_r38_a_revoked_key_is_refused_on_the_next_request_and_its_streams_end(
    house: House, refusal: Code, until: Until
) -> None:
    me = (await house.sign_up()).principal
    minted, other = await new(house, me), await new(house, me)
    watching = await house.ref.ask(accounts.Watch(await house.who(minted.key)))
    staying = await house.ref.ask(accounts.Watch(await house.who(other.key)))
    await revoke(house, me, minted.api_key.id)
    assert await refusal(house.who(minted.key, DOOR)) == "unauthorized"
    assert watching.is_revoked
    assert not staying.is_revoked
    assert await house.who(other.key)
    (event,) = await until(lambda: house.events("auth.denied"))
    said = json.loads(event["said"])
    assert (said["via"], said["api_key_id"]) == ("api_key", minted.api_key.id)


async def test_r16_a_suspended_agency_and_an_inactive_creator_stop_a_key(house: House, refusal: Code) -> None:
    admin = (await house.sign_up()).principal
    agent = await member(house, admin, Role.AGENT)
    key = (await new(house, agent)).key
    assert await house.who(key)
    await house.ref.ask(accounts.SwitchTenant(tenant_id=admin.tenant_id, is_active=False))
    assert await refusal(house.who(key)) == "unauthorized"
    await house.ref.ask(accounts.SwitchTenant(tenant_id=admin.tenant_id, is_active=True))
    assert await house.who(key)
    await house.change(agent, is_active=False)
    assert await refusal(house.who(key)) == "unauthorized"
    await house.change(agent, is_active=True)
    assert await refusal(house.who(key)) == "unauthorized", "revoked for good"


async def test_keys_outlive_a_new_token_version(house: House) -> None:
    key = (await new(house, (await house.sign_up()).principal)).key
    await house.db.execute("UPDATE users SET token_version = token_version + 1, token_version_at = now()")
    assert await house.who(key)


async def test_a_key_nobody_has_is_asked_about_once_in_thirty_seconds(house: House, refusal: Code) -> None:
    ghost = mint().key
    for _ in range(5):
        assert await refusal(house.who(ghost)) == "unauthorized"
    assert house.storage.asked.count(Find) == 1
    await house.clock.advance(30)
    assert await refusal(house.who(ghost)) == "unauthorized"
    assert house.storage.asked.count(Find) == 2


async def test_r39_a_thousand_uses_are_one_write_a_minute(house: House, until: Until) -> None:
    minted = await new(house, (await house.sign_up()).principal)

    async def written() -> Any:
        return await house.db.fetchval("SELECT last_used_at FROM api_keys WHERE last_used_at = $1", house.clock.now())

    for _ in range(1000):
        await house.who(minted.key)
    assert await until(written) == house.clock.now()
    assert house.storage.asked.count(Used) == 1
    assert house.storage.asked.count(Find) == house.storage.asked.count(FindPrincipal) == 1
    await house.clock.advance(59)
    await house.who(minted.key)
    assert house.storage.asked.count(Used) == 1
    await house.clock.advance(1)
    await house.who(minted.key)
    assert await until(written)
    assert house.storage.asked.count(Used) == 2


async def test_r39_another_process_does_not_write_it_twice(house: House) -> None:
    minted = await new(house, me := (await house.sign_up()).principal)
    for seconds in (0, 30):
        moment = house.clock.now() + timedelta(seconds=seconds)
        await house.storage.ask(Used(tenant_id=me.tenant_id, key_id=minted.api_key.id, now=moment))
    assert await house.db.fetchval("SELECT last_used_at FROM api_keys") == house.clock.now()


async def test_r39_a_use_that_cannot_be_written_is_still_a_use(house: House) -> None:
    minted = await new(house, (await house.sign_up()).principal)
    await house.who(minted.key)
    await house.clock.advance(25)
    house.storage.away = True
    assert await house.who(minted.key)


async def test_r17_neither_cache_nor_database_is_503_for_keys_too(house: House, refusal: Code) -> None:
    key = (await new(house, (await house.sign_up()).principal)).key
    house.storage.away = True
    assert await refusal(house.who(key)) == "storage_unavailable"


async def test_r39_the_fifty_first_live_key_is_refused(house: House, refusal: Code) -> None:
    me = (await house.sign_up()).principal
    other = (await house.sign_up("ravi@example.com")).principal
    first = await new(house, me)
    await new(house, me, days=1)
    for _ in range(48):
        await new(house, me)
    assert await refusal(new(house, me)) == "api_key_limit"
    assert await new(house, other), "the limit is each agency's own"
    await revoke(house, me, first.api_key.id)
    assert await new(house, me)
    assert await refusal(new(house, me)) == "api_key_limit"
    await house.clock.advance(86_400)
    assert await new(house, me), "a lapsed key does not count"


async def test_r39_the_limit_is_exact_under_sixteen_parallel_mints(house: House) -> None:
    me = (await house.sign_up()).principal
    for _ in range(45):
        await new(house, me)
    outcomes = await asyncio.gather(*(new(house, me) for _ in range(16)), return_exceptions=True)
    assert sum(isinstance(outcome, CreatedKey) for outcome in outcomes) == 5
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {"api_key_limit"}
    assert await house.count("api_keys") == 50
    assert len(await house.events("auth.api_key_created")) == 50


async def test_r39_who_only_reads_and_who_is_gone_mints_nothing(house: House, refusal: Code) -> None:
    admin = (await house.sign_up()).principal
    viewer = await member(house, admin, Role.VIEWER)
    assert await refusal(new(house, viewer)) == "forbidden_role"
    gone = await member(house, admin, Role.AGENT)
    await house.change(gone, is_active=False)
    assert await refusal(new(house, gone)) == "unauthorized"
    assert await refusal(new(house, replace(gone, user_id=uuid7()))) == "unauthorized"
    assert await house.count("api_keys") == 0


async def test_r37_a_key_minted_beside_a_deactivation_does_not_survive_it(house: House, refusal: Code) -> None:
    admin = (await house.sign_up()).principal
    agent = await member(house, admin, Role.AGENT)
    for _ in range(10):
        minted, _changed = await asyncio.gather(
            new(house, agent), house.change(agent, is_active=False), return_exceptions=True
        )
        await house.change(agent, is_active=True)
        if isinstance(minted, CreatedKey):
            assert await refusal(house.who(minted.key)) == "unauthorized"
    assert await house.count("api_keys WHERE revoked_at IS NULL") == 0


async def test_r39_a_member_neither_sees_nor_ends_anothers_key_and_an_admin_does(house: House, refusal: Code) -> None:
    admin = (await house.sign_up()).principal
    stranger = (await house.sign_up("ravi@example.com")).principal
    one, two = await member(house, admin, Role.AGENT), await member(house, admin, Role.ACCOUNTING_LEAD)
    first = await new(house, one)
    await house.clock.advance(1)
    second = await new(house, two)
    mine = await house.storage.ask(All(tenant_id=one.tenant_id, created_by=one.user_id))
    assert [key.id for key in mine] == [first.api_key.id]
    every = await house.storage.ask(All(tenant_id=one.tenant_id, created_by=None))
    assert [key.id for key in every] == [second.api_key.id, first.api_key.id]
    for who in (one, stranger):
        assert await refusal(revoke(house, who, second.api_key.id)) == "not_found"
    assert await refusal(revoke(house, admin, uuid7())) == "not_found"
    await revoke(house, admin, second.api_key.id)
    assert await refusal(house.who(second.key)) == "unauthorized"


async def test_a_second_revocation_keeps_the_first_end_and_is_no_event(house: House) -> None:
    me = (await house.sign_up()).principal
    minted = await new(house, me)
    await revoke(house, me, minted.api_key.id)
    ended = await house.db.fetchval("SELECT revoked_at FROM api_keys")
    await house.clock.advance(5)
    await revoke(house, me, minted.api_key.id)
    assert await house.db.fetchval("SELECT revoked_at FROM api_keys") == ended
    (event,) = await house.events("auth.api_key_revoked")
    said = json.loads(event["said"])
    assert (said["key_id"], said["prefix"]) == (minted.api_key.id, minted.api_key.prefix)
    assert said["creator_id"] == me.user_id


async def test_a_key_that_exists_already_is_minted_again(house: House) -> None:
    me = (await house.sign_up()).principal
    taken, fresh = mint(), mint()
    turns = iter([taken, taken, fresh])

    def create(made: Callable[[], Secret]) -> Create:
        return Create(
            token_version=me.token_version,
            tenant_id=me.tenant_id,
            user_id=me.user_id,
            name="till",
            expires_at=None,
            mint=made,
            origin=ORIGIN,
            now=house.clock.now(),
        )

    await house.storage.ask(create(lambda: next(turns)))
    assert (await house.storage.ask(create(lambda: next(turns)))).key == fresh.key
    assert await house.count("api_keys") == 2


@pytest.mark.parametrize("days", [1, 3650])
async def test_a_key_lives_as_many_days_as_was_said(house: House, days: int) -> None:
    minted = await new(house, (await house.sign_up()).principal, days=days)
    assert minted.api_key.expires_at == house.clock.now() + timedelta(days=days)
