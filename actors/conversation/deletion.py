"""The deletion of a session: its running pass stops first, then its rows go.

Part of the session's actor and changed by it alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ...storage.conversation import sessions
from ..domain.audit import AuditEvent, Author
from ..domain.errors import Conflict
from ..domain.turns import TurnError
from ..foundation.clock import Clock, Timer
from ..runtime.actor import Outcome
from ..runtime.reply import settle
from . import turn
from .intake import MessageIntake
from .log_writer import LogWriter
from .passes import PassRunner
from .scheduler import TurnScheduler

DELETE_TIMEOUT = 8.0
"""Seconds a deletion waits for a running turn to stop."""


class Owner(Protocol):
    """The session's actor, as far as its deletion needs it."""

    def run_soon(self, then: Callable[[], None]) -> None: ...

    def deleted(self) -> None:
        """The session's rows are gone."""


@dataclass(slots=True, eq=False)
class _Request:
    who: Author
    replies: list[asyncio.Future[None]]
    timer: Timer | None = None
    sent: bool = False


class Deletion:
    """Deletes the session once; requests that come meanwhile wait for the first."""

    def __init__(
        self,
        owner: Owner,
        *,
        tenant_id: str,
        session_id: str,
        scheduler: TurnScheduler,
        writer: LogWriter,
        passes: PassRunner,
        intake: MessageIntake,
        clock: Clock,
    ) -> None:
        self.tenant_id = tenant_id
        self.session_id = session_id
        self._owner = owner
        self._scheduler = scheduler
        self._writer = writer
        self._passes = passes
        self._intake = intake
        self._clock = clock
        self._request: _Request | None = None

    @property
    def under_way(self) -> bool:
        return self._request is not None

    def request(self, who: Author, reply: asyncio.Future[None]) -> None:
        """Stop the running pass, then delete. Refusal: ``turn_in_progress`` if it does not stop in time."""
        if self._request is not None:
            self._request.replies.append(reply)
            return
        self._request = request = _Request(who, [reply])
        interrupt = turn.Interrupt(TurnError("turn_cancelled", "the session is deleted"), who)
        if self._scheduler.current is not None:
            self._passes.interrupt(self._scheduler.current.number, interrupt)
        else:
            self._intake.cancel(None, interrupt)
        timed_out = partial(self._timed_out, request)
        request.timer = self._clock.call_later(DELETE_TIMEOUT, lambda: self._owner.run_soon(timed_out))

    def when_quiet(self) -> None:
        """Delete the rows if that was requested and no pass runs or starts any more."""
        request = self._request
        if request is None or request.sent or self._scheduler.current is not None or self._intake.starting:
            return
        request.sent = True
        now = self._clock.now()
        by, refs = request.who, {"session_id": self.session_id}
        audit_event = AuditEvent.by_person("session.deleted", self.tenant_id, by.user_id, by.origin, now, refs=refs)
        delete = sessions.Delete(tenant_id=self.tenant_id, session_id=self.session_id, audit_event=audit_event, now=now)
        self._writer.operation(delete, partial(self._over, request))

    def close(self) -> None:
        """The actor ends."""
        if self._request is not None and self._request.timer is not None:
            self._request.timer.cancel()

    def _timed_out(self, request: _Request) -> None:
        if self._request is request and not request.sent:
            self._over(request, Outcome(error=Conflict("turn_in_progress")))

    def _over(self, request: _Request, outcome: Outcome[None]) -> None:
        if request.timer is not None:
            request.timer.cancel()
        self._request = None
        for reply in request.replies:
            settle(reply, outcome)
        if outcome.error is None:
            self._owner.deleted()
