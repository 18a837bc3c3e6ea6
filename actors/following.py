"""Watching a conversation without changing it: cursors into its log, and what a viewer is told besides its events.

The cursors of business 3.5 and 3.6, and the empty body of 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import metrics
from .domain.errors import Unprocessable
from .domain.events import aside
from .domain.turns import REJOIN_WINDOW
from .eventlog import Feed, Until

if TYPE_CHECKING:
    from .passes import Turn
    from .session import Follow, SessionActor

CURSOR_DIGITS = 18
"""A cursor of more digits is no place in any log."""


class Following:
    """Makes the feeds of one session's viewers."""

    def __init__(self, session: SessionActor) -> None:
        self.session = session

    def cursor(self, wanted: Follow, *, busy: bool) -> Feed | None:
        """Watch without starting anything (business 3.5, 3.6)."""
        cursor = wanted.cursor
        if cursor is None:
            return self._from_running(Until(live=True) if wanted.live else Until(replay=True))
        log = self.session.log
        place = int(cursor) if _is_place(cursor) else None
        source = "memory" if place is not None and place + 1 >= log.first else "table"
        if place is None or place > log.last or place < log.pruned_through:
            source = "failed"
        metrics.SSE_REPLAYS_TOTAL.labels(source=source).inc()
        if place is None or place > log.last:
            said = cursor if place is not None else "the cursor"
            why = f"replay_failed: {said} is newer than the newest event {log.last}"
            if place is None:
                why = "replay_failed: the cursor is not an event id"
            return self._from_running(self._until(wanted), before=self.aside("error", why), settled=True)
        before = self.gap(place)
        if wanted.replay and place == log.last and not before:
            return None
        until = self._until(wanted)
        nothing = place == log.last and not busy and until.settled
        return Feed(log, after=place, until=until, before=before, finally_=self.aside("final") if nothing else b"")

    @staticmethod
    def _until(wanted: Follow) -> Until:
        if wanted.replay:
            return Until(replay=True)
        return Until(live=True) if wanted.live else Until(settled=True)

    def _from_running(self, until: Until, *, before: bytes = b"", settled: bool = False) -> Feed | None:
        session = self.session
        running = session.passes.current
        after = session.log.last if running is None else min(running.pass_event - 1, session.log.last)
        if until.replay and running is None and not before:
            return None
        ending = self.aside("final") if settled and running is None and not until.live else b""
        return Feed(session.log, after=after, until=until, before=before, finally_=ending)

    def empty(self, *, busy: bool, resumed: Turn | None, finally_: bytes = b"") -> Feed:
        """An empty body follows what goes on: the running pass, or the end of one that was resumed a moment ago."""
        session = self.session
        running = session.passes.current
        if running is not None:
            after = min(running.pass_event - 1, session.log.last)
            return Feed(session.log, after=after, until=Until(turns=frozenset([running.id])), only=running.id)
        ended = None if resumed is None else resumed.ended_at
        if resumed is not None and ended is not None and session.clock.now() - ended < REJOIN_WINDOW:
            return Feed(session.log, after=resumed.pass_event - 1, until=Until(replay=True), only=resumed.id)
        if busy:
            return Feed(session.log, after=session.log.last, until=Until(settled=True))
        if finally_:
            return Feed(session.log, after=session.log.last, until=Until(replay=True), finally_=finally_)
        raise Unprocessable("message_required")

    def gap(self, after: int) -> bytes:
        """What a viewer is told first if events behind its cursor have been pruned."""
        log = self.session.log
        return log.gap(log.pruned_through) if after < log.pruned_through else b""

    def refusal(self, error: str) -> Feed:
        """A refusal of the turn, told to its sender alone."""
        told = self.aside("error", error) + self.aside("final", turn_id="error")
        log = self.session.log
        return Feed(log, after=log.last, until=Until(replay=True), before=told)

    def aside(self, kind: Any, message: str | None = None, *, turn_id: str = "replay") -> bytes:
        session = self.session
        turn_of = "error" if message is not None and not message.startswith("replay_failed") else turn_id
        return aside(kind, session.session_id, session.clock.now(), turn_of, message)


def _is_place(cursor: str) -> bool:
    return cursor.isascii() and cursor.isdigit() and len(cursor) <= CURSOR_DIGITS
