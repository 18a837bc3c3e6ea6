"""Accounts and mail side by side, with a mail server that keeps what it took."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from tests.waiting import until
from voyagent.actors import mail
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.emails import Envelope, Undelivered
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.identity import Principal
from voyagent.actors.foundation.config import Settings
from voyagent.storage import outbox

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness


Code = Callable[[Awaitable[Any]], Awaitable[str]]
SECRET = "the secret these tests sign with, and nobody else"
RING = {"default": bytes(range(32))}
PASSWORD, OTHER = "mango-trellis-47", "velvet-harbour-93"
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")


class FakeTransport:
    """What a mail server took, newest last; it can be away."""

    shows_links = False

    def __init__(self) -> None:
        self.emails: list[EmailMessage] = []
        self.tried = 0
        self.away = False

    async def deliver(self, ready: Envelope) -> None:
        self.tried += 1
        if self.away:
            raise Undelivered("away")
        self.emails.append(ready.message)

    def subjects(self, to: str) -> list[str]:
        return [str(email["Subject"]) for email in self.emails if email["To"] == to]

    def token(self, to: str) -> str:
        """The token of the newest email to this address."""
        body = next(email for email in reversed(self.emails) if email["To"] == to).get_body(("plain",))
        assert body is not None
        found = re.search(r"\?token=([\w-]{43})\s", body.get_content())
        assert found is not None
        return found[1]


class EmailHarness:
    """Accounts and mail side by side."""

    def __init__(self, harness: AccountsHarness, **changes: Any) -> None:
        self.harness = harness
        self.fake_transport = FakeTransport()
        self.settings = Settings(auth_secret=SECRET, kms_key=RING, env="development", **changes)
        self.ref = harness.start(**changes)

    async def deliver(self) -> None:
        """Have everything handed over that is due, as a process that has just been started would."""
        actor = mail.MailActor.start(self.harness.storage, self.settings, self.harness.clock, self.fake_transport)
        now = self.harness.clock.now()
        unsettled = "SELECT count(*) FROM outbox WHERE state = 'due' AND (due_at <= $1 OR due_at = $2)"

        async def settled() -> bool:
            return not await self.harness.db.fetchval(unsettled, now, now + mail.LEASE)

        await until(settled)
        await self.harness.storage.ask(outbox.Standing())  # the actor has its answer, too, and has counted it
        await actor.stop_and_wait(5.0)

    async def ask(self, message: Any) -> Any:
        return await self.ref.ask(message)

    async def request(self, email: str = "asha@example.com") -> Any:
        return await self.ask(accounts.RequestReset(email=email, origin=ORIGIN))

    async def wish(self, email: str = "asha@example.com") -> str:
        """A reset token, as its email brings it."""
        await self.request(email)
        await self.deliver()
        return self.fake_transport.token(email)

    async def reset(self, token: str, password: str = OTHER) -> None:
        await self.ask(accounts.ResetPassword(token=token, new_password=password, origin=ORIGIN))

    async def verify(self, token: str) -> None:
        await self.ask(accounts.VerifyEmail(token=token, origin=ORIGIN))

    async def update(self, who: Principal, **changes: Any) -> Any:
        asked = {"full_name": None, "email": None, **changes}
        return await self.ask(accounts.UpdateProfile(principal=who, origin=ORIGIN, **asked))

    async def change(self, who: Principal, current: str = PASSWORD, new: str = OTHER) -> Any:
        return await self.ask(
            accounts.ChangePassword(principal=who, current_password=current, new_password=new, origin=ORIGIN)
        )
