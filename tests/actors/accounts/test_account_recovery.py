"""An account in a thief's hands goes back to its owner whole, whatever was done to it and in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.actors.accounts.test_api_keys import new
from tests.actors.accounts.test_email_flows import Desk
from tests.actors.accounts.test_invites import invite, look
from tests.actors.accounts.test_retention import leap, sweep
from tests.actors.accounts.test_second_factor import code, set_up, verify
from tests.actors.accounts.thief import ACTS, NEW, NUMBERS, ORIGIN, STOLEN, SWITCHES, Thief, mailbox
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.domain.identity import Principal
from voyagent.storage.accounts import api_keys, email_verification, invites

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import House

Code = Callable[[Awaitable[Any]], Awaitable[str]]

CALM = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
ORDERS = st.lists(st.sampled_from(sorted(ACTS)), max_size=8)
AT_ONCE = st.lists(st.sampled_from(sorted(ACTS.keys() - {"wait"})), max_size=8)


async def owner_of(house: House) -> tuple[Thief, Principal]:
    """Somebody who has verified their address, and the thief of their access token."""
    signed_in = await house.sign_up(f"asha-{next(NUMBERS)}@example.com")
    email = signed_in.principal.email
    (token,) = await mailbox(house, email, "verification")
    await house.ref.ask(accounts.VerifyEmail(token=token, origin=ORIGIN))
    thief = Thief(house, email, [signed_in.access_token], refreshes=[signed_in.refresh_token])
    return thief, signed_in.principal


async def open_email(house: House, email: str, kind: str, place: int = -1) -> None:
    """Use the token of an e-mail, the newest if nothing is said; a reset's with the owner's new password."""
    token = (await mailbox(house, email, kind))[place]
    if kind == "password_reset":
        await house.ref.ask(accounts.ResetPassword(token=token, new_password=NEW, origin=ORIGIN))
    else:
        await house.ref.ask(accounts.VerifyEmail(token=token, origin=ORIGIN))


async def left_in(house: House, who: Principal) -> dict[str, Any]:
    """All that could be acted with."""
    row = await house.db.fetchrow(
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
async def test_r28_whatever_a_thief_does_undo_and_reset_leave_the_owner_alone(
    house: House, before: list[str], after: list[str], beside: list[str]
) -> None:
    """``beside`` is done between the owner's undo and their reset."""
    house.start(**SWITCHES)
    thief, owner = await owner_of(house)
    for name in (*before, "move away", *after):
        await thief.act(name)
    earlier = len(await mailbox(house, thief.owner, "password_reset"))
    await open_email(house, thief.owner, "email_changed")
    assert await thief.inside() == []
    assert await left_in(house, owner) == {"email": owner.email, "email_verified": True}
    for name in beside:
        await thief.act(name)
        assert await thief.inside() == []
    await open_email(house, thief.owner, "password_reset", earlier)
    assert (await house.sign_in(owner.email, NEW)).principal.user_id == owner.user_id
    assert await thief.inside() == []
    assert await left_in(house, owner) == {"email": owner.email, "email_verified": True, "families": 1}


@pytest.mark.parametrize("chain", [1, 2, 5])
async def test_an_address_stays_taken_while_an_undo_token_could_give_it_back(
    house: House, refusal: Code, chain: int
) -> None:
    house.start(**SWITCHES)
    thief, owner = await owner_of(house)
    for _ in range(chain):
        await thief.move_away()
        await thief.verify()
    stranger = (await house.sign_up("stranger@example.com")).principal
    made = await invite(house, stranger, owner.email)
    for claim in (
        house.sign_up(owner.email),
        house.ref.ask(accounts.UpdateProfile(principal=stranger, full_name=None, email=owner.email, origin=ORIGIN)),
        house.ref.ask(accounts.AcceptInvite(token=made.link[-43:], password=NEW, full_name="Not Asha", origin=ORIGIN)),
    ):
        assert await refusal(claim) == "email_already_registered"
    leap(house, timedelta(days=7).total_seconds())
    assert (await house.sign_up(owner.email)).principal.user_id != owner.user_id
    assert await refusal(open_email(house, owner.email, "email_changed")) == "token_invalid"


async def test_an_undo_ends_the_undo_tokens_made_later_and_no_earlier_one(house: House, refusal: Code) -> None:
    house.start(**SWITCHES)
    thief, owner = await owner_of(house)
    for _ in range(2):
        await thief.move_away()
        await thief.verify()
    await open_email(house, thief.addresses[0], "email_changed")
    assert await house.db.fetchval("SELECT email FROM users WHERE id = $1", owner.user_id) == thief.addresses[0]
    await open_email(house, owner.email, "email_changed")
    assert await house.db.fetchval("SELECT email FROM users WHERE id = $1", owner.user_id) == owner.email
    assert await refusal(open_email(house, thief.addresses[0], "email_changed")) == "token_invalid"


async def test_the_reset_of_an_undo_outlives_a_change_of_address_for_its_hour(house: House, refusal: Code) -> None:
    """Nobody is signed in then; should somebody change it all the same, the reset gives it back as the undo did."""
    house.start(**SWITCHES)
    thief, owner = await owner_of(house)
    await thief.move_away()
    await open_email(house, owner.email, "email_changed")
    version = await house.db.fetchval("SELECT token_version FROM users WHERE id = $1", owner.user_id)
    again = replace(owner, token_version=version)
    moving = accounts.UpdateProfile(principal=again, full_name=None, email="den@example.com", origin=ORIGIN)
    assert (await house.ref.ask(moving)).moved
    assert await refusal(house.sign_up(owner.email)) == "email_already_registered"
    await new(house, again)
    await open_email(house, owner.email, "password_reset")
    assert (await house.sign_in(owner.email, NEW)).principal.user_id == owner.user_id
    assert await left_in(house, owner) == {"email": owner.email, "email_verified": True, "families": 1}
    assert await refusal(open_email(house, owner.email, "password_reset")) == "token_invalid"


async def test_the_reset_of_an_undo_lasts_an_hour(house: House, refusal: Code) -> None:
    house.start(**SWITCHES)
    thief, owner = await owner_of(house)
    await thief.move_away()
    await open_email(house, owner.email, "email_changed")
    leap(house, 3600)
    assert await refusal(open_email(house, owner.email, "password_reset")) == "token_invalid"
    assert await refusal(house.sign_in(owner.email)) == "invalid_credentials", "the old password may be the thief's"


async def test_what_was_admitted_before_an_undo_and_arrives_behind_it_is_refused(house: House, refusal: Code) -> None:
    house.start(**SWITCHES)
    thief, owner = await owner_of(house)
    await thief.move_away()
    who = await thief.who()
    assert who is not None
    late = {
        api_keys.Create: new(house, who),
        invites.Create: invite(house, who, "accomplice@example.com"),
        email_verification.ChangeProfile: thief.house.ref.ask(
            accounts.UpdateProfile(principal=who, full_name=None, email="den@example.com", origin=ORIGIN)
        ),
    }
    for kind, asked in late.items():
        with house.storage.hold(kind, before=True):
            task = asyncio.ensure_future(asked)
            await house.storage.arrived.wait()
            if kind is api_keys.Create:
                await open_email(house, owner.email, "email_changed")
        assert await refusal(task) == "unauthorized"
    assert await left_in(house, owner) == {"email": owner.email, "email_verified": True}


async def test_r27_a_fall_back_gives_the_account_back_as_an_undo_does(house: House, refusal: Code) -> None:
    strict = Desk(house, auth_skip_email_verification=False)
    thief, owner = await owner_of(house)
    await thief.mint()
    await thief.set_up_totp()
    await thief.turn_totp_on()
    await thief.move_away()
    await thief.invite()
    assert await house.db.fetchval("SELECT state FROM outbox WHERE kind = 'invite'") == "held"
    leap(house, timedelta(days=7).total_seconds())
    await sweep(strict)
    assert await house.db.fetchval("SELECT state FROM outbox WHERE kind = 'invite'") == "dropped"
    assert await left_in(house, owner) == {"email": owner.email, "email_verified": True}
    assert await thief.inside() == []
    assert await refusal(house.sign_in(owner.email)) == "invalid_credentials"
    (event,) = await house.events("auth.email_change_undone")
    assert '"totp_removed": true' in event["said"]
    assert len(await house.events("auth.invite_revoked")) == 1
    await strict.deliver()
    await strict.reset(strict.postbox.token(owner.email), NEW)
    assert (await house.sign_in(owner.email, NEW)).principal.user_id == owner.user_id


async def test_a_fall_back_to_a_thiefs_address_leaves_the_owners_undo_alive(house: House) -> None:
    strict = Desk(house, auth_skip_email_verification=False, auth_unverified_ttl_seconds=3600)
    thief, owner = await owner_of(house)
    await thief.move_away()
    await thief.verify()
    await thief.move_away()
    leap(house, 3600)
    await sweep(strict)
    assert await house.db.fetchval("SELECT email FROM users WHERE id = $1", owner.user_id) == thief.addresses[0]
    await open_email(house, owner.email, "email_changed")
    assert await left_in(house, owner) == {"email": owner.email, "email_verified": True}


async def test_r27_what_a_squatter_armed_is_gone_when_the_owner_takes_the_address_by_reset(
    house: House, refusal: Code
) -> None:
    strict = Desk(house, auth_skip_email_verification=False)
    squatter = (await house.sign_up(password=STOLEN)).principal
    seed = await set_up(house, squatter)
    await verify(house, squatter, code(house, seed))
    key = (await new(house, squatter)).key
    made = await invite(house, squatter, "accomplice@example.com")
    await strict.reset(await strict.wish(), NEW)
    assert (await house.sign_in(password=NEW)).principal.user_id == squatter.user_id
    assert await refusal(house.who(key)) == "unauthorized"
    assert await refusal(look(house, made.link[-43:])) == "invite_not_pending"
    assert await house.db.fetchval("SELECT state FROM outbox WHERE kind = 'invite'") == "dropped"
    assert await left_in(house, squatter) == {"email": squatter.email, "email_verified": True, "families": 1}
    (event,) = await house.events("auth.password_reset")
    assert '"totp_removed": true' in event["said"]
    assert len(await house.events("auth.invite_revoked")) == 1


async def test_a_reset_of_a_verified_address_ends_neither_keys_nor_invites(house: House) -> None:
    strict = Desk(house, auth_skip_email_verification=False)
    _, owner = await owner_of(house)
    owner = replace(owner, email_verified=True)
    key = (await new(house, owner)).key
    made = await invite(house, owner)
    await strict.reset(await strict.wish(owner.email), NEW)
    assert (await house.who(key)).user_id == owner.user_id
    assert (await look(house, made.link[-43:])).inviter_email == owner.email


async def test_moves_between_unverified_addresses_gain_no_time(house: House, refusal: Code) -> None:
    strict = Desk(house, auth_skip_email_verification=False)
    signed_in = await house.sign_up("squatter@example.com")
    refresh, access = signed_in.refresh_token, signed_in.access_token
    for days, email in ((3, "victim@example.com"), (3, "other@example.com"), (0, "victim@example.com")):
        leap(house, timedelta(days=days).total_seconds())
        pair = await strict.ask(accounts.Refresh(refresh_token=refresh, origin=ORIGIN))
        refresh, access = pair.refresh_token, pair.access_token
        assert (await strict.update(await house.who(access), email=email)).moved
    leap(house, timedelta(days=1).total_seconds())
    asked = accounts.Refresh(refresh_token=refresh, origin=ORIGIN)
    assert await refusal(strict.ask(asked)) == "invalid_refresh_token"
    await sweep(strict)
    assert (await house.sign_up("victim@example.com")).principal.user_id != signed_in.principal.user_id
