"""Retention: unverified accounts are closed, and expired rows are removed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.actors.accounts.email_harness import OTHER, RING, SECRET, EmailHarness
from tests.waiting import until
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.outgoing import OutgoingEmails
from voyagent.actors.accounts.retention import AccountRetention
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.foundation.config import Settings
from voyagent.actors.housekeeping import PRUNE_SECONDS, HousekeepingActor
from voyagent.storage import audit_chain
from voyagent.storage.accounts.retention import PIECES, PruneFamilies
from voyagent.storage.accounts.unverified import CloseUnverified, FindOverdue, Outcome, Overdue
from voyagent.storage.conversation import pruning, turns
from voyagent.storage.engine.errors import OperationFailed
from voyagent.storage.engine.ownership import Ownership

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]

WEEK = timedelta(days=7)
WEEK_SECONDS = WEEK.total_seconds()
ORIGIN = Origin(request_id="sweep")


@pytest.fixture
async def strict(harness: AccountsHarness) -> EmailHarness:
    return EmailHarness(harness, auth_skip_email_verification=False)


def leap(harness: AccountsHarness, seconds: float) -> None:
    """Let time pass at once, without the ticks in between."""
    harness.clock.skip(seconds)


async def sweep(emails: EmailHarness) -> None:
    harness = emails.harness
    await AccountRetention(
        store=harness.storage, accounts=emails.ref, clock=harness.clock, settings=emails.settings
    ).run()
    await emails.ref.ask(accounts.SwitchTenant(tenant_id=await some_tenant(harness), is_active=True))


async def some_tenant(harness: AccountsHarness) -> str:
    """An agency of nobody: asking about it waits until the actor has heard what it was told before."""
    tenant_id = uuid7()
    await harness.db.execute(
        "INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'nobody', $2)", tenant_id, harness.clock.now()
    )
    return tenant_id


async def end(harness: AccountsHarness, who: Principal, email: str | None = None) -> Outcome:
    overdue = Overdue(tenant_id=who.tenant_id, user_id=who.user_id, email=email or who.email)
    now = harness.clock.now()
    reset = OutgoingEmails(Settings(auth_secret=SECRET, kms_key=RING)).undo_reset(
        overdue.email, now + timedelta(hours=1)
    )
    return await harness.storage.ask(
        CloseUnverified(overdue=overdue, allowed=WEEK, reset=reset, origin=ORIGIN, now=now)
    )


async def chain_holds(harness: AccountsHarness, who: Principal) -> bool:
    return (await harness.storage.ask(audit_chain.Verify(tenant_id=who.tenant_id))).ok


async def test_r27_an_address_nobody_verified_is_free_after_a_week_and_its_agency_inactive(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    squatter = await harness.sign_up()
    watching = await strict.ask(accounts.Watch(squatter.principal))
    leap(harness, WEEK_SECONDS - 1)
    await sweep(strict)
    assert await refusal(harness.sign_up()) == "email_already_registered"
    assert not watching.is_revoked
    leap(harness, 1)
    await sweep(strict)
    assert watching.is_revoked
    row = await harness.db.fetchrow(
        "SELECT u.is_active, u.password_hash, u.released_at, t.is_active AS agency FROM users u"
        " JOIN tenants t ON t.id = u.tenant_id WHERE u.id = $1",
        squatter.principal.user_id,
    )
    assert tuple(row) == (False, None, harness.clock.now(), False)
    (event,) = await harness.events("auth.account_closed")
    assert (event["actor_kind"], event["actor_id"], event["status"]) == ("system", None, "succeeded")
    assert '"email": "asha@example.com"' in event["said"]
    assert squatter.principal.user_id in event["entity_refs"]
    assert await refusal(strict.ask(accounts.Refresh(refresh_token=squatter.refresh_token, origin=ORIGIN))) == (
        "invalid_refresh_token"
    )
    assert await refusal(harness.sign_in()) == "invalid_credentials"
    owner = await harness.sign_up(password=OTHER)
    assert owner.principal.user_id != squatter.principal.user_id
    assert await chain_holds(harness, squatter.principal)


async def test_r27_an_access_token_of_a_closed_account_is_refused_on_the_next_request(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    squatter = await harness.sign_up()
    await harness.db.execute("UPDATE users SET unverified_since = $1", harness.clock.now() - WEEK)
    assert await harness.who(squatter.access_token)
    await sweep(strict)
    assert await refusal(harness.who(squatter.access_token)) == "unauthorized"


async def test_r27_what_a_closed_account_could_do_is_over(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    boss = (await harness.sign_up()).principal
    await strict.deliver()
    await strict.verify(strict.fake_transport.token(boss.email))
    guest = await harness.add(boss.tenant_id, Role.AGENCY_ADMIN, "guest@example.com")
    now = harness.clock.now()
    await harness.db.execute("UPDATE users SET email_verified = false WHERE id = $1", guest)
    await harness.db.execute(
        "INSERT INTO api_keys (id, tenant_id, created_by_user_id, name, prefix, key_hash, created_at)"
        " VALUES ($1, $2, $1, 'key', 'abcdefgh', 'hash', $3)",
        guest,
        boss.tenant_id,
        now,
    )
    await harness.db.execute(
        "INSERT INTO invites (id, tenant_id, invited_by_user_id, inviter_email, email, token_hash, letter_token_hash,"
        " expires_at, created_at) VALUES ($1, $2, $1, 'guest@example.com', 'x@example.com', 'a', 'b', $3, $3)",
        guest,
        boss.tenant_id,
        now,
    )
    await strict.request("guest@example.com")
    await strict.deliver()
    reset = strict.fake_transport.token("guest@example.com")
    await harness.db.execute("UPDATE users SET created_at = $1 WHERE id = $2", now - WEEK, guest)
    await sweep(strict)
    assert await harness.db.fetchval("SELECT revoked_at FROM api_keys") == now
    assert await harness.db.fetchval("SELECT status FROM invites") == "revoked"
    assert await refusal(strict.reset(reset)) == "token_invalid"
    assert [event["said"] for event in await harness.events("auth.invite_revoked")]
    assert await harness.db.fetchval("SELECT is_active FROM tenants WHERE id = $1", boss.tenant_id)
    assert await harness.db.fetchval("SELECT is_active FROM users WHERE id = $1", boss.user_id)
    assert await chain_holds(harness, boss)


async def test_r27_the_only_admin_of_others_stays_and_holds_nobody_up(
    strict: EmailHarness, harness: AccountsHarness
) -> None:
    first = (await harness.sign_up()).principal
    await harness.add(first.tenant_id, Role.AGENT)
    second = (await harness.sign_up("zoe@example.com")).principal
    await harness.db.execute(
        "UPDATE users SET unverified_since = $1 WHERE NOT email_verified", harness.clock.now() - WEEK
    )
    await sweep(strict)
    closed = await harness.db.fetch("SELECT id FROM users WHERE released_at IS NOT NULL")
    assert [str(row["id"]) for row in closed] == [second.user_id]
    assert await harness.db.fetchval("SELECT is_active FROM tenants WHERE id = $1", first.tenant_id)
    assert await end(harness, first) is Outcome.KEPT


async def test_r27_a_changed_address_that_stays_unverified_falls_back(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    signed_in = await harness.sign_up()
    who = signed_in.principal
    await strict.deliver()
    await strict.verify(strict.fake_transport.token(who.email))
    assert (await strict.update(who, email="typo@example.com")).moved
    leap(harness, 60)
    moved = await harness.who(signed_in.access_token)
    assert (await strict.update(moved, email="again@example.com")).moved
    leap(harness, WEEK_SECONDS - 61)
    await sweep(strict)
    assert await harness.db.fetchval("SELECT email FROM users") == "again@example.com"
    leap(harness, 1)
    await sweep(strict)
    row = await harness.db.fetchrow("SELECT email, email_verified, former_email, unverified_since FROM users")
    assert tuple(row) == (who.email, True, None, None)
    (event,) = await harness.events("auth.email_change_undone")
    assert (event["actor_kind"], '"cause": "unproven"' in event["said"]) == ("system", True)
    assert '"from": "again@example.com"' in event["said"]
    assert await refusal(harness.sign_in()) == "invalid_credentials"
    await strict.deliver()
    await strict.reset(strict.fake_transport.token(who.email))
    assert (await harness.sign_in(password=OTHER)).principal.email == who.email
    assert await harness.sign_up("typo@example.com")
    assert await chain_holds(harness, who)


async def test_who_has_lost_the_former_address_too_is_kept_and_gated(
    strict: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    await strict.deliver()
    await strict.verify(strict.fake_transport.token(who.email))
    await strict.update(await harness.who((await harness.sign_in()).access_token), email="new@example.com")
    leap(harness, WEEK_SECONDS)
    await harness.sign_up(who.email)
    assert await end(harness, who) is Outcome.KEPT
    assert await harness.db.fetchval("SELECT email FROM users WHERE id = $1", who.user_id) == "new@example.com"


async def test_r27_what_was_verified_or_changed_since_the_look_is_left_alone(
    strict: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    assert await end(harness, who) is Outcome.KEPT
    leap(harness, WEEK_SECONDS)
    assert await end(harness, who, "other@example.com") is Outcome.KEPT
    assert await end(harness, replace(who, user_id=uuid7())) is Outcome.KEPT
    await harness.db.execute("UPDATE users SET email_verified = true")
    assert await end(harness, who) is Outcome.KEPT
    assert not await harness.events("auth.account_closed")


async def test_of_two_sweeps_at_once_one_closes(strict: EmailHarness, harness: AccountsHarness) -> None:
    who = (await harness.sign_up()).principal
    leap(harness, WEEK_SECONDS)
    outcomes = await asyncio.gather(*(end(harness, who) for _ in range(8)))
    assert outcomes.count(Outcome.AGENCY_CLOSED) == 1
    assert outcomes.count(Outcome.KEPT) == 7
    assert len(await harness.events("auth.account_closed")) == 1
    assert strict.ref.is_alive()


async def test_a_sweep_goes_on_behind_a_full_page(strict: EmailHarness, harness: AccountsHarness) -> None:
    people = [(await harness.sign_up(f"p{number}@example.com")).principal for number in range(3)]
    leap(harness, WEEK_SECONDS)
    found, after = [], FindOverdue(now=harness.clock.now(), allowed=WEEK, limit=1)
    while page := await harness.storage.ask(after):
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


async def test_r56_what_has_been_over_for_long_enough_is_removed_and_nothing_sooner(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    await emails.request()
    await emails.deliver()
    await harness.db.execute(
        "INSERT INTO revoked_access_tokens (jti, tenant_id, user_id, expires_at, created_at)"
        " VALUES ('j', $1, $2, $3, $3)",
        who.tenant_id,
        who.user_id,
        harness.clock.now(),
    )
    tables = ("auth_families", "revoked_access_tokens", "one_time_tokens", "outbox")
    for piece, table in zip(PIECES, tables, strict=True):
        edge = harness.clock.now() - piece.kept_for
        assert await harness.count(table) > 0
        await harness.db.execute(AGED[table], edge + timedelta(seconds=1))
        assert await harness.storage.ask(piece(now=harness.clock.now())) == 0
        rows = await harness.count(table)
        await harness.db.execute(AGED[table], edge)
        assert await harness.storage.ask(piece(now=harness.clock.now(), limit=1)) == 1
        assert await harness.count(table) == rows - 1
        await harness.storage.ask(piece(now=harness.clock.now()))
        assert await harness.count(table) == 0
    assert await harness.count("auth_refresh_tokens") == 0
    assert await harness.count("users") == 1


async def test_r56_a_revoked_family_goes_ninety_days_after_its_revocation(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    await harness.sign_up()
    prune = PruneFamilies(now=harness.clock.now())
    await harness.db.execute("UPDATE auth_families SET revoked_at = $1", harness.clock.now() - timedelta(days=89))
    assert await harness.storage.ask(prune) == 0
    await harness.db.execute("UPDATE auth_families SET revoked_at = $1", harness.clock.now() - timedelta(days=90))
    assert await harness.storage.ask(prune) == 1
    assert emails.ref.is_alive()


async def test_r56_emails_on_their_way_and_those_held_stay(emails: EmailHarness, harness: AccountsHarness) -> None:
    await harness.sign_up()
    long_ago = harness.clock.now() - timedelta(days=400)
    piece = PIECES[-1](now=harness.clock.now())
    await emails.request()
    await emails.deliver()
    await harness.db.execute("UPDATE outbox SET created_at = $1, sent_at = NULL, expires_at = $2", long_ago, piece.now)
    for state, gone in (("due", False), ("held", False), ("dropped", True)):
        await harness.db.execute("UPDATE outbox SET state = $1", state)
        assert bool(await harness.storage.ask(piece)) is gone


async def test_r56_updated_at_moves_with_every_change(harness: AccountsHarness) -> None:
    await harness.sign_up()
    for table, change in (
        ("users", "display_name = 'x'"),
        ("tenants", "display_name = 'x'"),
        ("auth_families", "ip = 'x'"),
    ):
        before = await harness.db.fetchval(f"SELECT updated_at FROM {table}")
        await harness.db.execute(f"UPDATE {table} SET {change}")
        assert await harness.db.fetchval(f"SELECT updated_at FROM {table}") > before


async def test_r56_the_hourly_job_does_it_all(strict: EmailHarness, harness: AccountsHarness) -> None:
    await harness.sign_up()
    leap(harness, WEEK_SECONDS)
    upkeep = AccountRetention(store=harness.storage, accounts=strict.ref, clock=harness.clock, settings=strict.settings)

    async def closed() -> Any:
        return await harness.db.fetchval("SELECT count(*) FROM users WHERE released_at IS NOT NULL")

    keeper = HousekeepingActor.start(
        store=harness.storage,
        root=strict.ref,
        clock=harness.clock,
        ownership=Ownership(coordinated=False),
        retention=upkeep,
    )
    await until(closed)
    await harness.db.execute("UPDATE auth_families SET expires_at = $1", harness.clock.now() - timedelta(days=90))
    await harness.clock.advance(PRUNE_SECONDS + 60)

    async def removed() -> bool:
        return await harness.count("auth_families") == 0

    await until(removed)
    await keeper.stop_and_wait(5.0)


class Defective:
    """The way to storage, on which some operations meet a defect."""

    def __init__(self, harness: AccountsHarness, fails: Callable[[Any], bool]) -> None:
        self._house = harness
        self._fails = fails

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        if self._fails(message):
            raise OperationFailed
        return await self._house.storage.ask(message, within)

    def tell(self, message: Any) -> None:
        self._house.storage.tell(message)


def is_about(user_id: str) -> Callable[[Any], bool]:
    return lambda message: isinstance(message, CloseUnverified) and message.overdue.user_id == user_id


async def test_a_person_or_a_piece_with_a_defect_keeps_nobody_else_waiting(
    strict: EmailHarness, harness: AccountsHarness
) -> None:
    people = [(await harness.sign_up(f"p{number}@example.com")).principal for number in range(3)]
    leap(harness, WEEK_SECONDS)
    poisoned = min(person.user_id for person in people)
    for fails, kept in ((is_about(poisoned), [poisoned]), (lambda message: isinstance(message, PIECES[0]), [])):
        store = Defective(harness, fails)
        await AccountRetention(store=store, accounts=strict.ref, clock=harness.clock, settings=strict.settings).run()
        rows = await harness.db.fetch("SELECT id FROM users WHERE released_at IS NULL")
        assert [str(row["id"]) for row in rows] == kept


async def test_housekeeping_goes_on_after_a_defect_in_any_of_its_steps(
    strict: EmailHarness, harness: AccountsHarness
) -> None:
    """A round and the first of the hourly pieces fail twice: rounds and the other pieces come all the same."""
    asked: list[type] = []

    def fails(message: Any) -> bool:
        asked.append(type(message))
        return isinstance(message, turns.Unfinished | pruning.PruneKeys) and asked.count(type(message)) <= 2

    store = Defective(harness, fails)
    upkeep = AccountRetention(store=store, accounts=strict.ref, clock=harness.clock, settings=strict.settings)
    keeper = HousekeepingActor.start(
        store=store, root=strict.ref, clock=harness.clock, ownership=Ownership(coordinated=False), retention=upkeep
    )
    async with asyncio.timeout(10):
        while PIECES[-1] not in asked or asked.count(turns.Unfinished) < 4:
            await harness.clock.advance(60)
            await asyncio.sleep(0.005)
    assert keeper.is_alive()
    await keeper.stop_and_wait(5.0)


@pytest.fixture
async def emails(harness: AccountsHarness) -> EmailHarness:
    return EmailHarness(harness)
