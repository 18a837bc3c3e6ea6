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
from tests.waiting import until
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Conflict, Refusal
from voyagent.actors.domain.identity import Role
from voyagent.actors.foundation import metrics
from voyagent.storage import audit_chain
from voyagent.storage.accounts.users import Find, SignIn

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]
COMMON = {"request_id": "r-1", "ip": "192.0.2.7", "user_agent": "tests"}


def hashes_made() -> float:
    return sum(s.value for m in metrics.PASSWORD_HASH_SECONDS.collect() for s in m.samples if s.name.endswith("_count"))


async def test_a_sign_up_founds_an_agency_with_settings_admin_family_and_audit(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    assert (me.email, me.role, me.email_verified) == ("asha@example.com", Role.AGENCY_ADMIN, True)
    assert (me.tenant_name, me.full_name, me.created_at) == ("Rao Travels", "Asha", harness.clock.now())
    agency = await harness.db.fetchrow("SELECT * FROM tenants")
    settings = await harness.db.fetchrow("SELECT * FROM tenant_settings WHERE tenant_id = $1", me.tenant_id)
    family = await harness.db.fetchrow("SELECT * FROM auth_families")
    assert (agency["display_name"], agency["is_active"]) == ("Rao Travels", True)
    assert agency["default_currency"] == settings["default_currency"] == "INR"
    assert (str(family["id"]), family["ip"], family["user_agent"]) == (me.family_id, "192.0.2.7", "tests")
    assert family["expires_at"] - harness.clock.now() == timedelta(days=30)
    assert family["ends_at"] - harness.clock.now() == timedelta(days=90)
    (event,) = await harness.events("auth.sign_up")
    assert (event["status"], event["actor_kind"], str(event["actor_id"])) == ("succeeded", "human", me.user_id)
    assert json.loads(event["said"]) == COMMON | {"email": "asha@example.com", "tenant_name": "Rao Travels"}


async def test_both_ways_in_give_tokens_that_are_good_at_once(harness: AccountsHarness) -> None:
    first = await harness.sign_up()
    second = await harness.sign_in()
    me, again = await harness.who(first.access_token), await harness.who(second.access_token)
    assert await harness.who(first.access_token) == me
    assert me.user_id == again.user_id
    assert me.family_id != again.family_id
    assert first.expires_in == second.expires_in == 3600
    assert len(first.refresh_token) == 43
    assert first.refresh_token != second.refresh_token


async def test_r58_sixteen_sign_ups_with_one_address_make_one_account(harness: AccountsHarness) -> None:
    attempts = await asyncio.gather(*(harness.sign_up() for _ in range(16)), return_exceptions=True)
    lost = [attempt for attempt in attempts if isinstance(attempt, BaseException)]
    assert len(lost) == 15
    assert {(type(error), getattr(error, "code", None)) for error in lost} == {(Conflict, "email_already_registered")}
    assert [await harness.count(table) for table in ("tenants", "users", "auth_families", "audit_events")] == [
        1,
        1,
        1,
        1,
    ]


async def test_a_taken_address_is_refused_before_any_hash(harness: AccountsHarness, refusal: Code) -> None:
    await harness.sign_up()
    before = hashes_made()
    assert await refusal(harness.sign_up()) == "email_already_registered"
    assert hashes_made() == before


async def test_an_address_left_within_seven_days_is_still_its_persons(harness: AccountsHarness, refusal: Code) -> None:
    who = (await harness.sign_up()).principal
    asked = accounts.UpdateProfile(principal=who, full_name=None, email="new@example.com", origin=Origin("r-1"))
    assert (await harness.ref.ask(asked)).moved
    harness.clock.skip(7 * 86400 - 1)
    assert await refusal(harness.sign_up()) == "email_already_registered"
    await harness.clock.advance(1)
    assert (await harness.sign_up()).principal.email == "asha@example.com"


async def test_r36_a_weak_password_is_refused_before_anything_is_asked(harness: AccountsHarness, refusal: Code) -> None:
    assert await refusal(harness.sign_up(password="password1234")) == "password_too_weak"
    assert harness.storage.asked == []


async def test_no_event_no_act(harness: AccountsHarness) -> None:
    await harness.db.execute("ALTER TABLE audit_events ADD CONSTRAINT broken CHECK (false) NOT VALID")
    with pytest.raises(Refusal):
        await harness.sign_up()
    assert [await harness.count(table) for table in ("tenants", "users", "auth_families")] == [0, 0, 0]


async def test_a_sign_in_opens_a_family_and_says_so(harness: AccountsHarness) -> None:
    await harness.sign_up()
    await harness.clock.advance(60)
    me = (await harness.sign_in()).principal
    assert await harness.count("auth_families") == 2
    assert await harness.db.fetchval("SELECT last_login_at FROM users") == harness.clock.now()
    (event,) = await harness.events("auth.sign_in")
    assert json.loads(event["said"]) == COMMON | {"method": "password", "session_id": me.family_id}
    assert (event["status"], str(event["actor_id"])) == ("succeeded", me.user_id)


async def test_r29_unknown_and_wrong_cost_one_hash_each_and_get_one_answer(
    harness: AccountsHarness, refusal: Code
) -> None:
    await harness.sign_up()
    await harness.db.execute(
        "INSERT INTO users (id, tenant_id, email, created_at)"
        " SELECT gen_random_uuid(), id, 'ravi@example.com', now() FROM tenants"
    )
    fresh = harness.start()
    for email in ("nobody@example.com", "asha@example.com", "ravi@example.com"):
        before = hashes_made()
        attempt = accounts.SignIn(email=email, password="wrong", origin=Origin(request_id="r-2"))
        assert await refusal(fresh.ask(attempt)) == "invalid_credentials"
        assert hashes_made() - before == 1


async def test_r51_a_failed_sign_in_is_the_agencys_to_know_and_an_unknown_address_nobodys(
    harness: AccountsHarness, refusal: Code
) -> None:
    me = (await harness.sign_up()).principal
    await refusal(harness.sign_in(email="nobody@example.com"))
    await refusal(harness.sign_in(password="wrong"))
    (event,) = await until(lambda: harness.events("auth.sign_in_failed"))
    assert (event["status"], event["actor_kind"], event["actor_id"]) == ("rejected", "system", None)
    assert json.loads(event["said"]) == COMMON | {"code": "invalid_credentials"}
    assert json.loads(event["entity_refs"]) == {"user_id": me.user_id}


async def test_r2_a_password_alone_does_not_pass_two_factors(harness: AccountsHarness, refusal: Code) -> None:
    await harness.sign_up()
    await harness.db.execute("UPDATE users SET totp_enabled_at = now()")
    families = await harness.count("auth_families")
    assert await refusal(harness.sign_in()) == "totp_required"
    assert await refusal(harness.sign_in(password="wrong")) == "invalid_credentials"
    assert await harness.count("auth_families") == families
    assert await until(lambda: harness.events("auth.sign_in_failed"))


async def test_r16_a_suspended_agency_stops(harness: AccountsHarness, refusal: Code) -> None:
    answer = await harness.sign_up()
    await harness.who(answer.access_token)
    switch = accounts.SwitchTenant(tenant_id=answer.principal.tenant_id, is_active=False)
    await harness.ref.ask(switch)
    assert await refusal(harness.sign_in()) == "account_inactive"
    assert await refusal(harness.who(answer.access_token)) == "unauthorized"
    await harness.ref.ask(accounts.SwitchTenant(tenant_id=answer.principal.tenant_id, is_active=True))
    assert (await harness.who(answer.access_token)).user_id == answer.principal.user_id


async def test_r26_the_unverified_have_tokens_but_cannot_sign_in(harness: AccountsHarness, refusal: Code) -> None:
    harness.start(auth_skip_email_verification=False)
    answer = await harness.sign_up()
    assert not (await harness.who(answer.access_token)).email_verified
    assert await refusal(harness.sign_in(password="wrong")) == "invalid_credentials"
    assert await refusal(harness.sign_in()) == "email_not_verified"
    await harness.db.execute("UPDATE users SET email_verified = true")
    await harness.clock.advance(30)
    assert (await harness.who(answer.access_token)).email_verified
    assert (await harness.sign_in()).principal.email_verified


async def test_where_addresses_are_not_verified_everybody_signs_in(harness: AccountsHarness) -> None:
    harness.start(auth_skip_email_verification=False)
    await harness.sign_up()
    harness.start(auth_skip_email_verification=True)
    assert (await harness.sign_in()).principal.email == "asha@example.com"


async def test_r56_other_figures_rehash_on_sign_in(harness: AccountsHarness) -> None:
    await harness.sign_up()
    harness.start(auth_argon2_time_cost=2)
    await harness.sign_in()
    assert "t=2" in await harness.db.fetchval("SELECT password_hash FROM users")
    before = hashes_made()
    await harness.sign_in()
    assert hashes_made() - before == 1


async def test_a_password_changed_while_the_old_one_is_judged_opens_nothing(
    harness: AccountsHarness, refusal: Code
) -> None:
    await harness.sign_up()
    with harness.storage.hold(SignIn, before=True):
        attempt = asyncio.ensure_future(harness.sign_in())
        await harness.storage.arrived.wait()
        await harness.db.execute("UPDATE users SET password_hash = 'another'")
    assert await refusal(attempt) == "invalid_credentials"
    assert await harness.count("auth_families") == 1


async def test_r17_with_storage_unavailable_every_way_in_is_503(harness: AccountsHarness, refusal: Code) -> None:
    harness.storage.away = True
    assert await refusal(harness.sign_up()) == "storage_unavailable"
    assert await refusal(harness.sign_in()) == "storage_unavailable"
    assert harness.storage.asked[-1] is Find


async def test_the_refusal_stands_when_its_event_cannot_be_written(harness: AccountsHarness, refusal: Code) -> None:
    await harness.sign_up()
    await harness.db.execute("ALTER TABLE audit_events ADD CONSTRAINT broken CHECK (false) NOT VALID")
    before = counted(metrics.AUDIT_WRITE_FAILURES_TOTAL)
    assert await refusal(harness.sign_in(password="wrong")) == "invalid_credentials"

    async def was_counted() -> bool:
        return counted(metrics.AUDIT_WRITE_FAILURES_TOTAL) > before

    await until(was_counted)
    assert harness.ref.is_alive()


async def test_r18_no_token_and_no_password_is_stored(harness: AccountsHarness) -> None:
    answers = [await harness.sign_up(), await harness.sign_in()]
    tables = await harness.db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = "".join([str(await harness.db.fetch(f"SELECT t::text FROM {table['tablename']} t")) for table in tables])
    assert "asha@example.com" in dump
    for answer in answers:
        assert answer.refresh_token not in dump
        assert answer.refresh_token.encode().hex() not in dump
        assert answer.access_token not in dump
        assert jwt.decode(answer.access_token, options={"verify_signature": False})["jti"] not in dump
    assert "mango-trellis-47" not in dump


async def test_the_chain_of_a_day_of_signing_in_holds(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    await asyncio.gather(*(harness.sign_in() for _ in range(8)))
    await refusal(harness.sign_in(password="wrong"))
    await until(lambda: harness.events("auth.sign_in_failed"))
    verdict = await harness.storage.ask(audit_chain.Verify(tenant_id=me.tenant_id))
    assert (verdict.ok, verdict.checked) == (True, 10)


async def test_beyond_a_hundred_sessions_the_one_unused_for_the_longest_time_makes_room(
    harness: AccountsHarness, refusal: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voyagent.storage.accounts.login_sessions.LIMIT", 3)
    ravi = await harness.sign_up("ravi@example.com")
    sessions = [await harness.sign_up()]
    for _ in range(2):
        await harness.clock.advance(60)
        sessions.append(await harness.sign_in())
    watching = await harness.ref.ask(accounts.Watch(sessions[1].principal))
    await harness.ref.ask(accounts.Refresh(refresh_token=sessions[0].refresh_token, origin=Origin("r-1")))
    await harness.clock.advance(60)
    sessions.append(await harness.sign_in())
    assert watching.is_revoked
    assert await refusal(harness.who(sessions[1].access_token)) == "unauthorized"
    for kept in (ravi, sessions[0], sessions[2], sessions[3]):
        assert await harness.who(kept.access_token)
    assert await harness.db.fetchval("SELECT count(*) FROM auth_families WHERE revoked_why = 'too_many'") == 1
