"""Members change: what ends with their rights, and the admin an agency cannot be without."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from voyagent.actors.accounts import actor as accounts
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]


async def invite(harness: AccountsHarness, by: Principal, email: str, status: str = "pending") -> str:
    invite_id = uuid7()
    await harness.db.execute(
        "INSERT INTO invites (id, tenant_id, invited_by_user_id, inviter_email, email, token_hash, letter_token_hash,"
        " status, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        invite_id,
        by.tenant_id,
        by.user_id,
        by.email,
        email,
        uuid7().encode(),
        uuid7().encode(),
        status,
        harness.clock.now(),
    )
    return invite_id


async def key(harness: AccountsHarness, by: Principal) -> str:
    key_id = uuid7()
    await harness.db.execute(
        "INSERT INTO api_keys (id, tenant_id, created_by_user_id, name, prefix, key_hash, created_at)"
        " VALUES ($1, $2, $3, 'key', 'abcdefgh', $4, $5)",
        key_id,
        by.tenant_id,
        by.user_id,
        uuid7().encode(),
        harness.clock.now(),
    )
    return key_id


async def second_admin(harness: AccountsHarness, admin: Principal) -> str:
    return await harness.add(admin.tenant_id, Role.AGENCY_ADMIN)


async def test_a_change_is_answered_and_remembered_with_before_and_after(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    user_id = await harness.add(admin.tenant_id, Role.AGENT, "ravi@example.com")
    change = accounts.ChangeMember(
        tenant_id=admin.tenant_id,
        user_id=user_id,
        role=Role.TICKETING_LEAD,
        by=admin,
        origin=Origin(request_id="r-1"),
    )
    member = await harness.ref.ask(change)
    assert (member.id, member.email, member.role, member.is_active) == (
        user_id,
        "ravi@example.com",
        Role.TICKETING_LEAD,
        True,
    )
    assert await harness.ref.ask(change) == member
    (event,) = await harness.events("auth.member_changed")
    said = json.loads(event["said"])
    assert str(event["actor_id"]) == admin.user_id
    assert (said["user_id"], said["before"], said["after"]) == (
        user_id,
        {"role": "agent", "is_active": True},
        {"role": "ticketing_lead", "is_active": True},
    )


async def test_r37_a_deactivation_ends_sessions_keys_and_pending_invites_and_nothing_older(
    harness: AccountsHarness,
) -> None:
    admin = (await harness.sign_up()).principal
    await second_admin(harness, admin)
    families = [admin.family_id, (await harness.sign_in()).principal.family_id]
    accepted = await invite(harness, admin, "a@example.com", "accepted")
    pending = await invite(harness, admin, "b@example.com")
    own = await key(harness, admin)
    await harness.change(admin, is_active=False)
    ended = json.loads((await harness.events("auth.member_changed"))[0]["said"])
    assert ended["sessions_ended"] == sorted(str(family) for family in families)
    assert (ended["api_keys_ended"], ended["invites_ended"]) == ([own], [pending])
    (revoked,) = await harness.events("auth.invite_revoked")
    assert (revoked["actor_kind"], json.loads(revoked["said"])["email"]) == ("system", "b@example.com")
    statuses = dict(await harness.db.fetch("SELECT id::text, status FROM invites"))
    assert statuses == {accepted: "accepted", pending: "revoked"}
    before = await harness.db.fetch("SELECT id, revoked_at, revoked_why FROM auth_families ORDER BY id")
    assert {row["revoked_why"] for row in before} == {"deactivated"}
    await harness.clock.advance(60)
    await harness.change(admin, is_active=True)
    assert await harness.db.fetch("SELECT id, revoked_at, revoked_why FROM auth_families ORDER BY id") == before
    assert await harness.db.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL") == 0


async def test_r37_a_demotion_ends_pending_invites_only(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    await second_admin(harness, admin)
    pending = await invite(harness, admin, "b@example.com")
    await key(harness, admin)
    await harness.change(admin, role=Role.AGENT)
    ended = json.loads((await harness.events("auth.member_changed"))[0]["said"])
    assert (ended["sessions_ended"], ended["api_keys_ended"], ended["invites_ended"]) == ([], [], [pending])
    assert await harness.db.fetchval("SELECT count(*) FROM auth_families WHERE revoked_at IS NOT NULL") == 0


async def test_r42_the_last_admin_stays(harness: AccountsHarness, refusal: Code) -> None:
    admin = (await harness.sign_up()).principal
    off = await harness.add(admin.tenant_id, Role.AGENCY_ADMIN)
    await harness.db.execute("UPDATE users SET is_active = false WHERE id = $1", off)
    assert await refusal(harness.change(admin, role=Role.AGENT)) == "last_admin"
    assert await refusal(harness.change(admin, is_active=False)) == "last_admin"
    assert (await harness.change(admin, role=Role.AGENCY_ADMIN, is_active=True)).role is Role.AGENCY_ADMIN


async def test_r42_two_admins_who_demote_each_other_at_once_leave_one(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    both = [admin, replace(admin, user_id=await second_admin(harness, admin))]
    for _ in range(100):
        attempts = [
            harness.ref.ask(
                accounts.ChangeMember(
                    tenant_id=admin.tenant_id,
                    user_id=them.user_id,
                    role=Role.AGENT,
                    by=by,
                    origin=Origin(request_id="r"),
                )
            )
            for them, by in (both, reversed(both))
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [getattr(each, "code", "ok") for each in outcomes if isinstance(each, Refusal)] == ["last_admin"]
        await harness.db.execute("UPDATE users SET role = 'agency_admin'")


@pytest.mark.parametrize(
    ("lost", "code"),
    [({"is_active": False}, "unauthorized"), ({"role": Role.AGENT}, "forbidden_role")],
    ids=["switched off", "demoted"],
)
async def test_r15_an_admin_who_is_none_any_more_gives_nobody_rights_though_admitted_before(
    harness: AccountsHarness, refusal: Code, lost: dict[str, Any], code: str
) -> None:
    admin = (await harness.sign_up()).principal
    former = replace(admin, user_id=await second_admin(harness, admin))
    agent = replace(admin, user_id=await harness.add(admin.tenant_id, Role.AGENT))
    await harness.change(former, **lost)
    changed = len(await harness.events("auth.member_changed"))

    for whom in (former, agent):
        change = accounts.ChangeMember(
            tenant_id=admin.tenant_id,
            user_id=whom.user_id,
            role=Role.AGENCY_ADMIN if whom is agent or "role" in lost else None,
            is_active=True,
            by=former,
            origin=Origin(request_id="r"),
        )
        assert await refusal(harness.ref.ask(change)) == code

    assert len(await harness.events("auth.member_changed")) == changed
    assert await harness.count("users WHERE role = 'agency_admin' AND is_active") == 1


async def test_r15_whose_tokens_ended_changes_nobody(harness: AccountsHarness, refusal: Code) -> None:
    admin = (await harness.sign_up()).principal
    agent = await harness.add(admin.tenant_id, Role.AGENT)
    await harness.db.execute("UPDATE users SET token_version = token_version + 1 WHERE id = $1", admin.user_id)
    change = accounts.ChangeMember(
        tenant_id=admin.tenant_id, user_id=agent, is_active=False, by=admin, origin=Origin(request_id="r")
    )

    assert await refusal(harness.ref.ask(change)) == "unauthorized"
    assert await harness.count("users WHERE is_active") == 2


async def test_r60_members_of_other_agencies_are_nobody(harness: AccountsHarness, refusal: Code) -> None:
    mine, theirs = (await harness.sign_up()).principal, (await harness.sign_up("ravi@example.com")).principal
    change = accounts.ChangeMember(
        tenant_id=mine.tenant_id,
        user_id=theirs.user_id,
        is_active=False,
        by=mine,
        origin=Origin(request_id="r"),
    )
    assert await refusal(harness.ref.ask(change)) == "member_not_found"
    assert await harness.db.fetchval("SELECT is_active FROM users WHERE id = $1", theirs.user_id)


async def test_r58_a_member_cannot_be_added_under_an_address_in_use_anywhere(
    harness: AccountsHarness, refusal: Code
) -> None:
    await harness.sign_up()
    other = (await harness.sign_up("ravi@example.com")).principal
    taken = harness.add(other.tenant_id, Role.AGENT, "asha@example.com")
    assert await refusal(taken) == "email_already_registered"


async def test_switching_an_unknown_agency_is_refused(harness: AccountsHarness, refusal: Code) -> None:
    switch = accounts.SwitchTenant(tenant_id=uuid7(), is_active=False)
    assert await refusal(harness.ref.ask(switch)) == "tenant_not_found"
