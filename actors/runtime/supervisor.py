"""Supervision in OTP's terms: children as data, started in order, restarted one for one, stopped in reverse."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, TypeVar

from ..domain.errors import Refusal, Unavailable
from ..foundation import log
from ..foundation.backoff import Backoff
from ..foundation.clock import Clock
from .actor import NO_REPLY, Actor, NoReply
from .children import Child, Restart, Slot
from .envelope import Envelope, Message, envelope_of, undelivered
from .errors import ActorDead, ActorFailed, MailboxFull
from .ref import NamedRef, Ref
from .reply import failed

__all__ = ["Child", "Escalated", "NamedRef", "Restart", "Supervisor"]

P = TypeVar("P")

_log = log.get(__name__)


class Escalated(Exception):
    """A child that its supervisor cannot do without could not be started."""


class Supervisor(Actor[P]):
    """An actor with children. Subclasses start them in ``initialise`` or on demand, and handle their own messages."""

    INTENSITY: ClassVar[int] = 5
    """Restarts within ``PERIOD`` seconds after which a child is suspended or escalates."""
    PERIOD: ClassVar[float] = 30.0
    BACKOFF: ClassVar[Backoff] = Backoff(first=0.1, longest=10.0, jitter=0.25)
    SINGLETON_BACKOFF: ClassVar[Backoff] = Backoff(first=0.1, longest=1.0, jitter=0.25)
    """Of one that starts: a message it fails on must not block all others for long."""
    SUSPENDED_SECONDS: ClassVar[float] = 60.0
    LISTED: ClassVar[int] = 100

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__()
        self.clock = clock or Clock()
        self._slots: dict[str, Slot] = {}
        self._names: dict[str, NamedRef] = {}
        self._life.describe_children = self._describe_children
        self._life.halt = self.halt
        self._since = self.clock.now()

    async def child_ended(self, name: str, failure: BaseException | None, /) -> None:
        """Hook: an incarnation of a child has ended, with ``failure`` or by a stop."""

    async def start_child(self, child: Child) -> Ref:
        """The running child, started if necessary.

        Raises ``Unavailable``: ``overloaded`` while it is to be restarted, ``agent_runtime_unavailable`` while it is
        suspended; ``ActorFailed`` if the factory fails.
        """
        slot = self._slots.get(child.name)
        if slot is not None and slot.ref is not None and not slot.accepts_messages:
            ref = slot.ref
            await ref.ended()
            await self._on_child_exit(slot, ref, ref.life.failure)
            slot = self._slots.get(child.name)
        if slot is None:
            return self._start_slot(self._register(child))
        if slot.ref is None:
            raise self._unavailable(slot)
        return slot.ref

    def start_new(self, child: Child) -> Ref:
        """Start a child whose name is not in use. Raises ``ActorFailed`` if the factory fails."""
        if child.name in self._slots:
            raise ValueError(child.name)
        return self._start_slot(self._register(child))

    def child(self, name: str) -> Ref | None:
        """The running child, or ``None``. Raises ``Unavailable("agent_runtime_unavailable")`` while it is suspended."""
        slot = self._slots.get(name)
        if slot is not None and slot.phase == "suspended":
            raise self._unavailable(slot)
        return slot.ref if slot is not None and slot.accepts_messages else None

    def address(self, name: str) -> NamedRef:
        """A ref by name that survives restarts; may be handed out before the child is started."""
        if name not in self._names:
            named = self._names[name] = NamedRef(name)
            slot = self._slots.get(name)
            if slot is not None and slot.ref is not None:
                named.points_to(slot.ref)
        return self._names[name]

    def route(self, child: Child, message: Message[Any]) -> NoReply:
        """Forward the current envelope to the child, started if necessary: ``return self.route(…)``.

        While the child is passivating or backing off, the envelope is held for the next incarnation.
        """
        envelope = self._take_envelope()
        request = type(envelope.message)
        envelope.message = message
        self._deliver_to(child, envelope)
        self.ref.meter.handled(request, "reply", perf_counter() - self._began)
        return NO_REPLY

    def send(self, child: Child, message: Message[Any]) -> None:
        """Tell a child, started if necessary. Raises ``Unavailable`` while it is suspended."""
        self._deliver_to(child, envelope_of(message))

    def passivate(self, name: str) -> None:
        """Stop a child after its current message; unread and later messages start a new incarnation."""
        slot = self._slots.get(name)
        if slot is None or not slot.accepts_messages or slot.ref is None:
            return
        slot.meter.passivations.inc()
        ref = slot.ref
        slot.phase = "passivating"
        ref.stop_soon(unread=False)
        slot.timer = self.clock.call_later(slot.child.shutdown, ref.cancel)  # else its messages would wait for ever

    def stop_child(self, name: str) -> Coroutine[Any, Any, None]:
        """Begin to stop a child; await what this returns, in a task or not, to wait for its end.

        Messages that arrive meanwhile start a new incarnation.
        """
        slot = self._slots.get(name)
        if slot is None:
            return _nothing()
        if slot.ref is None:
            self._forget(slot, ActorDead())
            return _nothing()
        slot.phase = "stopping"
        return slot.ref.stop_and_wait(slot.child.shutdown)

    def tree(self, name: str = "root") -> dict[str, Any]:
        """Describe this supervisor and all below it as data; at most ``LISTED`` children of each."""
        return Slot(Child(name, lambda: self.ref), self._since, "up", self.ref).describe()

    def _describe_children(self) -> dict[str, Any]:
        listed = itertools.islice(self._slots.values(), self.LISTED)
        return {"children": [slot.describe() for slot in listed], "children_total": len(self._slots)}

    def _register(self, child: Child) -> Slot:
        if self.actor_stopped.is_set():
            raise ActorDead
        slot = self._slots[child.name] = Slot(child, self.clock.now())
        return slot

    def _start_slot(self, slot: Slot) -> Ref:
        try:
            ref = slot.child.factory()
        except Exception as error:
            _log.error("child_start_failed", supervisor=type(self).__name__, child=slot.child.name, exc_info=error)
            self.ref.signal(partial(self._on_child_failure, slot, error, started=False))
            raise error if isinstance(error, Refusal) else failed(slot.child.name, error) from error
        slot.ref = ref
        slot.meter = ref.meter
        slot.phase = "up"
        slot.since = self.clock.now()
        ref.life.on_terminated = lambda failure: self.ref.signal(partial(self._on_child_exit, slot, ref, failure))
        ref.life.on_unread = slot.keep_unread
        ref.life.on_idle = lambda activity: self.ref.signal(partial(self._on_child_idle, slot, ref, activity))
        if slot.child.name in self._names:
            self._names[slot.child.name].points_to(ref)
        for envelope in slot.pop_held():
            ref.inbox.add(envelope)
        return ref

    def _deliver_to(self, child: Child, envelope: Envelope) -> None:
        slot = self._slots.get(child.name)
        try:
            if slot is None:
                self._start_slot(slot := self._register(child))
        except (Refusal, ActorFailed) as error:
            undelivered(envelope, self.ref.meter, error)
            return
        if slot.phase == "suspended":
            raise self._unavailable(slot)
        if slot.accepts_messages and slot.ref is not None:
            slot.ref.deliver(envelope)
        elif len(slot.held) >= self.mailbox:
            slot.meter.mailbox_full.inc()
            raise MailboxFull
        else:
            slot.held.append(envelope)

    async def _on_child_idle(self, slot: Slot, ref: Ref, activity: int) -> None:
        if slot.ref is ref and ref.life.activity == activity and ref.inbox.empty():
            self.passivate(slot.child.name)

    async def _on_child_exit(self, slot: Slot, ref: Ref, failure: BaseException | None) -> None:
        if slot.ref is not ref:
            return
        slot.ref = None
        if slot.phase in {"stopping", "passivating"}:
            await self._remove(slot, failure)
        else:
            await self._on_child_failure(slot, failure, started=ref.life.started)

    async def _on_child_failure(self, slot: Slot, failure: BaseException | None, *, started: bool) -> None:
        restart = slot.child.restart
        refused = isinstance(failure, Refusal) and not started
        slot.failed += failure is not None and not refused
        if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and (failure is None or refused)):
            await self._remove(slot, failure)
            return
        await self.child_ended(slot.child.name, failure)
        if refused:
            slot.refusals += 1
            self._back_off(slot, self.BACKOFF.pause(slot.refusals))
        else:
            slot.refusals = 0
            self._schedule_restart(slot, failure, started=started)

    def _schedule_restart(self, slot: Slot, failure: BaseException | None, *, started: bool) -> None:
        """Restart after a back-off, suspend after too many failures; a singleton escalates only if it cannot start."""
        failures = self._recent(slot.failures, add=True)
        false_starts = self._recent(slot.false_starts, add=not started)
        if slot.child.escalate:
            if false_starts > self.INTENSITY:
                slot.meter.escalations.inc()
                _log.error("child_escalated", supervisor=type(self).__name__, child=slot.child.name)
                raise Escalated(slot.child.name) from failure
            backoff = self.SINGLETON_BACKOFF if started else self.BACKOFF
            self._back_off(slot, backoff.pause(failures))
        elif failures > self.INTENSITY:
            self._suspend(slot)
        else:
            self._back_off(slot, self.BACKOFF.pause(failures))

    def _recent(self, moments: list[float], *, add: bool) -> int:
        now = self.clock.monotonic()
        moments[:] = [moment for moment in moments if moment > now - self.PERIOD]
        if add:
            moments.append(now)
        return len(moments)

    def _back_off(self, slot: Slot, seconds: float) -> None:
        slot.phase = "backing_off"
        self._restart_in(slot, seconds)

    def _suspend(self, slot: Slot) -> None:
        slot.phase = "suspended"
        slot.meter.escalations.inc()
        _log.error(
            "child_suspended", supervisor=type(self).__name__, child=slot.child.name, seconds=self.SUSPENDED_SECONDS
        )
        self._restart_in(slot, self.SUSPENDED_SECONDS)
        slot.refuse_held(self._unavailable(slot))

    def _restart_in(self, slot: Slot, seconds: float) -> None:
        slot.until = self.clock.monotonic() + seconds
        slot.timer = self.clock.call_later(seconds, lambda: self.ref.signal(partial(self._restart, slot)))

    async def _restart(self, slot: Slot) -> None:
        if self._slots.get(slot.child.name) is not slot or slot.ref is not None:
            return
        slot.restarts += 1
        slot.meter.restarts.inc()
        try:
            self._start_slot(slot)
        except (Refusal, ActorFailed) as error:  # logged there, and the next restart is scheduled
            slot.refuse_held(error)

    def _unavailable(self, slot: Slot) -> Unavailable:
        left = max(slot.until - self.clock.monotonic(), 1.0)
        return Unavailable("agent_runtime_unavailable" if slot.phase == "suspended" else "overloaded", retry_after=left)

    async def _remove(self, slot: Slot, failure: BaseException | None) -> None:
        """Forget a child that is not restarted; messages that arrived meanwhile start it again."""
        held = slot.pop_held()
        self._forget(slot, ActorDead())
        await self.child_ended(slot.child.name, failure)
        for envelope in held:
            try:
                self._deliver_to(slot.child, envelope)
            except Refusal as refusal:
                undelivered(envelope, slot.meter, refusal)

    def _forget(self, slot: Slot, why: BaseException) -> None:
        if slot.timer is not None:
            slot.timer.cancel()
        slot.refuse_held(why)
        if self._slots.get(slot.child.name) is slot:
            del self._slots[slot.child.name]

    def halt(self) -> None:
        """Stop the temporary children here and below, without waiting."""
        for slot in list(self._slots.values()):
            if slot.ref is None:
                continue
            if slot.child.restart is Restart.TEMPORARY:
                slot.ref.stop_soon(unread=False)
            elif slot.ref.life.halt is not None:
                slot.ref.life.halt()

    async def _shut_down(self) -> None:
        """Stop all work first: pending replies and ``terminate`` may take seconds."""
        self.halt()
        await super()._shut_down()

    async def _release(self) -> None:
        """Stop all children in reverse order, each awaited; adjacent peers of one class together.

        Those with ``serves`` are stopped last.
        """
        lives = [slot.ref.life for slot in self._slots.values() if slot.ref is not None]
        try:
            for peers in self._in_reverse():
                await asyncio.gather(*(self._end(slot) for slot in peers))
        finally:  # cancelled halfway, or some do not stop
            left = [life.task for life in lives if life.task is not None and not life.task.done()]
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=self.shutdown_timeout)

    def _in_reverse(self) -> Iterator[list[Slot]]:
        newest_first = list(reversed(self._slots.values()))
        slots = sorted(newest_first, key=lambda slot: slot.child.serves)
        for _, peers in itertools.groupby(slots, lambda p: p.child.name if p.child.escalate else p.meter.actor):
            yield list(peers)

    async def _end(self, slot: Slot) -> None:
        self._forget(slot, ActorDead())
        if slot.ref is None:
            return
        slot.ref.life.on_terminated = slot.ref.life.on_unread = slot.ref.life.on_idle = None
        await slot.ref.stop_and_wait(slot.child.shutdown)


async def _nothing() -> None:
    """There is nothing to wait for."""
