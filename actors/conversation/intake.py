"""Messages and decisions on their way into a conversation: judged, stored, and answered with what their sender watches.

What is to be done with a message is ``domain.admission``'s to say; here it is done. Part of the session's actor and
changed by it alone: each step that is awaited comes back as a message of the actor's own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from ...storage.conversation import approvals, turns
from ...storage.engine.idempotency import IdempotencyKey, Stored
from ..domain import admission, ids
from ..domain.approvals import Approval, Decision
from ..domain.audit import Author
from ..domain.errors import Conflict
from ..domain.turns import text_hash, title_of
from ..foundation import metrics
from ..runtime.actor import Outcome
from ..runtime.ref import refuse, resolve
from . import turn
from .context import AgencyQuota, SessionServices
from .decisions import Decisions, Who
from .event_log import PassEnd, Subscription
from .log_writer import LogWriter
from .passes import PassRunner
from .scheduler import Turn, TurnScheduler
from .subscriptions import Subscriptions

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """Something to say, approvals to decide, or both."""

    who: Who
    text: str = ""
    approvals: Mapping[str, bool] = field(default_factory=dict)
    on_busy: admission.OnBusy = "reject"
    key: IdempotencyKey | None = None

    @property
    def has_text(self) -> bool:
        return bool(self.text.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The message accepted last: its sender, repeating it, watches what it began instead of beginning it again."""

    turn: Turn
    user_id: str
    text_hash: bytes
    after: int | None = None
    """For text that came with decisions: what comes of it lies behind this event."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Intake:
    """One message on its way, and all who wait for what comes of it."""

    id: int
    posted: NewMessage
    replies: list[asyncio.Future[Subscription]]
    stored_before: int = 0
    """How many messages had been stored when the table was asked about it."""
    admitted: bool = False
    """It is counted against the agency's limits; given back if nothing is accepted."""
    storing: bool = False
    pass_number: int | None = None
    """Of the pass that begins as soon as it is stored."""
    waits: bool = False
    turn_id: str | None = None
    interrupt: turn.Interrupt | None = None
    """A cancel of the pass that is about to begin."""
    prelude: bytes = b""
    ends: tuple[PassEnd, ...] = ()
    after: int = 0


class Owner(Protocol):
    """The session's actor, as far as its intake needs it."""

    def pipe(self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str) -> None: ...

    def expire(self) -> None:
        """Write down what nobody decided in time."""

    def reconcile(self) -> None:
        """The table may hold what this actor does not know of."""

    def refused(self) -> None:
        """Nothing of a message was applied."""

    @property
    def deleting(self) -> bool:
        """The session is being deleted."""


class MessageIntake:
    """The rules of posting to one session, carried out."""

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
        quota: AgencyQuota,
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
        self._intakes: dict[int, _Intake] = {}
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
        """A message is being stored whose pass begins at once: none other may begin before it."""
        return self._starting() is not None

    def post(self, posted: NewMessage, reply: asyncio.Future[Subscription]) -> None:
        """Business 4.3, row by row. What a key began, or whether anything can still be decided, the table says."""
        self._number += 1
        intake = self._intakes[self._number] = _Intake(id=self._number, posted=posted, replies=[reply])
        if posted.key is None and not (posted.approvals and self._is_repetition(posted)):
            self._admit(intake, decidable=False)
        else:
            self._look_up(intake)

    def _look_up(self, intake: _Intake) -> None:
        posted = intake.posted
        intake.stored_before = self._stored
        look_up = turns.LookUp(
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            key=posted.key,
            approval_ids=tuple(posted.approvals),
            now=self._now(),
        )
        self._owner.pipe(
            self._services.store.ask(look_up), lambda outcome: self._looked_up(intake, outcome), name="look_up"
        )

    def _looked_up(self, intake: _Intake, outcome: Outcome[turns.LookedUp]) -> None:
        if outcome.error is not None:
            self._refuse(intake, outcome.error)
        elif outcome.value.kept is None and intake.posted.key is not None and intake.stored_before != self._stored:
            self._look_up(intake)  # its key may have been used since the table was read
        elif outcome.value.kept is not None:
            self._answer(intake, self._kept(outcome.value.kept, outcome.value.first_event_id))
        else:
            self._admit(intake, decidable=outcome.value.decidable)

    def _admit(self, intake: _Intake, *, decidable: bool) -> None:
        posted = intake.posted
        request = admission.Request(
            user_id=posted.who.user_id,
            text_hash=text_hash(posted.text) if posted.has_text else None,
            approvals=posted.approvals,
            decidable=decidable,
            on_busy=posted.on_busy,
            key=None if posted.key is None else posted.key.key,
            body_hash=None if posted.key is None else posted.key.body_hash,
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
            accepting=[_accepting(each) for each in self._intakes.values() if each.storing],
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

    def _is_repetition(self, posted: NewMessage) -> bool:
        latest = self.latest
        return latest is not None and (latest.user_id, latest.text_hash) == (
            posted.who.user_id,
            text_hash(posted.text),
        )

    def _within_limits(self, intake: _Intake) -> bool:
        """Rate and budget, judged when a message comes in: its sender is told if it may not."""
        refused = self._quota.admit()
        intake.admitted = refused is None
        if refused is None:
            return True
        metrics.TURNS_TOTAL.labels(outcome="refused").inc()
        self._answer(intake, self._subscriptions.refusal(refused))
        self._owner.refused()
        return False

    def _accept(self, intake: _Intake, accept: admission.Accept) -> None:
        """Store a message as a turn of its own, which starts at once or waits behind the pass that runs."""
        posted, starts = intake.posted, accept.place == "now"
        intake.storing, intake.waits = True, not starts
        intake.turn_id = turn_id = ids.turn_id()
        intake.pass_number = self._scheduler.number() if starts else None
        message_id = ids.uuid7()
        self._writer.step(
            turns.Accept(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                turn_id=turn_id,
                user_id=posted.who.user_id,
                text=posted.text,
                text_hash=text_hash(posted.text),
                title=title_of(posted.text),
                message_id=message_id,
                queued=not starts,
                key=posted.key,
                reply=None if posted.key is None else _begun([turn_id]),
            ),
            lambda outcome: self._accepted(intake, accept, turn_id, outcome),
        )

    def _accepted(
        self, intake: _Intake, accept: admission.Accept, turn_id: str, outcome: Outcome[Stored | None]
    ) -> None:
        posted = intake.posted
        if outcome.error is not None:
            if isinstance(outcome.error, Conflict) and outcome.error.code == "turn_in_progress":
                self._owner.reconcile()  # the table knows of a turn that runs, and this actor does not
            self._refuse(intake, outcome.error)
            return
        if outcome.value is not None:  # the key was used meanwhile
            self._look_up(intake)
            return
        intake.admitted = False  # it stays counted
        self._stored += 1
        waits = accept.place != "now"
        taken = Turn(
            id=turn_id,
            user_id=posted.who.user_id,
            state="queued" if waits else "running",
            text=posted.text if waits else None,
        )
        self.latest = Accepted(turn=taken, user_id=taken.user_id, text_hash=text_hash(posted.text))
        after = self._writer.last
        if waits:
            self._scheduler.enqueue(taken, first=accept.place == "first")
            if accept.over is not None:
                self._passes.interrupt(
                    accept.over, _interrupt("turn_interrupted: a newer message took its place", posted.who)
                )
            end = taken.next_end
        else:
            taken.first_event = taken.pass_event = after + 1
            self._scheduler.add(taken)
            end = self._passes.start(taken, intake.pass_number, intake.interrupt).end
        if intake.ends:
            feed = self._subscriptions.passes((*intake.ends, end), after=intake.after)
        else:
            feed = self._subscriptions.turns([turn_id], after=after)
        self._answer(intake, feed)

    def _decide(self, intake: _Intake, decide: admission.Decide) -> None:
        """Decisions first, then the passes they cause; text follows up in one of them if nothing else runs."""
        posted = intake.posted
        follows_up = decide.text == "follows_up"
        intake.storing, intake.waits = True, decide.then is not None
        intake.after = after = self._writer.last
        self._decisions.write(
            posted.who,
            [Decision(approval_id, granted) for approval_id, granted in posted.approvals.items()],
            lambda outcome: self._decided(intake, decide, outcome),
            follow_up=posted.text if follows_up else None,
            key=posted.key if decide.then is None else None,
            reply=lambda made: _begun(_turns_of(made), after),
        )

    def _decided(self, intake: _Intake, decide: admission.Decide, outcome: Outcome[approvals.Decided]) -> None:
        if outcome.error is not None:
            self._refuse(intake, outcome.error)
            return
        decided, posted = outcome.value, intake.posted
        if decided.replayed is not None:  # the key was used meanwhile
            self._look_up(intake)
            return
        self._stored += 1
        intake.ends = self._decisions.note(decided.made)
        if any(isinstance(refusal, approvals.ApprovalExpired) for refusal in decided.refused.values()):
            self._owner.expire()
        intake.prelude = b"".join(
            self._subscriptions.transient("error", f"{refusal.code}: {approval_id}")
            for approval_id, refusal in decided.refused.items()
        )
        follows_up = decide.text == "follows_up"
        if decided.made and not (posted.has_text and not follows_up):
            if follows_up:
                self._follows_up(decided.made[-1].turn_id, posted, intake.after)
                intake.admitted = False
            self._answer(intake, self._subscriptions.passes(intake.ends, after=intake.after))
        elif posted.has_text:
            self._accept(intake, decide.then or self._place_again(intake))
        else:
            self._nothing_decided(intake)

    def _place_again(self, intake: _Intake) -> admission.Accept:
        """For text none of whose decisions could be applied: meanwhile nothing else could begin before it."""
        intake.storing = False
        busy = self._scheduler.busy or self.busy or self._decisions.under_way
        return admission.Accept("last" if busy else "now")

    def _nothing_decided(self, intake: _Intake) -> None:
        intake.storing = False
        watch = admission.decide(admission.Request(user_id=intake.posted.who.user_id), self._snapshot())
        if isinstance(watch, admission.Watch):
            self._answer(intake, self._watch(watch.what))
        elif intake.prelude:
            self._answer(intake, self._subscriptions.nothing(prelude=b"", after=self._subscriptions.transient("final")))
        elif isinstance(watch, admission.Refuse):
            self._refuse(intake, watch.refusal)

    def _follows_up(self, turn_id: str, posted: NewMessage, after: int) -> None:
        """Text that came with decisions is the message accepted last; what comes of it lies behind ``after``."""
        resumed = self._scheduler.turns.get(turn_id)
        if resumed is not None:
            said = text_hash(posted.text)
            self.latest = Accepted(turn=resumed, user_id=posted.who.user_id, text_hash=said, after=after)

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

    def _kept(self, kept: Stored, first_event_id: int | None) -> Subscription:
        """What a key began: from its first event to the end of what is under way, else all there is."""
        began = json.loads(kept.body)
        turn_ids, after = began["turns"], began["after"]
        if after is not None:
            return self._subscriptions.turns(turn_ids, after=after)
        known = self._scheduler.turns.get(turn_ids[0])
        first_event = known.first_event if known is not None and known.first_event else first_event_id
        return self._subscriptions.turn_from_its_first_event(turn_ids[0], first_event or 0)

    def cancel(self, turn_id: str | None, interrupt: turn.Interrupt) -> str | None:
        """Keep a cancel for the pass that is about to begin, if it is of this turn (None: of any); answers its turn."""
        starting = self._starting()
        if starting is None or starting.turn_id is None or turn_id not in (None, starting.turn_id):
            return None
        starting.interrupt = interrupt
        return starting.turn_id

    def delivered(self, turn_id: str, event: int, user_id: str) -> None:
        """A ``final`` of this turn was handed to a stream of this person's."""
        latest = self.latest
        if latest is not None and (latest.turn.id, latest.user_id) == (turn_id, user_id):
            latest.turn.delivered |= event >= latest.turn.pass_event

    def close(self) -> None:
        """The actor ends: what was admitted and not stored is given back."""
        for intake in self._intakes.values():
            self._give_back(intake)

    def _starting(self) -> _Intake | None:
        return next((each for each in self._intakes.values() if each.pass_number is not None), None)

    def _answer(self, intake: _Intake, feed: Subscription) -> None:
        self._give_back(intake)
        del self._intakes[intake.id]
        feed.prelude = intake.prelude + feed.prelude
        first, *others = intake.replies
        resolve(first, feed)
        for reply in others:
            resolve(reply, feed.fork())

    def _refuse(self, intake: _Intake, error: BaseException) -> None:
        self._give_back(intake)
        del self._intakes[intake.id]
        for reply in intake.replies:
            refuse(reply, error)
        self._owner.refused()

    def _give_back(self, intake: _Intake) -> None:
        if intake.admitted:
            intake.admitted = False
            self._quota.give_back()

    def _now(self) -> datetime:
        return self._services.clock.now()


def _interrupt(error: str, who: Who) -> turn.Interrupt:
    return turn.Interrupt(error, Author(who.user_id, who.origin))


def _accepting(intake: _Intake) -> admission.Accepting:
    posted = intake.posted
    return admission.Accepting(
        intake=intake.id,
        user_id=posted.who.user_id,
        text_hash=text_hash(posted.text) if posted.has_text else None,
        approvals=posted.approvals,
        key=None if posted.key is None else posted.key.key,
        body_hash=None if posted.key is None else posted.key.body_hash,
        starts=intake.pass_number,
        waits=intake.waits,
    )


def _turns_of(made: Sequence[Approval]) -> list[str]:
    return list(dict.fromkeys(each.turn_id for each in made))


def _begun(turn_ids: Sequence[str], after: int | None = None) -> Stored:
    """What is kept under a message's key: what it began, from its first event or from behind ``after``."""
    return Stored(200, json.dumps({"turns": list(turn_ids), "after": after}).encode(), {})
