"""The actor of a chat session: owns its event log, its turns and its approvals.

A conversation is independent of requests: a client that sends a message starts a turn and subscribes to its events; a
lost connection, a second viewer or a restart do not affect it. State changes only while a message of this actor is
handled; outcomes of awaited work come back as messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, assert_never

from ...storage.conversation import session_state, sessions
from ..domain.audit import AuditEvent, Author
from ..domain.errors import Conflict, Unavailable
from ..domain.events import transient_frame
from ..domain.turns import TurnError
from ..foundation import log, metrics
from ..foundation.clock import Timer
from ..quota import Quota
from ..runtime.actor import NoReply, Outcome
from ..runtime.reply import settle
from ..runtime.supervisor import Supervisor
from . import turn
from .approval_timer import ApprovalTimer
from .context import SessionServices
from .decisions import Decisions
from .deletion import Deletion
from .event_log import EventLog, SseFrame
from .expiry import ApprovalExpiry
from .history import History
from .intake import MessageIntake
from .log_writer import AppendText, Flush, LogWriter, StoreStep
from .new_message import Accepted
from .passes import PassRunner, interrupted
from .scheduler import Run, TurnScheduler
from .session_messages import (
    Cancel,
    Delete,
    Delivered,
    Follow,
    PassivateIfIdle,
    Pruned,
    Rename,
    Resolve,
    SendMessage,
    Sleep,
    Wake,
)
from .subscriptions import Subscriptions

_log = log.get(__name__)

IDLE_SECONDS = 120.0
REFUSED_IDLE_SECONDS = 1.0
"""Before a session passivates that was activated only to refuse a message."""
JUST_LOADED_SECONDS = 0.5
"""A session activated more recently than this is up to date with the tables."""

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
    | PassivateIfIdle
    | Sleep
    | Wake
)
"""What a session handles: from its turns, from viewers and users, and from the agency and the process."""


class SessionActor(Supervisor[Protocol]):
    """Runs one conversation."""

    inline = (AppendText, StoreStep, Flush)

    log: EventLog
    writer: LogWriter

    def __init__(self, *, tenant_id: str, session_id: str, quota: Quota, services: SessionServices) -> None:
        super().__init__(clock=services.clock)
        self.log_scope = log.Scope(tenant=tenant_id, session=session_id)
        self.tenant_id = tenant_id
        self.session_id = session_id
        self.quota = quota
        self.services = services
        self.scheduler = TurnScheduler()
        self.is_deleted = False
        self.shown: Run | None = None
        """The pass that ran when subscriptions were last woken: they may wait for its end."""
        self.loaded_at = 0.0
        self.idle_timer: Timer | None = None
        self.approval_timer = ApprovalTimer(services.clock, lambda: self.run_soon(self._deadline_passed))
        self.loaded = False

    async def initialise(self) -> None:
        state = await self.services.store.ask(self._load())
        history = History(self.tenant_id, self.session_id, self.services.store, self.clock)
        self.log = EventLog(
            state.last_seq,
            state.pruned_through,
            history.read,
            cap=self.services.settings.sse_replay_buffer_cap,
            gap=history.gap,
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
            self.intake.latest = Accepted.restored(state.last, self.scheduler.turns, self.log.last)
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
        self.expiry = ApprovalExpiry(self, **common, store=self.services.store, timer=self.approval_timer)
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
        self.deletion = Deletion(self, passes=self.passes, intake=self.intake, clock=self.clock, **common)

    def _load(self) -> session_state.Load:
        return session_state.Load(tenant_id=self.tenant_id, session_id=self.session_id)

    def _drop_ring(self) -> None:
        self.log.drop_unwatched()

    def _publish(self, frames: Sequence[SseFrame]) -> None:
        for frame in frames:
            if frame.kind == "final":
                self.scheduler.final_stored(frame.turn_id, frame.seq)
        self.log.publish(frames)

    async def receive(self, message: Protocol) -> Any:
        reply = self._handle(message)
        if not isinstance(message, AppendText):  # nothing becomes due by text
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
                return self.delegate_reply(partial(self.deletion.request, message.who))
            case Pruned():
                return self.log.pruned(message.through)
            case PassivateIfIdle():
                return self._check_idle()
            case Sleep():
                return self.ref.stop_soon()
            case Wake():
                return self._wake()
            case _:
                assert_never(message)

    def run_soon(self, then: Callable[[], None], *, finish: bool = False, inline: bool = False) -> None:
        """As ``Actor.run_soon``, and then start what has become due."""

        def and_continue() -> None:
            then()
            self._start_due()

        super().run_soon(and_continue, finish=finish, inline=inline)

    def _start_due(self) -> None:
        """Start due work if no pass runs, and wake subscriptions when ``busy`` or the running pass changed."""
        if not self.intake.starting and not self.deletion.under_way:
            self.passes.start_next()
        self.deletion.when_quiet()
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
        self.expiry.rearm()

    def expire(self) -> None:
        """Expire approvals whose deadline has passed."""
        self.expiry.expire()

    def _deadline_passed(self) -> None:
        self.expiry.deadline_passed()

    def _wake(self) -> None:
        if not self.expiry.deadline_passed():
            self.reconcile()

    @property
    def deleting(self) -> bool:
        return self.deletion.under_way

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
        return self.scheduler.busy or self.intake.busy or self.decisions.under_way or self.expiry.under_way

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
            _log.warning("turns_restored", turns=restored)
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
        return self.reply_later(interrupted(run.child, interrupt, run.turn.id))

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

    def deleted(self) -> None:
        """The rows are gone: close every stream and stop."""
        self.is_deleted = True
        self.log.end(transient_frame("error", self.session_id, self.clock.now(), "error", "session_deleted"))
        self.ref.stop_soon()

    def _check_idle_in(self, seconds: float) -> None:
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        self.idle_timer = self.clock.call_later(seconds, lambda: self.run_soon(self._check_idle))

    def _check_idle(self) -> None:
        if self._quiet and not self.log.watched and not self.approval_timer.any and not self.deletion.under_way:
            self.request_passivation()
        self._check_idle_in(IDLE_SECONDS)

    async def terminate(self, failure: BaseException | None) -> None:
        self.approval_timer.forget()
        if self.loaded:
            self._close(failure)
        if self.idle_timer is not None:  # last: a message that is refused now sets it again
            self.idle_timer.cancel()
        if isinstance(failure, Unavailable):
            self.services.on_storage_lost()

    def _close(self, failure: BaseException | None) -> None:
        metrics.API_ACTIVE_SESSIONS.dec()
        self.writer.close()
        self.intake.close()
        self.deletion.close()
        self.passes.close()
        self.log.end(self._closing_frame(failure))
        # breaks reference cycles: the actor is freed at once, not by the garbage collector
        del self.log, self.writer, self.subscriptions, self.intake, self.decisions, self.passes, self.approval_timer
        del self.deletion, self.expiry

    def _closing_frame(self, failure: BaseException | None) -> bytes:
        if self.is_deleted:
            why = "session_deleted"
        elif isinstance(failure, Unavailable):
            why = failure.code
        elif failure is not None:
            why = "internal_error: the session was restarted"
        elif not self.services.ownership.owns(
            self.tenant_id
        ):  # the database is unavailable, or the agency another node's
            why = "storage_unavailable"
        else:
            return b""
        return transient_frame("error", self.session_id, self.clock.now(), "error", why)
