"""Wakes what is due although nobody asks: unfinished turns, decided calls, lapsed approvals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

from ..storage import turns, usage
from . import log, session
from .clock import Clock, Timer
from .domain.errors import Unavailable
from .runtime import Actor, Asks, Message

_log = log.get(__name__)

ROUND_SECONDS = 60.0
RETRY_SECONDS = 1.0
"""After a round that storage did not answer: turns should not wait a minute for a database that is back."""


@dataclass(frozen=True, slots=True)
class Round(Message[None]):
    """Look for what is due now."""


class HousekeepingActor(Actor):
    """The owner of wake-ups. The first round, at start, is the recovery of whatever was cut off."""

    def __init__(self, *, store: Asks, root: Asks, clock: Clock) -> None:
        super().__init__()
        self.store = store
        self.root = root
        self.clock = clock
        self.timer: Timer | None = None
        self.settled = False

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        self.ref.tell(Round())

    async def receive(self, message: Any) -> Any:
        match message:
            case Round():
                return self.later(self._round())
            case _:
                assert_never(message)

    async def _round(self) -> None:
        pause = ROUND_SECONDS
        try:
            if not self.settled:
                await self.store.ask(usage.SettleAbandoned(tenant_id=None))
                self.settled = True
            due = await self.store.ask(turns.Unfinished(tenant_id=None, now=self.clock.now()))
            for tenant_id, session_id in due:
                self.root.tell(session.Wake(tenant_id=tenant_id, session_id=session_id))
        except Unavailable as away:
            _log.warning("housekeeping_postponed", refusal=away.code)
            pause = RETRY_SECONDS
        self.timer = self.clock.call_later(pause, self._again)

    def _again(self) -> None:
        if self.ref.is_alive():
            self.ref.tell(Round())

    async def on_end(self, failure: BaseException | None) -> None:  # noqa: ARG002 -- the hook's own
        if self.timer is not None:
            self.timer.cancel()
