"""The owner of the outbox: hands e-mails over, retries, and says when one is undeliverable."""

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
from .foundation.clock import Clock
from .foundation.config import Settings
from .runtime.actor import Actor, Message, Recipient
from .runtime.periodic import PeriodicTasks

BATCH = 10
"""E-mails handed over side by side."""

LEASE = timedelta(minutes=2)
"""How long an e-mail is ours before somebody else may take it: longer than any dialogue with a mail server."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=1)
PATIENCE = timedelta(days=3)
POLL_SECONDS = 5.0
"""Between two looks at the outbox when nobody calls: for e-mails to be retried, and other processes' e-mails."""

UNTRIED = timedelta(minutes=2)
"""An e-mail that nobody has taken up so long after it was due says that none goes out."""

GRACE_SECONDS = 120.0
"""A batch may take as long as the slowest of its conversations."""

COUNTED = ("due", "held", "dead")

DEFECT = "defect"
"""The cause of an e-mail's end that is no mail server's: something about it is beyond this release."""

NOT_OPENED = "not_opened"
"""The cause of a delay that the key ring ends, not the mail server."""

_log = log.get("mail")
_defects = log.LogThrottle()


@dataclass(frozen=True, slots=True)
class Poll(Message[None]):
    """There may be something in the outbox."""


class MailActor(Actor):
    """Nobody waits for it: an act is done when its e-mail is in the outbox."""

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        way: Transport | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        super().__init__()
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._way = way or transport(settings)
        self._letters = OutgoingEmails(settings)
        self._resets = ResetRequests(storage, self._letters, clock, ttl=settings.auth_password_reset_ttl_seconds)
        self._emptying = (tasks or PeriodicTasks(clock)).task(
            "mail", self._empty_outbox, every=POLL_SECONDS, retry=POLL_SECONDS, grace=GRACE_SECONDS
        )

    async def on_start(self) -> None:  # type: ignore[override]  # see Actor.on_start
        self.spawn(self._emptying.run(), name="work")

    async def receive(self, message: Any) -> Any:
        known: Poll = message
        match known:
            case Poll():
                return self._emptying.call()
            case _:
                assert_never(known)

    async def _empty_outbox(self) -> None:
        """Empty the outbox; the next round comes with a call or the next poll."""
        while await self._round():
            self._emptying.succeeded()
        await self._count()

    async def _round(self) -> bool:
        """Hand over what is due; answers whether there may be more."""
        now = self._clock.now()
        claimed = await self._storage.ask(outbox.Claim(now=now, until=now + LEASE, limit=BATCH))
        ends = await asyncio.gather(*map(self._handle, claimed), return_exceptions=True)
        for row, end in zip(claimed, ends, strict=True):
            if end is not None:  # a stray cancellation, or what could not even be given up: due again after its lease
                _log.error("email_settlement_failed", email=row.id, reason=type(end).__name__, exc_info=end)
        return len(claimed) == BATCH

    async def _handle(self, row: outbox.Claimed) -> None:
        """Whatever becomes of one e-mail, it is that one's affair: the others of its round go on."""
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
        except Exception as defect:  # noqa: BLE001 -- it would fail the same way for ever: its own end, not the worker's
            shown = defect if _defects.allows() else None
            _log.error("email_undeliverable", email=row.id, kind=row.kind, reason=type(defect).__name__, exc_info=shown)
            return await self._give_up(row, "dead", DEFECT)

    async def _deliver(self, row: outbox.Claimed) -> str:
        if row.expires_at is not None and row.expires_at <= self._clock.now():
            return await self._give_up(row, "dropped", None)
        try:
            facts = self._letters.read(row)
        except NotOpened as sealed:  # kept until it expires: the key may be back by then
            _log.error("email_open_failed", email=row.id, kind=row.kind, reason=str(sealed), mend="VOYAGENT_KMS_KEY")
            return await self._postpone(row, NOT_OPENED)
        if row.kind == RESET_REQUEST:
            posted = await self._resets.resolve(row.id, row.recipient, facts)
            self._emptying.call()
            return "dropped" if posted is None else "sent"
        return await self._send(row, facts)

    async def _send(self, row: outbox.Claimed, facts: dict[str, Any]) -> str:
        ready = envelope(row, facts, base=self._settings.public_url, sender=self._settings.mail_from)
        try:
            await self._way.deliver(ready)
        except Undelivered as refused:
            return await self._again(row, refused)
        if self._way.shows_links:
            _log.info("email_written", kind=row.kind, to=row.recipient, link=ready.link)
        await self._storage.ask(outbox.Sent(id=row.id, now=self._clock.now()))
        return "sent"

    async def _again(self, row: outbox.Claimed, refused: Undelivered) -> str:
        told = {"email": row.id, "kind": row.kind, "attempts": row.attempts, "reason": refused.cause}
        if refused.reply is not None:
            told["reply"] = refused.reply
        if refused.for_good or self._clock.now() - row.created_at >= PATIENCE:
            _log.error("email_undeliverable", **told)
            return await self._give_up(row, "dead", str(refused))
        _log.warning("email_retry_scheduled", **told)
        return await self._postpone(row, str(refused))

    async def _postpone(self, row: outbox.Claimed, cause: str) -> str:
        pause = min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 10), LONGEST_PAUSE)
        await self._storage.ask(outbox.Later(id=row.id, due_at=self._clock.now() + pause, cause=cause))
        return "retried"

    async def _give_up(self, row: outbox.Claimed, state: str, cause: str | None) -> str:
        await self._storage.ask(outbox.GivenUp(id=row.id, state=state, cause=cause))
        return state

    async def _count(self) -> None:
        standing = await self._storage.ask(outbox.Standing())
        for state in COUNTED:
            metrics.MAIL_OUTBOX_LETTERS.labels(state).set(standing.get(state, 0))
