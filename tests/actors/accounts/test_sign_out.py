"""Sign-out and the end of sessions: what is shown ends, at once and durably, and nothing of others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from voyagent.actors.accounts import actor as accounts
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.ids import uuid7
from voyagent.storage.accounts.sign_outs import ListLoginSessions

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]
SECRET = "the secret these tests sign with, and nobody else"
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")


async def leave(harness: AccountsHarness, bearer: str | None = None, refresh: str | None = None) -> None:
    await harness.ref.ask(accounts.SignOut(bearer=bearer, refresh_token=refresh, origin=ORIGIN))


def leap(harness: AccountsHarness, seconds: float) -> None:
    """Let days pass at once, without the ticks in between."""
    harness.clock.skip(seconds)


async def refresh(harness: AccountsHarness, token: str) -> Any:
    return await harness.ref.ask(accounts.Refresh(refresh_token=token, origin=ORIGIN))


async def test_r57_a_bearer_alone_ends_its_family_and_no_other(harness: AccountsHarness, refusal: Code) -> None:
    one, two = await harness.sign_up(), await harness.sign_in()
    watching = await harness.ref.ask(accounts.Watch(await harness.who(one.access_token)))
    await leave(harness, one.access_token)
    assert watching.is_revoked
    assert await refusal(harness.who(one.access_token)) == "unauthorized"
    assert await refusal(refresh(harness, one.refresh_token)) == "invalid_refresh_token"
    assert await harness.who(two.access_token)
    assert await refresh(harness, two.refresh_token)
    (event,) = await harness.events("auth.sign_out")
    assert json.loads(event["said"])["session_id"] == one.principal.family_id
    assert str(event["actor_id"]) == one.principal.user_id
    assert await harness.events("auth.refresh_reused") == []


async def test_r57_a_refresh_token_alone_ends_its_family(harness: AccountsHarness, refusal: Code) -> None:
    one, two = await harness.sign_up(), await harness.sign_in()
    await harness.who(one.access_token)
    await leave(harness, refresh=one.refresh_token)
    assert await refusal(harness.who(one.access_token)) == "unauthorized"
    assert await harness.who(two.access_token)


async def test_r57_both_end_both_and_an_older_refresh_token_still_names_its_family(
    harness: AccountsHarness, refusal: Code
) -> None:
    one, two = await harness.sign_up(), await harness.sign_in()
    await refresh(harness, two.refresh_token)
    await leave(harness, one.access_token, two.refresh_token)
    for token in (one.access_token, two.access_token):
        assert await refusal(harness.who(token)) == "unauthorized"
    assert len(await harness.events("auth.sign_out")) == 2


async def test_r57_another_persons_refresh_token_beside_a_bearer_is_ignored(
    harness: AccountsHarness, refusal: Code
) -> None:
    mine, theirs = await harness.sign_up(), await harness.sign_up("ravi@example.com")
    await leave(harness, mine.access_token, theirs.refresh_token)
    assert await refusal(harness.who(mine.access_token)) == "unauthorized"
    assert await harness.who(theirs.access_token)
    await leave(harness, mine.access_token, theirs.refresh_token)
    assert await refusal(harness.who(theirs.access_token)) == "unauthorized", "the bearer is not valid any more"


@pytest.mark.parametrize("bearer", [None, "", "x", "a.b.c", "vy_abcdefgh_" + "a" * 32])
async def test_r57_what_is_unknown_is_ignored(harness: AccountsHarness, bearer: str | None) -> None:
    answer = await harness.sign_up()
    await leave(harness, bearer, "unknown")
    await leave(harness, bearer)
    assert await harness.who(answer.access_token)
    assert await harness.events("auth.sign_out") == []


async def test_signing_out_twice_keeps_the_first_end_and_is_one_event(harness: AccountsHarness) -> None:
    answer = await harness.sign_up()
    await leave(harness, answer.access_token, answer.refresh_token)
    before = await harness.db.fetchval("SELECT revoked_at FROM auth_families")
    await harness.clock.advance(5)
    await leave(harness, answer.access_token, answer.refresh_token)
    assert await harness.db.fetchval("SELECT revoked_at FROM auth_families") == before
    assert len(await harness.events("auth.sign_out")) == 1


async def test_an_expired_bearer_ends_nothing(harness: AccountsHarness) -> None:
    answer = await harness.sign_up()
    await harness.clock.advance(3611)
    await leave(harness, answer.access_token)
    assert await refresh(harness, answer.refresh_token)


async def test_r25_a_foreign_token_ends_alone_and_for_as_long_as_it_lives(
    harness: AccountsHarness, refusal: Code
) -> None:
    me = (await harness.sign_up()).principal
    now = int(harness.clock.now().timestamp())
    nine = {"sub": me.user_id, "tid": me.tenant_id, "iat": now, "exp": now + 60, "iss": "voyagent"}
    one, other = (jwt.encode(nine | {"jti": uuid7(), "aud": "voyagent-api"}, SECRET, "HS256") for _ in range(2))
    watching = await harness.ref.ask(accounts.Watch(await harness.who(one)))
    await leave(harness, one)
    assert watching.is_revoked
    assert await refusal(harness.who(one)) == "unauthorized"
    assert await harness.who(other)
    expires_at = await harness.db.fetchval("SELECT expires_at FROM revoked_access_tokens")
    assert expires_at == harness.clock.now() + timedelta(seconds=70), "the leeway is part of its life"
    (event,) = await harness.events("auth.sign_out")
    assert json.loads(event["said"])["session_id"] is None


async def test_r17_a_sign_out_that_cannot_be_stored_is_503_and_no_sign_out(
    harness: AccountsHarness, refusal: Code
) -> None:
    answer = await harness.sign_up()
    watching = await harness.ref.ask(accounts.Watch(await harness.who(answer.access_token)))
    harness.storage.away = True
    assert await refusal(leave(harness, answer.access_token)) == "storage_unavailable"
    assert await refusal(leave(harness, refresh=answer.refresh_token)) == "storage_unavailable"
    harness.storage.away = False
    assert not watching.is_revoked
    assert await harness.who(answer.access_token)


async def test_r17_an_end_outlives_the_actor(harness: AccountsHarness, refusal: Code) -> None:
    answer = await harness.sign_up()
    await leave(harness, answer.access_token)
    harness.start()
    assert await refusal(harness.who(answer.access_token)) == "unauthorized"
    assert await refusal(refresh(harness, answer.refresh_token)) == "invalid_refresh_token"


async def test_a_refresh_and_a_sign_out_at_once_leave_the_family_revoked(
    harness: AccountsHarness, refusal: Code
) -> None:
    for _ in range(10):
        answer = await (harness.sign_in() if await harness.count("users") else harness.sign_up())
        racing = [refresh(harness, answer.refresh_token), leave(harness, refresh=answer.refresh_token)]
        pair, _none = await asyncio.gather(*racing, return_exceptions=True)
        for token in (answer.access_token, getattr(pair, "access_token", answer.access_token)):
            assert await refusal(harness.who(token)) == "unauthorized"


async def test_ones_own_live_sessions_are_listed_newest_use_first(harness: AccountsHarness) -> None:
    one = await harness.sign_up()
    await harness.clock.advance(5)
    two = await harness.sign_in()
    gone = await harness.sign_in()
    await harness.sign_up("ravi@example.com")
    await leave(harness, gone.access_token)
    await harness.clock.advance(5)
    await refresh(harness, one.refresh_token)
    me = one.principal
    mine = await harness.storage.ask(
        ListLoginSessions(tenant_id=me.tenant_id, user_id=me.user_id, now=harness.clock.now())
    )
    assert [session.id for session in mine] == [one.principal.family_id, two.principal.family_id]
    assert (mine[0].ip, mine[0].user_agent) == ("192.0.2.7", "tests")
    assert mine[0].last_used_at == harness.clock.now()
    leap(harness, 30 * 86_400)
    assert (
        await harness.storage.ask(
            ListLoginSessions(tenant_id=me.tenant_id, user_id=me.user_id, now=harness.clock.now())
        )
        == []
    )


async def test_r15_a_revoked_session_ends_at_once_and_once(harness: AccountsHarness, refusal: Code) -> None:
    one, two = await harness.sign_up(), await harness.sign_in()
    await harness.who(two.access_token)
    stop = accounts.RevokeSession(principal=one.principal, session_id=two.principal.family_id or "", origin=ORIGIN)
    for _ in range(2):
        await harness.ref.ask(stop)
        assert await refusal(harness.who(two.access_token)) == "unauthorized"
    assert await harness.who(one.access_token)
    (event,) = await harness.events("auth.session_revoked")
    assert json.loads(event["said"])["session_id"] == two.principal.family_id


async def test_r60_nobody_ends_anothers_session(harness: AccountsHarness, refusal: Code) -> None:
    mine, theirs = await harness.sign_up(), await harness.sign_up("ravi@example.com")
    for session_id in (theirs.principal.family_id or "", uuid7()):
        stop = accounts.RevokeSession(principal=mine.principal, session_id=session_id, origin=ORIGIN)
        assert await refusal(harness.ref.ask(stop)) == "session_not_found"
    assert await harness.who(theirs.access_token)
