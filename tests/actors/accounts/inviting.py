"""Invites, as tests make, accept and read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.login_sessions import SignedIn
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.identity import Principal, Role
from voyagent.storage.accounts.invites import All, Invite, Invited
from voyagent.storage.engine.sealing import Sealing

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

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
