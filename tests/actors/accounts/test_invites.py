"""Invites: who may be invited, what each of the two tokens is good for, and that nothing happens by halves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.login_sessions import SignedIn
from voyagent.actors.accounts.tokens import digest
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Refusal, WeakPassword
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.storage.accounts import invites
from voyagent.storage.accounts.invites import Accept, All, Find, Invite, Invited, Revoke
from voyagent.storage.accounts.login_sessions import NewFamily
from voyagent.storage.engine import pool
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.sealing import Sealing

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness
    from tests.conftest import Database

Code = Callable[[Awaitable[Any]], Awaitable[str]]

RING = {"default": bytes(range(32))}
PASSWORD = "mango-trellis-47"
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")
RAVI = "ravi@example.com"
WEEK = 7 * 86_400


async def invite(harness: AccountsHarness, who: Principal, email: str = RAVI, role: Role = Role.AGENT) -> Invited:
    made = await harness.ref.ask(accounts.CreateInvite(principal=who, email=email, role=role, origin=ORIGIN))
    return cast("Invited", made.value)


async def revoke(harness: AccountsHarness, who: Principal, invite_id: str) -> Invite:
    done = await harness.ref.ask(accounts.RevokeInvite(principal=who, invite_id=invite_id, origin=ORIGIN))
    return cast("Invite", done.value)


async def accept(harness: AccountsHarness, token: str, password: str = PASSWORD) -> SignedIn:
    message = accounts.AcceptInvite(token=token, password=password, full_name="Ravi", origin=ORIGIN)
    joined: SignedIn = await harness.ref.ask(message)
    return joined


async def look(harness: AccountsHarness, token: str) -> Any:
    return await harness.ref.ask(accounts.LookUpInvite(token=token, origin=ORIGIN))


async def listed(harness: AccountsHarness, who: Principal, status: str | None = None) -> list[str]:
    found = await harness.storage.ask(All(tenant_id=who.tenant_id, status=status, now=harness.clock.now()))
    return [each.status for each in found]


def handed_over(made: Invited) -> str:
    """The token of the link in the answer."""
    return made.link.partition("?token=")[2]


async def brought(harness: AccountsHarness, made: Invited) -> str:
    """The token the email brings."""
    sealed = await harness.db.fetchval("SELECT payload_sealed FROM outbox WHERE id = $1", made.invite.id)
    plain = Sealing(RING).open(sealed, table="outbox", column="payload_sealed", row=made.invite.id)
    return str(json.loads(plain)["token"])


async def state(harness: AccountsHarness, made: Invited) -> str:
    """What became of the email."""
    return str(await harness.db.fetchval("SELECT state FROM outbox WHERE id = $1", made.invite.id))


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
    await harness.clock.advance(WEEK - 1)
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


async def test_r31_of_sixteen_who_invite_at_once_one_does(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    outcomes = await asyncio.gather(*(invite(harness, me) for _ in range(16)), return_exceptions=True)
    assert sum(isinstance(outcome, Invited) for outcome in outcomes) == 1
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {"invite_already_exists"}
    assert len(await harness.events("auth.invite_created")) == 1
    assert await harness.count("outbox") == 1


async def test_r32_an_expired_invite_reads_as_expired_everywhere(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    made = await invite(harness, me)
    token = handed_over(made)
    await harness.clock.advance(WEEK - 0.001)
    assert await listed(harness, me, "pending") == ["pending"]
    assert (await look(harness, token)).email == RAVI
    await harness.clock.advance(0.001)
    assert harness.clock.now() == made.invite.expires_at
    assert await listed(harness, me) == await listed(harness, me, "expired") == ["expired"]
    assert await listed(harness, me, "pending") == []
    assert await refusal(look(harness, token)) == "invite_expired"
    assert await refusal(accept(harness, token)) == "invite_expired"
    assert await refusal(revoke(harness, me, made.invite.id)) == "invite_not_pending"


async def test_r32_an_invite_that_expires_while_it_is_being_accepted_lets_nobody_in(
    harness: AccountsHarness, refusal: Code
) -> None:
    made = await invite(harness, (await harness.sign_up()).principal)
    with harness.storage.hold(Find):
        attempt = asyncio.ensure_future(accept(harness, handed_over(made)))
        await harness.storage.arrived.wait()
        await harness.clock.advance(WEEK)
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
