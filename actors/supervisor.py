"""Supervision in OTP's terms: children as data, started in order, restarted one for one, stopped in reverse."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, Literal

from . import log
from .clock import Clock, Timer
from .domain.audit import wire_time
from .domain.errors import Refusal, Unavailable
from .metrics import ActorMeter
from .refs import ActorDead, ActorFailed, Address, Letter, MailboxFull, Message, Ref, envelop, failed, undelivered
from .runtime import HANDED_OVER, Actor, HandedOver

__all__ = ["Address", "Child", "Escalated", "Restart", "Supervisor"]

_log = log.get(__name__)


class Restart(Enum):
    """Which ends of a child are followed by a new start."""

    PERMANENT = "permanent"
    """Every one."""
    TRANSIENT = "transient"
    """A failure; not a stop, nor a start that was refused."""
    TEMPORARY = "temporary"
    """None."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child before it lives. ``factory`` starts it, the first time and every other.

    ``escalate`` is for permanent singletons: one that cannot start fails its supervisor. Others that keep failing are
    set aside for a minute.
    """

    name: str
    factory: Callable[[], Ref]
    restart: Restart = Restart.PERMANENT
    shutdown: float = 5.0
    """Seconds it may take to end before it is cancelled."""
    escalate: bool = False
    serves: bool = False
    """Its siblings ask it for work, so it ends after all of them, however old it is."""


class Escalated(Exception):
    """A child without which its supervisor is of no use cannot be started."""


@dataclass(slots=True, eq=False)
class _Place:
    """What a supervisor knows of one child; it outlives the incarnations."""

    child: Child
    since: datetime
    phase: Literal["up", "leaving", "asleep", "waiting", "aside"] = "waiting"
    ref: Ref | None = None
    meter: ActorMeter = field(default_factory=lambda: ActorMeter.of("none"))
    held: list[Letter] = field(default_factory=list)
    """Mail that came while there was nobody to take it."""
    failures: list[float] = field(default_factory=list)
    false_starts: list[float] = field(default_factory=list)
    refusals: int = 0
    restarts: int = 0
    failed: int = 0
    timer: Timer | None = None
    until: float = 0.0

    @property
    def takes_mail(self) -> bool:
        ref = self.ref
        return self.phase == "up" and ref is not None and ref.is_alive() and not ref.life.leaving

    def state(self) -> str:
        if self.phase == "up" and self.ref is not None:
            return self.ref.life.state
        return {"leaving": "stopping", "asleep": "stopping", "waiting": "restarting", "aside": "set_aside"}.get(
            self.phase, "ended"
        )

    def inherit(self, unread: list[Letter]) -> bool:
        """Whether mail left unread goes to the next incarnation; after a failure its senders try again."""
        ref = self.ref
        orderly = ref is not None and ref.life.failure is None and self.child.restart is not Restart.TEMPORARY
        if orderly or self.phase == "asleep":
            self.held[:0] = unread
            return True
        return False

    def take_held(self) -> list[Letter]:
        held, self.held = self.held, []
        return held

    def turn_away(self, why: BaseException) -> None:
        for letter in self.take_held():
            undelivered(letter, self.meter, why)


class Supervisor(Actor):
    """An actor with children. Subclasses start them in ``on_start`` or on demand, and handle their own messages."""

    INTENSITY: ClassVar[int] = 5
    """Restarts within ``PERIOD`` seconds after which a child is no longer tried at once."""
    PERIOD: ClassVar[float] = 30.0
    FIRST_PAUSE: ClassVar[float] = 0.1
    LONGEST_PAUSE: ClassVar[float] = 10.0
    LONGEST_PAUSE_OF_A_SINGLETON: ClassVar[float] = 1.0
    """Of one that does start: a message it fails on must not keep everybody else waiting."""
    ASIDE: ClassVar[float] = 60.0
    LISTED: ClassVar[int] = 100

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__()
        self.clock = clock or Clock()
        self._places: dict[str, _Place] = {}
        self._addresses: dict[str, Address] = {}
        self._life.branches = self._branches
        self._life.halt = self.halt
        self._since = self.clock.now()

    async def child_ended(self, name: str, failure: BaseException | None) -> None:
        """Hook: an incarnation of a child has ended, by ``failure`` or by a stop."""

    async def start_child(self, child: Child) -> Ref:
        """The living child, started if need be.

        Raises ``Unavailable``: ``overloaded`` while it is to be restarted, ``agent_runtime_unavailable`` while it is
        set aside; ``ActorFailed`` if the factory does.
        """
        place = self._places.get(child.name)
        if place is not None and place.ref is not None and not place.takes_mail:
            ref = place.ref
            await ref.ended()
            await self._gone(place, ref, ref.life.failure)
            place = self._places.get(child.name)
        if place is None:
            return self._launch(self._settle(child))
        if place.ref is None:
            raise self._away(place)
        return place.ref

    def start_new(self, child: Child) -> Ref:
        """Start a child whose name was never used here. Raises ``ActorFailed`` if the factory does."""
        if child.name in self._places:
            raise ValueError(child.name)
        return self._launch(self._settle(child))

    def child(self, name: str) -> Ref | None:
        """The living child, or ``None``. Raises ``Unavailable("agent_runtime_unavailable")`` while it is set aside."""
        place = self._places.get(name)
        if place is not None and place.phase == "aside":
            raise self._away(place)
        return place.ref if place is not None and place.takes_mail else None

    def address(self, name: str) -> Address:
        """A name to hold instead of a ref; may be given away before the child is started."""
        if name not in self._addresses:
            address = self._addresses[name] = Address(name)
            place = self._places.get(name)
            if place is not None and place.ref is not None:
                address.points_to(place.ref)
        return self._addresses[name]

    def route(self, child: Child, message: Message[Any]) -> HandedOver:
        """Hand the present envelope on to the child, which is started if it is not there: ``return self.route(…)``.

        While the child falls asleep or waits to be restarted the envelope is held and goes to the next incarnation.
        """
        letter = self._hand_over()
        asked = type(letter.message)
        letter.message = message
        self._post(child, letter)
        self.ref.meter.handled(asked, "reply", perf_counter() - self._began)
        return HANDED_OVER

    def send(self, child: Child, message: Message[Any]) -> None:
        """Tell a child something, which is started if it is not there. Raises ``Unavailable`` while it is set aside."""
        self._post(child, envelop(message))

    def passivate(self, name: str) -> None:
        """Put a child to sleep: it ends after the message it has in hand; unread and later mail starts a fresh one."""
        place = self._places.get(name)
        if place is None or not place.takes_mail or place.ref is None:
            return
        place.meter.passivations.inc()
        ref = place.ref
        place.phase = "asleep"
        ref.stop_soon(unread=False)
        place.timer = self.clock.call_later(place.child.shutdown, ref.cancel)  # else its mail would wait for ever

    async def stop_child(self, name: str) -> None:
        """End a child and wait, for its ``shutdown`` seconds or so; mail that comes meanwhile starts a fresh one."""
        place = self._places.get(name)
        if place is None:
            return
        ref = place.ref
        if ref is None:
            self._forget(place, ActorDead())
            return
        place.phase = "leaving"
        await ref.stop_and_wait(place.child.shutdown)
        await self._gone(place, ref, ref.life.failure)

    def tree(self, name: str = "root") -> dict[str, Any]:
        """Tell of this supervisor and all below it, as data; at most ``LISTED`` children of each."""
        return _node(_Place(Child(name, lambda: self.ref), self._since, "up", self.ref))

    def _branches(self) -> dict[str, Any]:
        listed = itertools.islice(self._places.values(), self.LISTED)
        return {"children": [_node(place) for place in listed], "children_total": len(self._places)}

    def _settle(self, child: Child) -> _Place:
        if self.actor_stopped.is_set():
            raise ActorDead
        place = self._places[child.name] = _Place(child, self.clock.now())
        return place

    def _launch(self, place: _Place) -> Ref:
        try:
            ref = place.child.factory()
        except Exception as error:
            _log.error("child_not_made", supervisor=type(self).__name__, child=place.child.name, exc_info=error)
            self.ref.signal(partial(self._fallen, place, error, started=False))
            raise error if isinstance(error, Refusal) else failed(place.child.name, error) from error
        place.ref = ref
        place.meter = ref.meter
        place.phase = "up"
        place.since = self.clock.now()
        ref.life.watcher = lambda failure: self.ref.signal(partial(self._gone, place, ref, failure))
        ref.life.heir = place.inherit
        ref.life.sleeper = lambda handled: self.ref.signal(partial(self._tired, place, ref, handled))
        if place.child.name in self._addresses:
            self._addresses[place.child.name].points_to(ref)
        for letter in place.take_held():
            ref.inbox.add(letter)
        return ref

    def _post(self, child: Child, letter: Letter) -> None:
        place = self._places.get(child.name)
        try:
            if place is None:
                self._launch(place := self._settle(child))
        except (Refusal, ActorFailed) as error:
            undelivered(letter, self.ref.meter, error)
            return
        if place.phase == "aside":
            raise self._away(place)
        if place.takes_mail and place.ref is not None:
            place.ref.deliver(letter)
        elif len(place.held) >= self.mailbox:
            place.meter.mailbox_full.inc()
            raise MailboxFull
        else:
            place.held.append(letter)

    async def _tired(self, place: _Place, ref: Ref, handled: int) -> None:
        if place.ref is ref and ref.life.handled == handled and ref.inbox.empty():
            self.passivate(place.child.name)

    async def _gone(self, place: _Place, ref: Ref, failure: BaseException | None) -> None:
        if place.ref is not ref:
            return
        place.ref = None
        if place.phase in {"leaving", "asleep"}:
            await self._part_with(place, failure)
        else:
            await self._fallen(place, failure, started=ref.life.started)

    async def _fallen(self, place: _Place, failure: BaseException | None, *, started: bool) -> None:
        restart = place.child.restart
        refused = isinstance(failure, Refusal) and not started
        place.failed += failure is not None and not refused
        if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and (failure is None or refused)):
            await self._part_with(place, failure)
            return
        await self.child_ended(place.child.name, failure)
        if refused:
            place.refusals += 1
            self._wait(place, self._pause(place.refusals, self.LONGEST_PAUSE))
        else:
            place.refusals = 0
            self._again(place, failure, started=started)

    def _again(self, place: _Place, failure: BaseException | None, *, started: bool) -> None:
        """Restart after a pause, or later if it has failed too often; a singleton escalates only if it cannot start."""
        failures = self._recent(place.failures, add=True)
        false_starts = self._recent(place.false_starts, add=not started)
        if place.child.escalate:
            if false_starts > self.INTENSITY:
                place.meter.escalations.inc()
                _log.error("child_escalates", supervisor=type(self).__name__, child=place.child.name)
                raise Escalated(place.child.name) from failure
            longest = self.LONGEST_PAUSE_OF_A_SINGLETON if started else self.LONGEST_PAUSE
            self._wait(place, self._pause(failures, longest))
        elif failures > self.INTENSITY:
            self._set_aside(place)
        else:
            self._wait(place, self._pause(failures, self.LONGEST_PAUSE))

    def _recent(self, moments: list[float], *, add: bool) -> int:
        now = self.clock.monotonic()
        moments[:] = [moment for moment in moments if moment > now - self.PERIOD]
        if add:
            moments.append(now)
        return len(moments)

    def _pause(self, times: int, longest: float) -> float:
        full = self.FIRST_PAUSE * 2.0 ** min(times - 1, 10)
        return min(longest, full) * random.uniform(0.75, 1.0)  # noqa: S311 - spreads restarts, guards nothing

    def _wait(self, place: _Place, seconds: float) -> None:
        place.phase = "waiting"
        self._due_in(place, seconds)

    def _set_aside(self, place: _Place) -> None:
        place.phase = "aside"
        place.meter.escalations.inc()
        _log.error("child_set_aside", supervisor=type(self).__name__, child=place.child.name, seconds=self.ASIDE)
        self._due_in(place, self.ASIDE)
        place.turn_away(self._away(place))

    def _due_in(self, place: _Place, seconds: float) -> None:
        place.until = self.clock.monotonic() + seconds
        place.timer = self.clock.call_later(seconds, lambda: self.ref.signal(partial(self._due, place)))

    async def _due(self, place: _Place) -> None:
        if self._places.get(place.child.name) is not place or place.ref is not None:
            return
        place.restarts += 1
        place.meter.restarts.inc()
        try:
            self._launch(place)
        except (Refusal, ActorFailed) as error:  # logged there, and the next pause is on its way
            place.turn_away(error)

    def _away(self, place: _Place) -> Unavailable:
        left = max(place.until - self.clock.monotonic(), 1.0)
        return Unavailable("agent_runtime_unavailable" if place.phase == "aside" else "overloaded", retry_after=left)

    async def _part_with(self, place: _Place, failure: BaseException | None) -> None:
        """After an end that no restart follows; but mail that has come meanwhile finds the child anew."""
        held = place.take_held()
        self._forget(place, ActorDead())
        await self.child_ended(place.child.name, failure)
        for letter in held:
            try:
                self._post(place.child, letter)
            except Refusal as refusal:
                undelivered(letter, place.meter, refusal)

    def _forget(self, place: _Place, why: BaseException) -> None:
        if place.timer is not None:
            place.timer.cancel()
        place.turn_away(why)
        if self._places.get(place.child.name) is place:
            del self._places[place.child.name]

    def halt(self) -> None:
        """Stop whatever is at work below, without waiting: temporary children here, and theirs further down."""
        for place in list(self._places.values()):
            if place.ref is None:
                continue
            if place.child.restart is Restart.TEMPORARY:
                place.ref.stop_soon(unread=False)
            elif place.ref.life.halt is not None:
                place.ref.life.halt()

    async def _part(self) -> None:
        """All work ends before anything is waited for: replies owed and farewells take seconds."""
        self.halt()
        await super()._part()

    async def _release(self) -> None:
        """End all children in the reverse of their order, each awaited; peers of one class in a row, together.

        Those that serve the others come last.
        """
        lives = [place.ref.life for place in self._places.values() if place.ref is not None]
        try:
            for peers in self._in_reverse():
                await asyncio.gather(*(self._end(place) for place in peers))
        finally:  # cancelled in the midst of it, or they will not end
            left = [life.task for life in lives if life.task is not None and not life.task.done()]
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=self.farewell)

    def _in_reverse(self) -> Iterator[list[_Place]]:
        newest_first = list(reversed(self._places.values()))
        places = sorted(newest_first, key=lambda place: place.child.serves)
        for _, peers in itertools.groupby(places, lambda p: p.child.name if p.child.escalate else p.meter.actor):
            yield list(peers)

    async def _end(self, place: _Place) -> None:
        self._forget(place, ActorDead())
        if place.ref is None:
            return
        place.ref.life.watcher = place.ref.life.heir = place.ref.life.sleeper = None
        await place.ref.stop_and_wait(place.child.shutdown)


def _node(place: _Place) -> dict[str, Any]:
    ref = place.ref
    branches = ref.life.branches if ref is not None else None
    return {
        "name": place.child.name,
        "class": place.meter.actor if ref is None else ref.meter.actor,
        "state": place.state(),
        "restarts": place.restarts,
        "mailbox": len(place.held) if ref is None else len(ref.inbox),
        "handled": 0 if ref is None else ref.life.handled,
        "failures": place.failed,
        "since": wire_time(place.since),
        **({"children": [], "children_total": 0} if branches is None else branches()),
    }
