"""The ways in, on a real database: sign-up and sign-in, their refusals and what each leaves behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from tests.figures import counted
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Conflict, Refusal
from voyagent.actors.domain.identity import Role
from voyagent.actors.foundation import metrics
from voyagent.storage import audit
from voyagent.storage.accounts.users import Find, SignIn

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import House

Code = Callable[[Awaitable[Any]], Awaitable[str]]
Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
COMMON = {"request_id": "r-1", "ip": "192.0.2.7", "user_agent": "tests"}


def hashes_made() -> float:
    return sum(s.value for m in metrics.PASSWORD_HASH_SECONDS.collect() for s in m.samples if s.name.endswith("_count"))


async def test_a_sign_up_founds_an_agency_with_settings_admin_family_and_audit(house: House) -> None:
    me = (await house.sign_up()).principal
    assert (me.email, me.role, me.email_verified) == ("asha@example.com", Role.AGENCY_ADMIN, True)
    assert (me.tenant_name, me.full_name, me.created_at) == ("Rao Travels", "Asha", house.clock.now())
    agency = await house.db.fetchrow("SELECT * FROM tenants")
    settings = await house.db.fetchrow("SELECT * FROM tenant_settings WHERE tenant_id = $1", me.tenant_id)
    family = await house.db.fetchrow("SELECT * FROM auth_families")
    assert (agency["display_name"], agency["is_active"]) == ("Rao Travels", True)
    assert agency["default_currency"] == settings["default_currency"] == "INR"
    assert (str(family["id"]), family["ip"], family["user_agent"]) == (me.family_id, "192.0.2.7", "tests")
    assert family["expires_at"] - house.clock.now() == timedelta(days=30)
    assert family["ends_at"] - house.clock.now() == timedelta(days=90)
    (event,) = await house.events("auth.sign_up")
    assert (event["status"], event["actor_kind"], str(event["actor_id"])) == ("succeeded", "human", me.user_id)
    assert json.loads(event["said"]) == COMMON | {"email": "asha@example.com", "tenant_name": "Rao Travels"}


async def test_both_ways_in_give_tokens_that_are_good_at_once(house: House) -> None:
    first = await house.sign_up()
    second = await house.sign_in()
    assert await house.who(first.access_token) == await house.who(first.access_token)
    me, again = await house.who(first.access_token), await house.who(second.access_token)
    assert me.user_id == again.user_id
    assert me.family_id != again.family_id
    assert first.expires_in == second.expires_in == 3600
    assert len(first.refresh_token) == 43
    assert first.refresh_token != second.refresh_token


async def test_r58_sixteen_sign_ups_with_one_address_make_one_account(house: House) -> None:
    attempts = await asyncio.gather(*(house.sign_up() for _ in range(16)), return_exceptions=True)
    lost = [attempt for attempt in attempts if isinstance(attempt, BaseException)]
    assert len(lost) == 15
    assert {(type(error), getattr(error, "code", None)) for error in lost} == {(Conflict, "email_already_registered")}
    assert [await house.count(table) for table in ("tenants", "users", "auth_families", "audit_events")] == [1, 1, 1, 1]


async def test_a_taken_address_is_refused_before_any_hash(house: House, refusal: Code) -> None:
    await house.sign_up()
    before = hashes_made()
    assert await refusal(house.sign_up()) == "email_already_registered"
    assert hashes_made() == before


async def test_an_address_left_within_seven_days_is_still_its_persons(house: House, refusal: Code) -> None:
    who = (await house.sign_up()).principal
    asked = accounts.UpdateProfile(principal=who, full_name=None, email="new@example.com", origin=Origin("r-1"))
    assert (await house.ref.ask(asked)).moved
    await house.clock.advance(7 * 86400 - 1)
    assert await refusal(house.sign_up()) == "email_already_registered"
    await house.clock.advance(1)
    assert (await house.sign_up()).principal.email == "asha@example.com"


async def test_r36_a_weak_password_is_refused_before_anything_is_asked(house: House, refusal: Code) -> None:
    assert await refusal(house.sign_up(password="password1234")) == "password_too_weak"
    assert house.storage.asked == []


async def test_no_event_no_act(house: House) -> None:
    await house.db.execute("ALTER TABLE audit_events ADD CONSTRAINT broken CHECK (false) NOT VALID")
    with pytest.raises(Refusal):
        await house.sign_up()
    assert [await house.count(table) for table in ("tenants", "users", "auth_families")] == [0, 0, 0]


async def test_a_sign_in_opens_a_family_and_says_so(house: House) -> None:
    await house.sign_up()
    await house.clock.advance(60)
    me = (await house.sign_in()).principal
    assert await house.count("auth_families") == 2
    assert await house.db.fetchval("SELECT last_login_at FROM users") == house.clock.now()
    (event,) = await house.events("auth.sign_in")
    assert json.loads(event["said"]) == COMMON | {"method": "password", "session_id": me.family_id}
    assert (event["status"], str(event["actor_id"])) == ("succeeded", me.user_id)


async def test_r29_unknown_and_wrong_cost_one_hash_each_and_get_one_answer(house: House, refusal: Code) -> None:
    await house.sign_up()
    await house.db.execute(
        "INSERT INTO users (id, tenant_id, email, created_at)"
        " SELECT gen_random_uuid(), id, 'ravi@example.com', now() FROM tenants"
    )
    fresh = house.start()
    for email in ("nobody@example.com", "asha@example.com", "ravi@example.com"):
        before = hashes_made()
        attempt = accounts.SignIn(email=email, password="wrong", origin=Origin(request_id="r-2"))
        assert await refusal(fresh.ask(attempt)) == "invalid_credentials"
        assert hashes_made() - before == 1


async def test_r51_a_failed_sign_in_is_the_agencys_to_know_and_an_unknown_address_nobodys(
    house: House, refusal: Code, until: Until
) -> None:
    me = (await house.sign_up()).principal
    await refusal(house.sign_in(email="nobody@example.com"))
    await refusal(house.sign_in(password="wrong"))
    (event,) = await until(lambda: house.events("auth.sign_in_failed"))
    assert (event["status"], event["actor_kind"], event["actor_id"]) == ("rejected", "system", None)
    assert json.loads(event["said"]) == COMMON | {"code": "invalid_credentials"}
    assert json.loads(event["entity_refs"]) == {"user_id": me.user_id}


async def test_r2_a_password_alone_does_not_pass_two_factors(house: House, refusal: Code, until: Until) -> None:
    await house.sign_up()
    await house.db.execute("UPDATE users SET totp_enabled_at = now()")
    families = await house.count("auth_families")
    assert await refusal(house.sign_in()) == "totp_required"
    assert await refusal(house.sign_in(password="wrong")) == "invalid_credentials"
    assert await house.count("auth_families") == families
    assert await until(lambda: house.events("auth.sign_in_failed"))


async def test_r16_a_suspended_agency_stops(house: House, refusal: Code) -> None:
    answer = await house.sign_up()
    await house.who(answer.access_token)
    switch = accounts.SwitchTenant(tenant_id=answer.principal.tenant_id, is_active=False)
    await house.ref.ask(switch)
    assert await refusal(house.sign_in()) == "account_inactive"
    assert await refusal(house.who(answer.access_token)) == "unauthorized"
    await house.ref.ask(accounts.SwitchTenant(tenant_id=answer.principal.tenant_id, is_active=True))
    assert (await house.who(answer.access_token)).user_id == answer.principal.user_id


async def test_r26_where_addresses_are_verified_the_unproven_have_tokens_but_cannot_sign_in(
    house: House, refusal: Code
) -> None:
    house.start(auth_skip_email_verification=False)
    answer = await house.sign_up()
    assert not (await house.who(answer.access_token)).email_verified
    assert await refusal(house.sign_in(password="wrong")) == "invalid_credentials"
    assert await refusal(house.sign_in()) == "email_not_verified"
    await house.db.execute("UPDATE users SET email_verified = true")
    await house.clock.advance(30)
    assert (await house.who(answer.access_token)).email_verified
    assert (await house.sign_in()).principal.email_verified


async def test_where_they_are_not_verified_the_unproven_sign_in(house: House) -> None:
    house.start(auth_skip_email_verification=False)
    await house.sign_up()
    house.start(auth_skip_email_verification=True)
    assert (await house.sign_in()).principal.email == "asha@example.com"


async def test_r56_other_figures_rehash_on_sign_in(house: House) -> None:
    await house.sign_up()
    house.start(auth_argon2_time_cost=2)
    await house.sign_in()
    assert "t=2" in await house.db.fetchval("SELECT password_hash FROM users")
    before = hashes_made()
    await house.sign_in()
    assert hashes_made() - before == 1


async def test_a_password_changed_while_the_old_one_is_judged_opens_nothing(house: House, refusal: Code) -> None:
    await house.sign_up()
    with house.storage.hold(SignIn, before=True):
        attempt = asyncio.ensure_future(house.sign_in())
        await house.storage.arrived.wait()
        await house.db.execute("UPDATE users SET password_hash = 'another'")
    assert await refusal(attempt) == "invalid_credentials"
    assert await house.count("auth_families") == 1


async def test_r17_with_storage_away_every_way_in_is_503(house: House, refusal: Code) -> None:
    house.storage.away = True
    assert await refusal(house.sign_up()) == "storage_unavailable"
    assert await refusal(house.sign_in()) == "storage_unavailable"
    assert house.storage.asked[-1] is Find


async def test_the_refusal_stands_when_its_event_cannot_be_written(house: House, refusal: Code, until: Until) -> None:
    await house.sign_up()
    await house.db.execute("ALTER TABLE audit_events ADD CONSTRAINT broken CHECK (false) NOT VALID")
    before = counted(metrics.AUDIT_WRITE_FAILURES_TOTAL)
    assert await refusal(house.sign_in(password="wrong")) == "invalid_credentials"

    async def was_counted() -> bool:
        return counted(metrics.AUDIT_WRITE_FAILURES_TOTAL) > before

    await until(was_counted)
    assert house.ref.is_alive()


async def test_r18_no_token_and_no_password_is_stored(house: House) -> None:
    answers = [await house.sign_up(), await house.sign_in()]
    tables = await house.db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = "".join([str(await house.db.fetch(f"SELECT t::text FROM {table['tablename']} t")) for table in tables])
    assert "asha@example.com" in dump
    for answer in answers:
        assert answer.refresh_token not in dump
        assert answer.refresh_token.encode().hex() not in dump
        assert answer.access_token not in dump
        assert jwt.decode(answer.access_token, options={"verify_signature": False})["jti"] not in dump
    assert "mango-trellis-47" not in dump


async def test_the_chain_of_a_day_of_signing_in_holds(house: House, refusal: Code, until: Until) -> None:
    me = (await house.sign_up()).principal
    await asyncio.gather(*(house.sign_in() for _ in range(8)))
    await refusal(house.sign_in(password="wrong"))
    await until(lambda: house.events("auth.sign_in_failed"))
    verdict = await house.storage.ask(audit.Verify(tenant_id=me.tenant_id))
    assert (verdict.ok, verdict.checked) == (True, 10)


async def test_beyond_a_hundred_sessions_the_one_unused_for_the_longest_time_makes_room(
    house: House, refusal: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voyagent.storage.accounts.login_sessions.LIMIT", 3)
    ravi = await house.sign_up("ravi@example.com")
    sessions = [await house.sign_up()]
    for _ in range(2):
        await house.clock.advance(60)
        sessions.append(await house.sign_in())
    watching = await house.ref.ask(accounts.Watch(sessions[1].principal))
    await house.ref.ask(accounts.Refresh(refresh_token=sessions[0].refresh_token, origin=Origin("r-1")))
    await house.clock.advance(60)
    sessions.append(await house.sign_in())
    assert watching.is_revoked
    assert await refusal(house.who(sessions[1].access_token)) == "unauthorized"
    for kept in (ravi, sessions[0], sessions[2], sessions[3]):
        assert await house.who(kept.access_token)
    assert await house.db.fetchval("SELECT count(*) FROM auth_families WHERE revoked_why = 'too_many'") == 1
