"""Messages, envelopes, mailboxes, and the refs through which actors are addressed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, overload

import pykka

from ..domain.errors import Refusal, Unavailable
from ..foundation import log
from ..foundation.metrics import ActorMeter

if TYPE_CHECKING:
    from .actor import Actor

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_log = log.get(__name__)
_log_throttle = log.LogThrottle(first=10, pause=300.0)


class Message(Generic[R_co]):
    """What actors send each other; the type argument is the reply. Subclasses are frozen, slotted dataclasses."""

    __slots__ = ()


class MailboxFull(Unavailable):
    """503 ``overloaded``: the mailbox is full."""

    def __init__(self) -> None:
        super().__init__("overloaded")


class DeadlineExceeded(Unavailable):
    """503 ``deadline_exceeded``: no reply in time. The message may still be handled."""

    def __init__(self) -> None:
        super().__init__("deadline_exceeded")


class ActorDead(Unavailable):
    """503 ``overloaded``: the actor ended before it handled the message, which is safe to send again."""

    def __init__(self) -> None:
        super().__init__("overloaded")


class ActorFailed(Exception):
    """The actor failed while it handled the message; the error is the cause. A defect, not a refusal."""


class Recipient(Protocol):
    """What accepts messages: a ``Ref`` to one incarnation of an actor, or the ``NamedRef`` of a permanent one."""

    def ask(self, message: Message[R], within: float = 10.0) -> Coroutine[Any, Any, R]:
        """The reply, to be awaited; raises a ``Refusal``, or ``ActorFailed``."""

    def tell(self, message: Message[Any]) -> None:
        """Send and forget. Raises ``MailboxFull``; to a dead actor it is a dead letter."""

    def request(self, message: Message[R]) -> asyncio.Future[R]:
        """The reply as a future without a timeout; fails with a ``Refusal``, or ``ActorFailed``."""


class Deliverable(Protocol):
    """What an envelope can be forwarded to."""

    @property
    def meter(self) -> ActorMeter:
        """Where undeliverable envelopes are counted."""

    def deliver(self, envelope: Envelope) -> bool:
        """Whether the envelope was accepted. Raises ``MailboxFull``."""


class Reply(pykka.Future[Any]):
    """Pykka's future, resolved on the event loop instead of blocking a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.inner: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def get(self, *, timeout: float | None = None) -> Any:
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if not self.inner.done():
            raise RuntimeError("a reply is awaited, never waited for: that would stop the loop that makes it")
        return self.inner.result()

    def set(self, value: Any = None) -> None:
        resolve(self.inner, value)

    def set_exception(self, exc_info: Any = None) -> None:
        refuse(self.inner, ActorDead() if exc_info is None else exc_info[1])

    def __await__(self) -> Any:
        return self.inner.__await__()


def resolve(reply: asyncio.Future[Any] | None, value: Any) -> None:
    """Resolve the reply if the asker still waits."""
    if reply is not None and not reply.done():
        reply.set_result(value)


def refuse(reply: asyncio.Future[Any] | None, error: BaseException) -> None:
    """Fail the reply if the asker still waits; each gets a copy, as a shared refusal would collect tracebacks."""
    if reply is not None and not reply.done():
        reply.set_exception(fresh(error) if isinstance(error, Refusal) else error)
        reply.exception()  # retrieved, so that asyncio does not log it when the asker has gone


def fresh(refusal: Refusal) -> Refusal:
    """A copy of the refusal without traceback and context."""
    again = type(refusal).__new__(type(refusal), *refusal.args)
    again.__dict__.update(refusal.__dict__)
    return again


def failed(actor: str, failure: BaseException) -> ActorFailed:
    """The error an asker gets for ``failure``."""
    error = ActorFailed(f"{actor} failed")
    error.__cause__ = failure
    return error


@dataclass(slots=True)
class Envelope:
    """A message with its reply future, if it was asked, and the log scope of its sender."""

    message: Any
    reply: asyncio.Future[Any] | None
    scope: log.Scope


def envelope_of(message: Message[Any], reply: asyncio.Future[Any] | None = None) -> Envelope:
    """Put a message in an envelope, with the current log scope."""
    return Envelope(message, reply, log.SCOPE.get())


@dataclass(frozen=True, slots=True)
class Signal:
    """A callable the actor runs between two messages; accepted even by a full mailbox."""

    act: Callable[[], Awaitable[None] | None]


class Inbox:
    """An actor's mailbox: envelopes in order, read by the actor alone."""

    __slots__ = ("__weakref__", "_envelopes", "_reader")

    def __init__(self) -> None:
        self._envelopes: deque[Envelope] = deque()
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._envelopes)

    def empty(self) -> bool:
        return not self._envelopes

    def get(self) -> Any:
        """Not supported: Pykka's own loop would block here."""
        raise RuntimeError("an inbox on the loop is read with take()")

    def put(self, envelope: Any) -> None:
        """Accept Pykka's envelopes, which carry what is no ``Message``, such as a stop."""
        reply = envelope.reply_to
        self.add(Envelope(envelope.message, None if reply is None else reply.inner, log.SCOPE.get()))

    def add(self, envelope: Envelope, *, first: bool = False) -> None:
        if first:
            self._envelopes.appendleft(envelope)
        else:
            self._envelopes.append(envelope)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def take(self) -> Envelope:
        while not self._envelopes:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._envelopes.popleft()

    def newest_first(self) -> None:
        """Move the newest envelope to the front."""
        self._envelopes.rotate(1)

    def drain(self) -> list[Envelope]:
        """Remove and return all unread envelopes."""
        unread = list(self._envelopes)
        self._envelopes.clear()
        return unread


State = Literal["starting", "running", "stopping", "ended"]


class Lifecycle:
    """An actor's state and counters as seen from outside, and the callbacks of its supervisor."""

    __slots__ = (
        "describe_children",
        "failure",
        "halt",
        "handled",
        "on_idle",
        "on_terminated",
        "on_unread",
        "receive_inline",
        "started",
        "state",
        "stopping",
        "task",
    )

    def __init__(self) -> None:
        self.state: State = "starting"
        self.started = False
        self.handled = 0
        self.failure: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self.on_terminated: Callable[[BaseException | None], None] | None = None
        self.stopping = False
        """A stop was requested; messages before it are still handled."""
        self.on_unread: Callable[[list[Envelope]], bool] | None = None
        """Called with the unread envelopes; returns whether the next incarnation takes them."""
        self.on_idle: Callable[[int], None] | None = None
        """Called when the actor requests passivation, with the number of messages it had handled by then."""
        self.receive_inline: Callable[[Envelope], None] | None = None
        """Handles an inline message in the sender's task; set while the actor runs."""
        self.describe_children: Callable[[], dict[str, Any]] | None = None
        """Describes a supervisor's children as data."""
        self.halt: Callable[[], None] | None = None
        """Stops the temporary children below a supervisor, without waiting."""


class Ref(pykka.ActorRef["Actor"]):
    """A reference to one incarnation of an actor."""

    def __init__(self, actor: Actor) -> None:
        super().__init__(actor)
        self.inbox: Inbox = actor.actor_inbox
        self.life = Lifecycle()
        self.meter = ActorMeter.of(self.actor_class.__name__)
        self._limit = self.actor_class.mailbox
        self._inline = self.actor_class.inline

    @overload  # type: ignore[override]  # Pykka answers a future; ours is awaited
    def ask(self, message: Message[R], within: float = 10.0) -> Coroutine[Any, Any, R]: ...
    @overload
    def ask(self, message: object, *, block: Literal[False], timeout: float | None = None) -> pykka.Future[Any]: ...
    def ask(self, message: Any, within: float = 10.0, *, block: bool = False, timeout: float | None = None) -> Any:
        """The reply, awaited for at most ``within`` seconds. What is no ``Message`` (a stop) is left to Pykka."""
        if isinstance(message, Message):
            return self._ask(message, within)
        return super().ask(message, block=block, timeout=timeout)

    async def _ask(self, message: Message[R], within: float) -> R:
        loop = asyncio.get_running_loop()
        if asyncio.current_task() is self.life.task:
            raise RuntimeError(f"{self.actor_class.__name__} asks itself and would deadlock")
        reply: asyncio.Future[R] = loop.create_future()
        if not self.deliver(envelope_of(message, reply)):
            raise ActorDead
        deadline = loop.call_later(within, self._time_out, reply)
        try:
            return await reply
        finally:
            deadline.cancel()

    def request(self, message: Message[R]) -> asyncio.Future[R]:
        """The reply as a future, without a timeout: only a reply or the actor's end resolves it."""
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        try:
            delivered = self.deliver(envelope_of(message, reply))
        except MailboxFull as full:
            refuse(reply, full)
        else:
            if not delivered:
                refuse(reply, ActorDead())
        return reply

    def _time_out(self, reply: asyncio.Future[Any]) -> None:
        if not reply.done():
            self.meter.ask_timeouts.inc()
            reply.set_exception(DeadlineExceeded())

    def tell(self, message: Any) -> None:
        """Send and forget. Raises ``MailboxFull``; to a dead actor it is a dead letter."""
        if not isinstance(message, Message):
            super().tell(message)
        elif not self.deliver(envelope_of(message)):
            dead_letter(self.meter, message)

    def deliver(self, envelope: Envelope) -> bool:
        """Put an envelope in the mailbox; false if the actor is dead. Raises ``MailboxFull``."""
        if self.actor_stopped.is_set():
            return False
        if self.life.receive_inline is not None and type(envelope.message) in self._inline and self.inbox.empty():
            self.life.receive_inline(envelope)
            return True
        if len(self.inbox) >= self._limit:
            self.meter.mailbox_full.inc()
            raise MailboxFull
        self.inbox.add(envelope)
        return True

    def signal(self, act: Callable[[], Awaitable[None] | None], *, first: bool = False) -> None:
        """Run ``act`` in the actor between two messages; an error in it fails the actor."""
        if self.is_alive():
            self.inbox.add(Envelope(Signal(act), None, log.SCOPE.get()), first=first)

    def stop_soon(self, *, unread: bool = True) -> None:
        """Request a stop after the messages it has, or without the ``unread`` ones; harmless when it has ended."""
        if self.is_alive():
            self.life.stopping = True
            self.stop(block=False)
            if not unread:
                self.inbox.newest_first()

    async def stop_and_wait(self, within: float) -> None:
        """Request a stop and wait; after ``within`` seconds the actor is cancelled."""
        self.stop_soon()
        task = self.life.task
        if task is None:
            return
        for timeout in (within, 1.0 + 3 * self.actor_class.shutdown_timeout):
            await asyncio.wait({task}, timeout=timeout)
            if task.done():
                return
            task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        if not task.done():
            _log.error("actor_stop_timed_out", actor=self.actor_class.__name__)

    def cancel(self) -> None:
        """Cancel the actor's task; harmless when it has ended."""
        if self.life.task is not None:
            self.life.task.cancel()

    async def ended(self) -> None:
        """Return when it has ended, ``terminate`` included."""
        if self.life.task is not None:
            await asyncio.wait({self.life.task})


class NamedRef:
    """A permanent child by its registered name, whichever incarnation runs (OTP's registered name)."""

    __slots__ = ("_ref", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._ref: Ref | None = None

    @property
    def meter(self) -> ActorMeter:
        return ActorMeter.of("none") if self._ref is None else self._ref.meter

    def points_to(self, ref: Ref) -> None:
        """Point the name at a new incarnation."""
        self._ref = ref

    def ask(self, message: Message[R], within: float = 10.0) -> Coroutine[Any, Any, R]:
        """The reply; ``Unavailable("overloaded")`` while the child is being restarted."""
        return _dead() if self._ref is None else self._ref.ask(message, within)

    def request(self, message: Message[R]) -> asyncio.Future[R]:
        """The reply as a future; ``Unavailable("overloaded")`` while the child is being restarted."""
        if self._ref is not None:
            return self._ref.request(message)
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        refuse(reply, ActorDead())
        return reply

    def tell(self, message: Message[Any]) -> None:
        """Send and forget; a dead letter while the child is being restarted."""
        if self._ref is None:
            dead_letter(self.meter, message)
        else:
            self._ref.tell(message)

    def deliver(self, envelope: Envelope) -> bool:
        """Hand an envelope on; false while the child is being restarted."""
        return self._ref is not None and self._ref.deliver(envelope)


async def _dead() -> Any:
    raise ActorDead


def dead_letter(meter: ActorMeter, message: object) -> None:
    """Count a message that is never handled; ten are logged, then none for five minutes."""
    meter.dead_letters.inc()
    if _log_throttle.allows():
        _log.warning("dead_letter", actor=meter.actor, message=type(message).__name__)


def undelivered(envelope: Envelope, meter: ActorMeter, why: BaseException) -> None:
    """Fail an undeliverable ask with ``why``; a tell becomes a dead letter."""
    if envelope.reply is None:
        dead_letter(meter, envelope.message)
    else:
        refuse(envelope.reply, why)
