"""The passes of one session's turns: started in children of the session, interrupted, ended.

Part of the session's actor and changed by it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from ...storage.conversation import turns
from ..agent.ports import Ports, Task
from ..agent.run import Pass
from ..domain import ids
from ..domain.errors import Conflict, Unavailable
from ..domain.turns import MAX_ATTEMPTS, TURN_SECONDS, TurnError
from ..foundation import log, metrics
from ..quota import Quota
from ..runtime.actor import ActorDead, Outcome
from ..runtime.ref import Ref
from ..runtime.supervisor import Child, Restart
from . import turn
from .context import SessionServices
from .log_writer import LogWriter
from .scheduler import Run, Turn, TurnScheduler

R = TypeVar("R")
_log = log.get(__name__)

INTERRUPT_TIMEOUT = 5.0


class Owner(Protocol):
    """The session's actor, as far as its passes need it."""

    ref: Ref

    def start_new(self, child: Child) -> Ref: ...

    def pipe(self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str) -> None: ...

    def rearm(self) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class PassRunner:
    """Runs the passes that the scheduler selects."""

    def __init__(
        self,
        owner: Owner,
        *,
        tenant_id: str,
        session_id: str,
        scheduler: TurnScheduler,
        writer: LogWriter,
        quota: Quota,
        services: SessionServices,
    ) -> None:
        self.tenant_id = tenant_id
        self.session_id = session_id
        self._owner = owner
        self._scheduler = scheduler
        self._writer = writer
        self._quota = quota
        self._services = services

    def start_next(self) -> None:
        """Begin the pass that is due next, if none runs: decided calls first, then queued messages."""
        upcoming = self._scheduler.next()
        if upcoming is not None:
            self._begin(upcoming[0], queued=upcoming[1])

    def _begin(self, begun: Turn, *, queued: bool) -> None:
        """Store the start of a waiting turn's pass, then run it. After three unfinished attempts the turn fails."""
        again = begun.state == "running"
        begun.attempts = begun.attempts + 1 if again else 1
        text, begun.text = begun.text, None
        begun.pass_event = begun.pass_event if again and begun.pass_event else self._writer.last + 1
        begun.first_event = begun.first_event or begun.pass_event
        run = self._scheduler.begin(begun)
        attempts, message_id = begun.attempts, ids.uuid7()
        self._writer.step(
            turns.Start(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                turn_id=begun.id,
                user_id=begun.user_id,
                attempts=attempts,
                new_pass=not queued and not again,
                text=text,
                message_id=message_id,
            ),
            lambda outcome: self._begun(run, outcome, again=again),
        )

    def _begun(self, run: Run, outcome: Outcome[None], *, again: bool) -> None:
        if outcome.error is not None:
            if not isinstance(outcome.error, Unavailable):
                self._refused(run)
            return
        run.turn.state = "running"
        if again and run.turn.attempts > MAX_ATTEMPTS:
            self._give_up(run)
        else:
            self._launch(run, again=again)

    def start(self, started: Turn, number: int | None, interrupt: turn.Interrupt | None) -> Run:
        """Run the first pass of a turn whose message was stored as begun."""
        run = self._scheduler.begin(started, number)
        run.interrupt = interrupt
        self._launch(run, again=False)
        return run

    def _launch(self, run: Run, *, again: bool) -> None:
        """Run a pass in a child actor. Its writes are queued after those queued already."""
        metrics.TURNS_RUNNING.inc()
        run.counted_from = self._services.clock.monotonic()
        task = self._task(run.turn, again=again)
        seconds = TURN_SECONDS - run.turn.ran_ms / 1000
        ref, ports = self._owner.ref, self._ports(run.turn.id)
        run.child = self._owner.start_new(
            Child(
                name=f"{run.turn.id}/{run.number}",
                factory=lambda: turn.TurnActor.start(session=ref, task=task, ports=ports, seconds=seconds),
                restart=Restart.TEMPORARY,
                shutdown=2.0,
            )
        )
        if run.interrupt is not None:
            run.child.tell(run.interrupt)

    def interrupt(self, number: int, interrupt: turn.Interrupt) -> None:
        """Interrupt this pass; no effect if another one is running."""
        run = self._scheduler.current
        if run is None or run.number != number:
            return
        if run.child is None:
            run.interrupt = interrupt
        else:
            run.child.tell(interrupt)

    def _task(self, of: Turn, *, again: bool = False) -> Task:
        settings, own = self._services.settings, self._quota.settings
        chosen = own.model if own.model in settings.agent_models else None
        return Task(
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            turn_id=of.id,
            user_id=of.user_id,
            settings=own,
            model_name=chosen or settings.agent_model,
            max_tokens=settings.agent_max_tokens,
            max_rounds=settings.agent_max_rounds,
            approval_ttl=timedelta(seconds=settings.approval_ttl_seconds),
            again=again,
            request_id=of.request_id,
        )

    def _ports(self, turn_id: str) -> Ports:
        return self._services.ports(turn.TurnLog(self._owner.ref, turn_id), self._quota, self._services.store)

    def ended(self, ended: turn.PassEnded) -> None:
        """Handle the end of a pass that stored its ``final``."""
        run = self._scheduler.ended(ended, self._services.clock.now(), self._writer.last)
        if run is None:
            return
        outcome = {"waiting": "awaiting_approval"}.get(ended.state, ended.state)
        metrics.TURNS_TOTAL.labels(outcome=outcome).inc()
        run.turn.ran_ms += self._stop_counting(run)
        if ended.state != "completed":
            self._owner.rearm()

    def _stop_counting(self, run: Run) -> int:
        """Stop the timer of a pass; return the milliseconds it ran."""
        if run.counted_from is None:
            return 0
        ran = self._services.clock.monotonic() - run.counted_from
        run.counted_from = None
        metrics.TURN_DURATION_SECONDS.observe(ran)
        metrics.TURNS_RUNNING.dec()
        return int(ran * 1000)

    def child_failed(self, name: str, failure: BaseException) -> None:
        """Handle a pass that failed without its ``final``: store one. Raises if only storage was unavailable."""
        run = self._scheduler.current
        if run is None or name != f"{run.turn.id}/{run.number}":
            return
        if isinstance(failure, Unavailable):
            raise failure
        self._give_up(run)

    def _give_up(self, lost: Run) -> None:
        error = TurnError("internal_error", ids.uuid7())
        _log.error("turn_abandoned", turn=lost.turn.id, error=error.line)
        stop = Pass(self._task(lost.turn), self._ports(lost.turn.id)).stop("failed", error)
        self._owner.pipe(stop, lambda outcome: self._given_up(lost, outcome), name="give_up")

    def _given_up(self, lost: Run, outcome: Outcome[str]) -> None:
        if outcome.error is not None:
            self._owner.fail(outcome.error)
        else:
            self.ended(turn.PassEnded(lost.turn.id, outcome.value))

    def _refused(self, run: Run) -> None:
        """End a pass whose start could not be stored, with an error event."""
        if run.turn.state == "running":
            self._give_up(run)
            return
        error = TurnError("internal_error", ids.uuid7())
        _log.error("turn_start_failed", turn=run.turn.id, error=error.line)
        self._writer.step(
            turns.AbandonStart(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                turn_id=run.turn.id,
                user_id=run.turn.user_id,
                message_id=ids.uuid7(),
                error=error,
            ),
            lambda outcome: self._given_up(run, outcome),
        )

    def close(self) -> None:
        """The session ends: the running pass is no longer counted."""
        if self._scheduler.current is not None:
            self._stop_counting(self._scheduler.current)


async def interrupted(child: Ref, interrupt: turn.Interrupt, turn_id: str) -> str:
    """Return the turn's id once its pass accepted the interrupt. Refusal: ``no_turn_running`` if it is over."""
    try:
        stops = await child.ask(interrupt, within=INTERRUPT_TIMEOUT)
    except ActorDead:
        stops = False
    if not stops:
        raise Conflict("no_turn_running")
    return turn_id
