"""The unfinished turns of one session: which pass runs, which is due, which waits.

Plain data, changed by the session's actor alone. One pass runs at a time; resumed turns go before queued ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ...storage.conversation import session_state
from ..runtime.actor import Ref
from .event_log import PassEnd
from .turn import Interrupt, PassEnded


@dataclass(slots=True, kw_only=True, eq=False)
class Turn:
    """A session's state of one turn."""

    id: str
    user_id: str
    state: str
    text: str | None = None
    first_event: int = 0
    pass_event: int = 0
    attempts: int = 0
    ran_ms: int = 0
    ended_at: datetime | None = None
    delivered: bool = False
    request_id: str | None = None
    """The request whose message began it; unknown after a restart."""
    next_end: PassEnd = field(default_factory=PassEnd)
    """The end of its next pass."""
    awaited: list[tuple[frozenset[str], PassEnd]] = field(default_factory=list)
    """Ends for streams that wait until these approvals' decisions have been carried out or reported."""
    unread: set[str] = field(default_factory=set)
    """Decided approvals that no pass has read yet."""


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """The running pass. Its number, unique in the session, lets a command address this pass only."""

    number: int
    turn: Turn
    end: PassEnd
    child: Ref | None = None
    interrupt: Interrupt | None = None
    """Requested while the pass was being started."""
    counted_from: float | None = None
    """When it started, on the monotonic clock."""


class TurnScheduler:
    """Holds the unfinished turns and selects which pass runs next."""

    def __init__(self) -> None:
        self.turns: dict[str, Turn] = {}
        self.queue: list[str] = []
        self.due: list[str] = []
        self.current: Run | None = None
        self.resumed: Turn | None = None
        """The turn resumed last."""
        self._numbers = 0

    @property
    def busy(self) -> bool:
        """A pass runs or is due."""
        return self.current is not None or bool(self.due) or bool(self.queue)

    def under_way(self, turn_id: str) -> bool:
        """Whether a pass of this turn runs, is due or queued."""
        runs = self.current is not None and self.current.turn.id == turn_id
        return runs or turn_id in self.queue or turn_id in self.due

    def end_of(self, turn_id: str) -> PassEnd | None:
        """The end of the running or next pass of this turn; None if it is not scheduled."""
        if self.current is not None and self.current.turn.id == turn_id:
            return self.current.end
        turn = self.turns.get(turn_id)
        return turn.next_end if turn is not None and self.under_way(turn_id) else None

    def number(self) -> int:
        """Return the number of the next pass."""
        self._numbers += 1
        return self._numbers

    def restore(self, stored: session_state.OpenTurn) -> bool:
        """Schedule an unfinished turn from its table row: running and decided turns are due, queued ones queued.

        Returns whether it was not scheduled before.
        """
        turn = self.turns.get(stored.id)
        if turn is None:
            turn = self.turns[stored.id] = Turn(
                id=stored.id,
                user_id=stored.user_id,
                state=stored.state,
                text=stored.input.get("text"),
                first_event=stored.first_event_id or 0,
                pass_event=stored.pass_event_id or 0,
                attempts=stored.attempts,
                ran_ms=stored.ran_ms,
            )
        if self.under_way(stored.id):
            return False
        turn.state = stored.state
        if stored.state == "queued":
            self.queue.append(stored.id)
        elif stored.state == "running" or stored.unreported or not stored.undecided:
            self.due.append(stored.id)
        else:
            return False
        return True

    def add(self, turn: Turn) -> None:
        """Add a turn that was just accepted."""
        self.turns[turn.id] = turn

    def enqueue(self, waiting: Turn, *, first: bool) -> None:
        """Queue a turn for its first pass, last or first."""
        self.add(waiting)
        self.queue.insert(0 if first else len(self.queue), waiting.id)

    def decided(self, pairs: Iterable[tuple[str, str]]) -> tuple[PassEnd, ...]:
        """Mark the turns of decided (turn, approval) pairs due; return the ends of the passes that report them."""
        ends = []
        for turn, approval_ids in self._make_due(pairs):
            self.resumed = turn
            turn.awaited.append((approval_ids, PassEnd()))
            ends.append(turn.awaited[-1][1])
        return tuple(ends)

    def expired(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Mark the turns of expired (turn, approval) pairs due."""
        self._make_due(pairs)

    def _make_due(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[Turn, frozenset[str]]]:
        by_turn: dict[str, set[str]] = {}
        for turn_id, approval_id in pairs:
            if turn_id in self.turns:
                by_turn.setdefault(turn_id, set()).add(approval_id)
        for turn_id, approval_ids in by_turn.items():
            self.turns[turn_id].unread |= approval_ids
            if turn_id not in self.due:
                self.due.append(turn_id)
        return [(self.turns[turn_id], frozenset(approval_ids)) for turn_id, approval_ids in by_turn.items()]

    def next(self) -> tuple[Turn, bool] | None:
        """Pop the turn whose pass runs next, and whether it was queued; None while a pass runs."""
        if self.current is not None:
            return None
        for waiting, queued in ((self.due, False), (self.queue, True)):
            if waiting:
                return self.turns[waiting.pop(0)], queued
        return None

    def begin(self, begun: Turn, number: int | None = None) -> Run:
        """Make a pass of this turn the running one."""
        begun.delivered, begun.ended_at = False, None
        run = Run(number=number or self.number(), turn=begun, end=begun.next_end)
        begun.next_end = PassEnd()
        self.current = run
        return run

    def final_stored(self, turn_id: str, event: int) -> None:
        """Note the position of the running pass's ``final``, where its streams end."""
        run = self.current
        if run is not None and run.turn.id == turn_id:
            run.end.event = event

    def ended(self, ended: PassEnded, now: datetime, last_event: int) -> Run | None:
        """End the running pass, whose ``final`` is at ``last_event`` at the latest; None if another one runs."""
        run = self.current
        if run is None or run.turn.id != ended.turn_id:
            return None
        over, self.current = run.turn, None
        over.state, over.ended_at = ended.state, now
        over.unread = over.unread - ended.read if ended.state == "waiting" else set()
        run.end.event = run.end.event or last_event
        for approvals, end in over.awaited:
            if not approvals & over.unread:
                end.event = run.end.event
        over.awaited = [each for each in over.awaited if each[1].event is None]
        if ended.state != "waiting":
            self.turns.pop(over.id, None)
        if over.id in self.due and not over.unread:
            self.due.remove(over.id)  # decided while the pass ran, which has read it
        return run
