"""Two at once on one invite, and faults in the midst of accepting it: one wins, and nothing happens by halves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.actors.accounts.inviting import (
    ORIGIN,
    WEEK,
    accept,
    brought,
    handed_over,
    invite,
    listed,
    look,
)
from voyagent.actors.accounts.login_sessions import SignedIn
from voyagent.actors.accounts.tokens import digest
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.storage.accounts import invites
from voyagent.storage.accounts.invites import Accept, Find, Invited, Revoke
from voyagent.storage.accounts.login_sessions import NewFamily
from voyagent.storage.engine import pool
from voyagent.storage.engine.connection import Connection

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness
    from tests.conftest import Database

Code = Callable[[Awaitable[Any]], Awaitable[str]]


async def test_r31_of_sixteen_who_invite_at_once_one_does(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    outcomes = await asyncio.gather(*(invite(harness, me) for _ in range(16)), return_exceptions=True)
    assert sum(isinstance(outcome, Invited) for outcome in outcomes) == 1
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {"invite_already_exists"}
    assert len(await harness.events("auth.invite_created")) == 1
    assert await harness.count("outbox") == 1


async def test_r32_an_invite_that_expires_while_it_is_being_accepted_lets_nobody_in(
    harness: AccountsHarness, refusal: Code
) -> None:
    made = await invite(harness, (await harness.sign_up()).principal)
    with harness.storage.hold(Find):
        attempt = asyncio.ensure_future(accept(harness, handed_over(made)))
        await harness.storage.arrived.wait()
        harness.clock.skip(WEEK)
    assert await refusal(attempt) == "invite_expired"
    assert await harness.count("users") == 1


def acceptance(harness: AccountsHarness, found: invites.Found, token: str) -> Accept:
    """The last step of accepting, with all that is slow behind it."""
    now, family = harness.clock.now(), uuid7()
    opened = NewFamily(
        id=family,
        token_id=uuid7(),
        token_hash=digest(uuid7()),
        key_id="default",
        expires_at=now + timedelta(days=30),
        ends_at=now + timedelta(days=90),
        user_agent=None,
        ip=None,
        network=None,
    )
    person = Principal(
        user_id=uuid7(),
        tenant_id=found.tenant_id,
        role=found.role,
        email=found.email,
        email_verified=found.by_email,
        full_name="Ravi",
        tenant_name=found.tenant_name,
        created_at=now,
        token_version=0,
        family_id=family,
    )
    return Accept(
        invite=found,
        token_hash=digest(token),
        person=person,
        password_hash="$argon2id$none",
        family=opened,
        verification=None,
        origin=ORIGIN,
        now=now,
    )


@pytest.mark.parametrize("races", [40, pytest.param(200, marks=pytest.mark.slow)])
async def test_r33_of_accept_and_revoke_one_wins_in_every_race(harness: AccountsHarness, races: int) -> None:
    me = (await harness.sign_up()).principal
    won: list[str] = []
    for number in range(races):
        made = await invite(harness, me, f"guest-{number}@example.com")
        token = handed_over(made)
        found = await harness.storage.ask(Find(token_hash=digest(token), now=harness.clock.now()))
        taken_back = Revoke(
            tenant_id=me.tenant_id,
            user_id=me.user_id,
            invite_id=made.invite.id,
            origin=ORIGIN,
            now=harness.clock.now(),
        )
        racers = [harness.storage.ask(acceptance(harness, found, token)), harness.storage.ask(taken_back)]
        outcomes = await asyncio.gather(*racers[:: 1 if number % 2 else -1], return_exceptions=True)
        (lost,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert isinstance(lost, Refusal)
        assert lost.code == "invite_not_pending"
        row = await harness.db.fetchrow(
            "SELECT i.status, u.id IS NOT NULL AS there FROM invites i LEFT JOIN users u ON u.email = i.email"
            " AND u.id = i.accepted_user_id WHERE i.id = $1",
            made.invite.id,
        )
        assert row["there"] == (row["status"] == "accepted")
        won.append(row["status"])
    assert set(won) == {"accepted", "revoked"}
    assert await harness.count("users") == 1 + won.count("accepted")
    assert len(await harness.events("auth.invite_accepted")) == won.count("accepted")
    assert len(await harness.events("auth.invite_revoked")) == won.count("revoked")


class Faulty:
    """A real connection that breaks off before or behind its statement number ``place``."""

    def __init__(self, db: Connection, place: int, *, behind: bool) -> None:
        self._db = db
        self._place = place
        self._behind = behind
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._db, name)

        async def run(*args: Any, **more: Any) -> Any:
            self.statements += 1
            if self.statements == self._place and not self._behind:
                raise ConnectionError("before")
            reply = await method(*args, **more)
            if self.statements == self._place:
                raise ConnectionError("behind")
            return reply

        return run


@pytest.mark.parametrize("behind", [False, True])
async def test_r33_a_fault_at_any_statement_leaves_no_user_and_a_pending_invite(
    harness: AccountsHarness, database: Database, behind: bool
) -> None:
    made = await invite(harness, (await harness.sign_up()).principal)
    token = await brought(harness, made)
    found = await harness.storage.ask(Find(token_hash=digest(token), now=harness.clock.now()))
    db = await pool.connect(database.url, role=pool.SYSTEM_ROLE)
    counting = ("users", "auth_families", "audit_events", "outbox WHERE state = 'due'", "one_time_tokens")
    before = [await harness.count(table) for table in counting]
    place = 0
    while True:
        place += 1
        faulty: Any = Faulty(db, place, behind=behind)
        try:
            async with db.transaction():
                await acceptance(harness, found, token).run(faulty)
        except ConnectionError:
            assert [await harness.count(table) for table in counting] == before
            assert await harness.db.fetchval("SELECT status FROM invites") == "pending"
        else:
            break
    assert place == faulty.statements + 1 > 8
    assert await harness.db.fetchval("SELECT status FROM invites") == "accepted"
    assert await harness.count("users") == 2
    await db.close()


async def test_r37_an_invite_made_beside_a_demotion_does_not_survive_it(
    harness: AccountsHarness, refusal: Code
) -> None:
    me = (await harness.sign_up()).principal
    other = replace(me, user_id=await harness.add(me.tenant_id, Role.AGENCY_ADMIN))
    for number in range(10):
        made, _changed = await asyncio.gather(
            invite(harness, other, f"guest-{number}@example.com"),
            harness.change(other, role=Role.AGENT),
            return_exceptions=True,
        )
        await harness.change(other, role=Role.AGENCY_ADMIN)
        if isinstance(made, Invited):
            assert await refusal(look(harness, handed_over(made))) == "invite_not_pending"
    assert "pending" not in await listed(harness, me)


async def test_r19_of_sixteen_who_accept_at_once_one_comes_in(harness: AccountsHarness) -> None:
    made = await invite(harness, (await harness.sign_up()).principal)
    tokens = [handed_over(made), await brought(harness, made)]
    outcomes = await asyncio.gather(*(accept(harness, token) for token in tokens * 8), return_exceptions=True)
    assert sum(isinstance(outcome, SignedIn) for outcome in outcomes) == 1
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)}
    assert codes <= {"invite_not_pending", "email_already_registered"}
    assert await harness.count("users") == 2


async def test_r58_an_address_is_claimed_by_one_of_an_invite_and_a_sign_up(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    for number in range(10):
        email = f"guest-{number}@example.com"
        made = await invite(harness, me, email)
        outcomes = await asyncio.gather(
            accept(harness, handed_over(made)), harness.sign_up(email), return_exceptions=True
        )
        (lost,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert isinstance(lost, Refusal)
        assert lost.code == "email_already_registered"
        assert await harness.count(f"users WHERE email = '{email}'") == 1
