"""The passes of one session's turns: which runs, which is due, which waits, and what the end of one leaves.

One pass runs at a time. What was decided goes before what is queued.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..storage import sessions, turns
from . import ids, log, metrics, turn
from .agent.loop import Pass, Ports, Task
from .domain.errors import Unavailable
from .domain.turns import MAX_ATTEMPTS, TURN_SECONDS
from .supervisor import Child, Restart

if TYPE_CHECKING:
    from .session import SessionActor

_log = log.get(__name__)


@dataclass(slots=True, kw_only=True)
class Turn:
    """A turn that has not come to its end, as its session knows it."""

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
    resumed: bool = False
    breaking: turn.Break | None = None
    """Asked for while the pass was being started."""


class Passes:
    """All turns of one session that have not come to their end, and the one whose pass runs."""

    def __init__(self, session: SessionActor) -> None:
        self.session = session
        self.turns: dict[str, Turn] = {}
        self.queue: list[str] = []
        self.due: list[str] = []
        self.current: Turn | None = None
        self._news: dict[str, set[str]] = {}
        """The approvals of each turn that were decided since a pass of it has read them."""
        self._counted = False
        self._began = 0.0

    def take_up(self, stored: sessions.OpenTurn) -> None:
        """A turn found in storage: what was running or decided is carried on, what was queued waits on."""
        found = Turn(
            id=stored.id,
            user_id=stored.user_id,
            state=stored.state,
            text=stored.input.get("text"),
            first_event=stored.first_event_id or 0,
            pass_event=stored.pass_event_id or 0,
            attempts=stored.attempts,
            ran_ms=stored.ran_ms,
        )
        self.turns[found.id] = found
        if stored.state == "queued":
            self.queue.append(found.id)
        elif stored.state == "running" or stored.untold or not stored.undecided:
            self.due.append(found.id)

    @property
    def busy(self) -> bool:
        """A pass runs or is due."""
        return self.current is not None or bool(self.due) or bool(self.queue)

    async def go_on(self) -> None:
        """Start what is due next, if nothing runs: decided calls first, then queued messages."""
        if self.current is None and not self.session.posting.starting and not self.session.deleted:
            if self.due:
                await self._begin(self.turns[self.due.pop(0)], queued=False)
            elif self.queue:
                await self._begin(self.turns[self.queue.pop(0)], queued=True)
        self.session.log.busy = self.busy
        self.session.log.ring()

    async def _begin(self, begun: Turn, *, queued: bool) -> None:
        """Start a pass of a turn that waited. One that never gets to its end is given up at the third try."""
        again = begun.state == "running"
        begun.attempts = begun.attempts + 1 if again else 1
        self.current = begun
        self.session.log.busy = True
        text, begun.text = begun.text, None
        message_id = ids.uuid7()
        begun.pass_event = begun.pass_event if again and begun.pass_event else self.session.log.last + 1
        begun.first_event = begun.first_event or begun.pass_event
        begun.resumed = not queued
        begun.delivered, begun.ended_at = False, None
        attempts = begun.attempts
        self.session.line.step(
            lambda after, now: turns.Start(
                tenant_id=self.session.tenant_id,
                session_id=self.session.session_id,
                after=after,
                now=now,
                turn_id=begun.id,
                user_id=begun.user_id,
                attempts=attempts,
                new_pass=not queued and not again,
                text=text,
                message_id=message_id,
            )
        )
        begun.state = "running"
        if again and begun.attempts > MAX_ATTEMPTS:
            self.session.spawn(self._give_up(begun), name="give_up")
        else:
            await self.start(begun, again=again)

    async def start(self, started: Turn, *, again: bool = False) -> None:
        """Have a pass run in a child of its own. It writes behind what is in the line already."""
        self.current = started
        self.session.log.busy = True
        metrics.TURNS_RUNNING.inc()
        self._counted = True
        self._began = self.session.clock.monotonic()
        task = self._task(started, again=again)
        seconds = TURN_SECONDS - started.ran_ms / 1000
        ref, ports = self.session.ref, self._ports(started.id)
        await self.session.start_child(
            Child(
                name=started.id,
                factory=lambda: turn.TurnActor.start(session=ref, task=task, ports=ports, seconds=seconds),
                restart=Restart.TEMPORARY,
                shutdown=2.0,
            )
        )
        child = self.session.child(started.id)
        if started.breaking is not None and child is not None:
            child.tell(started.breaking)

    def _task(self, of: Turn, *, again: bool = False) -> Task:
        settings, own = self.session.world.settings, self.session.agency.settings
        chosen = own.model if own.model in settings.agent_models else None
        return Task(
            tenant_id=self.session.tenant_id,
            session_id=self.session.session_id,
            turn_id=of.id,
            user_id=of.user_id,
            settings=own,
            model_name=chosen or settings.agent_model,
            max_tokens=settings.agent_max_tokens,
            approval_ttl=timedelta(seconds=settings.approval_ttl_seconds),
            again=again,
        )

    def _ports(self, turn_id: str) -> Ports:
        return self.session.world.ports(turn.Upwards(self.session.ref, turn_id), self.session.agency)

    async def ended(self, ended: turn.Ended) -> None:
        """A pass has come to its ``final``."""
        over = self.current
        if over is None or over.id != ended.turn_id:
            return
        over.ran_ms += self.uncount()
        outcome = {"waiting": "awaiting_approval"}.get(ended.state, ended.state)
        metrics.TURNS_TOTAL.labels(outcome=outcome).inc()
        self.current = None
        over.state = ended.state
        over.ended_at = self.session.clock.now()
        unread = self._news.pop(over.id, set()) - ended.read
        if ended.state != "waiting":
            self.turns.pop(over.id, None)
        else:
            self.session.spawn(self.session.rearm(), name="rearm")
        if ended.state == "waiting" and unread:
            self._news[over.id] = unread
        elif over.id in self.due:  # decided while the pass ran, which has read it: nothing of it is left
            self.due.remove(over.id)
        await self.go_on()

    def uncount(self) -> int:
        """The pass is over; answers the milliseconds it ran."""
        if not self._counted:
            return 0
        self._counted = False
        ran = self.session.clock.monotonic() - self._began
        metrics.TURN_DURATION_SECONDS.observe(ran)
        metrics.TURNS_RUNNING.dec()
        return int(ran * 1000)

    def died(self, turn_id: str, failure: BaseException) -> None:
        """A pass died without its ``final``: it gets one. One that only lacked storage is carried on: raises that."""
        if self.current is None or self.current.id != turn_id:
            return
        if isinstance(failure, Unavailable):
            raise failure
        self.session.spawn(self._give_up(self.current), name="give_up")

    async def _give_up(self, lost: Turn) -> None:
        error = f"internal_error: {ids.uuid7()}"
        _log.error("turn_given_up", session_id=self.session.session_id, turn_id=lost.id, error=error)
        state = await Pass(self._task(lost), self._ports(lost.id)).stop("failed", error)
        self.session.ref.tell(turn.Ended(lost.id, state))

    def make_due(self, decided: Iterable[tuple[str, str]]) -> None:
        """These turns have something to carry out or to tell: (turn, approval) of each decision or lapse."""
        for turn_id, approval_id in decided:
            if turn_id in self.turns:
                self._news.setdefault(turn_id, set()).add(approval_id)
                if turn_id not in self.due:
                    self.due.append(turn_id)
