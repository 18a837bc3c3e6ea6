"""Refresh tokens on a real database, with a clock that is moved: one successor, a short grace, no thieves."""

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
from voyagent.actors.accounts.login_sessions import SignedIn
from voyagent.actors.accounts.refresh_tokens import TokenPair
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.identity import Role
from voyagent.actors.foundation import metrics
from voyagent.storage.accounts.refresh_tokens import Renew

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness
    from tests.conftest import Database

Code = Callable[[Awaitable[Any]], Awaitable[str]]
REFUSED = "invalid_refresh_token"
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")


def leap(harness: AccountsHarness, seconds: float) -> None:
    """Let days pass at once, without the ticks in between."""
    harness.clock.skip(seconds)


async def refresh(harness: AccountsHarness, token: str, ref: Any = None) -> TokenPair:
    message = accounts.Refresh(refresh_token=token, origin=ORIGIN)
    pair: TokenPair = await (ref or harness.ref).ask(message)
    return pair


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def test_a_refresh_gives_a_new_pair_of_the_same_family_and_writes_no_event(harness: AccountsHarness) -> None:
    first = await harness.sign_up()
    before = await harness.count("audit_events")
    await harness.clock.advance(60)
    pair = await refresh(harness, first.refresh_token)
    assert pair.expires_in == 3600
    assert len(pair.refresh_token) == 43
    assert pair.refresh_token != first.refresh_token
    assert pair.access_token != first.access_token
    assert claims(pair.access_token)["sid"] == first.principal.family_id
    assert (await harness.who(pair.access_token)).user_id == first.principal.user_id
    assert await harness.who(first.access_token)
    assert await harness.count("audit_events") == before
    family = await harness.db.fetchrow("SELECT * FROM auth_families")
    assert family["counter"] == 1
    assert family["rotated_at"] == family["last_used_at"] == harness.clock.now()
    assert family["expires_at"] == harness.clock.now() + timedelta(days=30)


async def test_r12_sixteen_refreshes_at_once_give_one_successor(harness: AccountsHarness) -> None:
    first = await harness.sign_up()
    pairs = await asyncio.gather(*(refresh(harness, first.refresh_token) for _ in range(16)))
    (successor,) = {pair.refresh_token for pair in pairs}
    rows = await harness.db.fetch("SELECT counter FROM auth_refresh_tokens ORDER BY counter")
    assert [row["counter"] for row in rows] == [0, 1]
    for pair in pairs:
        assert await harness.who(pair.access_token)
    assert (await refresh(harness, successor)).refresh_token not in {successor, first.refresh_token}


async def test_r13_the_predecessor_within_the_grace_returns_the_same_successor(harness: AccountsHarness) -> None:
    first = await harness.sign_up()
    pair = await refresh(harness, first.refresh_token)
    before = await harness.db.fetchrow("SELECT counter, expires_at, rotated_at FROM auth_families")
    await harness.clock.advance(29)
    again = await refresh(harness, first.refresh_token)
    assert again.refresh_token == pair.refresh_token
    assert again.access_token != pair.access_token
    assert await harness.db.fetchrow("SELECT counter, expires_at, rotated_at FROM auth_families") == before


async def test_r13_later_it_ends_the_family_with_its_newest_tokens_and_says_so(
    harness: AccountsHarness, refusal: Code
) -> None:
    first, other = await harness.sign_up(), await harness.sign_in()
    pair = await refresh(harness, first.refresh_token)
    assert await harness.who(pair.access_token)
    watching = await harness.ref.ask(accounts.Watch(await harness.who(pair.access_token)))
    before = counted(metrics.AUTH_REFRESH_REUSE_TOTAL)
    await harness.clock.advance(31)
    assert await refusal(refresh(harness, first.refresh_token)) == REFUSED
    assert watching.is_revoked
    assert await refusal(refresh(harness, pair.refresh_token)) == REFUSED
    assert await refusal(harness.who(pair.access_token)) == "unauthorized"
    assert await harness.who(other.access_token)
    assert counted(metrics.AUTH_REFRESH_REUSE_TOTAL) == before + 1
    (event,) = await harness.events("auth.refresh_reused")
    said = json.loads(event["said"])
    assert (event["status"], event["actor_kind"], event["actor_id"]) == ("rejected", "system", None)
    assert json.loads(event["entity_refs"]) == {"user_id": first.principal.user_id}
    assert (said["session_id"], said["counter"], said["presented"]) == (first.principal.family_id, 1, 0)
    assert first.refresh_token not in event["said"]
    row = await harness.db.fetchrow("SELECT revoked_at, revoked_why FROM auth_families WHERE revoked_at IS NOT NULL")
    assert tuple(row) == (harness.clock.now(), "reused")


async def test_r13_anything_older_than_the_predecessor_ends_it_at_once(harness: AccountsHarness, refusal: Code) -> None:
    first = await harness.sign_up()
    second = await refresh(harness, first.refresh_token)
    third = await refresh(harness, second.refresh_token)
    assert await refusal(refresh(harness, first.refresh_token)) == REFUSED
    assert await refusal(refresh(harness, third.refresh_token)) == REFUSED
    (event,) = await harness.events("auth.refresh_reused")
    assert json.loads(event["said"])["counter"] == 2


async def test_r13_without_a_grace_every_token_works_exactly_once(harness: AccountsHarness, refusal: Code) -> None:
    harness.start(auth_refresh_grace_seconds=0)
    first = await harness.sign_up()
    pair = await refresh(harness, first.refresh_token)
    assert await refusal(refresh(harness, first.refresh_token)) == REFUSED
    assert await refusal(refresh(harness, pair.refresh_token)) == REFUSED


async def test_r19_without_a_grace_one_of_sixteen_wins_across_two_processes(
    harness: AccountsHarness, database: Database
) -> None:
    first = harness.start(auth_refresh_grace_seconds=0)
    token = (await harness.sign_up()).refresh_token
    async with harness.another_process(database, auth_refresh_grace_seconds=0) as second:
        tries = [refresh(harness, token, ref) for ref in (first, second) for _ in range(8)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, TokenPair) for outcome in outcomes) == 1
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {REFUSED}
    assert await harness.count("auth_families WHERE revoked_why = 'reused'") == 1


async def test_r14_sign_ins_are_independent(harness: AccountsHarness, refusal: Code) -> None:
    one, two = await harness.sign_up(), await harness.sign_in()
    next_one, next_two = await refresh(harness, one.refresh_token), await refresh(harness, two.refresh_token)
    for token in (one.access_token, two.access_token, next_one.access_token, next_two.access_token):
        assert await harness.who(token)
    await harness.clock.advance(31)
    assert await refusal(refresh(harness, one.refresh_token)) == REFUSED
    assert await refusal(harness.who(next_one.access_token)) == "unauthorized"
    assert await harness.who(next_two.access_token)
    assert await refresh(harness, next_two.refresh_token)


async def test_r14_a_family_ends_after_ninety_days_however_busy(harness: AccountsHarness, refusal: Code) -> None:
    token = (await harness.sign_up()).refresh_token
    for day in range(1, 90):
        leap(harness, 86_400)
        pair = await refresh(harness, token)
        token = pair.refresh_token
        assert day < 89 or await harness.who(pair.access_token)
    leap(harness, 86_400)
    assert await refusal(refresh(harness, token)) == REFUSED
    assert await refusal(harness.who(pair.access_token)) == "unauthorized"


async def test_r14_a_token_unused_for_thirty_days_is_expired_and_ends_nothing(
    harness: AccountsHarness, refusal: Code
) -> None:
    token = (await harness.sign_up()).refresh_token
    leap(harness, 30 * 86_400)
    assert await refusal(refresh(harness, token)) == REFUSED
    assert await harness.events("auth.refresh_reused") == []


async def test_a_refresh_just_before_the_end_is_not_cut_off_by_what_is_remembered(harness: AccountsHarness) -> None:
    first = await harness.sign_up()
    leap(harness, 30 * 86_400 - 5)
    far = claims(first.access_token) | {"exp": int(harness.clock.now().timestamp()) + 3600}
    await harness.who(jwt.encode(far, "the secret these tests sign with, and nobody else", "HS256"))
    pair = await refresh(harness, first.refresh_token)
    await harness.clock.advance(10)
    assert await harness.who(pair.access_token)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET is_active = false",
        "UPDATE users SET released_at = now()",
        "UPDATE tenants SET is_active = false",
        "UPDATE auth_families SET revoked_at = now()",
        "UPDATE auth_refresh_tokens SET token_hash = sha256('another')",
    ],
)
async def test_r16_who_may_not_sign_in_gets_no_token(harness: AccountsHarness, refusal: Code, change: str) -> None:
    token = (await harness.sign_up()).refresh_token
    await harness.db.execute(change)
    assert await refusal(refresh(harness, token)) == REFUSED
    assert await harness.count("auth_refresh_tokens") == 1


async def test_r15_the_next_access_token_says_what_the_row_says(harness: AccountsHarness) -> None:
    answer = await harness.sign_up()
    await harness.add(answer.principal.tenant_id, Role.AGENCY_ADMIN)
    await harness.change(answer.principal, role=Role.VIEWER)
    pair = await refresh(harness, answer.refresh_token)
    assert claims(pair.access_token)["role"] == "viewer"
    assert (await harness.who(pair.access_token)).role is Role.VIEWER


async def test_an_unverified_person_refreshes_for_seven_days(harness: AccountsHarness, refusal: Code) -> None:
    harness.start(auth_skip_email_verification=False)
    answer = await harness.sign_up()
    leap(harness, 7 * 86_400 - 1)
    pair = await refresh(harness, answer.refresh_token)
    await harness.clock.advance(1)
    assert await refusal(refresh(harness, pair.refresh_token)) == REFUSED
    await harness.db.execute("UPDATE users SET unverified_since = $1", harness.clock.now())
    assert await refresh(harness, pair.refresh_token)
    await harness.db.execute("UPDATE users SET unverified_since = NULL, email_verified = true")
    assert await refresh(harness, pair.refresh_token)


@pytest.mark.parametrize("token", ["x", "vy_abc", "\u00e4" * 43, "A" * 43, "a.b.c"])
async def test_what_is_no_refresh_token_is_refused(harness: AccountsHarness, refusal: Code, token: str) -> None:
    await harness.sign_up()
    assert await refusal(refresh(harness, token)) == REFUSED


async def test_r24_refreshing_goes_on_when_the_key_of_old_tokens_is_dropped(
    harness: AccountsHarness, refusal: Code
) -> None:
    old, new = "a-secret-" * 8, "b-secret-" * 8
    harness.start(auth_secret=None, auth_secrets={"a": old})
    first: SignedIn = await harness.sign_up()
    harness.start(auth_secret=None, auth_secrets={"b": new, "a": old})
    second = await refresh(harness, first.refresh_token)
    assert jwt.get_unverified_header(second.access_token)["kid"] == "b"
    assert await harness.who(first.access_token)
    harness.start(auth_secret=None, auth_secrets={"b": new})
    assert await refusal(harness.who(first.access_token)) == "unauthorized"
    assert await harness.who(second.access_token)
    assert (await refresh(harness, first.refresh_token)).refresh_token == second.refresh_token
    assert await refresh(harness, second.refresh_token)


async def test_r24_a_successor_given_out_under_the_old_key_is_given_again_under_it(harness: AccountsHarness) -> None:
    old, new = "a-secret-" * 8, "b-secret-" * 8
    harness.start(auth_secret=None, auth_secrets={"a": old})
    first = await harness.sign_up()
    second = await refresh(harness, first.refresh_token)
    harness.start(auth_secret=None, auth_secrets={"b": new, "a": old})
    assert (await refresh(harness, first.refresh_token)).refresh_token == second.refresh_token


async def test_r17_with_storage_unavailable_a_refresh_is_503_and_the_token_still_good(
    harness: AccountsHarness, refusal: Code
) -> None:
    token = (await harness.sign_up()).refresh_token
    harness.storage.away = True
    assert await refusal(refresh(harness, token)) == "storage_unavailable"
    harness.storage.away = False
    assert await refresh(harness, token)


async def test_r17_a_lost_answer_can_be_asked_for_again(harness: AccountsHarness) -> None:
    token = (await harness.sign_up()).refresh_token
    with harness.storage.hold(Renew):
        lost = asyncio.ensure_future(refresh(harness, token))
        await harness.storage.arrived.wait()
        again = asyncio.ensure_future(refresh(harness, token))
        lost.cancel()
    assert await harness.who((await again).access_token)
    assert await harness.db.fetchval("SELECT counter FROM auth_families") == 1


async def test_r18_no_refresh_token_stands_in_the_database(harness: AccountsHarness) -> None:
    pair = await refresh(harness, (await harness.sign_up()).refresh_token)
    rows = await harness.db.fetch("SELECT t::text AS text FROM auth_refresh_tokens t")
    assert len(rows) == 2
    assert not any(pair.refresh_token in row["text"] for row in rows)
