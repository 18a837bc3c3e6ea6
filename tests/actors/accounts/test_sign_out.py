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
    from tests.actors.accounts.conftest import House

Code = Callable[[Awaitable[Any]], Awaitable[str]]
SECRET = "the secret these tests sign with, and nobody else"
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")


async def leave(house: House, bearer: str | None = None, refresh: str | None = None) -> None:
    await house.ref.ask(accounts.SignOut(bearer=bearer, refresh_token=refresh, origin=ORIGIN))


def leap(house: House, seconds: float) -> None:
    """Let days pass at once, without the ticks in between."""
    house.clock._passed += seconds


async def refresh(house: House, token: str) -> Any:
    return await house.ref.ask(accounts.Refresh(refresh_token=token, origin=ORIGIN))


async def test_r57_a_bearer_alone_ends_its_family_and_no_other(house: House, refusal: Code) -> None:
    one, two = await house.sign_up(), await house.sign_in()
    watching = await house.ref.ask(accounts.Watch(await house.who(one.access_token)))
    await leave(house, one.access_token)
    assert watching.is_revoked
    assert await refusal(house.who(one.access_token)) == "unauthorized"
    assert await refusal(refresh(house, one.refresh_token)) == "invalid_refresh_token"
    assert await house.who(two.access_token)
    assert await refresh(house, two.refresh_token)
    (event,) = await house.events("auth.sign_out")
    assert json.loads(event["said"])["session_id"] == one.principal.family_id
    assert str(event["actor_id"]) == one.principal.user_id
    assert await house.events("auth.refresh_reused") == []


async def test_r57_a_refresh_token_alone_ends_its_family(house: House, refusal: Code) -> None:
    one, two = await house.sign_up(), await house.sign_in()
    await house.who(one.access_token)
    await leave(house, refresh=one.refresh_token)
    assert await refusal(house.who(one.access_token)) == "unauthorized"
    assert await house.who(two.access_token)


async def test_r57_both_end_both_and_an_older_refresh_token_still_names_its_family(house: House, refusal: Code) -> None:
    one, two = await house.sign_up(), await house.sign_in()
    await refresh(house, two.refresh_token)
    await leave(house, one.access_token, two.refresh_token)
    for token in (one.access_token, two.access_token):
        assert await refusal(house.who(token)) == "unauthorized"
    assert len(await house.events("auth.sign_out")) == 2


async def test_r57_another_persons_refresh_token_beside_a_bearer_is_ignored(house: House, refusal: Code) -> None:
    mine, theirs = await house.sign_up(), await house.sign_up("ravi@example.com")
    await leave(house, mine.access_token, theirs.refresh_token)
    assert await refusal(house.who(mine.access_token)) == "unauthorized"
    assert await house.who(theirs.access_token)
    await leave(house, mine.access_token, theirs.refresh_token)
    assert await refusal(house.who(theirs.access_token)) == "unauthorized", "the bearer is not valid any more"


@pytest.mark.parametrize("bearer", [None, "", "x", "a.b.c", "vy_abcdefgh_" + "a" * 32])
async def test_r57_what_is_unknown_is_ignored(house: House, bearer: str | None) -> None:
    answer = await house.sign_up()
    await leave(house, bearer, "unknown")
    await leave(house, bearer)
    assert await house.who(answer.access_token)
    assert await house.events("auth.sign_out") == []


async def test_signing_out_twice_keeps_the_first_end_and_is_one_event(house: House) -> None:
    answer = await house.sign_up()
    await leave(house, answer.access_token, answer.refresh_token)
    before = await house.db.fetchval("SELECT revoked_at FROM auth_families")
    await house.clock.advance(5)
    await leave(house, answer.access_token, answer.refresh_token)
    assert await house.db.fetchval("SELECT revoked_at FROM auth_families") == before
    assert len(await house.events("auth.sign_out")) == 1


async def test_a_lapsed_bearer_ends_nothing(house: House) -> None:
    answer = await house.sign_up()
    await house.clock.advance(3611)
    await leave(house, answer.access_token)
    assert await refresh(house, answer.refresh_token)


async def test_r25_a_foreign_token_ends_alone_and_for_as_long_as_it_lives(house: House, refusal: Code) -> None:
    me = (await house.sign_up()).principal
    now = int(house.clock.now().timestamp())
    nine = {"sub": me.user_id, "tid": me.tenant_id, "iat": now, "exp": now + 60, "iss": "voyagent"}
    one, other = (jwt.encode(nine | {"jti": uuid7(), "aud": "voyagent-api"}, SECRET, "HS256") for _ in range(2))
    watching = await house.ref.ask(accounts.Watch(await house.who(one)))
    await leave(house, one)
    assert watching.is_revoked
    assert await refusal(house.who(one)) == "unauthorized"
    assert await house.who(other)
    expires_at = await house.db.fetchval("SELECT expires_at FROM revoked_access_tokens")
    assert expires_at == house.clock.now() + timedelta(seconds=70), "the leeway is part of its life"
    (event,) = await house.events("auth.sign_out")
    assert json.loads(event["said"])["session_id"] is None


async def test_r17_a_sign_out_that_cannot_be_stored_is_503_and_no_sign_out(house: House, refusal: Code) -> None:
    answer = await house.sign_up()
    watching = await house.ref.ask(accounts.Watch(await house.who(answer.access_token)))
    house.storage.away = True
    assert await refusal(leave(house, answer.access_token)) == "storage_unavailable"
    assert await refusal(leave(house, refresh=answer.refresh_token)) == "storage_unavailable"
    house.storage.away = False
    assert not watching.is_revoked
    assert await house.who(answer.access_token)


async def test_r17_an_end_outlives_the_actor(house: House, refusal: Code) -> None:
    answer = await house.sign_up()
    await leave(house, answer.access_token)
    house.start()
    assert await refusal(house.who(answer.access_token)) == "unauthorized"
    assert await refusal(refresh(house, answer.refresh_token)) == "invalid_refresh_token"


async def test_a_refresh_and_a_sign_out_at_once_leave_the_family_dead(house: House, refusal: Code) -> None:
    for _ in range(10):
        answer = await (house.sign_in() if await house.count("users") else house.sign_up())
        racing = [refresh(house, answer.refresh_token), leave(house, refresh=answer.refresh_token)]
        pair, _none = await asyncio.gather(*racing, return_exceptions=True)
        for token in (answer.access_token, getattr(pair, "access_token", answer.access_token)):
            assert await refusal(house.who(token)) == "unauthorized"


async def test_ones_own_live_sessions_are_listed_newest_use_first(house: House) -> None:
    one = await house.sign_up()
    await house.clock.advance(5)
    two = await house.sign_in()
    gone = await house.sign_in()
    await house.sign_up("ravi@example.com")
    await leave(house, gone.access_token)
    await house.clock.advance(5)
    await refresh(house, one.refresh_token)
    me = one.principal
    mine = await house.storage.ask(ListLoginSessions(tenant_id=me.tenant_id, user_id=me.user_id, now=house.clock.now()))
    assert [session.id for session in mine] == [one.principal.family_id, two.principal.family_id]
    assert (mine[0].ip, mine[0].user_agent) == ("192.0.2.7", "tests")
    assert mine[0].last_used_at == house.clock.now()
    leap(house, 30 * 86_400)
    assert (
        await house.storage.ask(ListLoginSessions(tenant_id=me.tenant_id, user_id=me.user_id, now=house.clock.now()))
        == []
    )


async def test_r15_a_revoked_session_ends_at_once_and_once(house: House, refusal: Code) -> None:
    one, two = await house.sign_up(), await house.sign_in()
    await house.who(two.access_token)
    stop = accounts.RevokeSession(principal=one.principal, session_id=two.principal.family_id or "", origin=ORIGIN)
    for _ in range(2):
        await house.ref.ask(stop)
        assert await refusal(house.who(two.access_token)) == "unauthorized"
    assert await house.who(one.access_token)
    (event,) = await house.events("auth.session_revoked")
    assert json.loads(event["said"])["session_id"] == two.principal.family_id


async def test_r60_nobody_ends_anothers_session(house: House, refusal: Code) -> None:
    mine, theirs = await house.sign_up(), await house.sign_up("ravi@example.com")
    for session_id in (theirs.principal.family_id or "", uuid7()):
        stop = accounts.RevokeSession(principal=mine.principal, session_id=session_id, origin=ORIGIN)
        assert await refusal(house.ref.ask(stop)) == "session_not_found"
    assert await house.who(theirs.access_token)
