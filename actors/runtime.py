"""Actors on the event loop: Pykka's actors with an inbox, a future and a loop made of asyncio.

Made through the three hooks Pykka documents for new kinds of actors. Beyond them this closes what Pykka leaves open: an
error ends one actor and never the process, every ask is resolved, mailboxes are bounded, late mail is counted.
All of it belongs to the thread of one event loop; from another thread go through ``loop.call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar, final, overload

import pykka

from . import log
from .domain.errors import Refusal, Unavailable
from .metrics import ActorMeter

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_log = log.get(__name__)
_late = log.Quiet(first=10, pause=300.0)
_tasks: set[asyncio.Task[None]] = set()
"""Every live actor: asyncio holds its tasks weakly, so an idle actor whose ref was dropped would vanish."""


class Message(Generic[R_co]):
    """What actors send each other; the type argument is the reply. Subclasses are frozen, slotted dataclasses."""

    __slots__ = ()


class MailboxFull(Unavailable):
    """503 ``overloaded``: the actor has more mail than it can answer in time."""

    def __init__(self) -> None:
        super().__init__("overloaded")


class DeadlineExceeded(Unavailable):
    """503 ``deadline_exceeded``: no answer in time. The message may still be handled."""

    def __init__(self) -> None:
        super().__init__("deadline_exceeded")


class ActorDead(Unavailable):
    """503 ``overloaded``: the actor ended without having looked at the message; it is safe to send it again."""

    def __init__(self) -> None:
        super().__init__("overloaded")


class ActorFailed(Exception):
    """The actor ended by an error while it had the message; the error is the cause. Not a refusal: a defect."""


class Asks(Protocol):
    """Whatever takes messages: a ``Ref`` to one incarnation of an actor, or the ``Address`` of a permanent one."""

    async def ask(self, message: Message[R], within: float = 10.0) -> R:
        """The reply; raises a ``Refusal``, or ``ActorFailed``."""

    def tell(self, message: Message[Any]) -> None:
        """Send and forget. Raises ``MailboxFull``; to a dead actor it is a dead letter."""


@final
class HandedOver:
    """What ``receive`` returns when the reply comes from elsewhere: from ``later`` work or a ``forward``."""


HANDED_OVER: Final = HandedOver()


class Reply(pykka.Future[Any]):
    """Pykka's future, resolved by the loop instead of by a thread that waits."""

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
        _resolve(self.inner, value)

    def set_exception(self, exc_info: Any = None) -> None:
        _refuse(self.inner, ActorDead() if exc_info is None else exc_info[1])

    def __await__(self) -> Any:
        return self.inner.__await__()


def _resolve(reply: asyncio.Future[Any] | None, value: Any) -> None:
    if reply is not None and not reply.done():
        reply.set_result(value)


def _refuse(reply: asyncio.Future[Any] | None, error: BaseException) -> None:
    if reply is not None and not reply.done():
        reply.set_exception(error)
        reply.exception()  # seen: an asker that has left is no reason for a line in the log


def fresh(refusal: Refusal) -> Refusal:
    """The same refusal without its history: one raised at many askers would grow a traceback for each."""
    again = type(refusal).__new__(type(refusal), *refusal.args)
    again.__dict__.update(refusal.__dict__)
    return again


def _failed(actor: str, failure: BaseException) -> ActorFailed:
    error = ActorFailed(f"{actor} failed")
    error.__cause__ = failure
    return error


@dataclass(slots=True)
class Letter:
    """A message on its way, with the reply somebody may wait for and the log scope of who sent it."""

    message: Any
    reply: asyncio.Future[Any] | None
    scope: log.Scope


@dataclass(frozen=True, slots=True)
class Signal:
    """Something the actor itself has to do between two messages; it passes a full mailbox."""

    act: Callable[[], Awaitable[None]]


class Inbox:
    """An actor's letters in their order, with one reader: the actor."""

    __slots__ = ("__weakref__", "_letters", "_reader")

    def __init__(self) -> None:
        self._letters: deque[Letter] = deque()
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._letters)

    def empty(self) -> bool:
        return not self._letters

    def get(self) -> Any:
        """Pykka's own loop would wait here; ours takes."""
        raise RuntimeError("an inbox on the loop is read with take()")

    def put(self, envelope: Any) -> None:
        """The border to Pykka: its envelopes carry what is not a ``Message``, a stop for one."""
        reply = envelope.reply_to
        self.add(Letter(envelope.message, None if reply is None else reply.inner, log.SCOPE.get()))

    def add(self, letter: Letter, *, first: bool = False) -> None:
        if first:
            self._letters.appendleft(letter)
        else:
            self._letters.append(letter)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def take(self) -> Letter:
        while not self._letters:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._letters.popleft()

    def empty_out(self) -> list[Letter]:
        """All that is unread, removed."""
        unread = list(self._letters)
        self._letters.clear()
        return unread


State = Literal["starting", "running", "stopping", "ended"]


class Life:
    """What may be known of an actor from outside: its state and figures, and who wants to hear of its end."""

    __slots__ = ("branches", "failure", "handled", "heir", "started", "state", "task", "watcher")

    def __init__(self) -> None:
        self.state: State = "starting"
        self.started = False
        self.handled = 0
        self.failure: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self.watcher: Callable[[BaseException | None], None] | None = None
        self.heir: Callable[[list[Letter]], None] | None = None
        """Takes the unread letters of an actor that is put to sleep."""
        self.branches: Callable[[], dict[str, Any]] | None = None
        """A supervisor's children, as data."""


class Ref(pykka.ActorRef["Actor"]):
    """One incarnation of an actor, to be sent messages."""

    def __init__(self, actor: Actor) -> None:
        super().__init__(actor)
        self.inbox: Inbox = actor.actor_inbox
        self.life = Life()
        self.meter = ActorMeter.of(self.actor_class.__name__)
        self._limit = self.actor_class.mailbox

    @overload  # type: ignore[override]  # Pykka answers a future; ours is awaited
    def ask(self, message: Message[R], within: float = 10.0) -> Coroutine[Any, Any, R]: ...
    @overload
    def ask(self, message: object, *, block: Literal[False], timeout: float | None = None) -> pykka.Future[Any]: ...
    def ask(self, message: Any, within: float = 10.0, *, block: bool = False, timeout: float | None = None) -> Any:
        """The reply, awaited for at most ``within`` seconds. What is no ``Message`` (a stop) goes Pykka's way."""
        if isinstance(message, Message):
            return self._ask(message, within)
        return super().ask(message, block=block, timeout=timeout)

    async def _ask(self, message: Message[R], within: float) -> R:
        loop = asyncio.get_running_loop()
        if asyncio.current_task() is self.life.task:
            raise RuntimeError(f"{self.actor_class.__name__} asks itself and would wait for ever")
        reply: asyncio.Future[R] = loop.create_future()
        if not self.deliver(Letter(message, reply, log.SCOPE.get())):
            raise ActorDead
        deadline = loop.call_later(within, self._lapse, reply)
        try:
            return await reply
        finally:
            deadline.cancel()

    def _lapse(self, reply: asyncio.Future[Any]) -> None:
        if not reply.done():
            self.meter.ask_timeouts.inc()
            reply.set_exception(DeadlineExceeded())

    def tell(self, message: Any) -> None:
        """Send and forget. Raises ``MailboxFull``; to a dead actor it is a dead letter."""
        if not isinstance(message, Message):
            return super().tell(message)
        if not self.deliver(Letter(message, None, log.SCOPE.get())):
            dead_letter(self.meter, message)

    def deliver(self, letter: Letter) -> bool:
        """Put a letter in the mailbox; false if the actor is dead. Raises ``MailboxFull``."""
        if self.actor_stopped.is_set():
            return False
        if len(self.inbox) >= self._limit:
            self.meter.mailbox_full.inc()
            raise MailboxFull
        self.inbox.add(letter)
        return True

    def signal(self, act: Callable[[], Awaitable[None]], *, first: bool = False) -> None:
        """Have the actor run ``act`` between two messages; an error in it fails the actor."""
        if self.is_alive():
            self.inbox.add(Letter(Signal(act), None, log.SCOPE.get()), first=first)

    def stop_soon(self) -> None:
        """Ask it to end after the messages it has; harmless when it has ended."""
        if self.is_alive():
            self.stop(block=False)

    async def stop_and_wait(self, within: float) -> None:
        """Ask it to end and wait; after ``within`` seconds it is cancelled where it stands."""
        self.stop_soon()
        await self._gone(within)

    async def kill(self) -> None:
        """Cancel it where it stands and wait for its end."""
        await self._gone(0.0)

    async def _gone(self, within: float) -> None:
        task = self.life.task
        if task is None:
            return
        for patience in (within, 1.0 + self.actor_class.farewell):
            if patience > 0:
                await asyncio.wait({task}, timeout=patience)
            if task.done():
                return
            task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        if not task.done():
            _log.error("actor_will_not_end", actor=self.actor_class.__name__)

    async def ended(self) -> None:
        """Return when it has ended, its farewell included."""
        if self.life.task is not None:
            await asyncio.wait({self.life.task})


def dead_letter(meter: ActorMeter, message: object) -> None:
    """Count a message nobody will ever handle; the first ten are logged, then one burst each five minutes."""
    meter.dead_letters.inc()
    if _late.allows():
        _log.warning("dead_letter", actor=meter.actor, message=type(message).__name__)


class Actor(pykka.Actor):
    """State that only its own task touches, changed by one message at a time.

    A ``Refusal`` raised while handling is the reply. Anything else, even a cancellation, ends this actor and no other.
    """

    mailbox: ClassVar[int] = 1_000
    """Messages that may wait before senders are told ``MailboxFull``."""
    farewell: ClassVar[float] = 5.0
    """Seconds for work still owing a reply to finish after a stop, and again for ``on_end``."""
    _ROW: ClassVar[int] = 64
    """Messages handled in a row before others on the loop get a turn."""

    actor_inbox: Inbox

    def __init__(self) -> None:
        super().__init__()
        self.ref = Ref(self)
        self._life = self.ref.life
        self._letter: Letter | None = None
        self._owned: set[asyncio.Task[Any]] = set()
        self._owing: set[asyncio.Task[Any]] = set()

    @property
    def actor_ref(self) -> Any:
        return self.ref

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Ref:
        """Make the actor and let it live; messages may be sent at once and wait until ``on_start`` is done."""
        actor = cls(*args, **kwargs)
        actor._start_actor_loop()
        return actor.ref

    @staticmethod
    def _create_actor_inbox() -> Any:
        return Inbox()

    @staticmethod
    def _create_future() -> Reply:
        return Reply()

    def _start_actor_loop(self) -> None:
        context = contextvars.Context()  # else it would log the request of whoever woke it for ever
        task = asyncio.get_running_loop().create_task(self._live(), name=type(self).__name__, context=context)
        self._life.task = task
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is called by _live
        """Before the first message. A ``Refusal`` here is what those who have asked already will get."""

    async def receive(self, message: Any) -> Any:
        """Handle one message and return its reply."""
        raise NotImplementedError(f"{type(self).__name__} does not know {type(message).__name__}")

    async def on_end(self, failure: BaseException | None) -> None:
        """After the last message, in ``farewell`` seconds; ``failure`` is why, ``None`` after a stop."""

    async def _release(self) -> None:
        """Let go of what belongs to this actor; a supervisor ends its children here."""

    def later(self, work: Coroutine[Any, Any, Any]) -> HandedOver:
        """Answer the present message with what ``work`` returns, while other messages are handled.

        A ``Refusal`` goes to the asker; any other error goes to him as ``ActorFailed`` and fails the actor.
        """
        letter = self._hand_over()
        task = asyncio.get_running_loop().create_task(self._owe(letter, work), name=f"{type(self).__name__}.later")
        self._owing.add(task)
        task.add_done_callback(lambda done: self._settled(done, letter, work))
        return HANDED_OVER

    def forward(self, to: Ref, message: Message[Any]) -> HandedOver:
        """Hand the present message's envelope on with ``message`` in it: ``to`` replies, and nobody waits in between."""
        letter = self._hand_over()
        letter.message = message
        if not to.deliver(letter):
            undelivered(letter, to.meter, ActorDead())
        return HANDED_OVER

    def spawn(self, work: Coroutine[Any, Any, R], *, name: str) -> asyncio.Task[R]:
        """A task of this actor's own: cancelled and awaited at its end; an error in it fails the actor."""
        task = asyncio.get_running_loop().create_task(self._guard(work), name=f"{type(self).__name__}.{name}")
        self._owned.add(task)
        task.add_done_callback(lambda done: self._discard(done, work))
        return task

    def fail(self, error: BaseException) -> None:
        """From a task or a callback: end this actor by ``error`` as if a handler had raised it."""

        async def raise_it() -> None:
            raise error

        self.ref.signal(raise_it, first=True)

    def _hand_over(self) -> Letter:
        letter = self._letter
        if letter is None or asyncio.current_task() is not self._life.task:
            raise RuntimeError("later() and forward() are for the handler of a message, once")
        self._letter = None
        return letter

    async def _owe(self, letter: Letter, work: Coroutine[Any, Any, Any]) -> None:
        began = perf_counter()
        outcome = "failure"
        try:
            _resolve(letter.reply, await work)
            outcome = "reply"
        except Refusal as refusal:
            _refuse(letter.reply, fresh(refusal))
            outcome = "refusal"
        except BaseException as error:
            _refuse(letter.reply, _failed(type(self).__name__, self._life.failure or error))
            if not _was_cancelled():
                self.fail(error)
        finally:
            self.ref.meter.handled(type(letter.message), outcome, perf_counter() - began)

    def _settled(self, task: asyncio.Task[Any], letter: Letter, work: Coroutine[Any, Any, Any]) -> None:
        self._owing.discard(task)
        work.close()
        undelivered(letter, self.ref.meter, ActorDead())

    async def _guard(self, work: Coroutine[Any, Any, R]) -> R:
        try:
            return await work
        except BaseException as error:
            if _was_cancelled():
                raise
            self.fail(error)
            raise _failed(type(self).__name__, error) from error

    def _discard(self, task: asyncio.Task[Any], work: Coroutine[Any, Any, Any]) -> None:
        self._owned.discard(task)
        work.close()
        if not task.cancelled():
            task.exception()

    async def _live(self) -> None:
        life = self._life
        meter = self.ref.meter
        meter.mailboxes.add(self.actor_inbox)
        try:
            await self.on_start()
            life.started = True
            life.state = "running"
            await self._work()
        except BaseException as failure:
            life.failure = failure
            self._report(failure)
        finally:
            life.state = "stopping"
            self.actor_stopped.set()
            meter.mailboxes.discard(self.actor_inbox)
            self._turn_away()
        await self._part()
        life.state = "ended"
        life.branches = None
        if life.watcher is not None:
            life.watcher(life.failure)
        if _was_cancelled():
            raise asyncio.CancelledError

    async def _work(self) -> None:
        inbox = self.actor_inbox
        row = 0
        while not self.actor_stopped.is_set():
            row = 0 if inbox.empty() else row + 1
            if row >= self._ROW:
                row = 0
                await asyncio.sleep(0)
            letter = await inbox.take()
            message = letter.message
            log.SCOPE.set(letter.scope)
            if isinstance(message, Message):
                await self._answer(letter, message)
            elif isinstance(message, Signal):
                await message.act()
            else:
                _resolve(letter.reply, self._handle_receive(message))

    async def _answer(self, letter: Letter, message: Message[Any]) -> None:
        self._life.handled += 1
        self._letter = letter
        began = perf_counter()
        outcome = "failure"
        try:
            reply = await self.receive(message)
            outcome = "reply"
            if reply is not HANDED_OVER:
                _resolve(letter.reply, reply)
        except Refusal as refusal:
            outcome = "refusal"
            _refuse(letter.reply, fresh(refusal))
        except BaseException as error:
            _refuse(letter.reply, _failed(type(self).__name__, error))
            raise
        finally:
            self._letter = None
            if outcome != "reply" or reply is not HANDED_OVER:
                self.ref.meter.handled(type(message), outcome, perf_counter() - began)

    def _report(self, failure: BaseException) -> None:
        if isinstance(failure, Refusal) and not self._life.started:
            _log.info("actor_not_started", actor=type(self).__name__, refusal=failure.args[0])
            return
        self.ref.meter.failures.inc()
        _log.error("actor_failed", actor=type(self).__name__, exc_info=failure)

    def _turn_away(self) -> None:
        """Resolve all unread mail: it goes to the heir, or its askers learn why nobody will answer."""
        unread = self.actor_inbox.empty_out()
        life = self._life
        if life.heir is not None and life.failure is None:
            mail = [letter for letter in unread if isinstance(letter.message, Message)]
            unread = [letter for letter in unread if not isinstance(letter.message, Message)]
            life.heir(mail)
        for letter in unread:
            if isinstance(letter.message, Message):
                undelivered(letter, self.ref.meter, self._why())
            elif not isinstance(letter.message, Signal):
                _resolve(letter.reply, None)

    def _why(self) -> BaseException:
        failure = self._life.failure
        if failure is None or self._life.started:
            return ActorDead()
        return fresh(failure) if isinstance(failure, Refusal) else _failed(type(self).__name__, failure)

    async def _part(self) -> None:
        """End all that is this actor's: replies owed, children, tasks; then its farewell. Errors here are logged."""
        if self._owing and self._life.failure is None:
            await self._quietly("replies owed", asyncio.wait(self._owing, timeout=self.farewell))
        await self._cancel(self._owing)
        await self._quietly("release", self._release())
        await self._cancel(self._owned)
        await self._quietly("on_end", self.on_end(self._life.failure), limit=self.farewell)

    async def _quietly(self, what: str, work: Coroutine[Any, Any, Any], limit: float | None = None) -> None:
        try:
            async with asyncio.timeout(limit):
                await work
        except BaseException as error:
            _log.error("actor_end_failed", actor=type(self).__name__, part=what, exc_info=error)

    async def _cancel(self, tasks: set[asyncio.Task[Any]]) -> None:
        for _ in range(3):
            pending = {task for task in tasks if not task.done()}
            if not pending:
                return
            for task in pending:
                task.cancel()
            await self._quietly("tasks", asyncio.wait(pending, timeout=self.farewell))
        _log.error("tasks_will_not_end", actor=type(self).__name__, tasks=len(tasks))


def undelivered(letter: Letter, meter: ActorMeter, why: BaseException) -> None:
    """Resolve a letter nobody will handle: its asker gets ``why``; without one it is a dead letter."""
    if letter.reply is None:
        dead_letter(meter, letter.message)
    else:
        _refuse(letter.reply, why)


def _was_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
