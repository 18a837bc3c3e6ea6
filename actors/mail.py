"""The owner of the outbox: hands letters over, tries again, and says when one is dead."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

from ..storage import outbox
from ..storage.sealing import NotOpened
from . import log, metrics
from .accounts.letters import RESET_REQUEST, Letters, Transport, Undelivered, envelope, transport
from .accounts.resets import Resets
from .clock import Clock
from .config import Settings
from .domain.errors import Refusal, Unavailable
from .runtime import Actor, Asks, Message

BATCH = 10
"""Letters handed over side by side."""

LEASE = timedelta(minutes=2)
"""How long a letter is ours before somebody else may take it: longer than any conversation with a mail server."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=1)
PATIENCE = timedelta(days=3)
POLL_SECONDS = 5.0
"""Between two looks at the outbox when nobody calls: for letters to be tried again, and other processes' letters."""

COUNTED = ("due", "held", "dead")

_log = log.get("mail")


@dataclass(frozen=True, slots=True)
class Look(Message[None]):
    """There may be something in the outbox."""


class MailActor(Actor):
    """Nobody waits for it: an act is done when its letter is in the outbox."""

    def __init__(self, storage: Asks, settings: Settings, clock: Clock, way: Transport | None = None) -> None:
        super().__init__()
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._way = way or transport(settings)
        self._letters = Letters(settings)
        self._resets = Resets(storage, self._letters, clock, ttl=settings.auth_password_reset_ttl_seconds)
        self._called = asyncio.Event()

    async def on_start(self) -> None:  # type: ignore[override]  # see Actor.on_start
        self.spawn(self._empty_outbox(), name="work")

    async def receive(self, message: Any) -> Any:
        known: Look = message
        match known:
            case Look():
                return self._called.set()
            case _:
                assert_never(known)

    async def _empty_outbox(self) -> None:
        """Empty the outbox, then wait for a call or the next poll."""
        while True:
            self._called.clear()
            timer = self._clock.call_later(POLL_SECONDS, self._called.set)
            try:
                while await self._round():
                    pass
                await self._count()
            except Unavailable as away:
                _log.warning("outbox_not_read", refusal=away.code)
            await self._called.wait()
            timer.cancel()

    async def _round(self) -> bool:
        """Hand over what is due; answers whether there may be more."""
        now = self._clock.now()
        claimed = await self._storage.ask(outbox.Claim(now=now, until=now + LEASE, limit=BATCH))
        await asyncio.gather(*map(self._handle, claimed))
        return len(claimed) == BATCH

    async def _handle(self, letter: outbox.Claimed) -> None:
        try:
            outcome = await self._deliver(letter)
        except Refusal as away:  # the lease ends, and the letter is due again
            _log.warning("letter_not_settled", letter=letter.id, refusal=away.code)
            return
        metrics.MAIL_LETTERS_TOTAL.labels(letter.kind, outcome).inc()

    async def _deliver(self, letter: outbox.Claimed) -> str:
        if letter.expires_at is not None and letter.expires_at <= self._clock.now():
            return await self._give_up(letter, "dropped")
        try:
            facts = self._letters.read(letter)
        except NotOpened as lost:
            _log.error("letter_dead", letter=letter.id, kind=letter.kind, reason=str(lost))
            return await self._give_up(letter, "dead")
        if letter.kind == RESET_REQUEST:
            posted = await self._resets.resolve(letter.id, letter.recipient, facts)
            self._called.set()
            return "dropped" if posted is None else "sent"
        return await self._put_out(letter, facts)

    async def _put_out(self, letter: outbox.Claimed, facts: dict[str, Any]) -> str:
        ready = envelope(letter, facts, base=self._settings.public_url, sender=self._settings.mail_from)
        try:
            await self._way.deliver(ready.message)
        except Undelivered as refused:
            return await self._again(letter, str(refused))
        if self._way.shows_links:
            _log.info("letter_written", kind=letter.kind, to=letter.recipient, link=ready.link)
        await self._storage.ask(outbox.Sent(id=letter.id, now=self._clock.now()))
        return "sent"

    async def _again(self, letter: outbox.Claimed, reason: str) -> str:
        now = self._clock.now()
        if now - letter.created_at >= PATIENCE:
            _log.error("letter_dead", letter=letter.id, kind=letter.kind, attempts=letter.attempts, reason=reason)
            return await self._give_up(letter, "dead")
        pause = min(FIRST_PAUSE * 2 ** min(letter.attempts - 1, 10), LONGEST_PAUSE)
        _log.warning("letter_postponed", letter=letter.id, kind=letter.kind, attempts=letter.attempts, reason=reason)
        await self._storage.ask(outbox.Later(id=letter.id, due_at=now + pause))
        return "retried"

    async def _give_up(self, letter: outbox.Claimed, state: str) -> str:
        await self._storage.ask(outbox.GivenUp(id=letter.id, state=state))
        return state

    async def _count(self) -> None:
        standing = await self._storage.ask(outbox.Standing())
        for state in COUNTED:
            metrics.MAIL_OUTBOX_LETTERS.labels(state).set(standing.get(state, 0))
