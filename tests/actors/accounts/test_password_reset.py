"""Passwords reset by e-mail and changed by their owners: which tokens work, and what ends with them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.actors.accounts.test_second_factor import turned_on
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.domain.errors import BadRequest, WeakPassword

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness
    from tests.conftest import Database
from tests.actors.accounts.email_harness import ORIGIN, OTHER, PASSWORD, Code, EmailHarness


async def test_r1_no_answer_gives_a_reset_token_away_without_the_flag(harness: AccountsHarness) -> None:
    emails = EmailHarness(harness)
    await harness.sign_up()
    assert await emails.request() is None
    open_desk = EmailHarness(harness, auth_debug_tokens=True)
    assert await open_desk.request("nobody@example.com") is None
    token = await open_desk.request()
    assert len(token) == 43
    await open_desk.reset(token)
    assert await harness.sign_in(password=OTHER)


async def test_r19_of_sixteen_redemptions_one_wins_across_two_processes(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code, database: Database
) -> None:
    await harness.sign_up()
    token = await emails.wish()
    async with harness.another_process(database) as other:
        resets = [accounts.ResetPassword(token=token, new_password=f"{OTHER}{n}", origin=ORIGIN) for n in range(16)]
        tries = [(emails.ref, other)[n % 2].ask(reset) for n, reset in enumerate(resets)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BadRequest)]
    assert (outcomes.count(None), len(refused)) == (1, 15)
    assert await refusal(emails.reset(token)) == "token_invalid"


async def test_r20_a_reset_token_ends_with_a_newer_one_and_with_any_change(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    who = (await harness.sign_up()).principal
    first, second = await emails.wish(), await emails.wish()
    assert await refusal(emails.reset(first)) == "token_invalid"
    await emails.reset(second)
    third = await emails.wish()
    await emails.change(who, OTHER, PASSWORD)
    assert await refusal(emails.reset(third)) == "token_invalid"
    fourth = await emails.wish()
    await harness.db.execute("UPDATE one_time_tokens SET expires_at = $1", harness.clock.now())
    assert await refusal(emails.reset(fourth)) == "token_invalid"


async def test_a_reset_ends_every_session_and_verifies_the_address(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    signed_in = await harness.sign_up()
    await strict.reset(await strict.wish())
    assert await refusal(harness.who(signed_in.access_token)) == "unauthorized"
    assert (await harness.sign_in(password=OTHER)).principal.email_verified
    (event,) = await harness.events("auth.password_reset")
    assert signed_in.principal.family_id in event["said"]
    assert "reset" in (await harness.events("auth.email_verified"))[0]["said"]
    await strict.deliver()
    assert strict.fake_transport.subjects("asha@example.com")[-1] == "Your password was reset"


async def test_a_reset_leaves_the_second_factor_on(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    await turned_on(harness)
    await emails.reset(await emails.wish())
    assert await refusal(harness.sign_in(password=OTHER)) == "totp_required"


async def test_r36_a_weak_password_is_refused_before_the_token_is_spent(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    token = await emails.wish()
    with pytest.raises(WeakPassword):
        await emails.reset(token, "password1234")
    with pytest.raises(WeakPassword):
        await emails.change(who, PASSWORD, "password1234")
    await emails.reset(token)


async def test_a_changed_password_ends_all_older_sessions_and_begins_one(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    old, other = await harness.sign_up(), await harness.sign_in()
    assert await refusal(emails.change(old.principal, "wrong")) == "invalid_password"
    watching = await emails.ask(accounts.Watch(old.principal))
    pair = await emails.change(old.principal)
    assert watching.is_revoked
    for ended in (old, other):
        assert await refusal(harness.who(ended.access_token)) == "unauthorized"
    assert (await harness.who(pair.access_token)).user_id == old.principal.user_id
    await emails.deliver()
    assert emails.fake_transport.subjects("asha@example.com") == ["Your password was changed"]


async def test_the_unverified_may_change_their_password(strict: EmailHarness, harness: AccountsHarness) -> None:
    pair = await strict.change((await harness.sign_up()).principal)
    assert not (await harness.who(pair.access_token)).email_verified


async def test_r27_the_owner_of_a_squatted_address_takes_it_by_reset(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    squatter = await harness.sign_up(password="i-am-not-asha-99")
    await strict.reset(await strict.wish())
    assert await harness.sign_in(password=OTHER)
    assert await refusal(harness.who(squatter.access_token)) == "unauthorized"


async def test_r29_known_and_unknown_addresses_leave_the_same_rows_at_once(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    await harness.sign_up()
    for email in ("asha@example.com", "nobody@example.com"):
        await emails.request(email)
    shape = "SELECT tenant_id, kind, state, expires_at, length(payload_sealed) FROM outbox"
    known, unknown = await harness.db.fetch(shape)
    assert tuple(known) == tuple(unknown)
    await emails.deliver()
    assert [email["To"] for email in emails.fake_transport.emails] == ["asha@example.com"]
    assert len(await harness.events("auth.password_reset_requested")) == 1


async def test_r30_twenty_requests_bring_five_emails_and_the_last_stays_good(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    await harness.sign_up()
    for _ in range(20):
        assert await emails.request() is None
    await emails.deliver()
    assert len(emails.fake_transport.emails) == 5
    live = await harness.db.fetchval("SELECT count(*) FROM one_time_tokens WHERE used_at IS NULL")
    assert live == 1
