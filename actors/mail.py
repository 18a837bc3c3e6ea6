"""Sends the e-mails of the outbox, retries, and logs undeliverable ones."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

from ..storage import outbox
from ..storage.engine.sealing import NotOpened
from .accounts.emails import Transport, Undelivered, envelope, transport
from .accounts.outgoing import RESET_REQUEST, OutgoingEmails
from .accounts.reset_requests import ResetRequests
from .domain.errors import Refusal, Unavailable
from .foundation import log, metrics
from .foundation.backoff import Backoff
from .foundation.clock import Clock
from .foundation.config import Settings
from .runtime.actor import Actor, Message, Recipient
from .runtime.periodic import PeriodicTasks

BATCH = 10
"""E-mails sent concurrently."""

LEASE = timedelta(minutes=2)
"""How long a claimed e-mail is reserved for this process: longer than any SMTP dialogue."""

BACKOFF = Backoff(first=10.0, longest=3600.0)
GIVE_UP_AFTER = timedelta(days=3)
POLL_SECONDS = 5.0
"""Poll interval of the outbox without a ``Poll``: for retries, and for e-mails of other processes."""

UNTRIED = timedelta(minutes=2)
"""An e-mail still unclaimed this long after it was due shows that none is being sent."""

GRACE_SECONDS = 120.0
"""A batch takes as long as its slowest SMTP dialogue."""

COUNTED = ("due", "held", "dead")

DEFECT = "defect"
"""Cause of an undeliverable e-mail that this release cannot render or send."""

NOT_OPENED = "not_opened"
"""Cause of a delay: its facts are sealed with a key that is missing from the key ring."""

_log = log.get("mail")
_defects = log.LogThrottle()


@dataclass(frozen=True, slots=True)
class Poll(Message[None]):
    """Look into the outbox now."""


class MailActor(Actor[Poll]):
    """Empties the outbox. An operation is done once its e-mail is in the outbox; nothing waits for delivery."""

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        via: Transport | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        super().__init__()
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._transport = via or transport(settings)
        self._emails = OutgoingEmails(settings)
        self._resets = ResetRequests(storage, self._emails, clock, ttl=settings.auth_password_reset_ttl_seconds)
        self._emptying = (tasks or PeriodicTasks(clock)).task(
            "mail", self._empty_outbox, every=POLL_SECONDS, retry=POLL_SECONDS, grace=GRACE_SECONDS
        )

    async def initialise(self) -> None:
        self.spawn(self._emptying.run(), name="work")

    async def receive(self, message: Poll) -> None:
        match message:
            case Poll():
                return self._emptying.call()
            case _:
                assert_never(message)

    async def _empty_outbox(self) -> None:
        """Empty the outbox; the next round follows a ``Poll`` or the poll interval."""
        while await self._round():
            self._emptying.succeeded()
        await self._count()

    async def _round(self) -> bool:
        """Send one batch of due e-mails; return whether there may be more."""
        now = self._clock.now()
        claimed = await self._storage.ask(outbox.Claim(now=now, until=now + LEASE, limit=BATCH))
        ends = await asyncio.gather(*map(self._handle, claimed), return_exceptions=True)
        for row, end in zip(claimed, ends, strict=True):
            if end is not None:  # a stray cancellation, or a failed ``GivenUp``: due again after its lease
                _log.error("email_settlement_failed", email=row.id, reason=type(end).__name__, exc_info=end)
        return len(claimed) == BATCH

    async def _handle(self, row: outbox.Claimed) -> None:
        """Handle one e-mail; a failure does not affect the others of its batch."""
        try:
            outcome = await self._settle(row)
        except Refusal as unsettled:  # the lease ends, and the e-mail is due again
            _log.warning("email_settlement_failed", email=row.id, refusal=unsettled.code)
            return
        metrics.MAIL_LETTERS_TOTAL.labels(row.kind, outcome).inc()

    async def _settle(self, row: outbox.Claimed) -> str:
        try:
            return await self._deliver(row)
        except Unavailable:
            raise
        except Exception as defect:  # noqa: BLE001 -- permanent: ends this e-mail, not the actor
            shown = defect if _defects.allows() else None
            _log.error("email_undeliverable", email=row.id, kind=row.kind, reason=type(defect).__name__, exc_info=shown)
            return await self._give_up(row, "dead", DEFECT)

    async def _deliver(self, row: outbox.Claimed) -> str:
        if row.expires_at is not None and row.expires_at <= self._clock.now():
            return await self._give_up(row, "dropped", None)
        try:
            facts = self._emails.read(row)
        except NotOpened as sealed:  # kept until it expires: the key may be back by then
            _log.error("email_open_failed", email=row.id, kind=row.kind, reason=str(sealed), mend="VOYAGENT_KMS_KEY")
            return await self._postpone(row, NOT_OPENED)
        if row.kind == RESET_REQUEST:
            queued = await self._resets.resolve(row.id, row.recipient, facts)
            self._emptying.call()
            return "dropped" if queued is None else "sent"
        return await self._send(row, facts)

    async def _send(self, row: outbox.Claimed, facts: dict[str, Any]) -> str:
        ready = envelope(row, facts, base=self._settings.public_url, sender=self._settings.mail_from)
        try:
            await self._transport.deliver(ready)
        except Undelivered as refused:
            return await self._retry_or_give_up(row, refused)
        if self._transport.shows_links:
            _log.info("email_written", kind=row.kind, to=row.recipient, link=ready.link)
        await self._storage.ask(outbox.Sent(id=row.id, now=self._clock.now()))
        return "sent"

    async def _retry_or_give_up(self, row: outbox.Claimed, refused: Undelivered) -> str:
        details = {"email": row.id, "kind": row.kind, "attempts": row.attempts, "reason": refused.cause}
        if refused.reply is not None:
            details["reply"] = refused.reply
        if refused.for_good or self._clock.now() - row.created_at >= GIVE_UP_AFTER:
            _log.error("email_undeliverable", **details)
            return await self._give_up(row, "dead", str(refused))
        _log.warning("email_retry_scheduled", **details)
        return await self._postpone(row, str(refused))

    async def _postpone(self, row: outbox.Claimed, cause: str) -> str:
        pause = timedelta(seconds=BACKOFF.pause(row.attempts))
        await self._storage.ask(outbox.Later(id=row.id, due_at=self._clock.now() + pause, cause=cause))
        return "retried"

    async def _give_up(self, row: outbox.Claimed, state: str, cause: str | None) -> str:
        await self._storage.ask(outbox.GivenUp(id=row.id, state=state, cause=cause))
        return state

    async def _count(self) -> None:
        standing = await self._storage.ask(outbox.Standing())
        for state in COUNTED:
            metrics.MAIL_OUTBOX_LETTERS.labels(state).set(standing.get(state, 0))
