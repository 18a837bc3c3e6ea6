"""Intake of messages and decisions: admitted, stored, and answered with the sender's subscription.

``domain.admission`` decides what is done with a message; this module does it. Part of the session's actor and changed
by it alone: outcomes of awaited steps come back as messages of the actor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol, TypeVar

from ...storage.conversation import approvals, turns
from ..domain import admission, ids
from ..domain.approvals import Decision
from ..domain.errors import Conflict
from ..domain.turns import Started, TurnError, text_hash, title_of
from ..foundation import metrics
from ..quota import Quota
from ..runtime.actor import Outcome
from ..runtime.reply import refuse, resolve
from . import turn
from .context import SessionServices
from .decisions import Decisions
from .event_log import Subscription
from .log_writer import LogWriter
from .new_message import Accepted, NewMessage, PendingMessage
from .passes import PassRunner
from .scheduler import Turn, TurnScheduler
from .subscriptions import Subscriptions

R = TypeVar("R")


class Owner(Protocol):
    """The session's actor, as far as its intake needs it."""

    def pipe(self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str) -> None: ...

    def expire(self) -> None:
        """Expire the approvals whose deadline has passed."""

    def reconcile(self) -> None:
        """The table may hold turns that this actor does not know."""

    def refused(self) -> None:
        """A message was refused as a whole."""

    @property
    def deleting(self) -> bool:
        """The session is being deleted."""


class MessageIntake:
    """Admits, stores and answers the messages of one session."""

    def __init__(
        self,
        owner: Owner,
        *,
        tenant_id: str,
        session_id: str,
        scheduler: TurnScheduler,
        passes: PassRunner,
        writer: LogWriter,
        decisions: Decisions,
        subscriptions: Subscriptions,
        quota: Quota,
        services: SessionServices,
    ) -> None:
        self.tenant_id = tenant_id
        self.session_id = session_id
        self.latest: Accepted | None = None
        self._owner = owner
        self._scheduler = scheduler
        self._passes = passes
        self._writer = writer
        self._decisions = decisions
        self._subscriptions = subscriptions
        self._quota = quota
        self._services = services
        self._intakes: dict[int, PendingMessage] = {}
        self._number = 0
        self._stored = 0

    @property
    def busy(self) -> bool:
        """A message is being stored."""
        return any(each.storing for each in self._intakes.values())

    @property
    def idle(self) -> bool:
        return not self._intakes

    @property
    def starting(self) -> bool:
        """Whether a message is being stored whose pass starts at once: no other pass may start before it."""
        return self._starting() is not None

    def take_in(self, message: NewMessage, reply: asyncio.Future[Subscription]) -> None:
        """Take in one message. Its key, and whether its approvals are still pending, is looked up in the table."""
        self._number += 1
        intake = self._intakes[self._number] = PendingMessage(id=self._number, message=message, replies=[reply])
        if message.key is None and not (message.approvals and self._is_repetition(message)):
            self._admit(intake, decidable=False)
        else:
            self._look_up(intake)

    def _look_up(self, intake: PendingMessage) -> None:
        message = intake.message
        intake.stored_before = self._stored
        look_up = turns.LookUp(
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            key=message.key,
            approval_ids=tuple(message.approvals),
            now=self._now(),
        )
        self._owner.pipe(
            self._services.store.ask(look_up), lambda outcome: self._looked_up(intake, outcome), name="look_up"
        )

    def _looked_up(self, intake: PendingMessage, outcome: Outcome[turns.LookedUp]) -> None:
        if outcome.error is not None:
            self._refuse(intake, outcome.error)
        elif outcome.value.started is not None:
            self._answer(intake, self._started(outcome.value.started, outcome.value.first_event_id))
        elif intake.message.key is not None and intake.stored_before != self._stored:
            self._look_up(intake)  # its key may have been used since the table was read
        else:
            self._admit(intake, decidable=outcome.value.decidable)

    def _admit(self, intake: PendingMessage, *, decidable: bool) -> None:
        message = intake.message
        request = admission.Request(
            user_id=message.who.user_id,
            text_hash=text_hash(message.text) if message.has_text else None,
            approvals=message.approvals,
            decidable=decidable,
            on_busy=message.on_busy,
            key=None if message.key is None else message.key.key,
            body_hash=None if message.key is None else message.key.body_hash,
        )
        match admission.decide(request, self._snapshot()):
            case admission.Refuse(refusal):
                self._refuse(intake, refusal)
            case admission.Share(earlier):
                self._intakes[earlier].replies += intake.replies
                del self._intakes[intake.id]
            case admission.Rejoin():
                self._answer(intake, self._rejoin())
            case admission.Watch(what):
                self._answer(intake, self._watch(what))
            case admission.Accept() as accept:
                if self._within_limits(intake):
                    self._accept(intake, accept)
            case admission.Decide() as decide:
                if decide.text == "none" or self._within_limits(intake):
                    self._decide(intake, decide)

    def _snapshot(self) -> admission.Snapshot:
        scheduler, latest = self._scheduler, self.latest
        resumed = scheduler.resumed
        return admission.Snapshot(
            now=self._now(),
            stopping=self._services.stopping(),
            deleting=self._owner.deleting,
            running=None if scheduler.current is None else scheduler.current.number,
            due=bool(scheduler.due),
            deciding=self._decisions.under_way,
            queued=len(scheduler.queue),
            accepting=[each.accepting() for each in self._intakes.values() if each.storing],
            latest=None if latest is None else self._latest(latest),
            resumed_ended_at=None if resumed is None else resumed.ended_at,
        )

    def _latest(self, latest: Accepted) -> admission.Latest:
        return admission.Latest(
            user_id=latest.user_id,
            text_hash=latest.text_hash,
            under_way=self._scheduler.under_way(latest.turn.id),
            ended_at=latest.turn.ended_at,
            delivered=latest.turn.delivered,
        )

    def _is_repetition(self, message: NewMessage) -> bool:
        latest = self.latest
        return latest is not None and (latest.user_id, latest.text_hash) == (
            message.who.user_id,
            text_hash(message.text),
        )

    def _within_limits(self, intake: PendingMessage) -> bool:
        """Check rate limit and budget when a message arrives; a refusal goes to its sender."""
        refused = self._quota.admit()
        intake.admitted = refused is None
        if refused is None:
            return True
        metrics.TURNS_TOTAL.labels(outcome="refused").inc()
        self._answer(intake, self._subscriptions.refusal(refused))
        self._owner.refused()
        return False

    def _accept(self, intake: PendingMessage, accept: admission.Accept) -> None:
        """Store a message as a new turn, which starts at once or is queued."""
        message, starts = intake.message, accept.place == "now"
        intake.storing, intake.waits = True, not starts
        intake.turn_id = turn_id = ids.turn_id()
        intake.pass_number = self._scheduler.number() if starts else None
        message_id = ids.uuid7()
        self._writer.step(
            turns.Accept(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                turn_id=turn_id,
                user_id=message.who.user_id,
                text=message.text,
                text_hash=text_hash(message.text),
                title=title_of(message.text),
                message_id=message_id,
                queued=not starts,
                key=message.key,
            ),
            lambda outcome: self._accepted(intake, accept, turn_id, outcome),
        )

    def _accepted(self, intake: PendingMessage, accept: admission.Accept, turn_id: str, outcome: Outcome[bool]) -> None:
        message = intake.message
        if outcome.error is not None:
            if isinstance(outcome.error, Conflict) and outcome.error.code == "turn_in_progress":
                self._owner.reconcile()  # the table knows of a turn that runs, and this actor does not
            self._refuse(intake, outcome.error)
            return
        if not outcome.value:  # the key was used meanwhile
            self._look_up(intake)
            return
        intake.admitted = False  # it stays counted
        self._stored += 1
        waits = accept.place != "now"
        taken = Turn(
            id=turn_id,
            user_id=message.who.user_id,
            state="queued" if waits else "running",
            text=message.text if waits else None,
            request_id=message.who.origin.request_id,
        )
        self.latest = Accepted(turn=taken, user_id=taken.user_id, text_hash=text_hash(message.text))
        after = self._writer.last
        if waits:
            self._scheduler.enqueue(taken, first=accept.place == "first")
            if accept.over is not None:
                self._passes.interrupt(
                    accept.over,
                    turn.Interrupt(TurnError("turn_interrupted", "a newer message took its place"), message.who),
                )
            end = taken.next_end
        else:
            taken.first_event = taken.pass_event = after + 1
            self._scheduler.add(taken)
            end = self._passes.start(taken, intake.pass_number, intake.interrupt).end
        if intake.ends:
            subscription = self._subscriptions.passes((*intake.ends, end), after=intake.after)
        else:
            subscription = self._subscriptions.turns([turn_id], after=after)
        self._answer(intake, subscription)

    def _decide(self, intake: PendingMessage, decide: admission.Decide) -> None:
        """Store the decisions, then schedule their passes; text becomes a follow-up message if no pass runs."""
        message = intake.message
        follows_up = decide.text == "follows_up"
        intake.storing, intake.waits = True, decide.then is not None
        intake.after = self._writer.last
        self._decisions.write(
            message.who,
            [Decision(approval_id, granted) for approval_id, granted in message.approvals.items()],
            lambda outcome: self._decided(intake, decide, outcome),
            follow_up=message.text if follows_up else None,
            key=message.key if decide.then is None else None,
            last_event=intake.after,
        )

    def _decided(self, intake: PendingMessage, decide: admission.Decide, outcome: Outcome[approvals.Decided]) -> None:
        if outcome.error is not None:
            self._refuse(intake, outcome.error)
            return
        decided, message = outcome.value, intake.message
        if decided.replayed:  # the key was used meanwhile
            self._look_up(intake)
            return
        self._stored += 1
        intake.ends = self._decisions.note(decided.made)
        if any(isinstance(refusal, approvals.ApprovalExpired) for refusal in decided.refused.values()):
            self._owner.expire()
        intake.prelude = b"".join(
            self._subscriptions.error(TurnError(refusal.code, approval_id))
            for approval_id, refusal in decided.refused.items()
        )
        follows_up = decide.text == "follows_up"
        if decided.made and not (message.has_text and not follows_up):
            if follows_up:
                self._follows_up(decided.made[-1].turn_id, message, intake.after)
                intake.admitted = False
            self._answer(intake, self._subscriptions.passes(intake.ends, after=intake.after))
        elif message.has_text:
            self._accept(intake, decide.then or self._place_again(intake))
        else:
            self._nothing_decided(intake)

    def _place_again(self, intake: PendingMessage) -> admission.Accept:
        """Where text goes when none of its decisions could be applied."""
        intake.storing = False
        busy = self._scheduler.busy or self.busy or self._decisions.under_way
        return admission.Accept("last" if busy else "now")

    def _nothing_decided(self, intake: PendingMessage) -> None:
        intake.storing = False
        watch = admission.decide(admission.Request(user_id=intake.message.who.user_id), self._snapshot())
        if isinstance(watch, admission.Watch):
            self._answer(intake, self._watch(watch.what))
        elif intake.prelude:
            self._answer(intake, self._subscriptions.nothing(prelude=b"", after=self._subscriptions.final()))
        elif isinstance(watch, admission.Refuse):
            self._refuse(intake, watch.refusal)

    def _follows_up(self, turn_id: str, message: NewMessage, after: int) -> None:
        """Note text sent with decisions as the message accepted last; its events come after ``after``."""
        resumed = self._scheduler.turns.get(turn_id)
        if resumed is not None:
            digest = text_hash(message.text)
            self.latest = Accepted(turn=resumed, user_id=message.who.user_id, text_hash=digest, after=after)

    def _watch(self, what: str) -> Subscription:
        current, resumed = self._scheduler.current, self._scheduler.resumed
        if what == "running" and current is not None:
            return self._subscriptions.running(current)
        if what == "resumed" and resumed is not None:
            return self._subscriptions.resumed(resumed)
        return self._subscriptions.settled()

    def _rejoin(self) -> Subscription:
        assert self.latest is not None
        if self.latest.after is not None:
            return self._subscriptions.turns([self.latest.turn.id], after=self.latest.after)
        return self._subscriptions.turn_from_its_first_event(self.latest.turn.id, self.latest.turn.first_event)

    def _started(self, started: Started, first_event_id: int | None) -> Subscription:
        """The subscription to what a used key started, from its first event."""
        if started.after is not None:
            return self._subscriptions.turns(started.turn_ids, after=started.after)
        own = self._scheduler.turns.get(started.turn_ids[0])
        first_event = own.first_event if own is not None and own.first_event else first_event_id
        return self._subscriptions.turn_from_its_first_event(started.turn_ids[0], first_event or 0)

    def cancel(self, turn_id: str | None, interrupt: turn.Interrupt) -> str | None:
        """Keep a cancellation for the pass that is about to start, if it belongs to this turn; return the turn's id."""
        starting = self._starting()
        if starting is None or starting.turn_id is None or turn_id not in (None, starting.turn_id):
            return None
        starting.interrupt = interrupt
        return starting.turn_id

    def delivered(self, turn_id: str, event: int, user_id: str) -> None:
        """A ``final`` of this turn was written to a stream of this user."""
        latest = self.latest
        if latest is not None and (latest.turn.id, latest.user_id) == (turn_id, user_id):
            latest.turn.delivered |= event >= latest.turn.pass_event

    def close(self) -> None:
        """The actor ends: uncount messages that were admitted and not stored."""
        for intake in self._intakes.values():
            self._uncount(intake)

    def _starting(self) -> PendingMessage | None:
        return next((each for each in self._intakes.values() if each.pass_number is not None), None)

    def _answer(self, intake: PendingMessage, subscription: Subscription) -> None:
        self._uncount(intake)
        del self._intakes[intake.id]
        subscription.prelude = intake.prelude + subscription.prelude
        first, *others = intake.replies
        resolve(first, subscription)
        for reply in others:
            resolve(reply, subscription.fork())

    def _refuse(self, intake: PendingMessage, error: BaseException) -> None:
        self._uncount(intake)
        del self._intakes[intake.id]
        for reply in intake.replies:
            refuse(reply, error)
        self._owner.refused()

    def _uncount(self, intake: PendingMessage) -> None:
        if intake.admitted:
            intake.admitted = False
            self._quota.uncount()

    def _now(self) -> datetime:
        return self._services.clock.now()
