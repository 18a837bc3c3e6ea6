"""Invites: who may be invited, what each of the two tokens is good for, and that nothing happens by halves."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.actors.accounts.inviting import (
    ORIGIN,
    RAVI,
    RING,
    WEEK,
    accept,
    brought,
    handed_over,
    invite,
    listed,
    look,
    revoke,
    state,
)
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.tokens import digest
from voyagent.actors.domain.errors import WeakPassword
from voyagent.actors.domain.identity import Role
from voyagent.actors.domain.ids import uuid7
from voyagent.storage.engine.sealing import Sealing

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]


async def test_an_invite_has_two_tokens_of_which_only_hashes_are_stored(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    made = await invite(harness, me, role=Role.AGENCY_ADMIN)
    assert made.invite.status == "pending"
    assert made.invite.expires_at == harness.clock.now() + timedelta(days=7)
    tokens = {handed_over(made), await brought(harness, made)}
    assert [len(token) for token in tokens] == [43, 43]
    row = await harness.db.fetchrow("SELECT token_hash, letter_token_hash, i::text AS said FROM invites i")
    assert row["token_hash"] == digest(handed_over(made))
    assert {row["token_hash"], row["letter_token_hash"]} == {digest(token) for token in tokens}
    (event,) = await harness.events("auth.invite_created")
    said = json.loads(event["said"])
    assert {"invite_id": made.invite.id, "email": RAVI, "role": "agency_admin"}.items() <= said.items()
    assert (event["status"], str(event["actor_id"])) == ("succeeded", me.user_id)
    assert not any(token in event["said"] + row["said"] for token in tokens)


async def test_r31_an_address_can_be_invited_again_after_revocation(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    first = await invite(harness, me)
    assert await refusal(invite(harness, me)) == "invite_already_exists"
    assert (await revoke(harness, me, first.invite.id)).status == "revoked"
    assert await invite(harness, me)
    assert await listed(harness, me) == ["pending", "revoked"]


async def test_r31_r32_an_address_can_be_invited_again_the_moment_its_invite_has_expired(
    harness: AccountsHarness, refusal: Code
) -> None:
    me = (await harness.sign_up()).principal
    first = await invite(harness, me)
    harness.clock.skip(WEEK - 1)
    assert await refusal(invite(harness, me)) == "invite_already_exists"
    await harness.clock.advance(1)
    assert await invite(harness, me)
    stored = await harness.db.fetch("SELECT status FROM invites ORDER BY created_at")
    assert [row["status"] for row in stored] == ["expired", "pending"]
    assert await state(harness, first) == "dropped"
    assert await harness.events("auth.invite_revoked") == []


async def test_r31_an_address_can_be_invited_again_when_its_member_is_gone(
    harness: AccountsHarness, refusal: Code
) -> None:
    me = (await harness.sign_up()).principal
    joined = await accept(harness, handed_over(await invite(harness, me)))
    assert await refusal(invite(harness, me)) == "email_already_registered"
    moment = harness.clock.now()
    await harness.db.execute("UPDATE users SET released_at = $2 WHERE id = $1", joined.principal.user_id, moment)
    assert await invite(harness, me)
    assert await listed(harness, me) == ["pending", "accepted"]


async def test_r31_accounts_of_other_agencies_are_not_disclosed_until_they_would_be_taken(
    harness: AccountsHarness, refusal: Code
) -> None:
    me = (await harness.sign_up()).principal
    await harness.sign_up(RAVI)
    made = await invite(harness, me)
    assert await refusal(accept(harness, handed_over(made))) == "email_already_registered"
    assert await listed(harness, me) == ["pending"]


async def test_r32_an_expired_invite_reads_as_expired_everywhere(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    made = await invite(harness, me)
    token = handed_over(made)
    harness.clock.skip(WEEK - 0.001)
    assert await listed(harness, me, "pending") == ["pending"]
    assert (await look(harness, token)).email == RAVI
    await harness.clock.advance(0.001)
    assert harness.clock.now() == made.invite.expires_at
    assert await listed(harness, me) == await listed(harness, me, "expired") == ["expired"]
    assert await listed(harness, me, "pending") == []
    assert await refusal(look(harness, token)) == "invite_expired"
    assert await refusal(accept(harness, token)) == "invite_expired"
    assert await refusal(revoke(harness, me, made.invite.id)) == "invite_not_pending"


async def test_r34_only_the_email_verifies_the_invitees_address(harness: AccountsHarness) -> None:
    harness.start(auth_skip_email_verification=False)
    me = (await harness.sign_up()).principal
    await harness.db.execute("UPDATE users SET email_verified = true")
    by_email, by_link = await invite(harness, me), await invite(harness, me, "mira@example.com", Role.VIEWER)
    assert await state(harness, by_email) == "due"
    joined = (await accept(harness, await brought(harness, by_email))).principal
    assert (joined.email, joined.role, joined.email_verified) == (RAVI, Role.AGENT, True)
    assert (joined.tenant_id, joined.tenant_name) == (me.tenant_id, "Rao Travels")
    assert await harness.count(f"outbox WHERE kind = 'verification' AND recipient = '{RAVI}'") == 0
    linked = await accept(harness, handed_over(by_link))
    assert (linked.principal.role, linked.principal.email_verified) == (Role.VIEWER, False)
    assert await harness.count("outbox WHERE kind = 'verification' AND recipient = 'mira@example.com'") == 1
    assert replace(await harness.who(linked.access_token), token_id=None) == linked.principal
    told = [json.loads(event["said"])["by"] for event in await harness.events("auth.invite_accepted")]
    assert told == ["letter", "link"]
    (verified,) = await harness.events("auth.email_verified")
    assert (json.loads(verified["said"])["by"], str(verified["actor_id"])) == ("invite", joined.user_id)
    assert {await state(harness, by_email), await state(harness, by_link)} == {"dropped"}, "nobody needs them now"


async def test_where_no_address_has_to_be_verified_the_link_sends_no_email(harness: AccountsHarness) -> None:
    made = await invite(harness, (await harness.sign_up()).principal)
    assert (await accept(harness, handed_over(made))).principal.email_verified
    assert await harness.count("outbox WHERE kind = 'verification'") == 0


@pytest.mark.parametrize("way", ["verified", "reset"])
async def test_emails_of_an_unverified_inviter_wait_until_the_address_is_verified(
    harness: AccountsHarness, way: str
) -> None:
    harness.start(auth_skip_email_verification=False, auth_debug_tokens=True, env="development")
    me = (await harness.sign_up()).principal
    first, second = await invite(harness, me), await invite(harness, me, "mira@example.com")
    assert [await state(harness, made) for made in (first, second)] == ["held", "held"]
    assert (await look(harness, handed_over(first))).inviter_email == "asha@example.com", "the link works at once"
    await revoke(harness, me, second.invite.id)
    await harness.clock.advance(60)
    if way == "reset":
        token = await harness.ref.ask(accounts.RequestReset(email=me.email, origin=ORIGIN))
        await harness.ref.ask(accounts.ResetPassword(token=token, new_password="velvet-harbour-93", origin=ORIGIN))
    else:
        row = await harness.db.fetchrow("SELECT id::text, payload_sealed FROM outbox WHERE kind = 'verification'")
        plain = Sealing(RING).open(row["payload_sealed"], table="outbox", column="payload_sealed", row=row["id"])
        await harness.ref.ask(accounts.VerifyEmail(token=json.loads(plain)["token"], origin=ORIGIN))
    if way == "reset":  # whoever made them may not be the one who reads the address
        assert [await state(harness, made) for made in (first, second)] == ["dropped", "dropped"]
        me = (await harness.sign_in(password="velvet-harbour-93")).principal
    else:
        assert [await state(harness, made) for made in (first, second)] == ["due", "dropped"]
        due_at = await harness.db.fetchval("SELECT due_at FROM outbox WHERE id = $1", first.invite.id)
        assert due_at == harness.clock.now()
    assert await state(harness, await invite(harness, me, "nila@example.com")) == "due"


async def test_r35_the_link_follows_the_public_url(harness: AccountsHarness) -> None:
    harness.start(public_url="https://travel.example/emails")
    made = await invite(harness, (await harness.sign_up()).principal)
    assert made.link == f"https://travel.example/emails/app/accept-invite?token={handed_over(made)}"


async def test_r36_a_weak_password_is_refused_before_the_invite_is_looked_at(harness: AccountsHarness) -> None:
    made = await invite(harness, (await harness.sign_up()).principal)
    harness.storage.asked.clear()
    with pytest.raises(WeakPassword):
        await accept(harness, handed_over(made), "password1234")
    assert harness.storage.asked == []
    assert await accept(harness, handed_over(made), "пароль-длинный-٤٧")


async def test_r37_an_accepted_invite_outlives_its_inviter_and_a_pending_one_does_not(
    harness: AccountsHarness, refusal: Code
) -> None:
    me = (await harness.sign_up()).principal
    other = replace(me, user_id=await harness.add(me.tenant_id, Role.AGENCY_ADMIN))
    used, open_one = await invite(harness, other), await invite(harness, other, "mira@example.com")
    await accept(harness, handed_over(used))
    await harness.change(other, is_active=False)
    assert await listed(harness, me) == ["revoked", "accepted"]
    assert await refusal(look(harness, handed_over(used))) == "invite_not_pending"
    assert await refusal(accept(harness, handed_over(open_one))) == "invite_not_pending"
    assert await state(harness, open_one) == "dropped"
    (event,) = await harness.events("auth.invite_revoked")
    assert (event["actor_kind"], event["actor_id"]) == ("system", None)
    assert (await harness.who((await harness.sign_in(RAVI)).access_token)).email == RAVI


async def test_who_is_no_admin_any_more_or_gone_invites_nobody(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    agent = replace(me, user_id=await harness.add(me.tenant_id, Role.AGENT))
    assert await refusal(invite(harness, agent)) == "forbidden_role"
    assert await refusal(invite(harness, replace(me, user_id=uuid7()))) == "unauthorized"
    assert await harness.count("invites") == await harness.count("outbox") == 0


async def test_r60_a_foreign_invite_is_not_there_and_a_suspended_agencys_neither(
    harness: AccountsHarness, refusal: Code
) -> None:
    me, outsider = (await harness.sign_up()).principal, (await harness.sign_up("lena@example.com")).principal
    made = await invite(harness, me)
    assert await refusal(revoke(harness, outsider, made.invite.id)) == "invite_not_found"
    assert await refusal(revoke(harness, me, uuid7())) == "invite_not_found"
    assert await listed(harness, outsider) == []
    assert await refusal(look(harness, "x" * 43)) == "invite_not_found"
    await harness.ref.ask(accounts.SwitchTenant(tenant_id=me.tenant_id, is_active=False))
    for attempt in (look(harness, handed_over(made)), accept(harness, handed_over(made))):
        assert await refusal(attempt) == "invite_not_found"
