"""An account taken over by an attacker is given back to its owner whole, whatever was done to it and in what order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.actors.accounts.attacker import ACTS, NEW, NUMBERS, ORIGIN, STOLEN, SWITCHES, Attacker, mailbox
from tests.actors.accounts.email_harness import EmailHarness
from tests.actors.accounts.inviting import invite, look
from tests.actors.accounts.test_api_keys import new
from tests.actors.accounts.test_retention import leap, sweep
from tests.actors.accounts.test_second_factor import code, set_up, verify
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.domain.identity import Principal
from voyagent.storage.accounts import api_keys, email_verification, invites

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]

CALM = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
ORDERS = st.lists(st.sampled_from(sorted(ACTS)), max_size=8)
AT_ONCE = st.lists(st.sampled_from(sorted(ACTS.keys() - {"wait"})), max_size=8)


async def owner_of(harness: AccountsHarness) -> tuple[Attacker, Principal]:
    """Somebody who has verified their address, and the attacker of their access token."""
    signed_in = await harness.sign_up(f"asha-{next(NUMBERS)}@example.com")
    email = signed_in.principal.email
    (token,) = await mailbox(harness, email, "verification")
    await harness.ref.ask(accounts.VerifyEmail(token=token, origin=ORIGIN))
    attacker = Attacker(harness, email, [signed_in.access_token], refreshes=[signed_in.refresh_token])
    return attacker, signed_in.principal


async def open_email(harness: AccountsHarness, email: str, kind: str, place: int = -1) -> None:
    """Use the token of an e-mail, the newest if nothing is said; a reset's with the owner's new password."""
    token = (await mailbox(harness, email, kind))[place]
    if kind == "password_reset":
        await harness.ref.ask(accounts.ResetPassword(token=token, new_password=NEW, origin=ORIGIN))
    else:
        await harness.ref.ask(accounts.VerifyEmail(token=token, origin=ORIGIN))


async def left_in(harness: AccountsHarness, who: Principal) -> dict[str, Any]:
    """All that could be acted with."""
    row = await harness.db.fetchrow(
        """SELECT u.email, u.email_verified, u.totp_enabled_at, u.totp_sealed, u.totp_pending_sealed,
                  (SELECT count(*) FROM recovery_codes WHERE user_id = u.id) AS codes,
                  (SELECT count(*) FROM api_keys WHERE created_by_user_id = u.id AND revoked_at IS NULL) AS keys,
                  (SELECT count(*) FROM invites WHERE invited_by_user_id = u.id AND status = 'pending') AS invites,
                  (SELECT count(*) FROM auth_families WHERE user_id = u.id AND revoked_at IS NULL) AS families,
                  (SELECT count(*) FROM one_time_tokens
                    WHERE user_id = u.id AND used_at IS NULL AND email <> $2) AS tokens
             FROM users u WHERE u.id = $1""",
        who.user_id,
        who.email,
    )
    return {name: value for name, value in dict(row).items() if value}


@CALM
@given(before=ORDERS, after=ORDERS, beside=AT_ONCE)
@example(before=[], after=["verify", "reset", "sign in"], beside=["sign in", "move away"])
@example(before=["set totp up", "turn totp on", "mint", "invite"], after=["verify"], beside=[])
@example(before=[], after=["verify", "move away", "squat"], beside=[])
@example(before=[], after=["verify", "move away", "undo", "reset", "sign in"], beside=["undo"])
@example(before=[], after=["move back", "move away", "verify", "reset"], beside=["ask a reset for the owner"] * 3)
async def test_r28_whatever_an_attacker_does_undo_and_reset_leave_the_owner_alone(
    harness: AccountsHarness, before: list[str], after: list[str], beside: list[str]
) -> None:
    """``beside`` is done between the owner's undo and their reset."""
    harness.start(**SWITCHES)
    attacker, owner = await owner_of(harness)
    for name in (*before, "move away", *after):
        await attacker.act(name)
    earlier = len(await mailbox(harness, attacker.owner, "password_reset"))
    await open_email(harness, attacker.owner, "email_changed")
    assert await attacker.inside() == []
    assert await left_in(harness, owner) == {"email": owner.email, "email_verified": True}
    for name in beside:
        await attacker.act(name)
        assert await attacker.inside() == []
    await open_email(harness, attacker.owner, "password_reset", earlier)
    assert (await harness.sign_in(owner.email, NEW)).principal.user_id == owner.user_id
    assert await attacker.inside() == []
    assert await left_in(harness, owner) == {"email": owner.email, "email_verified": True, "families": 1}


@pytest.mark.parametrize("chain", [1, 2, 5])
async def test_an_address_stays_taken_while_an_undo_token_could_give_it_back(
    harness: AccountsHarness, refusal: Code, chain: int
) -> None:
    harness.start(**SWITCHES)
    attacker, owner = await owner_of(harness)
    for _ in range(chain):
        await attacker.move_away()
        await attacker.verify()
    outsider = (await harness.sign_up("outsider@example.com")).principal
    made = await invite(harness, outsider, owner.email)
    for claim in (
        harness.sign_up(owner.email),
        harness.ref.ask(accounts.UpdateProfile(principal=outsider, full_name=None, email=owner.email, origin=ORIGIN)),
        harness.ref.ask(
            accounts.AcceptInvite(token=made.link[-43:], password=NEW, full_name="Not Asha", origin=ORIGIN)
        ),
    ):
        assert await refusal(claim) == "email_already_registered"
    leap(harness, timedelta(days=7).total_seconds() - 60)
    assert await refusal(harness.sign_up(owner.email)) == "email_already_registered"
    leap(harness, 60)
    assert (await harness.sign_up(owner.email)).principal.user_id != owner.user_id
    assert await refusal(open_email(harness, owner.email, "email_changed")) == "token_invalid"


async def test_an_undo_ends_the_undo_tokens_made_later_and_no_earlier_one(
    harness: AccountsHarness, refusal: Code
) -> None:
    harness.start(**SWITCHES)
    attacker, owner = await owner_of(harness)
    for _ in range(2):
        await attacker.move_away()
        await attacker.verify()
    await open_email(harness, attacker.addresses[0], "email_changed")
    assert await harness.db.fetchval("SELECT email FROM users WHERE id = $1", owner.user_id) == attacker.addresses[0]
    await open_email(harness, owner.email, "email_changed")
    assert await harness.db.fetchval("SELECT email FROM users WHERE id = $1", owner.user_id) == owner.email
    assert await refusal(open_email(harness, attacker.addresses[0], "email_changed")) == "token_invalid"


async def test_the_reset_of_an_undo_outlives_a_change_of_address_for_its_hour(
    harness: AccountsHarness, refusal: Code
) -> None:
    """Nobody is signed in then; should somebody change it all the same, the reset gives it back as the undo did."""
    harness.start(**SWITCHES)
    attacker, owner = await owner_of(harness)
    await attacker.move_away()
    await open_email(harness, owner.email, "email_changed")
    version = await harness.db.fetchval("SELECT token_version FROM users WHERE id = $1", owner.user_id)
    again = replace(owner, token_version=version)
    moving = accounts.UpdateProfile(principal=again, full_name=None, email="den@example.com", origin=ORIGIN)
    assert (await harness.ref.ask(moving)).moved
    assert await refusal(harness.sign_up(owner.email)) == "email_already_registered"
    await new(harness, again)
    await open_email(harness, owner.email, "password_reset")
    assert (await harness.sign_in(owner.email, NEW)).principal.user_id == owner.user_id
    assert await left_in(harness, owner) == {"email": owner.email, "email_verified": True, "families": 1}
    assert await refusal(open_email(harness, owner.email, "password_reset")) == "token_invalid"


async def test_the_reset_of_an_undo_lasts_an_hour(harness: AccountsHarness, refusal: Code) -> None:
    harness.start(**SWITCHES)
    attacker, owner = await owner_of(harness)
    await attacker.move_away()
    await open_email(harness, owner.email, "email_changed")
    leap(harness, 3600)
    assert await refusal(open_email(harness, owner.email, "password_reset")) == "token_invalid"
    assert await refusal(harness.sign_in(owner.email)) == "invalid_credentials", (
        "the old password may be the attacker's"
    )


async def test_what_was_admitted_before_an_undo_and_arrives_behind_it_is_refused(
    harness: AccountsHarness, refusal: Code
) -> None:
    harness.start(**SWITCHES)
    attacker, owner = await owner_of(harness)
    await attacker.move_away()
    who = await attacker.who()
    assert who is not None
    late = {
        api_keys.Create: new(harness, who),
        invites.Create: invite(harness, who, "accomplice@example.com"),
        email_verification.ChangeProfile: attacker.harness.ref.ask(
            accounts.UpdateProfile(principal=who, full_name=None, email="den@example.com", origin=ORIGIN)
        ),
    }
    for kind, asked in late.items():
        with harness.storage.hold(kind, before=True):
            task = asyncio.ensure_future(asked)
            await harness.storage.arrived.wait()
            if kind is api_keys.Create:
                await open_email(harness, owner.email, "email_changed")
        assert await refusal(task) == "unauthorized"
    assert await left_in(harness, owner) == {"email": owner.email, "email_verified": True}


async def test_r27_a_fall_back_gives_the_account_back_as_an_undo_does(harness: AccountsHarness, refusal: Code) -> None:
    strict = EmailHarness(harness, auth_skip_email_verification=False)
    attacker, owner = await owner_of(harness)
    await attacker.mint()
    await attacker.set_up_totp()
    await attacker.turn_totp_on()
    await attacker.move_away()
    await attacker.invite()
    assert await harness.db.fetchval("SELECT state FROM outbox WHERE kind = 'invite'") == "held"
    leap(harness, timedelta(days=7).total_seconds())
    await sweep(strict)
    assert await harness.db.fetchval("SELECT state FROM outbox WHERE kind = 'invite'") == "dropped"
    assert await left_in(harness, owner) == {"email": owner.email, "email_verified": True}
    assert await attacker.inside() == []
    assert await refusal(harness.sign_in(owner.email)) == "invalid_credentials"
    (event,) = await harness.events("auth.email_change_undone")
    assert '"totp_removed": true' in event["said"]
    assert len(await harness.events("auth.invite_revoked")) == 1
    await strict.deliver()
    await strict.reset(strict.fake_transport.token(owner.email), NEW)
    assert (await harness.sign_in(owner.email, NEW)).principal.user_id == owner.user_id


async def test_a_fall_back_to_an_attackers_address_leaves_the_owners_undo_alive(harness: AccountsHarness) -> None:
    strict = EmailHarness(harness, auth_skip_email_verification=False, auth_unverified_ttl_seconds=3600)
    attacker, owner = await owner_of(harness)
    await attacker.move_away()
    await attacker.verify()
    await attacker.move_away()
    leap(harness, 3600)
    await sweep(strict)
    assert await harness.db.fetchval("SELECT email FROM users WHERE id = $1", owner.user_id) == attacker.addresses[0]
    await open_email(harness, owner.email, "email_changed")
    assert await left_in(harness, owner) == {"email": owner.email, "email_verified": True}


async def test_r27_what_a_squatter_armed_is_gone_when_the_owner_takes_the_address_by_reset(
    harness: AccountsHarness, refusal: Code
) -> None:
    strict = EmailHarness(harness, auth_skip_email_verification=False)
    squatter = (await harness.sign_up(password=STOLEN)).principal
    seed = await set_up(harness, squatter)
    await verify(harness, squatter, code(harness, seed))
    key = (await new(harness, squatter)).key
    made = await invite(harness, squatter, "accomplice@example.com")
    await strict.reset(await strict.wish(), NEW)
    assert (await harness.sign_in(password=NEW)).principal.user_id == squatter.user_id
    assert await refusal(harness.who(key)) == "unauthorized"
    assert await refusal(look(harness, made.link[-43:])) == "invite_not_pending"
    assert await harness.db.fetchval("SELECT state FROM outbox WHERE kind = 'invite'") == "dropped"
    assert await left_in(harness, squatter) == {"email": squatter.email, "email_verified": True, "families": 1}
    (event,) = await harness.events("auth.password_reset")
    assert '"totp_removed": true' in event["said"]
    assert len(await harness.events("auth.invite_revoked")) == 1


async def test_a_reset_of_a_verified_address_ends_neither_keys_nor_invites(harness: AccountsHarness) -> None:
    strict = EmailHarness(harness, auth_skip_email_verification=False)
    _, owner = await owner_of(harness)
    owner = replace(owner, email_verified=True)
    key = (await new(harness, owner)).key
    made = await invite(harness, owner)
    await strict.reset(await strict.wish(owner.email), NEW)
    assert (await harness.who(key)).user_id == owner.user_id
    assert (await look(harness, made.link[-43:])).inviter_email == owner.email


async def test_moves_between_unverified_addresses_gain_no_time(harness: AccountsHarness, refusal: Code) -> None:
    strict = EmailHarness(harness, auth_skip_email_verification=False)
    signed_in = await harness.sign_up("squatter@example.com")
    refresh, access = signed_in.refresh_token, signed_in.access_token
    for days, email in ((3, "victim@example.com"), (3, "other@example.com"), (0, "victim@example.com")):
        leap(harness, timedelta(days=days).total_seconds())
        pair = await strict.ask(accounts.Refresh(refresh_token=refresh, origin=ORIGIN))
        refresh, access = pair.refresh_token, pair.access_token
        assert (await strict.update(await harness.who(access), email=email)).moved
    leap(harness, timedelta(days=1).total_seconds())
    asked = accounts.Refresh(refresh_token=refresh, origin=ORIGIN)
    assert await refusal(strict.ask(asked)) == "invalid_refresh_token"
    await sweep(strict)
    assert (await harness.sign_up("victim@example.com")).principal.user_id != signed_in.principal.user_id
