"""Who a token is, held against the present: on a real database, with a clock that is moved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from tests.waiting import until
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.denial_audit import DeniedRequest
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.storage.accounts.principals import FindPrincipal, FindRevoked

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness
    from voyagent.actors.accounts.access_watch import AccessWatch

Code = Callable[[Awaitable[Any]], Awaitable[str]]
SECRET = "the secret these tests sign with, and nobody else"
DENIED = DeniedRequest(
    method="GET", path="/auth/me", origin=Origin(request_id="r-9", ip="192.0.2.9", user_agent="tests")
)


def foreign(harness: AccountsHarness, user_id: str, tenant_id: str, **changes: Any) -> str:
    """A token as tooling mints it: the nine claims, no key id."""
    now = int(harness.clock.now().timestamp())
    claims = {
        "sub": user_id,
        "tid": tenant_id,
        "role": "agency_admin",
        "email": "asha@example.com",
        "iat": now,
        "exp": now + 3600,
        "jti": uuid7().replace("-", ""),
        "iss": "voyagent",
        "aud": "voyagent-api",
    }
    return jwt.encode(claims | changes, SECRET, "HS256")


async def colleague(harness: AccountsHarness, tenant_id: str, role: Role = Role.AGENT) -> tuple[str, Principal]:
    """A member with a token that does not expire while the clock is moved about."""
    user_id = await harness.add(tenant_id, role)
    far = int(harness.clock.now().timestamp()) + 10**6
    token = foreign(harness, user_id, tenant_id, exp=far)
    return token, await harness.who(token)


async def test_the_row_decides_who_a_token_is(harness: AccountsHarness) -> None:
    answer = await harness.sign_up()
    me = await harness.who(answer.access_token)
    assert me.token_id == jwt.decode(answer.access_token, options={"verify_signature": False})["jti"]
    assert Principal(**{n: getattr(me, n) for n in Principal.__slots__ if n != "token_id"}) == answer.principal


async def test_r25_a_foreign_token_is_its_row_and_not_its_claims(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    viewer = await harness.add(admin.tenant_id, Role.VIEWER)
    me = await harness.who(foreign(harness, viewer, admin.tenant_id, role="agency_admin", email="root@example.com"))
    assert (me.role, me.email, me.family_id) == (Role.VIEWER, f"{viewer}@example.com", None)


@pytest.mark.parametrize("wrong", ["person", "agency", "family"])
async def test_r40_genuine_tokens_of_nobody_are_refused_and_asked_about_once(
    harness: AccountsHarness, refusal: Code, wrong: str
) -> None:
    me = (await harness.sign_up()).principal
    other = (await harness.sign_up("ravi@example.com")).principal
    told: dict[str, Any] = {
        "person": {"sub": uuid7()},
        "agency": {"tid": other.tenant_id},
        "family": {"sid": other.family_id},
    }[wrong]
    token = foreign(harness, me.user_id, me.tenant_id, **told)
    harness.storage.asked.clear()
    for _ in range(3):
        assert await refusal(harness.who(token)) == "unauthorized"
    assert harness.storage.asked.count(FindPrincipal) == 1
    assert (await harness.who(foreign(harness, me.user_id, me.tenant_id))).user_id == me.user_id


@pytest.mark.parametrize("bearer", ["", "nonsense", "vy_12345678_" + "a" * 32])
async def test_what_is_no_token_causes_no_query(harness: AccountsHarness, refusal: Code, bearer: str) -> None:
    assert await refusal(harness.who(bearer)) == "unauthorized"
    assert harness.storage.asked == []


async def test_r15_a_demotion_takes_effect_on_the_next_request(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    token, member = await colleague(harness, admin.tenant_id, Role.AGENCY_ADMIN)
    await harness.change(member, role=Role.VIEWER)
    assert (await harness.who(token)).role is Role.VIEWER


async def test_r15_a_deactivation_takes_effect_and_coming_back_revives_no_token(
    harness: AccountsHarness, refusal: Code
) -> None:
    admin = await harness.sign_up()
    token, member = await colleague(harness, admin.principal.tenant_id)
    await harness.clock.advance(5)
    await harness.change(member, is_active=False)
    assert await refusal(harness.who(token)) == "unauthorized"
    await harness.change(member, is_active=True)
    assert await refusal(harness.who(token)) == "unauthorized"
    await harness.clock.advance(1)
    assert await harness.who(foreign(harness, member.user_id, member.tenant_id))
    assert await harness.who(admin.access_token)


async def test_r15_an_ended_family_takes_its_tokens_and_no_others(harness: AccountsHarness, refusal: Code) -> None:
    one, other = await harness.sign_up(), await harness.sign_in()
    await harness.who(one.access_token)
    me = one.principal
    await harness.db.execute("UPDATE auth_families SET revoked_at = now() WHERE id = $1", me.family_id)
    ended = accounts.Invalidate(tenant_id=me.tenant_id, user_id=me.user_id, credential_id=me.family_id, ended=True)
    await harness.ref.ask(ended)
    assert await refusal(harness.who(one.access_token)) == "unauthorized"
    assert await harness.who(other.access_token)


async def test_r14_a_family_ends_of_age_and_its_tokens_with_it(harness: AccountsHarness, refusal: Code) -> None:
    answer = await harness.sign_up()
    await harness.db.execute("UPDATE auth_families SET ends_at = $1", harness.clock.now())
    assert await refusal(harness.who(answer.access_token)) == "unauthorized"


async def test_a_revoked_single_token_is_refused(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    token, other = (foreign(harness, me.user_id, me.tenant_id) for _ in range(2))
    await harness.db.execute(
        "INSERT INTO revoked_access_tokens (jti, tenant_id, user_id, expires_at, created_at)"
        " VALUES ($1, $2, $3, $4, $4)",
        jwt.decode(token, options={"verify_signature": False})["jti"],
        me.tenant_id,
        me.user_id,
        harness.clock.now(),
    )
    assert await refusal(harness.who(token)) == "unauthorized"
    assert await harness.who(other)


async def test_r15_an_older_version_is_refused(harness: AccountsHarness, refusal: Code) -> None:
    answer = await harness.sign_up()
    await harness.db.execute("UPDATE users SET token_version = token_version + 1")
    assert await refusal(harness.who(answer.access_token)) == "unauthorized"


async def test_a_row_changed_by_hand_is_obeyed_after_thirty_seconds(harness: AccountsHarness) -> None:
    token = (await harness.sign_up()).access_token
    await harness.who(token)
    await harness.db.execute("UPDATE users SET role = 'viewer'")
    await harness.clock.advance(29)
    assert (await harness.who(token)).role is Role.AGENCY_ADMIN
    await harness.clock.advance(1)
    assert (await harness.who(token)).role is Role.VIEWER


async def test_fifty_requests_of_one_person_share_one_reading(harness: AccountsHarness) -> None:
    token = (await harness.sign_up()).access_token
    harness.storage.asked.clear()
    found = await asyncio.gather(*(harness.who(token) for _ in range(50)))
    assert len({principal.user_id for principal in found}) == 1
    await harness.who(token)
    assert harness.storage.asked == [FindPrincipal]


async def test_a_reading_under_way_stalls_nobody_else(harness: AccountsHarness) -> None:
    known = (await harness.sign_up()).access_token
    slow = (await harness.sign_up("ravi@example.com")).access_token
    await harness.who(known)
    with harness.storage.hold(FindPrincipal):
        waiting = asyncio.ensure_future(harness.who(slow))
        await harness.storage.arrived.wait()
        assert (await harness.who(known)).email == "asha@example.com"
        assert not waiting.done()
    assert (await waiting).email == "ravi@example.com"


async def test_one_waiter_who_leaves_leaves_the_reading_to_the_others(harness: AccountsHarness) -> None:
    token = (await harness.sign_up()).access_token
    with harness.storage.hold(FindPrincipal):
        leaver, stayer = asyncio.ensure_future(harness.who(token)), asyncio.ensure_future(harness.who(token))
        await harness.storage.arrived.wait()
        leaver.cancel()
        await asyncio.wait({leaver})
    assert (await stayer).email == "asha@example.com"


async def test_r15_what_was_read_before_a_change_is_not_remembered_after_it(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    user_id = await harness.add(admin.tenant_id, Role.AGENT)
    token = foreign(harness, user_id, admin.tenant_id)
    with harness.storage.hold(FindPrincipal):
        early = asyncio.ensure_future(harness.who(token))
        await harness.storage.arrived.wait()
        await harness.ref.ask(
            accounts.ChangeMember(
                tenant_id=admin.tenant_id, user_id=user_id, role=Role.VIEWER, by=None, origin=DENIED.origin
            )
        )
    assert (await early).role is Role.AGENT
    assert (await harness.who(token)).role is Role.VIEWER


async def test_r17_neither_cache_nor_database_is_503_and_never_allowed(harness: AccountsHarness, refusal: Code) -> None:
    token = (await harness.sign_up()).access_token
    harness.storage.away = True
    assert await refusal(harness.who(token)) == "storage_unavailable"
    harness.storage.away = False
    await harness.who(token)
    harness.storage.away = True
    await harness.clock.advance(29)
    assert await harness.who(token)
    await harness.clock.advance(1)
    assert await refusal(harness.who(token)) == "storage_unavailable"
    harness.storage.away = False
    assert await harness.who(token)


async def watch(harness: AccountsHarness, principal: Principal) -> AccessWatch:
    return await harness.ref.ask(accounts.Watch(principal))


async def test_a_watch_is_lost_with_the_person_and_not_with_their_role(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    _, member = await colleague(harness, admin.tenant_id)
    theirs, mine = await watch(harness, member), await watch(harness, admin)
    await harness.change(member, role=Role.VIEWER)
    assert not theirs.is_revoked
    await harness.change(member, is_active=False)
    async with asyncio.timeout(1):
        await theirs.revoked()
    assert not mine.is_revoked


async def test_r16_a_watch_is_lost_with_the_agency(harness: AccountsHarness) -> None:
    mine = await watch(harness, (await harness.sign_up()).principal)
    others = await watch(harness, (await harness.sign_up("ravi@example.com")).principal)
    await harness.ref.ask(accounts.SwitchTenant(tenant_id=mine.principal.tenant_id, is_active=False))
    assert mine.is_revoked
    assert not others.is_revoked


async def test_a_watch_is_lost_with_its_family_only(harness: AccountsHarness) -> None:
    one = await watch(harness, (await harness.sign_up()).principal)
    other = await watch(harness, (await harness.sign_in()).principal)
    me = one.principal
    ended = accounts.Invalidate(tenant_id=me.tenant_id, user_id=me.user_id, credential_id=me.family_id, ended=True)
    await harness.ref.ask(ended)
    assert (one.is_revoked, other.is_revoked) == (True, False)


async def test_a_watch_over_somebody_who_has_just_gone_begins_lost(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    _, member = await colleague(harness, admin.tenant_id)
    await harness.change(member, is_active=False)
    assert (await watch(harness, member)).is_revoked


async def test_a_change_between_looking_and_watching_is_not_missed(harness: AccountsHarness) -> None:
    admin = (await harness.sign_up()).principal
    user_id = await harness.add(admin.tenant_id, Role.AGENT)
    token = foreign(harness, user_id, admin.tenant_id)
    member = await harness.who(token)
    await harness.clock.advance(30)
    with harness.storage.hold(FindPrincipal):
        watching = asyncio.ensure_future(watch(harness, member))
        await harness.storage.arrived.wait()
        await harness.change(member, is_active=False)
    assert (await watching).is_revoked


@pytest.mark.parametrize(
    "by_hand",
    [
        "UPDATE users SET is_active = false",
        "UPDATE tenants SET is_active = false",
        "UPDATE auth_families SET revoked_at = now()",
        "UPDATE auth_families SET ends_at = '2020-01-01'",
    ],
)
async def test_streams_learn_of_rows_changed_by_hand_within_thirty_seconds(
    harness: AccountsHarness, by_hand: str
) -> None:
    principal = (await harness.sign_up()).principal
    watching = await watch(harness, principal)

    async def sweep() -> None:
        async def passivated() -> bool:
            return harness.clock.pending > 0

        await until(passivated)
        await harness.clock.advance(30)

    await sweep()
    assert not watching.is_revoked
    await harness.db.execute(by_hand)
    await sweep()
    async with asyncio.timeout(5):
        await watching.revoked()


async def test_storage_unavailable_ends_no_watch(harness: AccountsHarness) -> None:
    watching = await watch(harness, (await harness.sign_up()).principal)
    harness.storage.away = True
    await harness.clock.advance(30)

    async def swept() -> bool:
        return FindRevoked in harness.storage.asked

    await until(swept)
    assert not watching.is_revoked
    assert harness.ref.is_alive()


async def test_nobody_watching_means_nobody_is_asked_about(harness: AccountsHarness) -> None:
    answer = await harness.sign_up()
    await watch(harness, answer.principal)
    await harness.clock.advance(120)
    assert FindRevoked not in harness.storage.asked


async def test_watches_end_with_the_actor_that_kept_them(harness: AccountsHarness) -> None:
    watching = await watch(harness, (await harness.sign_up()).principal)
    await harness.ref.stop_and_wait(5.0)
    assert watching.is_revoked


async def test_r52_denials_of_known_people_are_events_five_a_minute_and_the_rest_a_number(
    harness: AccountsHarness, refusal: Code
) -> None:
    admin = (await harness.sign_up()).principal
    token, member = await colleague(harness, admin.tenant_id)
    await harness.change(member, is_active=False)
    for _ in range(25):
        assert await refusal(harness.who(token, DENIED)) == "unauthorized"
    await harness.clock.advance(60)
    await refusal(harness.who(token, DENIED))

    async def six() -> Any:
        found = await harness.events("auth.denied")
        return found if len(found) == 6 else None

    told = [json.loads(event["said"]) for event in await until(six)]
    assert told[0] == {
        "request_id": "r-9",
        "ip": "192.0.2.9",
        "user_agent": "tests",
        "method": "GET",
        "path": "/auth/me",
        "status": 401,
        "code": "unauthorized",
    }
    assert sorted(each.get("suppressed", 0) for each in told) == [0, 0, 0, 0, 0, 20]


async def test_expired_and_forged_tokens_are_nobodys_event(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    await refusal(harness.who(foreign(harness, me.user_id, me.tenant_id, exp=1), DENIED))
    await refusal(harness.who(foreign(harness, uuid7(), me.tenant_id), DENIED))
    await refusal(harness.who("forged", DENIED))
    assert await harness.who(foreign(harness, me.user_id, me.tenant_id))
    assert await harness.events("auth.denied") == []


async def test_what_a_guard_refuses_is_told_and_recorded(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    harness.ref.tell(accounts.Denied(principal=me, request=DENIED, status=403, code="forbidden_role"))
    (event,) = await until(lambda: harness.events("auth.denied"))
    assert (event["status"], str(event["actor_id"])) == ("rejected", me.user_id)
    assert json.loads(event["said"])["code"] == "forbidden_role"
