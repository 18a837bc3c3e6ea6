"""Actors on the event loop: Pykka's actors with an inbox, a future and a loop made of asyncio.

Made through the three hooks Pykka documents for new kinds of actors. Beyond them this closes what Pykka leaves open: an
error ends one actor and never the process, every ask is resolved, mailboxes are bounded, late mail is counted.
All of it belongs to the thread of one event loop; from another thread go through ``loop.call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, Final, Generic, TypeVar, cast, final

import pykka

from . import log
from .domain.errors import Refusal
from .refs import (
    ActorDead,
    ActorFailed,
    Asks,
    DeadlineExceeded,
    Inbox,
    Letter,
    MailboxFull,
    Message,
    Ref,
    Reply,
    Signal,
    Takes,
    failed,
    refuse,
    resolve,
    undelivered,
)

__all__ = [
    "HANDED_OVER",
    "Actor",
    "ActorDead",
    "ActorFailed",
    "Asks",
    "DeadlineExceeded",
    "HandedOver",
    "MailboxFull",
    "Message",
    "Outcome",
    "Ref",
]

R = TypeVar("R")

_log = log.get(__name__)
_tasks: set[asyncio.Task[None]] = set()
"""Every live actor: asyncio holds its tasks weakly, so an idle actor whose ref was dropped would vanish."""


@final
class HandedOver:
    """What ``receive`` returns when the reply comes from elsewhere: from ``later`` work or a ``forward``."""


HANDED_OVER: Final = HandedOver()


@final
class Outcome(Generic[R]):
    """What became of work that was awaited elsewhere: its value, or the error it ended by."""

    __slots__ = ("_value", "error")

    def __init__(self, value: R | None = None, error: BaseException | None = None) -> None:
        self._value = value
        self.error = error

    @property
    def value(self) -> R:
        """What the work answered; raises the error if it ended by one."""
        if self.error is not None:
            raise self.error
        return cast("R", self._value)

    @classmethod
    def of(cls, done: asyncio.Future[R]) -> Outcome[R]:
        """Of a future that is done; one that was cancelled was given up."""
        if done.cancelled():
            return cls(error=DeadlineExceeded())
        error = done.exception()
        return cls(done.result()) if error is None else cls(error=error)


class Actor(pykka.Actor):
    """State that only its own task touches, changed by one message at a time.

    A ``Refusal`` raised while handling is the reply. Anything else, even a cancellation, ends this actor and no other.
    """

    mailbox: ClassVar[int] = 1_000
    """Messages that may wait before senders are told ``MailboxFull``."""
    express: ClassVar[frozenset[type]] = frozenset()
    """Messages ``at_once`` handles as they are sent, in their sender's time, unless the actor starts or has other mail.

    For what only joins a queue of this actor's own and comes by the thousand: two turns of the loop are saved for each.
    """
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
        self._began = 0.0
        self._inline = False
        self._owned: set[asyncio.Task[Any]] = set()
        self._owing: set[asyncio.Task[Any]] = set()
        self._lent: set[asyncio.Future[Any]] = set()

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

    def at_once(self, message: Any) -> Any:
        """Handle one ``express`` message, whatever else is being handled, and return its reply."""
        raise NotImplementedError(f"{type(self).__name__} does not know {type(message).__name__}")

    async def on_end(self, failure: BaseException | None) -> None:
        """After the last message, in ``farewell`` seconds; ``failure`` is why, ``None`` after a stop."""

    async def _release(self) -> None:
        """Let go of what belongs to this actor; a supervisor ends its children here."""

    def later(self, work: Coroutine[Any, Any, Any]) -> HandedOver:
        """Answer the present message with what ``work`` returns, while other messages are handled.

        A ``Refusal`` goes to the asker; any other error goes to him as ``ActorFailed`` and fails the actor. A stop
        leaves it ``farewell`` seconds to finish.
        """
        try:
            letter = self._hand_over()
        except RuntimeError:
            work.close()
            raise
        name = f"{type(self).__name__}.later"
        task = asyncio.get_running_loop().create_task(self._owe(letter, self._began, work), name=name)
        self._owing.add(task)
        task.add_done_callback(lambda done: self._settled(done, letter, work))
        return HANDED_OVER

    def lent(
        self,
        to: Callable[[asyncio.Future[Any]], object],
        counted: Callable[[asyncio.Future[Any]], object] | None = None,
    ) -> HandedOver:
        """Answer the present message by whoever ``to`` hands its reply to: as ``later`` does, at the cost of no task.

        What is set there is the asker's, an error too. ``counted`` is called once it is there. A stop leaves it
        ``farewell`` seconds.
        """
        letter = self._hand_over()
        if letter.reply is None:
            letter.reply = asyncio.get_running_loop().create_future()
        reply = letter.reply
        to(reply)
        self._lent.add(reply)
        reply.add_done_callback(partial(self._came, type(letter.message), self._began, counted))
        return HANDED_OVER

    def forward(self, to: Takes, message: Message[Any]) -> HandedOver:
        """Hand the present envelope on with ``message`` in it: ``to`` replies, and nobody waits in between."""
        letter = self._hand_over()
        asked = type(letter.message)
        letter.message = message
        if not to.deliver(letter):
            undelivered(letter, to.meter, ActorDead())
        self.ref.meter.handled(asked, "reply", perf_counter() - self._began)
        return HANDED_OVER

    def asker_waits(self) -> Callable[[], bool]:
        """Tells at any time whether anybody still waits for the reply to the present message."""
        reply = None if self._letter is None else self._letter.reply
        return lambda: reply is not None and not reply.done()

    def run_soon(self, then: Callable[[], None]) -> None:
        """Have ``then`` run as a message of this actor's own, which passes a full mailbox; an error in it fails it.

        The way back for timers and callbacks: they change no state themselves.
        """
        self.ref.signal(then)

    def when_done(self, reply: asyncio.Future[R], then: Callable[[Outcome[R]], None]) -> None:
        """Have ``then`` run as a message of this actor's own once ``reply`` is there (Akka's ``pipeToSelf``)."""
        reply.add_done_callback(lambda done: self.run_soon(partial(then, Outcome.of(done))))

    def pipe(self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str) -> None:
        """Await ``work`` beside the messages, and have ``then`` run with its outcome as one of them.

        ``work`` touches no state of the actor; it is cancelled at the actor's end.
        """
        if self._life.state == "ended":
            work.close()
            raise ActorDead
        task = asyncio.get_running_loop().create_task(work, name=f"{type(self).__name__}.{name}")
        self._owned.add(task)
        task.add_done_callback(lambda done: self._discard(done, work))
        self.when_done(task, then)

    def spawn(self, work: Coroutine[Any, Any, R], *, name: str) -> asyncio.Task[R]:
        """A task of this actor's own: cancelled and awaited at its end; an error in it fails the actor."""
        if self._life.state == "ended":
            work.close()
            raise ActorDead
        task = asyncio.get_running_loop().create_task(self._guard(work), name=f"{type(self).__name__}.{name}")
        self._owned.add(task)
        task.add_done_callback(lambda done: self._discard(done, work))
        return task

    def fail(self, error: BaseException) -> None:
        """From a task or a callback: end this actor by ``error`` as if a handler had raised it."""

        async def raise_it() -> None:
            raise error

        self.ref.signal(raise_it, first=True)

    def ask_to_sleep(self) -> None:
        """Tell the supervisor that nothing is due here. It ends this actor, and the next message starts it anew.

        Forgotten if a message has come meanwhile, so an actor says so again whenever it has become idle.
        """
        if self._life.sleeper is not None and not (self._owing or self._lent):
            self._life.sleeper(self._life.handled)

    def _hand_over(self) -> Letter:
        letter = self._letter
        if letter is None or not (self._inline or asyncio.current_task() is self._life.task):
            raise RuntimeError("later(), lent() and forward() are for the handler of a message, once")
        self._letter = None
        return letter

    async def _owe(self, letter: Letter, began: float, work: Coroutine[Any, Any, Any]) -> None:
        outcome = "failure"
        try:
            resolve(letter.reply, await work)
            outcome = "reply"
        except Refusal as refusal:
            refuse(letter.reply, refusal)
            outcome = "refusal"
        except BaseException as error:  # noqa: BLE001 - whatever it is ends this actor and no other
            if _was_cancelled():
                refuse(letter.reply, self._why_left())
            else:
                refuse(letter.reply, failed(type(self).__name__, error))
                self.fail(error)
        finally:
            self.ref.meter.handled(type(letter.message), outcome, perf_counter() - began)

    def _came(
        self,
        asked: type,
        began: float,
        counted: Callable[[asyncio.Future[Any]], object] | None,
        reply: asyncio.Future[Any],
    ) -> None:
        self._lent.discard(reply)
        said = "failure"
        if not reply.cancelled():
            error = reply.exception()
            said = "reply" if error is None else "refusal" if isinstance(error, Refusal) else "failure"
        self.ref.meter.handled(asked, said, perf_counter() - began)
        if counted is not None:
            counted(reply)

    def _why_left(self) -> BaseException:
        """For those whose reply was still owed when this actor ended."""
        failure = self._life.failure
        if failure is None:
            return DeadlineExceeded()
        return failure if isinstance(failure, Refusal) else failed(type(self).__name__, failure)

    def _settled(self, task: asyncio.Task[Any], letter: Letter, work: Coroutine[Any, Any, Any]) -> None:
        self._owing.discard(task)
        if task.cancelled():  # before its first step, so nobody has looked at the message
            work.close()
            undelivered(letter, self.ref.meter, ActorDead())

    async def _guard(self, work: Coroutine[Any, Any, R]) -> R:
        try:
            return await work
        except BaseException as error:
            if _was_cancelled():
                raise
            self.fail(error)
            raise failed(type(self).__name__, error) from error

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
            life.at_once = self._at_once
            await self._work()
        except BaseException as failure:  # noqa: BLE001 - whatever it is ends this actor and no other
            life.failure = failure
            self._report(failure)
        finally:
            life.state = "stopping"
            life.at_once = None
            self.actor_stopped.set()
            meter.mailboxes.discard(self.actor_inbox)
            self._turn_away()
        await self._part()
        life.state = "ended"
        if life.watcher is not None:
            life.watcher(life.failure)
        life.branches = life.watcher = life.sleeper = life.heir = life.halt = None
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
                acting = message.act()
                if acting is not None:
                    await acting
            else:
                resolve(letter.reply, self._handle_receive(message))

    async def _answer(self, letter: Letter, message: Message[Any]) -> None:
        self._life.handled += 1
        self._letter = letter
        self._began = began = perf_counter()
        outcome = "reply"
        try:
            reply = await self.receive(message)
            if reply is HANDED_OVER:
                return
            resolve(letter.reply, reply)
        except Refusal as refusal:
            outcome = "refusal"
            refuse(letter.reply, refusal)
        except BaseException as error:
            refuse(letter.reply, failed(type(self).__name__, error))
            self.ref.meter.handled(type(message), "failure", perf_counter() - began)
            raise
        finally:
            self._letter = None
        self.ref.meter.handled(type(message), outcome, perf_counter() - began)

    def _at_once(self, letter: Letter) -> None:
        """Handle an express letter: no state of the message being handled, if one is, is touched."""
        message, handled = letter.message, (self._letter, self._began)
        self._life.handled += 1
        self._letter, self._inline = letter, True
        self._began = began = perf_counter()
        outcome = "reply"
        try:
            reply = self.at_once(message)
            if reply is HANDED_OVER:
                return
            resolve(letter.reply, reply)
        except Refusal as refusal:
            outcome = "refusal"
            refuse(letter.reply, refusal)
        except BaseException as error:  # noqa: BLE001 - whatever it is ends this actor and not the sender
            outcome = "failure"
            refuse(letter.reply, failed(type(self).__name__, error))
            self.fail(error)
        finally:
            (self._letter, self._began), self._inline = handled, False
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
        mail = [letter for letter in unread if isinstance(letter.message, Message)]
        for letter in unread:
            if not isinstance(letter.message, Message):
                resolve(letter.reply, None)
        life = self._life
        if life.started and life.heir is not None and life.heir(mail):
            return
        for letter in mail:
            undelivered(letter, self.ref.meter, self._why())

    def _why(self) -> BaseException:
        """For those whose message was not looked at: the refusal that ended it, or try again if it once started."""
        failure = self._life.failure
        if isinstance(failure, Refusal):
            return failure
        return ActorDead() if failure is None or self._life.started else failed(type(self).__name__, failure)

    async def _part(self) -> None:
        """End all that is this actor's: replies owed, children, tasks; then its farewell. Errors here are logged."""
        if (owed := {*self._owing, *self._lent}) and self._life.failure is None:
            await self._quietly("replies_owed", asyncio.wait(owed, timeout=self.farewell))
        await self._cancel(self._owing)
        for reply in [*self._lent]:
            refuse(reply, self._why_left())
        await self._quietly("release", self._release())
        await self._cancel(self._owned)
        await self._quietly("on_end", self.on_end(self._life.failure), limit=self.farewell)

    async def _quietly(self, what: str, work: Coroutine[Any, Any, Any], limit: float | None = None) -> None:
        try:
            async with asyncio.timeout(limit):
                await work
        except BaseException as error:  # noqa: BLE001 - an end is gone through, whatever goes wrong in it
            _log.error("actor_end_failed", actor=type(self).__name__, part=what, exc_info=error)

    async def _cancel(self, tasks: Collection[asyncio.Future[Any]]) -> None:
        for _ in range(3):
            pending = {task for task in tasks if not task.done()}
            if not pending:
                return
            for task in pending:
                task.cancel()
            await self._quietly("tasks", asyncio.wait(pending, timeout=self.farewell))
        _log.error("tasks_will_not_end", actor=type(self).__name__, tasks=len(tasks))


def _was_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
