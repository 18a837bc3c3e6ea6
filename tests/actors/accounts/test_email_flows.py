"""Verification of addresses, and changes of address that are undone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.actors.accounts.test_second_factor import code, set_up, verify
from voyagent.actors.accounts import actor as accounts

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness
from tests.actors.accounts.email_harness import ORIGIN, OTHER, Code, EmailHarness


async def test_r26_the_email_of_a_sign_up_opens_the_gate_for_the_same_token(
    strict: EmailHarness, harness: AccountsHarness
) -> None:
    signed_in = await harness.sign_up()
    assert not (await harness.who(signed_in.access_token)).email_verified
    await strict.deliver()
    await strict.verify(strict.fake_transport.token("asha@example.com"))
    assert (await harness.who(signed_in.access_token)).email_verified
    await strict.ask(accounts.ResendVerification(principal=await harness.who(signed_in.access_token), origin=ORIGIN))
    await strict.deliver()
    assert len(strict.fake_transport.emails) == 1


async def test_r21_a_token_verifies_the_address_it_was_sent_to_alone(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    who = (await harness.sign_up()).principal
    await strict.deliver()
    token = strict.fake_transport.token("asha@example.com")
    assert (await strict.update(who, email="asha@example.org")).moved
    assert await refusal(strict.verify(token)) == "token_invalid"
    assert not (await harness.db.fetchval("SELECT email_verified FROM users"))
    await strict.deliver()
    assert strict.fake_transport.subjects("asha@example.com") == ["Confirm your e-mail address"]
    await strict.verify(strict.fake_transport.token("asha@example.org"))
    assert await harness.sign_in("asha@example.org")


async def test_r28_a_hijacked_change_of_address_is_undone(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    signed_in = await harness.sign_up()
    who = signed_in.principal
    await emails.update(who, email="attacker@example.com")
    await harness.clock.advance(60)
    await harness.db.execute("UPDATE users SET totp_enabled_at = $1, totp_sealed = 'x'", harness.clock.now())
    await harness.db.execute(
        "INSERT INTO api_keys (id, tenant_id, created_by_user_id, name, prefix, key_hash, created_at)"
        " VALUES ($1, $2, $1, 'key', 'abcdefgh', 'hash', $3)",
        who.user_id,
        who.tenant_id,
        harness.clock.now(),
    )
    await emails.deliver()
    undo = emails.fake_transport.token("asha@example.com")
    await emails.verify(undo)
    row = await harness.db.fetchrow("SELECT * FROM users")
    assert (row["email"], row["email_verified"], row["totp_enabled_at"], row["totp_sealed"]) == (
        "asha@example.com",
        True,
        None,
        None,
    )
    assert await harness.db.fetchval("SELECT revoked_at IS NOT NULL FROM api_keys")
    assert await refusal(harness.who(signed_in.access_token)) == "unauthorized"
    assert await refusal(emails.verify(undo)) == "token_invalid"
    await emails.deliver()
    await emails.reset(emails.fake_transport.token("asha@example.com"))
    (event,) = await harness.events("auth.email_change_undone")
    assert "attacker@example.com" in event["said"]


async def test_r28_a_second_factor_of_the_attacker_goes_with_its_codes(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    await emails.update(who, email="attacker@example.com")
    await harness.clock.advance(60)
    seed = await set_up(harness, who)
    await verify(harness, who, code(harness, seed))
    assert await harness.count("recovery_codes") == 10
    await emails.deliver()
    await emails.verify(emails.fake_transport.token(who.email))
    assert await harness.count("recovery_codes") == 0
    await emails.deliver()
    await emails.reset(emails.fake_transport.token(who.email))
    assert (await harness.sign_in(password=OTHER)).principal.email == who.email
    (event,) = await harness.events("auth.email_change_undone")
    assert '"totp_removed": true' in event["said"]


async def test_a_former_address_is_reserved_for_a_week_but_not_from_its_owner(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    who = (await harness.sign_up()).principal
    await harness.sign_up("ravi@example.com")
    assert await refusal(emails.update(who, email="ravi@example.com")) == "email_already_registered"
    moved = await emails.update(who, email="new@example.com", full_name="Asha R")
    assert (moved.principal.email, moved.principal.full_name, moved.moved) == ("new@example.com", "Asha R", True)
    assert await refusal(harness.sign_up("asha@example.com")) == "email_already_registered"
    assert (await emails.update(moved.principal, email="asha@example.com")).moved
    assert not (await emails.update(moved.principal)).moved
    assert len(await harness.events("auth.email_changed")) == 2
    assert len(await harness.events("auth.profile_changed")) == 1


async def test_r30_five_verifications_an_hour_and_no_more(strict: EmailHarness, harness: AccountsHarness) -> None:
    who = (await harness.sign_up()).principal
    await asyncio.gather(*(strict.ask(accounts.ResendVerification(principal=who, origin=ORIGIN)) for _ in range(20)))
    await strict.deliver()
    assert len(strict.fake_transport.emails) == 5
