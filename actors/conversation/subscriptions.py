"""Subscriptions to a conversation: cursors into its event log, and transient frames for a single viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..domain.events import Kind, transient_frame
from ..domain.turns import TurnError
from ..foundation import metrics
from ..foundation.clock import Clock
from .event_log import EndCondition, EventLog, PassEnd, Subscription
from .scheduler import Run, Turn, TurnScheduler

CURSOR_DIGITS = 18
"""A longer cursor is invalid."""

Mode = Literal["settled", "live", "replay"]
"""Until the session is idle; without end; or only stored events."""


class Subscriptions:
    """Makes the subscriptions of one session's viewers."""

    def __init__(self, session_id: str, log: EventLog, scheduler: TurnScheduler, clock: Clock) -> None:
        self._session_id = session_id
        self._log = log
        self._scheduler = scheduler
        self._clock = clock

    def cursor(self, cursor: str | None, mode: Mode) -> Subscription | None:
        """Subscribe from a cursor without starting anything; None if there is nothing to replay."""
        if cursor is None:
            return self._from_running("live" if mode == "live" else "replay")
        log = self._log
        position = int(cursor) if _is_position(cursor) else None
        if position is None or position > log.last:
            metrics.SSE_REPLAYS_TOTAL.labels(source="failed").inc()
            return self._from_running(mode, prelude=self._replay_failed(cursor, position))
        source = "memory" if position + 1 >= log.first else "table"
        metrics.SSE_REPLAYS_TOTAL.labels(source="failed" if position < log.pruned_through else source).inc()
        prelude = self._gap(position)
        if mode == "replay" and position == log.last and not prelude:
            return None
        nothing = position == log.last and not log.busy and mode == "settled"
        after = self.final() if nothing else b""
        return Subscription(log, after=position, until=_until(mode), prelude=prelude, epilogue=after)

    def _replay_failed(self, cursor: str, position: int | None) -> bytes:
        """The frame for a cursor that cannot be used."""
        newest = f"{cursor} is newer than the newest event {self._log.last}"
        why = TurnError("replay_failed", "the cursor is not an event id" if position is None else newest)
        return self._transient("error", "replay", why)

    def _from_running(self, mode: Mode, *, prelude: bytes = b"") -> Subscription | None:
        run = self._scheduler.current
        if mode == "replay" and run is None and not prelude:
            return None
        nothing = run is None and bool(prelude) and (mode == "replay" or (mode == "settled" and not self._log.busy))
        return Subscription(
            self._log,
            after=self._log.last if run is None else self._before(run.turn.pass_event),
            until=_until(mode),
            prelude=prelude,
            epilogue=self.final() if nothing else b"",
        )

    def running(self, run: Run) -> Subscription:
        """The running pass, from its first event."""
        return self._until((run.end,), after=self._before(run.turn.pass_event), only=run.turn.id)

    def resumed(self, turn: Turn) -> Subscription:
        """The events of a resumed pass that has ended."""
        after = self._before(turn.pass_event)
        return Subscription(
            self._log, after=after, until=EndCondition(replay=True), only=turn.id, prelude=self._gap(after)
        )

    def settled(self) -> Subscription:
        """All new events until the session is idle."""
        return Subscription(self._log, after=self._log.last, until=EndCondition(settled=True))

    def nothing(self, *, prelude: bytes, after: bytes = b"") -> Subscription:
        """Transient frames for this viewer only, and no event of the log."""
        return Subscription(
            self._log, after=self._log.last, until=EndCondition(replay=True), prelude=prelude, epilogue=after
        )

    def passes(self, ends: Sequence[PassEnd], *, after: int, prelude: bytes = b"") -> Subscription:
        """Events after ``after`` until the last of these passes has ended."""
        return Subscription(self._log, after=after, until=EndCondition(ends=tuple(ends)), prelude=prelude)

    def turns(self, turn_ids: Sequence[str], *, after: int) -> Subscription:
        """Events of these turns after ``after``: until their scheduled passes have ended, or all that are stored."""
        ends = tuple(end for end in map(self._scheduler.end_of, turn_ids) if end is not None)
        only = turn_ids[0] if len(turn_ids) == 1 else None
        if ends:
            return self._until(ends, after=after, only=only)
        return Subscription(
            self._log, after=after, until=EndCondition(replay=True), only=only, prelude=self._gap(after)
        )

    def turn_from_its_first_event(self, turn_id: str, first_event: int) -> Subscription:
        """One turn from its first event, whether it is running, queued or over."""
        return self.turns([turn_id], after=self._before(first_event) if first_event else self._log.last)

    def refusal(self, error: TurnError) -> Subscription:
        """A refusal of the turn, sent to its sender only."""
        return self.nothing(prelude=self.error(error) + self._transient("final", "error"))

    def error(self, error: TurnError) -> bytes:
        """The frame of an error that belongs to no turn."""
        return self._transient("error", "error", error)

    def final(self) -> bytes:
        """The frame that ends a stream in which no pass ends."""
        return self._transient("final", "replay")

    def _transient(self, kind: Kind, turn_id: Literal["replay", "error"], error: TurnError | None = None) -> bytes:
        """A frame outside the log."""
        now, message = self._clock.now(), None if error is None else error.line
        return transient_frame(kind, self._session_id, now, turn_id, message)

    def _until(self, ends: tuple[PassEnd, ...], *, after: int, only: str | None) -> Subscription:
        return Subscription(self._log, after=after, until=EndCondition(ends=ends), only=only, prelude=self._gap(after))

    def _before(self, event: int) -> int:
        """The cursor before ``event``."""
        return max(min(event - 1, self._log.last), 0)

    def _gap(self, after: int) -> bytes:
        """The frame a viewer gets first if events after its cursor have been pruned."""
        return self._log.gap(self._log.pruned_through) if after < self._log.pruned_through else b""


def _until(mode: Mode) -> EndCondition:
    return EndCondition(settled=mode == "settled", live=mode == "live", replay=mode == "replay")


def _is_position(cursor: str) -> bool:
    return cursor.isascii() and cursor.isdigit() and len(cursor) <= CURSOR_DIGITS
