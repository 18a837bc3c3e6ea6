"""Nobody's mailbox is flooded: an unverified address gets five e-mails of a kind an hour, whoever sends them."""

from __future__ import annotations

import ast
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.actors.accounts.attacker import NUMBERS, ORIGIN, SWITCHES, attempt
from tests.actors.accounts.test_retention import leap
from voyagent import storage
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.domain.identity import Principal, Role
from voyagent.storage.outbox import CAP, CAPPED

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

CALM = settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)


class Senders:
    """Three agencies whose people send whatever they can to one address."""

    def __init__(self, harness: AccountsHarness, victim: str) -> None:
        self.harness = harness
        self.victim = victim
        self.people: list[Principal] = []
        self.invites: list[Any] = []

    async def gather(self) -> None:
        for _ in range(3):
            self.people.append((await self.harness.sign_up(f"sender-{next(NUMBERS)}@example.com")).principal)

    async def tell(self, message: Any) -> Any:
        return await attempt(self.harness.ref.ask(message))

    async def sign_up(self, _who: Principal) -> None:
        await attempt(self.harness.sign_up(self.victim))

    async def move(self, who: Principal) -> None:
        for email in (self.victim, f"aside-{next(NUMBERS)}@example.com"):
            await self.tell(accounts.UpdateProfile(principal=who, full_name=None, email=email, origin=ORIGIN))

    async def move_and_stay(self, who: Principal) -> None:
        await self.tell(accounts.UpdateProfile(principal=who, full_name=None, email=self.victim, origin=ORIGIN))

    async def send_verification(self, _who: Principal) -> None:
        row = await self.harness.db.fetchrow(
            "SELECT id::text, tenant_id::text FROM users WHERE email = $1", self.victim
        )
        if row is not None:
            holder = next(p for p in self.people if p.user_id == row["id"]) if self._ours(row["id"]) else None
            if holder is not None:
                asking = accounts.ResendVerification(principal=_at(holder, self.victim), origin=ORIGIN)
                await self.tell(asking)

    def _ours(self, user_id: str) -> bool:
        return any(person.user_id == user_id for person in self.people)

    async def ask_reset(self, _who: Principal) -> None:
        await self.tell(accounts.RequestReset(email=self.victim, origin=ORIGIN))

    async def invite(self, who: Principal) -> None:
        asked = accounts.CreateInvite(principal=who, email=self.victim, role=Role.AGENT, origin=ORIGIN)
        made = await self.tell(asked)
        if made is not None:
            revoke = accounts.RevokeInvite(principal=who, invite_id=made.value.invite.id, origin=ORIGIN)
            await self.tell(revoke)

    async def join(self, who: Principal) -> None:
        made = await self.tell(accounts.CreateInvite(principal=who, email=self.victim, role=Role.AGENT, origin=ORIGIN))
        if made is not None:
            await self.tell(
                accounts.AcceptInvite(
                    token=made.value.link[-43:], password="mango-trellis-47", full_name="Ravi", origin=ORIGIN
                )
            )

    async def change_password(self, _who: Principal) -> None:
        """Whoever holds the address is told of it each time."""
        signed_up = await attempt(self.harness.sign_up(self.victim))
        if signed_up is not None:
            self.people.append(signed_up.principal)
        holder = await self.harness.db.fetchval("SELECT id::text FROM users WHERE email = $1", self.victim)
        for who in self.people:
            if who.user_id == holder:
                pair = await self.tell(
                    accounts.ChangePassword(
                        principal=who,
                        current_password="mango-trellis-47",
                        new_password="mango-trellis-47",
                        origin=ORIGIN,
                    )
                )
                assert pair is not None

    async def sent(self) -> dict[str, int]:
        """How many e-mails of each kind the address has had, or will have."""
        rows = await self.harness.db.fetch(
            "SELECT kind, count(*) AS mails FROM outbox WHERE recipient = $1 AND kind <> 'password_reset_request'"
            " GROUP BY kind",
            self.victim,
        )
        return {row["kind"]: row["mails"] for row in rows}


def _at(who: Principal, email: str) -> Principal:
    return replace(who, email=email, email_verified=False)


WRITERS: dict[str, Callable[[Senders, Principal], Awaitable[None]]] = {
    "sign up": Senders.sign_up,
    "move there and away": Senders.move,
    "move there": Senders.move_and_stay,
    "send verification": Senders.send_verification,
    "ask for a reset": Senders.ask_reset,
    "invite and take back": Senders.invite,
    "join by the link": Senders.join,
    "change the password": Senders.change_password,
}


@CALM
@given(acts=st.lists(st.tuples(st.sampled_from(sorted(WRITERS)), st.integers(0, 2), st.integers(1, 7)), max_size=6))
@example(acts=[("move there and away", 0, 7), ("move there and away", 1, 7)])
@example(acts=[("move there", 0, 1), ("send verification", 0, 7), ("ask for a reset", 0, 7)])
@example(acts=[("invite and take back", person, 4) for person in range(3)])
@example(acts=[("change the password", 0, 7)])
@example(acts=[("sign up", 0, 1), ("ask for a reset", 0, 7)])
async def test_r30_whoever_writes_to_an_address_it_gets_five_of_a_kind_an_hour(
    harness: AccountsHarness, acts: list[tuple[str, int, int]]
) -> None:
    harness.start(**SWITCHES)
    senders = Senders(harness, f"victim-{next(NUMBERS)}@example.com")
    await senders.gather()
    for name, person, times in acts:
        for _ in range(times):
            await WRITERS[name](senders, senders.people[person])
    sent = await senders.sent()
    assert sent.keys() <= CAPPED | {"password_changed"}
    assert all(mails <= CAP for mails in sent.values())


@pytest.mark.parametrize(
    ("name", "kind"), [("move there and away", "verification"), ("invite and take back", "invite")]
)
async def test_an_hour_later_there_is_room_again(harness: AccountsHarness, name: str, kind: str) -> None:
    harness.start(**SWITCHES)
    senders = Senders(harness, "victim@example.com")
    await senders.gather()
    for expected in (CAP, 2 * CAP):
        for number in range(2 * CAP):
            await WRITERS[name](senders, senders.people[number % 3])
        assert (await senders.sent())[kind] == expected
        leap(harness, 3600)


async def test_an_invite_without_an_e_mail_is_an_invite_all_the_same(harness: AccountsHarness) -> None:
    harness.start(**SWITCHES)
    senders = Senders(harness, "victim@example.com")
    await senders.gather()
    for number in range(CAP):
        await senders.invite(senders.people[number % 3])
    asked = accounts.CreateInvite(
        principal=senders.people[0], email="victim@example.com", role=Role.AGENT, origin=ORIGIN
    )
    link = (await harness.ref.ask(asked)).value.link
    assert await harness.count("outbox WHERE kind = 'invite'") == CAP
    assert (await harness.ref.ask(accounts.LookUpInvite(token=link[-43:], origin=ORIGIN))).email == senders.victim


POSTS_UNCAPPED = {
    ("outbox", "offer"),  # asks first
    ("outbox", "notify"),  # a notice; it asks where the address is unverified
    ("passwords", "run"),  # the wish itself, which is no e-mail; a reset, which has asked before it made the token
    ("account_recovery", "send"),  # what an undo brings back has to be entered somehow; undo tokens are few
    ("email_verification", "_move"),  # the notice to a verified address that is left
}


def test_every_writer_of_the_outbox_asks_the_cap_or_says_why_not() -> None:
    found = set()
    for path in Path(next(iter(storage.__path__))).rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.AsyncFunctionDef):
                calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
                own = ("enqueue",) if path.stem == "outbox" else ("outbox.enqueue",)
                if any(ast.unparse(call) in own for call in calls):
                    found.add((path.stem, function.name))
    assert found == POSTS_UNCAPPED
