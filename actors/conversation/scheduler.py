"""The turns of one session that have not come to their end: which pass runs, which is due, which waits.

Plain data, changed by the session's actor alone. One pass runs at a time; what was decided goes before what is queued.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ...storage.conversation import sessions
from ..runtime.actor import Ref
from .event_log import PassEnd
from .turn import Interrupt, PassEnded


@dataclass(slots=True, kw_only=True, eq=False)
class Turn:
    """A turn, as its session knows it."""

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
    next_end: PassEnd = field(default_factory=PassEnd)
    """The end of the pass it has not begun yet."""
    awaited: list[tuple[frozenset[str], PassEnd]] = field(default_factory=list)
    """Streams that end once these approvals' decisions have been carried out or told."""
    unread: set[str] = field(default_factory=set)
    """Approvals decided since a pass of it has read them."""


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """A pass under way. Its number is the session's own: a command that means this pass names it."""

    number: int
    turn: Turn
    end: PassEnd
    child: Ref | None = None
    interrupt: Interrupt | None = None
    """Asked for while the pass was being started."""
    counted_from: float | None = None
    """On the monotonic clock, since when it runs."""


class TurnScheduler:
    """All turns of one session that have not come to their end."""

    def __init__(self) -> None:
        self.turns: dict[str, Turn] = {}
        self.queue: list[str] = []
        self.due: list[str] = []
        self.current: Run | None = None
        self.resumed: Turn | None = None
        """The turn that was resumed last."""
        self._numbers = 0

    @property
    def busy(self) -> bool:
        """A pass runs or is due."""
        return self.current is not None or bool(self.due) or bool(self.queue)

    def under_way(self, turn_id: str) -> bool:
        """A pass of this turn runs, is due, or waits."""
        runs = self.current is not None and self.current.turn.id == turn_id
        return runs or turn_id in self.queue or turn_id in self.due

    def end_of(self, turn_id: str) -> PassEnd | None:
        """The end of the pass of this turn that runs or comes next; None if it is not under way."""
        if self.current is not None and self.current.turn.id == turn_id:
            return self.current.end
        found = self.turns.get(turn_id)
        return found.next_end if found is not None and self.under_way(turn_id) else None

    def number(self) -> int:
        """A number for a pass that will be begun."""
        self._numbers += 1
        return self._numbers

    def restore(self, stored: sessions.OpenTurn) -> bool:
        """A turn as the table has it: what was running or decided is carried on, what was queued waits on.

        Answers whether that is news.
        """
        known = self.turns.get(stored.id)
        if known is None:
            known = self.turns[stored.id] = Turn(
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
        known.state = stored.state
        if stored.state == "queued":
            self.queue.append(stored.id)
        elif stored.state == "running" or stored.unreported or not stored.undecided:
            self.due.append(stored.id)
        else:
            return False
        return True

    def add(self, fresh: Turn) -> None:
        """A turn that was accepted now."""
        self.turns[fresh.id] = fresh

    def enqueue(self, waiting: Turn, *, first: bool) -> None:
        """Have a turn wait for its first pass, behind the others or before them."""
        self.add(waiting)
        self.queue.insert(0 if first else len(self.queue), waiting.id)

    def decided(self, pairs: Iterable[tuple[str, str]]) -> tuple[PassEnd, ...]:
        """These (turn, approval) were decided; answers the ends of the passes that carry out or tell what was."""
        ends = []
        for found, approval_ids in self._make_due(pairs):
            self.resumed = found
            found.awaited.append((approval_ids, PassEnd()))
            ends.append(found.awaited[-1][1])
        return tuple(ends)

    def expired(self, pairs: Iterable[tuple[str, str]]) -> None:
        """These (turn, approval) have expired."""
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
        """The turn whose pass is due next, taken from where it waited, and whether it was queued."""
        if self.current is not None:
            return None
        for waiting, queued in ((self.due, False), (self.queue, True)):
            if waiting:
                return self.turns[waiting.pop(0)], queued
        return None

    def begin(self, begun: Turn, number: int | None = None) -> Run:
        """A pass of this turn is the one that runs."""
        begun.delivered, begun.ended_at = False, None
        run = Run(number=number or self.number(), turn=begun, end=begun.next_end)
        begun.next_end = PassEnd()
        self.current = run
        return run

    def final_stored(self, turn_id: str, event: int) -> None:
        """The ``final`` of the running pass is in the log: whoever waits for this pass alone is done there."""
        run = self.current
        if run is not None and run.turn.id == turn_id:
            run.end.event = event

    def ended(self, ended: PassEnded, now: datetime, last_event: int) -> Run | None:
        """The running pass has come to its ``final``, at ``last_event`` at the latest; None if another one runs."""
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
