"""The actor of a chat session: owns its event log, its turns and its approvals.

A conversation is independent of requests: a client that sends a message starts a turn and subscribes to its events; a
lost connection, a second viewer or a restart do not affect it. State changes only while a message of this actor is
handled; outcomes of awaited work come back as messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, assert_never

from ...storage.conversation import approvals, session_state, sessions
from ...storage.engine.idempotency import IdempotencyKey, IdempotentReply
from ..domain.approvals import Approval, Decision
from ..domain.audit import AuditEvent, Author
from ..domain.errors import Conflict, Unavailable
from ..domain.events import transient_frame
from ..domain.turns import TurnError
from ..foundation import log, metrics
from ..foundation.clock import Timer
from ..quota import Quota
from ..runtime.actor import ActorDead, Message, NoReply, Outcome, Ref
from ..runtime.reply import settle
from ..runtime.supervisor import Supervisor
from . import turn
from .approval_timer import ApprovalTimer
from .context import SessionServices
from .decisions import Decisions
from .event_log import EventLog, SseFrame, Subscription, frames_of
from .intake import Accepted, MessageIntake, NewMessage
from .log_writer import AppendText, Flush, LogWriter, StoreStep
from .passes import PassRunner
from .scheduler import Run, Turn, TurnScheduler
from .subscriptions import Mode, Subscriptions

__all__ = ["NewMessage", "SessionActor"]

R = TypeVar("R")
_log = log.get(__name__)

IDLE_SECONDS = 120.0
REFUSED_IDLE_SECONDS = 1.0
"""Before a session passivates that was activated only to refuse a message."""
DELETE_TIMEOUT = 8.0
"""Seconds a deletion waits for a running turn to stop."""
INTERRUPT_TIMEOUT = 5.0
JUST_LOADED_SECONDS = 0.5
"""A session activated more recently than this is up to date with the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSession(Message[R]):
    """A message routed to one session."""

    tenant_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMessage(ToSession[Subscription]):
    """Send text, decide approvals, or both; replies with the sender's subscription."""

    message: NewMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow(ToSession[Subscription | None]):
    """Subscribe from a cursor (None: from the running pass); replies None if there is nothing to replay."""

    cursor: str | None
    mode: Mode = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve(ToSession[IdempotentReply[Approval]]):
    """Decide one approval."""

    who: Author
    decision: Decision
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename(ToSession[sessions.Summary]):
    """Give the session a title."""

    who: Author
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(ToSession[None]):
    """Delete the session. Refusal: ``turn_in_progress`` if the running pass does not stop in time."""

    who: Author


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(ToSession[str]):
    """Stop the running pass if it belongs to ``turn_id`` (None: to any turn); replies with the turn's id.

    Refusal: ``no_turn_running``.
    """

    who: Author
    turn_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(ToSession[None]):
    """Event: the ``final`` with this id was written to a stream of this user."""

    turn_id: str
    event: int
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeRoom(ToSession[None]):
    """Passivate now if idle and unwatched: the agency has many active sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep(ToSession[None]):
    """Stop now, without waiting for the idle timeout; the next message activates the session again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake(ToSession[None]):
    """Work may be due: compare the tables with this actor's state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(ToSession[None]):
    """Event: text deltas up to this id were removed from the table. Only sent to active sessions."""

    through: int


@dataclass(slots=True, eq=False)
class _Deletion:
    """A deletion that waits for the running pass to stop."""

    who: Author
    replies: list[asyncio.Future[None]]
    timer: Timer | None = None
    sent: bool = False


Protocol = (
    AppendText
    | StoreStep[Any]
    | Flush
    | turn.PassEnded
    | SendMessage
    | Follow
    | Resolve
    | Delivered
    | Cancel
    | Rename
    | Delete
    | Pruned
    | MakeRoom
    | Sleep
    | Wake
)
"""What a session handles: from its turns, from viewers and users, and from the agency and the process."""


class SessionActor(Supervisor[Protocol]):
    """Runs one conversation."""

    log: EventLog
    writer: LogWriter

    def __init__(self, *, tenant_id: str, session_id: str, quota: Quota, services: SessionServices) -> None:
        super().__init__(clock=services.clock)
        self.tenant_id = tenant_id
        self.session_id = session_id
        self.quota = quota
        self.services = services
        self.scheduler = TurnScheduler()
        self.deletion: _Deletion | None = None
        self.deleted = False
        self.expiring = False
        self.deadline_reads = 0
        self.shown: Run | None = None
        """The pass that ran when subscriptions were last woken: they may wait for its end."""
        self.loaded_at = 0.0
        self.idle_timer: Timer | None = None
        self.approval_timer = ApprovalTimer(services.clock, lambda: self.run_soon(self._deadline_passed))
        self.loaded = False

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        state = await self.services.store.ask(self._load())
        self.log = EventLog(
            state.last_seq,
            state.pruned_through,
            self._older,
            cap=self.services.settings.sse_replay_buffer_cap,
            gap=self._gap,
            unwatched=lambda: self.run_soon(self._drop_ring),
        )
        self.writer = LogWriter(
            self,
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            last=state.last_seq,
            store=self.services.store,
            clock=self.clock,
            publish=self._publish,
        )
        self._make_parts()
        metrics.API_ACTIVE_SESSIONS.inc()
        self.loaded, self.loaded_at = True, self.clock.monotonic()
        for stored in state.turns:
            self.scheduler.restore(stored)
        if state.last is not None:
            self._remember(state.last)
        self.approval_timer.set(state.expires)
        self._check_idle_in(IDLE_SECONDS)
        self._start_due()

    def _make_parts(self) -> None:
        common: dict[str, Any] = {
            "tenant_id": self.tenant_id,
            "session_id": self.session_id,
            "scheduler": self.scheduler,
            "writer": self.writer,
        }
        shared: dict[str, Any] = {"quota": self.quota, "services": self.services}
        self.subscriptions = Subscriptions(self.session_id, self.log, self.scheduler, self.clock)
        self.passes = PassRunner(self, **common, **shared)
        self.decisions = Decisions(self, **common, clock=self.clock)
        self.intake = MessageIntake(
            self,
            passes=self.passes,
            decisions=self.decisions,
            subscriptions=self.subscriptions,
            **common,
            **shared,
        )

    def _load(self) -> session_state.Load:
        return session_state.Load(tenant_id=self.tenant_id, session_id=self.session_id)

    def _remember(self, stored: session_state.LastMessage) -> None:
        begun = self.scheduler.turns.get(stored.turn_id) or Turn(
            id=stored.turn_id,
            user_id=stored.user_id,
            state="ended",
            first_event=stored.first_event_id or 0,
            pass_event=stored.pass_event_id or 0,
        )
        begun.ended_at = stored.ended_at
        behind = begun.pass_event - 1 if begun.state != "waiting" or stored.ended_at else self.log.last
        self.intake.latest = Accepted(
            turn=begun,
            user_id=stored.user_id,
            text_hash=stored.text_hash,
            after=max(behind, 0) if stored.is_follow_up else None,
        )

    def _gap(self, through: int) -> bytes:
        why = f"replay_failed: events up to {through} are no longer kept"
        return transient_frame("error", self.session_id, self.clock.now(), "replay", why)

    async def _older(self, after: int, through: int) -> list[SseFrame]:
        """Read events that have left the ring; called in a viewer's task."""
        replay = session_state.Replay(
            tenant_id=self.tenant_id, session_id=self.session_id, after=after, through=through
        )
        rows = await self.services.store.ask(replay)
        return frames_of((row.seq, row.turn_id, row.kind, row.data) for row in rows)

    def _drop_ring(self) -> None:
        self.log.drop_unwatched()

    def _publish(self, frames: Sequence[SseFrame]) -> None:
        for frame in frames:
            if frame.kind == "final":
                self.scheduler.final_stored(frame.turn_id, frame.seq)
        self.log.publish(frames)

    async def receive(self, message: Protocol) -> Any:
        reply = self._handle(message)
        self._start_due()
        return reply

    def _handle(self, message: Protocol) -> Any:  # noqa: C901 -- one match, one line a case
        match message:
            case AppendText():
                return self.delegate_reply(partial(self.writer.text, message.turn_id, message.text))
            case StoreStep():
                return self.delegate_reply(lambda reply: self.writer.step(message.step, partial(settle, reply)))
            case Flush():
                return self.delegate_reply(lambda reply: self.writer.barrier(partial(settle, reply)))
            case turn.PassEnded():
                return self.passes.ended(message)
            case SendMessage():
                return self.delegate_reply(partial(self.intake.take_in, message.message))
            case Follow():
                return self.subscriptions.cursor(message.cursor, message.mode)
            case Resolve():
                return self.delegate_reply(partial(self.decisions.resolve, message.who, message.decision, message.key))
            case Delivered():
                return self.intake.delivered(message.turn_id, message.event, message.user_id)
            case Cancel():
                return self._cancel_turn(message)
            case Rename():
                return self.reply_later(self._rename(message))
            case Delete():
                return self.delegate_reply(partial(self._delete, message.who))
            case Pruned():
                return self.log.pruned(message.through)
            case MakeRoom():
                return self._check_idle()
            case Sleep():
                return self.ref.stop_soon()
            case Wake():
                return self._wake()
            case _:
                assert_never(message)

    def run_soon(self, then: Callable[[], None], *, finish: bool = False) -> None:
        """As ``Actor.run_soon``, and then start what has become due."""

        def and_continue() -> None:
            then()
            self._start_due()

        super().run_soon(and_continue, finish=finish)

    def _start_due(self) -> None:
        """Start due work if no pass runs, and wake subscriptions when ``busy`` or the running pass changed."""
        if not self.intake.starting and self.deletion is None:
            self.passes.start_next()
        if self.deletion is not None:
            self._delete_when_quiet(self.deletion)
        busy, run = self._busy, self.scheduler.current
        if busy != self.log.busy or run is not self.shown:
            self.log.busy, self.shown = busy, run
            self.log.wake_all()

    async def child_ended(self, name: str, failure: BaseException | None) -> None:
        """Handle a pass that failed without its ``final``."""
        if failure is not None:
            self.passes.child_failed(name, failure)

    def rearm(self) -> None:
        """Approvals may have changed: read the next deadline again."""
        self.deadline_reads += 1
        number = self.deadline_reads
        read = approvals.Expiries(tenant_id=self.tenant_id, session_id=self.session_id)
        self.pipe(self.services.store.ask(read), lambda outcome: self._rearmed(number, outcome), name="rearm")

    def _rearmed(self, number: int, outcome: Outcome[tuple[Any, ...]]) -> None:
        if outcome.error is not None:
            _log.warning("approval_deadlines_read_failed", session_id=self.session_id, reason=str(outcome.error))
        elif number == self.deadline_reads:
            self.approval_timer.set(outcome.value)

    def _deadline_passed(self) -> None:
        if self.approval_timer.passed():
            self.expire()

    def expire(self) -> None:
        """Expire approvals whose deadline has passed, and resume their turns."""
        if self.expiring:
            return
        self.expiring = True
        self.writer.step(
            approvals.Expire(tenant_id=self.tenant_id, session_id=self.session_id),
            self._expired,
        )

    def _expired(self, outcome: Outcome[tuple[tuple[str, str], ...]]) -> None:
        self.expiring = False
        if outcome.error is not None:
            _log.warning("approval_expiry_failed", session_id=self.session_id, reason=str(outcome.error))
            return
        metrics.APPROVALS_TOTAL.labels(outcome="expired").inc(len(outcome.value))
        self.scheduler.expired(outcome.value)
        self.rearm()

    def _wake(self) -> None:
        if self.approval_timer.passed():
            self.expire()
        else:
            self.reconcile()

    @property
    def deleting(self) -> bool:
        return self.deletion is not None

    def refused(self) -> None:
        """A message was refused: a session activated only for it passivates early."""
        if self._quiet:
            self._check_idle_in(REFUSED_IDLE_SECONDS)

    @property
    def _quiet(self) -> bool:
        """Whether nothing is in progress, so that the tables hold the complete state."""
        return not self._busy and self.intake.idle and self.writer.idle

    @property
    def _busy(self) -> bool:
        """Whether a pass runs or is due, or a message or decision is being stored."""
        return self.scheduler.busy or self.intake.busy or self.decisions.under_way or self.expiring

    def reconcile(self) -> None:
        """Compare the open turns in the table with the scheduler's, and schedule missing ones."""
        writes, fresh = self.writer.writes, self.clock.monotonic() - self.loaded_at < JUST_LOADED_SECONDS
        if self._quiet and not fresh:
            self.pipe(self.services.store.ask(self._load()), partial(self._reconcile, writes), name="reconcile")

    def _reconcile(self, writes: int, outcome: Outcome[session_state.State]) -> None:
        if outcome.error is not None or not self._quiet or self.writer.writes != writes:
            return  # housekeeping sends Wake again
        restored = [stored.id for stored in outcome.value.turns if self.scheduler.restore(stored)]
        if restored:
            _log.warning("turns_restored", session_id=self.session_id, turns=restored)
        self.approval_timer.set(outcome.value.expires)
        self._deadline_passed()

    def _cancel_turn(self, cancel: Cancel) -> str | NoReply:
        interrupt = turn.Interrupt(TurnError("turn_cancelled", "stopped by a person"), cancel.who)
        run = self.scheduler.current
        if run is None:
            starting = self.intake.cancel(cancel.turn_id, interrupt)
            if starting is None:
                raise Conflict("no_turn_running")
            return starting
        if cancel.turn_id not in (None, run.turn.id):
            raise Conflict("no_turn_running")
        if run.child is None:
            run.interrupt = interrupt
            return run.turn.id
        return self.reply_later(_interrupted(run.child, interrupt, run.turn.id))

    async def _rename(self, rename: Rename) -> sessions.Summary:
        now = self.clock.now()
        audit_event = self._audit_event("session.renamed", rename.who, now)
        return await self.services.store.ask(
            sessions.Rename(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                title=rename.title,
                audit_event=audit_event,
                now=now,
            )
        )

    def _audit_event(self, kind: str, by: Author, now: datetime) -> AuditEvent:
        refs = {"session_id": self.session_id}
        return AuditEvent.by_person(kind, self.tenant_id, by.user_id, by.origin, now, refs=refs)

    def _delete(self, who: Author, reply: asyncio.Future[None]) -> None:
        """Stop the running pass, then delete; a second request waits for the first."""
        if self.deletion is not None:
            self.deletion.replies.append(reply)
            return
        self.deletion = deletion = _Deletion(who, [reply])
        interrupt = turn.Interrupt(TurnError("turn_cancelled", "the session is deleted"), who)
        if self.scheduler.current is not None:
            self.passes.interrupt(self.scheduler.current.number, interrupt)
        else:
            self.intake.cancel(None, interrupt)
        timed_out = partial(self._deletion_timed_out, deletion)
        deletion.timer = self.clock.call_later(DELETE_TIMEOUT, lambda: self.run_soon(timed_out))

    def _delete_when_quiet(self, deletion: _Deletion) -> None:
        if deletion.sent or self.scheduler.current is not None or self.intake.starting:
            return
        deletion.sent = True
        now = self.clock.now()
        audit_event = self._audit_event("session.deleted", deletion.who, now)
        delete = sessions.Delete(tenant_id=self.tenant_id, session_id=self.session_id, audit_event=audit_event, now=now)
        self.writer.operation(delete, partial(self._deletion_over, deletion))

    def _deletion_timed_out(self, deletion: _Deletion) -> None:
        if self.deletion is deletion and not deletion.sent:
            self._deletion_over(deletion, Outcome(error=Conflict("turn_in_progress")))

    def _deletion_over(self, deletion: _Deletion, outcome: Outcome[None]) -> None:
        if deletion.timer is not None:
            deletion.timer.cancel()
        self.deletion = None
        for reply in deletion.replies:
            settle(reply, outcome)
        if outcome.error is None:
            self.deleted = True
            self.log.end(transient_frame("error", self.session_id, self.clock.now(), "error", "session_deleted"))
            self.ref.stop_soon()

    def _check_idle_in(self, seconds: float) -> None:
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        self.idle_timer = self.clock.call_later(seconds, lambda: self.run_soon(self._check_idle))

    def _check_idle(self) -> None:
        if self._quiet and not self.log.watched and not self.approval_timer.any and self.deletion is None:
            self.request_passivation()
        self._check_idle_in(IDLE_SECONDS)

    async def terminate(self, failure: BaseException | None) -> None:
        self.approval_timer.forget()
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        if self.deletion is not None and self.deletion.timer is not None:
            self.deletion.timer.cancel()
        if self.loaded:
            self._close(failure)
        if isinstance(failure, Unavailable):
            self.services.on_storage_lost()

    def _close(self, failure: BaseException | None) -> None:
        metrics.API_ACTIVE_SESSIONS.dec()
        self.writer.close()
        self.intake.close()
        self.passes.close()
        self.log.end(self._closing_frame(failure))
        # breaks reference cycles: the actor is freed at once, not by the garbage collector
        del self.log, self.writer, self.subscriptions, self.intake, self.decisions, self.passes, self.approval_timer

    def _closing_frame(self, failure: BaseException | None) -> bytes:
        why = None
        if failure is not None:
            restarted = "internal_error: the session was restarted"
            why = failure.code if isinstance(failure, Unavailable) else restarted
        elif (
            not self.deleted and not self.services.is_leader()
        ):  # the database is unavailable, or another process is the leader
            why = "storage_unavailable"
        if self.deleted:
            why = "session_deleted"
        return b"" if why is None else transient_frame("error", self.session_id, self.clock.now(), "error", why)


async def _interrupted(child: Ref, interrupt: turn.Interrupt, turn_id: str) -> str:
    """Return the turn's id once its pass accepted the interrupt. Refusal: ``no_turn_running`` if it is over."""
    try:
        stops = await child.ask(interrupt, within=INTERRUPT_TIMEOUT)
    except ActorDead:
        stops = False
    if not stops:
        raise Conflict("no_turn_running")
    return turn_id
