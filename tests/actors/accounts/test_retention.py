"""What ends by itself: unproven accounts, and the rows of what has been over for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.actors.accounts.test_email_flows import OTHER, RING, SECRET, Desk
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.outgoing import OutgoingEmails
from voyagent.actors.accounts.retention import AccountRetention
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.foundation.config import Settings
from voyagent.actors.housekeeping import PRUNE_SECONDS, HousekeepingActor
from voyagent.storage import audit
from voyagent.storage.accounts.retention import PIECES, PruneFamilies
from voyagent.storage.accounts.unverified import CloseUnverified, FindOverdue, Outcome, Overdue
from voyagent.storage.conversation import pruning, turns
from voyagent.storage.engine.errors import OperationFailed

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import House

Code = Callable[[Awaitable[Any]], Awaitable[str]]

WEEK = timedelta(days=7)
WEEK_SECONDS = WEEK.total_seconds()
ORIGIN = Origin(request_id="sweep")


@pytest.fixture
async def strict(house: House) -> Desk:
    return Desk(house, auth_skip_email_verification=False)


def leap(house: House, seconds: float) -> None:
    """Let time pass at once, without the ticks in between."""
    house.clock._passed += seconds


async def sweep(desk: Desk) -> None:
    house = desk.house
    await AccountRetention(store=house.storage, accounts=desk.ref, clock=house.clock, settings=desk.settings).run()
    await desk.ref.ask(accounts.SwitchTenant(tenant_id=await some_tenant(house), is_active=True))


async def some_tenant(house: House) -> str:
    """An agency of nobody: asking about it waits until the actor has heard what it was told before."""
    tenant_id = uuid7()
    await house.db.execute(
        "INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'nobody', $2)", tenant_id, house.clock.now()
    )
    return tenant_id


async def end(house: House, who: Principal, email: str | None = None) -> Outcome:
    overdue = Overdue(tenant_id=who.tenant_id, user_id=who.user_id, email=email or who.email)
    now = house.clock.now()
    reset = OutgoingEmails(Settings(auth_secret=SECRET, kms_key=RING)).undo_reset(
        overdue.email, now + timedelta(hours=1)
    )
    return await house.storage.ask(CloseUnverified(overdue=overdue, allowed=WEEK, reset=reset, origin=ORIGIN, now=now))


async def chain_holds(house: House, who: Principal) -> bool:
    return (await house.storage.ask(audit.Verify(tenant_id=who.tenant_id))).ok


async def test_r27_an_address_nobody_proved_is_free_after_a_week_and_its_agency_asleep(
    strict: Desk, house: House, refusal: Code
) -> None:
    squatter = await house.sign_up()
    watching = await strict.ask(accounts.Watch(squatter.principal))
    leap(house, WEEK_SECONDS - 1)
    await sweep(strict)
    assert await refusal(house.sign_up()) == "email_already_registered"
    assert not watching.is_revoked
    leap(house, 1)
    await sweep(strict)
    assert watching.is_revoked
    row = await house.db.fetchrow(
        "SELECT u.is_active, u.password_hash, u.released_at, t.is_active AS agency FROM users u"
        " JOIN tenants t ON t.id = u.tenant_id WHERE u.id = $1",
        squatter.principal.user_id,
    )
    assert tuple(row) == (False, None, house.clock.now(), False)
    (event,) = await house.events("auth.account_closed")
    assert (event["actor_kind"], event["actor_id"], event["status"]) == ("system", None, "succeeded")
    assert '"email": "asha@example.com"' in event["said"]
    assert squatter.principal.user_id in event["entity_refs"]
    assert await refusal(strict.ask(accounts.Refresh(refresh_token=squatter.refresh_token, origin=ORIGIN))) == (
        "invalid_refresh_token"
    )
    assert await refusal(house.sign_in()) == "invalid_credentials"
    owner = await house.sign_up(password=OTHER)
    assert owner.principal.user_id != squatter.principal.user_id
    assert await chain_holds(house, squatter.principal)


async def test_r27_an_access_token_of_a_closed_account_is_refused_on_the_next_request(
    strict: Desk, house: House, refusal: Code
) -> None:
    squatter = await house.sign_up()
    await house.db.execute("UPDATE users SET unverified_since = $1", house.clock.now() - WEEK)
    assert await house.who(squatter.access_token)
    await sweep(strict)
    assert await refusal(house.who(squatter.access_token)) == "unauthorized"


async def test_r27_what_a_closed_account_could_do_is_over(strict: Desk, house: House, refusal: Code) -> None:
    boss = (await house.sign_up()).principal
    await strict.deliver()
    await strict.verify(strict.postbox.token(boss.email))
    guest = await house.add(boss.tenant_id, Role.AGENCY_ADMIN, "guest@example.com")
    now = house.clock.now()
    await house.db.execute("UPDATE users SET email_verified = false WHERE id = $1", guest)
    await house.db.execute(
        "INSERT INTO api_keys (id, tenant_id, created_by_user_id, name, prefix, key_hash, created_at)"
        " VALUES ($1, $2, $1, 'key', 'abcdefgh', 'hash', $3)",
        guest,
        boss.tenant_id,
        now,
    )
    await house.db.execute(
        "INSERT INTO invites (id, tenant_id, invited_by_user_id, inviter_email, email, token_hash, letter_token_hash,"
        " expires_at, created_at) VALUES ($1, $2, $1, 'guest@example.com', 'x@example.com', 'a', 'b', $3, $3)",
        guest,
        boss.tenant_id,
        now,
    )
    await strict.request("guest@example.com")
    await strict.deliver()
    reset = strict.postbox.token("guest@example.com")
    await house.db.execute("UPDATE users SET created_at = $1 WHERE id = $2", now - WEEK, guest)
    await sweep(strict)
    assert await house.db.fetchval("SELECT revoked_at FROM api_keys") == now
    assert await house.db.fetchval("SELECT status FROM invites") == "revoked"
    assert await refusal(strict.reset(reset)) == "token_invalid"
    assert [event["said"] for event in await house.events("auth.invite_revoked")]
    assert await house.db.fetchval("SELECT is_active FROM tenants WHERE id = $1", boss.tenant_id)
    assert await house.db.fetchval("SELECT is_active FROM users WHERE id = $1", boss.user_id)
    assert await chain_holds(house, boss)


async def test_r27_the_only_admin_of_others_stays_and_holds_nobody_up(strict: Desk, house: House) -> None:
    first = (await house.sign_up()).principal
    await house.add(first.tenant_id, Role.AGENT)
    second = (await house.sign_up("zoe@example.com")).principal
    await house.db.execute("UPDATE users SET unverified_since = $1 WHERE NOT email_verified", house.clock.now() - WEEK)
    await sweep(strict)
    closed = await house.db.fetch("SELECT id FROM users WHERE released_at IS NOT NULL")
    assert [str(row["id"]) for row in closed] == [second.user_id]
    assert await house.db.fetchval("SELECT is_active FROM tenants WHERE id = $1", first.tenant_id)
    assert await end(house, first) is Outcome.KEPT


async def test_r27_a_changed_address_that_stays_unproven_falls_back(strict: Desk, house: House, refusal: Code) -> None:
    signed_in = await house.sign_up()
    who = signed_in.principal
    await strict.deliver()
    await strict.verify(strict.postbox.token(who.email))
    assert (await strict.update(who, email="typo@example.com")).moved
    leap(house, 60)
    moved = await house.who(signed_in.access_token)
    assert (await strict.update(moved, email="again@example.com")).moved
    leap(house, WEEK_SECONDS - 61)
    await sweep(strict)
    assert await house.db.fetchval("SELECT email FROM users") == "again@example.com"
    leap(house, 1)
    await sweep(strict)
    row = await house.db.fetchrow("SELECT email, email_verified, former_email, unverified_since FROM users")
    assert tuple(row) == (who.email, True, None, None)
    (event,) = await house.events("auth.email_change_undone")
    assert (event["actor_kind"], '"cause": "unproven"' in event["said"]) == ("system", True)
    assert '"from": "again@example.com"' in event["said"]
    assert await refusal(house.sign_in()) == "invalid_credentials"
    await strict.deliver()
    await strict.reset(strict.postbox.token(who.email))
    assert (await house.sign_in(password=OTHER)).principal.email == who.email
    assert await house.sign_up("typo@example.com")
    assert await chain_holds(house, who)


async def test_who_has_lost_the_former_address_too_is_kept_and_gated(strict: Desk, house: House) -> None:
    who = (await house.sign_up()).principal
    await strict.deliver()
    await strict.verify(strict.postbox.token(who.email))
    await strict.update(await house.who((await house.sign_in()).access_token), email="new@example.com")
    leap(house, WEEK_SECONDS)
    await house.sign_up(who.email)
    assert await end(house, who) is Outcome.KEPT
    assert await house.db.fetchval("SELECT email FROM users WHERE id = $1", who.user_id) == "new@example.com"


async def test_r27_what_was_proven_or_changed_since_the_look_is_left_alone(strict: Desk, house: House) -> None:
    who = (await house.sign_up()).principal
    assert await end(house, who) is Outcome.KEPT
    leap(house, WEEK_SECONDS)
    assert await end(house, who, "other@example.com") is Outcome.KEPT
    assert await end(house, replace(who, user_id=uuid7())) is Outcome.KEPT
    await house.db.execute("UPDATE users SET email_verified = true")
    assert await end(house, who) is Outcome.KEPT
    assert not await house.events("auth.account_closed")


async def test_of_two_sweeps_at_once_one_closes(strict: Desk, house: House) -> None:
    who = (await house.sign_up()).principal
    leap(house, WEEK_SECONDS)
    outcomes = await asyncio.gather(*(end(house, who) for _ in range(8)))
    assert outcomes.count(Outcome.AGENCY_CLOSED) == 1
    assert outcomes.count(Outcome.KEPT) == 7
    assert len(await house.events("auth.account_closed")) == 1
    assert strict.ref.is_alive()


async def test_a_sweep_goes_on_behind_a_full_page(strict: Desk, house: House) -> None:
    people = [(await house.sign_up(f"p{number}@example.com")).principal for number in range(3)]
    leap(house, WEEK_SECONDS)
    found, after = [], FindOverdue(now=house.clock.now(), allowed=WEEK, limit=1)
    while page := await house.storage.ask(after):
        found += page
        after = replace(after, after=page[-1].user_id)
    assert [each.user_id for each in found] == sorted(person.user_id for person in people)
    assert strict.ref.is_alive()


AGED = {
    "auth_families": "UPDATE auth_families SET expires_at = $1, ends_at = $1, revoked_at = NULL",
    "revoked_access_tokens": "UPDATE revoked_access_tokens SET expires_at = $1",
    "one_time_tokens": "UPDATE one_time_tokens SET expires_at = $1",
    "outbox": "UPDATE outbox SET state = 'sent', sent_at = $1, created_at = $1",
}


async def test_r56_what_has_been_over_for_long_enough_is_removed_and_nothing_sooner(desk: Desk, house: House) -> None:
    who = (await house.sign_up()).principal
    await desk.request()
    await desk.deliver()
    await house.db.execute(
        "INSERT INTO revoked_access_tokens (jti, tenant_id, user_id, expires_at, created_at)"
        " VALUES ('j', $1, $2, $3, $3)",
        who.tenant_id,
        who.user_id,
        house.clock.now(),
    )
    tables = ("auth_families", "revoked_access_tokens", "one_time_tokens", "outbox")
    for piece, table in zip(PIECES, tables, strict=True):
        edge = house.clock.now() - piece.kept_for
        assert await house.count(table) > 0
        await house.db.execute(AGED[table], edge + timedelta(seconds=1))
        assert await house.storage.ask(piece(now=house.clock.now())) == 0
        rows = await house.count(table)
        await house.db.execute(AGED[table], edge)
        assert await house.storage.ask(piece(now=house.clock.now(), limit=1)) == 1
        assert await house.count(table) == rows - 1
        await house.storage.ask(piece(now=house.clock.now()))
        assert await house.count(table) == 0
    assert await house.count("auth_refresh_tokens") == 0
    assert await house.count("users") == 1


async def test_r56_a_revoked_family_goes_ninety_days_after_its_revocation(desk: Desk, house: House) -> None:
    await house.sign_up()
    prune = PruneFamilies(now=house.clock.now())
    await house.db.execute("UPDATE auth_families SET revoked_at = $1", house.clock.now() - timedelta(days=89))
    assert await house.storage.ask(prune) == 0
    await house.db.execute("UPDATE auth_families SET revoked_at = $1", house.clock.now() - timedelta(days=90))
    assert await house.storage.ask(prune) == 1
    assert desk.ref.is_alive()


async def test_r56_letters_on_their_way_and_those_held_stay(desk: Desk, house: House) -> None:
    await house.sign_up()
    long_ago = house.clock.now() - timedelta(days=400)
    piece = PIECES[-1](now=house.clock.now())
    await desk.request()
    await desk.deliver()
    await house.db.execute("UPDATE outbox SET created_at = $1, sent_at = NULL, expires_at = $2", long_ago, piece.now)
    for state, gone in (("due", False), ("held", False), ("dropped", True)):
        await house.db.execute("UPDATE outbox SET state = $1", state)
        assert bool(await house.storage.ask(piece)) is gone


async def test_r56_updated_at_moves_with_every_change(house: House) -> None:
    await house.sign_up()
    for table, change in (
        ("users", "display_name = 'x'"),
        ("tenants", "display_name = 'x'"),
        ("auth_families", "ip = 'x'"),
    ):
        before = await house.db.fetchval(f"SELECT updated_at FROM {table}")
        await house.db.execute(f"UPDATE {table} SET {change}")
        assert await house.db.fetchval(f"SELECT updated_at FROM {table}") > before


async def test_r56_the_hourly_job_does_it_all(strict: Desk, house: House, until: Any) -> None:
    await house.sign_up()
    leap(house, WEEK_SECONDS)
    upkeep = AccountRetention(store=house.storage, accounts=strict.ref, clock=house.clock, settings=strict.settings)

    async def closed() -> Any:
        return await house.db.fetchval("SELECT count(*) FROM users WHERE released_at IS NOT NULL")

    keeper = HousekeepingActor.start(
        store=house.storage, root=strict.ref, clock=house.clock, is_leader=lambda: True, retention=upkeep
    )
    await until(closed)
    await house.db.execute("UPDATE auth_families SET expires_at = $1", house.clock.now() - timedelta(days=90))
    await house.clock.advance(PRUNE_SECONDS + 60)

    async def removed() -> bool:
        return await house.count("auth_families") == 0

    await until(removed)
    await keeper.stop_and_wait(5.0)


class Defective:
    """The way to storage, on which some operations meet a defect."""

    def __init__(self, house: House, fails: Callable[[Any], bool]) -> None:
        self._house = house
        self._fails = fails

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        if self._fails(message):
            raise OperationFailed
        return await self._house.storage.ask(message, within)

    def tell(self, message: Any) -> None:
        self._house.storage.tell(message)


def is_about(user_id: str) -> Callable[[Any], bool]:
    return lambda message: isinstance(message, CloseUnverified) and message.overdue.user_id == user_id


async def test_a_person_or_a_piece_with_a_defect_keeps_nobody_else_waiting(strict: Desk, house: House) -> None:
    people = [(await house.sign_up(f"p{number}@example.com")).principal for number in range(3)]
    leap(house, WEEK_SECONDS)
    poisoned = min(person.user_id for person in people)
    for fails, kept in ((is_about(poisoned), [poisoned]), (lambda message: isinstance(message, PIECES[0]), [])):
        store = Defective(house, fails)
        await AccountRetention(store=store, accounts=strict.ref, clock=house.clock, settings=strict.settings).run()
        rows = await house.db.fetch("SELECT id FROM users WHERE released_at IS NULL")
        assert [str(row["id"]) for row in rows] == kept


async def test_housekeeping_goes_on_after_a_defect_in_any_of_its_steps(strict: Desk, house: House) -> None:
    """A round and the first of the hourly pieces fail twice: rounds and the other pieces come all the same."""
    asked: list[type] = []

    def fails(message: Any) -> bool:
        asked.append(type(message))
        return isinstance(message, turns.Unfinished | pruning.PruneKeys) and asked.count(type(message)) <= 2

    store = Defective(house, fails)
    upkeep = AccountRetention(store=store, accounts=strict.ref, clock=house.clock, settings=strict.settings)
    keeper = HousekeepingActor.start(
        store=store, root=strict.ref, clock=house.clock, is_leader=lambda: True, retention=upkeep
    )
    async with asyncio.timeout(10):
        while PIECES[-1] not in asked or asked.count(turns.Unfinished) < 4:
            await house.clock.advance(60)
            await asyncio.sleep(0.005)
    assert keeper.is_alive()
    await keeper.stop_and_wait(5.0)


@pytest.fixture
async def desk(house: House) -> Desk:
    return Desk(house)
