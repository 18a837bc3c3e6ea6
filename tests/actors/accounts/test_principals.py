"""Who a token is, held against the present: on a real database, with a clock that is moved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.denial_audit import DeniedRequest
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.storage.accounts.principals import FindPrincipal, FindRevoked

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import House
    from voyagent.actors.accounts.access_watch import AccessWatch

Code = Callable[[Awaitable[Any]], Awaitable[str]]
Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
SECRET = "the secret these tests sign with, and nobody else"
DOOR = DeniedRequest(method="GET", path="/auth/me", origin=Origin(request_id="r-9", ip="192.0.2.9", user_agent="tests"))


def foreign(house: House, user_id: str, tenant_id: str, **changes: Any) -> str:
    """A token as tooling mints it: the nine claims, no key id."""
    now = int(house.clock.now().timestamp())
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


async def colleague(house: House, tenant_id: str, role: Role = Role.AGENT) -> tuple[str, Principal]:
    """A member with a token that does not lapse while the clock is moved about."""
    user_id = await house.add(tenant_id, role)
    far = int(house.clock.now().timestamp()) + 10**6
    token = foreign(house, user_id, tenant_id, exp=far)
    return token, await house.who(token)


async def test_the_row_decides_who_a_token_is(house: House) -> None:
    answer = await house.sign_up()
    me = await house.who(answer.access_token)
    assert me.token_id == jwt.decode(answer.access_token, options={"verify_signature": False})["jti"]
    assert Principal(**{n: getattr(me, n) for n in Principal.__slots__ if n != "token_id"}) == answer.principal


async def test_r25_a_foreign_token_is_its_row_and_not_its_claims(house: House) -> None:
    admin = (await house.sign_up()).principal
    viewer = await house.add(admin.tenant_id, Role.VIEWER)
    me = await house.who(foreign(house, viewer, admin.tenant_id, role="agency_admin", email="root@example.com"))
    assert (me.role, me.email, me.family_id) == (Role.VIEWER, f"{viewer}@example.com", None)


@pytest.mark.parametrize("wrong", ["person", "agency", "family"])
async def test_r40_genuine_tokens_of_nobody_are_refused_and_asked_about_once(
    house: House, refusal: Code, wrong: str
) -> None:
    me = (await house.sign_up()).principal
    other = (await house.sign_up("ravi@example.com")).principal
    told: dict[str, Any] = {
        "person": {"sub": uuid7()},
        "agency": {"tid": other.tenant_id},
        "family": {"sid": other.family_id},
    }[wrong]
    token = foreign(house, me.user_id, me.tenant_id, **told)
    house.storage.asked.clear()
    for _ in range(3):
        assert await refusal(house.who(token)) == "unauthorized"
    assert house.storage.asked.count(FindPrincipal) == 1
    assert (await house.who(foreign(house, me.user_id, me.tenant_id))).user_id == me.user_id


@pytest.mark.parametrize("bearer", ["", "nonsense", "vy_12345678_" + "a" * 32])
async def test_what_is_no_token_causes_no_query(house: House, refusal: Code, bearer: str) -> None:
    assert await refusal(house.who(bearer)) == "unauthorized"
    assert house.storage.asked == []


async def test_r15_a_demotion_bites_on_the_next_request(house: House) -> None:
    admin = (await house.sign_up()).principal
    token, member = await colleague(house, admin.tenant_id, Role.AGENCY_ADMIN)
    await house.change(member, role=Role.VIEWER)
    assert (await house.who(token)).role is Role.VIEWER


async def test_r15_a_deactivation_bites_and_coming_back_revives_no_token(house: House, refusal: Code) -> None:
    admin = await house.sign_up()
    token, member = await colleague(house, admin.principal.tenant_id)
    await house.clock.advance(5)
    await house.change(member, is_active=False)
    assert await refusal(house.who(token)) == "unauthorized"
    await house.change(member, is_active=True)
    assert await refusal(house.who(token)) == "unauthorized"
    await house.clock.advance(1)
    assert await house.who(foreign(house, member.user_id, member.tenant_id))
    assert await house.who(admin.access_token)


async def test_r15_an_ended_family_takes_its_tokens_and_no_others(house: House, refusal: Code) -> None:
    one, other = await house.sign_up(), await house.sign_in()
    await house.who(one.access_token)
    me = one.principal
    await house.db.execute("UPDATE auth_families SET revoked_at = now() WHERE id = $1", me.family_id)
    ended = accounts.Invalidate(tenant_id=me.tenant_id, user_id=me.user_id, credential_id=me.family_id, ended=True)
    await house.ref.ask(ended)
    assert await refusal(house.who(one.access_token)) == "unauthorized"
    assert await house.who(other.access_token)


async def test_r14_a_family_dies_of_age_and_its_tokens_with_it(house: House, refusal: Code) -> None:
    answer = await house.sign_up()
    await house.db.execute("UPDATE auth_families SET ends_at = $1", house.clock.now())
    assert await refusal(house.who(answer.access_token)) == "unauthorized"


async def test_a_denied_single_token_is_dead(house: House, refusal: Code) -> None:
    me = (await house.sign_up()).principal
    token, other = (foreign(house, me.user_id, me.tenant_id) for _ in range(2))
    await house.db.execute(
        "INSERT INTO revoked_access_tokens (jti, tenant_id, user_id, expires_at, created_at)"
        " VALUES ($1, $2, $3, $4, $4)",
        jwt.decode(token, options={"verify_signature": False})["jti"],
        me.tenant_id,
        me.user_id,
        house.clock.now(),
    )
    assert await refusal(house.who(token)) == "unauthorized"
    assert await house.who(other)


async def test_r15_an_older_version_is_refused(house: House, refusal: Code) -> None:
    answer = await house.sign_up()
    await house.db.execute("UPDATE users SET token_version = token_version + 1")
    assert await refusal(house.who(answer.access_token)) == "unauthorized"


async def test_a_row_changed_by_hand_is_obeyed_after_thirty_seconds(house: House) -> None:
    token = (await house.sign_up()).access_token
    await house.who(token)
    await house.db.execute("UPDATE users SET role = 'viewer'")
    await house.clock.advance(29)
    assert (await house.who(token)).role is Role.AGENCY_ADMIN
    await house.clock.advance(1)
    assert (await house.who(token)).role is Role.VIEWER


async def test_fifty_requests_of_one_person_share_one_reading(house: House) -> None:
    token = (await house.sign_up()).access_token
    house.storage.asked.clear()
    found = await asyncio.gather(*(house.who(token) for _ in range(50)))
    assert len({principal.user_id for principal in found}) == 1
    await house.who(token)
    assert house.storage.asked == [FindPrincipal]


async def test_a_reading_under_way_stalls_nobody_else(house: House) -> None:
    known = (await house.sign_up()).access_token
    slow = (await house.sign_up("ravi@example.com")).access_token
    await house.who(known)
    with house.storage.hold(FindPrincipal):
        waiting = asyncio.ensure_future(house.who(slow))
        await house.storage.arrived.wait()
        assert (await house.who(known)).email == "asha@example.com"
        assert not waiting.done()
    assert (await waiting).email == "ravi@example.com"


async def test_one_waiter_who_leaves_leaves_the_reading_to_the_others(house: House) -> None:
    token = (await house.sign_up()).access_token
    with house.storage.hold(FindPrincipal):
        leaver, stayer = asyncio.ensure_future(house.who(token)), asyncio.ensure_future(house.who(token))
        await house.storage.arrived.wait()
        leaver.cancel()
        await asyncio.wait({leaver})
    assert (await stayer).email == "asha@example.com"


async def test_r15_what_was_read_before_a_change_is_not_remembered_after_it(house: House) -> None:
    admin = (await house.sign_up()).principal
    user_id = await house.add(admin.tenant_id, Role.AGENT)
    token = foreign(house, user_id, admin.tenant_id)
    with house.storage.hold(FindPrincipal):
        early = asyncio.ensure_future(house.who(token))
        await house.storage.arrived.wait()
        await house.ref.ask(
            accounts.ChangeMember(
                tenant_id=admin.tenant_id, user_id=user_id, role=Role.VIEWER, by=None, origin=DOOR.origin
            )
        )
    assert (await early).role is Role.AGENT
    assert (await house.who(token)).role is Role.VIEWER


async def test_r17_neither_cache_nor_database_is_503_and_never_allowed(house: House, refusal: Code) -> None:
    token = (await house.sign_up()).access_token
    house.storage.away = True
    assert await refusal(house.who(token)) == "storage_unavailable"
    house.storage.away = False
    await house.who(token)
    house.storage.away = True
    await house.clock.advance(29)
    assert await house.who(token)
    await house.clock.advance(1)
    assert await refusal(house.who(token)) == "storage_unavailable"
    house.storage.away = False
    assert await house.who(token)


async def watch(house: House, principal: Principal) -> AccessWatch:
    return await house.ref.ask(accounts.Watch(principal))


async def test_a_watch_is_lost_with_the_person_and_not_with_their_role(house: House) -> None:
    admin = (await house.sign_up()).principal
    _, member = await colleague(house, admin.tenant_id)
    theirs, mine = await watch(house, member), await watch(house, admin)
    await house.change(member, role=Role.VIEWER)
    assert not theirs.is_revoked
    await house.change(member, is_active=False)
    async with asyncio.timeout(1):
        await theirs.revoked()
    assert not mine.is_revoked


async def test_r16_a_watch_is_lost_with_the_agency(house: House) -> None:
    mine = await watch(house, (await house.sign_up()).principal)
    others = await watch(house, (await house.sign_up("ravi@example.com")).principal)
    await house.ref.ask(accounts.SwitchTenant(tenant_id=mine.principal.tenant_id, is_active=False))
    assert mine.is_revoked
    assert not others.is_revoked


async def test_a_watch_is_lost_with_its_family_only(house: House) -> None:
    one = await watch(house, (await house.sign_up()).principal)
    other = await watch(house, (await house.sign_in()).principal)
    me = one.principal
    ended = accounts.Invalidate(tenant_id=me.tenant_id, user_id=me.user_id, credential_id=me.family_id, ended=True)
    await house.ref.ask(ended)
    assert (one.is_revoked, other.is_revoked) == (True, False)


async def test_a_watch_over_somebody_who_has_just_gone_begins_lost(house: House) -> None:
    admin = (await house.sign_up()).principal
    _, member = await colleague(house, admin.tenant_id)
    await house.change(member, is_active=False)
    assert (await watch(house, member)).is_revoked


async def test_a_change_between_looking_and_watching_is_not_missed(house: House) -> None:
    admin = (await house.sign_up()).principal
    user_id = await house.add(admin.tenant_id, Role.AGENT)
    token = foreign(house, user_id, admin.tenant_id)
    member = await house.who(token)
    await house.clock.advance(30)
    with house.storage.hold(FindPrincipal):
        watching = asyncio.ensure_future(watch(house, member))
        await house.storage.arrived.wait()
        await house.change(member, is_active=False)
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
    house: House, until: Until, by_hand: str
) -> None:
    principal = (await house.sign_up()).principal
    watching = await watch(house, principal)

    async def sweep() -> None:
        async def asleep() -> bool:
            return house.clock.pending > 0

        await until(asleep)
        await house.clock.advance(30)

    await sweep()
    assert not watching.is_revoked
    await house.db.execute(by_hand)
    await sweep()
    async with asyncio.timeout(5):
        await watching.revoked()


async def test_storage_away_ends_no_watch(house: House, until: Until) -> None:
    watching = await watch(house, (await house.sign_up()).principal)
    house.storage.away = True
    await house.clock.advance(30)

    async def swept() -> bool:
        return FindRevoked in house.storage.asked

    await until(swept)
    assert not watching.is_revoked
    assert house.ref.is_alive()


async def test_nobody_watching_means_nobody_is_asked_about(house: House) -> None:
    answer = await house.sign_up()
    await watch(house, answer.principal)
    await house.who(answer.access_token)  # an idle actor still has its last letter in hand
    await house.clock.advance(120)
    assert FindRevoked not in house.storage.asked


async def test_watches_end_with_the_actor_that_kept_them(house: House) -> None:
    watching = await watch(house, (await house.sign_up()).principal)
    await house.ref.stop_and_wait(5.0)
    assert watching.is_revoked


async def test_r52_denials_of_known_people_are_events_five_a_minute_and_the_rest_a_number(
    house: House, refusal: Code, until: Until
) -> None:
    admin = (await house.sign_up()).principal
    token, member = await colleague(house, admin.tenant_id)
    await house.change(member, is_active=False)
    for _ in range(25):
        assert await refusal(house.who(token, DOOR)) == "unauthorized"
    await house.clock.advance(60)
    await refusal(house.who(token, DOOR))

    async def six() -> Any:
        found = await house.events("auth.denied")
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


async def test_lapsed_and_forged_tokens_are_nobodys_event(house: House, refusal: Code) -> None:
    me = (await house.sign_up()).principal
    await refusal(house.who(foreign(house, me.user_id, me.tenant_id, exp=1), DOOR))
    await refusal(house.who(foreign(house, uuid7(), me.tenant_id), DOOR))
    await refusal(house.who("forged", DOOR))
    assert await house.who(foreign(house, me.user_id, me.tenant_id))
    assert await house.events("auth.denied") == []


async def test_what_a_guard_refuses_is_told_and_recorded(house: House, until: Until) -> None:
    me = (await house.sign_up()).principal
    house.ref.tell(accounts.Denied(principal=me, request=DOOR, status=403, code="forbidden_role"))
    (event,) = await until(lambda: house.events("auth.denied"))
    assert (event["status"], str(event["actor_id"])) == ("rejected", me.user_id)
    assert json.loads(event["said"])["code"] == "forbidden_role"
