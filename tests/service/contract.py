"""What the contract says of one session (business 3-5): a small model, without any input or output."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

QUEUE_LIMIT = 5
ATTEMPTS = 3
"""A pass found unfinished by so many starts is given up."""


@dataclass(slots=True, eq=False)
class Asked:
    """An approval: it leaves ``pending`` once, and never comes back."""

    id: str
    tool: str
    turn: Turn
    status: str = "pending"
    told: bool = False


@dataclass(slots=True, eq=False)
class Turn:
    """What the contract says of one accepted message."""

    marker: str
    state: str = "queued"
    passes: int = 0
    found: int = 0
    """How often a start has found its present pass unfinished."""
    said: str = ""
    unbroken: str = ""
    """Words told since the last event of another kind."""
    released: int = 0
    errors: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    ran: int = 0
    rides: list[str] = field(default_factory=list)
    ridden: int = 0

    @property
    def kind(self) -> str:
        return self.marker.split()[1]

    def tell(self, text: str) -> None:
        """Its words go on."""
        self.said += text
        self.unbroken += text


class Contract:
    """The turns of a session: what runs, what is due, what waits, and what has come of it."""

    def __init__(self, effects: Counter[str]) -> None:
        self.effects = effects
        self.title: str | None = None
        self.turns: list[Turn] = []
        self.asked: list[Asked] = []
        self.current: Turn | None = None
        self.due: list[Turn] = []
        self.queue: list[Turn] = []
        self.begun: list[Turn] = []

    @property
    def waiting(self) -> list[Asked]:
        """The approvals nobody has decided."""
        return [each for each in self.asked if each.status == "pending"]

    def refusal(self, on_busy: str) -> str | None:
        """Why a message is not taken, if so."""
        if self.current is None:
            return None
        if on_busy == "reject":
            return "turn_in_progress"
        return "queue_full" if len(self.queue) >= QUEUE_LIMIT else None

    def accept(self, turn: Turn, on_busy: str) -> None:
        """Take a message that is not refused."""
        self.turns.append(turn)
        self.title = self.title or turn.marker
        if self.current is not None and on_busy == "interrupt":
            self.queue.insert(0, turn)
            self.end(self.current, "cancelled", "turn_interrupted: ")
        else:
            self.queue.append(turn)

    def expire(self) -> None:
        """The time of all that waits is over."""
        for each in self.waiting:
            each.status = "expired"
            if each.turn not in self.due:
                self.due.append(each.turn)

    def cut(self, turn: Turn) -> None:
        """A start finds the present pass unfinished."""
        turn.found += 1
        turn.released = 0
        if turn.found >= ATTEMPTS:
            self.end(turn, "failed", "internal_error: ")
        elif turn.unbroken:
            turn.tell("\n\n")

    def end(self, turn: Turn, state: str, error: str | None = None) -> None:
        """The running pass is over; one that ends with an error leaves nothing of its turn to be decided."""
        turn.state = state
        turn.unbroken = ""
        turn.released = 0
        if error is not None:
            turn.errors.append(error)
            for each in turn.asked:
                each.status = "rejected" if each.status == "pending" else each.status
            self.due = [each for each in self.due if each is not turn]
        self.current = None

    def decided(self, asked: Asked, *, granted: bool) -> None:
        """Somebody has decided; the turn goes on when it can."""
        asked.status = "granted" if granted else "rejected"
        if asked.turn not in self.due:
            self.due.append(asked.turn)

    def advance(self) -> None:
        """What the contract says happens by itself, until the model of a pass is waited for or nothing is due."""
        while self.current is None and (self.due or self.queue):
            if self.due:
                self._resume(self.due.pop(0))
            else:
                self._start(self.queue.pop(0))

    def _start(self, turn: Turn) -> None:
        turn.state, turn.passes, turn.found = "running", 1, 0
        self.begun.append(turn)
        if turn.kind == "chat":
            self.current = turn
            return
        turn.said += "I ask."
        tool = "book_flight" if turn.kind == "fly" else "post_journal_entry"
        for place in range(1 + (turn.kind == "two")):
            asked = Asked(f"{tool}{'' if place == 0 else f'-{place + 1}'}", tool, turn)
            turn.asked.append(asked)
            self.asked.append(asked)
        turn.state = "waiting"

    def _resume(self, turn: Turn) -> None:
        turn.state, turn.found = "running", 0
        turn.passes += 1
        unreported = [each for each in turn.asked if not each.told and each.status != "pending"]
        for each in unreported:
            each.told = True
            if each.status == "granted":
                turn.ran += 1
                self.effects[each.tool] += 1
        expired = any(each.status == "expired" for each in unreported) and not turn.ran
        if turn.ridden < len(turn.rides):
            turn.ridden = len(turn.rides)
        elif any(each.status == "pending" for each in turn.asked):
            turn.state = "waiting"
            return
        elif expired:
            turn.state = "completed"
            return
        self.current = turn
