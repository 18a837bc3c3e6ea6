"""Actors on the event loop: Pykka's actors with an inbox, a future and a loop made of asyncio.

Made through the three hooks Pykka documents for new kinds of actors. Beyond them this closes what Pykka leaves open: an
error ends one actor and never the process, every ask is resolved, mailboxes are bounded, dead letters are counted.
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

from ..domain.errors import Refusal
from ..foundation import log
from .ref import (
    ActorDead,
    ActorFailed,
    DeadlineExceeded,
    Deliverable,
    Envelope,
    Inbox,
    MailboxFull,
    Message,
    Recipient,
    Ref,
    Reply,
    Signal,
    failed,
    refuse,
    resolve,
    undelivered,
)

__all__ = [
    "NO_REPLY",
    "Actor",
    "ActorDead",
    "ActorFailed",
    "DeadlineExceeded",
    "MailboxFull",
    "Message",
    "NoReply",
    "Outcome",
    "Recipient",
    "Ref",
]

R = TypeVar("R")

_log = log.get(__name__)
_tasks: set[asyncio.Task[None]] = set()
"""Tasks of all live actors: asyncio keeps weak references, so an idle actor whose ref was dropped would vanish."""


@final
class NoReply:
    """What ``receive`` returns when the reply comes from elsewhere: from ``reply_later`` work or a ``forward``."""


NO_REPLY: Final = NoReply()


@final
class Outcome(Generic[R]):
    """The result of work that was awaited elsewhere: its value or its error."""

    __slots__ = ("_value", "error")

    def __init__(self, value: R | None = None, error: BaseException | None = None) -> None:
        self._value = value
        self.error = error

    @property
    def value(self) -> R:
        """The work's return value; raises its error if it failed."""
        if self.error is not None:
            raise self.error
        return cast("R", self._value)

    @classmethod
    def of(cls, done: asyncio.Future[R]) -> Outcome[R]:
        """From a future that is done; a cancelled one counts as ``DeadlineExceeded``."""
        if done.cancelled():
            return cls(error=DeadlineExceeded())
        error = done.exception()
        return cls(done.result()) if error is None else cls(error=error)


class Actor(pykka.Actor):
    """State that changes only while a message is handled: in ``receive``, and in ``on_start`` and ``terminate``.

    What an actor waits for runs in tasks that touch none of its state: ``reply_later`` answers the asker when such a
    task is done; ``pipe``, ``when_done`` and ``run_soon`` bring outcomes back as messages, which may change state. A
    task of ``spawn`` may keep state of its own, which messages only read. ``receive_inline`` and the callable given to
    ``delegate_reply`` run to their end without an ``await``, so that no message is handled in between.

    A ``Refusal`` raised while handling is the reply. Any other error, even a cancellation, fails this actor alone.
    """

    mailbox: ClassVar[int] = 1_000
    """Messages that may wait before senders get ``MailboxFull``."""
    inline: ClassVar[frozenset[type]] = frozenset()
    """Messages that ``receive_inline`` handles in the sender's task, unless the actor is starting or has unread mail.

    For frequent messages that only join a queue of this actor: each saves two iterations of the event loop.
    """
    shutdown_timeout: ClassVar[float] = 5.0
    """Seconds after a stop for ``reply_later`` work to finish, and again for ``terminate``."""
    _THROUGHPUT: ClassVar[int] = 64
    """Messages handled in a row before the actor yields to the event loop."""

    actor_inbox: Inbox

    def __init__(self) -> None:
        super().__init__()
        self.ref = Ref(self)
        self._life = self.ref.life
        self._envelope: Envelope | None = None
        self._began = 0.0
        self._handling_inline = False
        self._owned: set[asyncio.Task[Any]] = set()
        self._replies_owed: set[asyncio.Task[Any]] = set()
        self._delegated: set[asyncio.Future[Any]] = set()

    @property
    def actor_ref(self) -> Any:
        return self.ref

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Ref:
        """Create and start the actor; messages may be sent at once and wait until ``on_start`` is done."""
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
        context = contextvars.Context()  # else it would log the starter's request id for ever
        task = asyncio.get_running_loop().create_task(self._run(), name=type(self).__name__, context=context)
        self._life.task = task
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is called by _run
        """Run before the first message. A ``Refusal`` raised here is the reply to all waiting asks."""

    async def receive(self, message: Any) -> Any:
        """Handle one message and return its reply."""
        raise NotImplementedError(f"{type(self).__name__} does not handle {type(message).__name__}")

    def receive_inline(self, message: Any) -> Any:
        """Handle one ``inline`` message and return its reply.

        Runs in the sender's task, possibly while ``receive`` awaits: touch only state that ``receive`` never holds
        across an ``await``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not handle {type(message).__name__}")

    async def terminate(self, failure: BaseException | None) -> None:
        """Run after the last message, within ``shutdown_timeout`` seconds; ``failure`` is ``None`` after a stop."""

    async def _release(self) -> None:
        """Release what this actor owns; a supervisor stops its children here."""

    def reply_later(self, work: Coroutine[Any, Any, Any]) -> NoReply:
        """Reply to the current message with what ``work`` returns, while other messages are handled.

        ``work`` runs in a task of its own and must not touch the actor's state: it would change between two awaits of
        ``receive``. Its outcome goes to the asker; when the actor needs it as well, use ``pipe``. A ``Refusal`` is the
        reply; any other error is sent as ``ActorFailed`` and fails the actor. After a stop it has ``shutdown_timeout``
        seconds to finish.
        """
        try:
            envelope = self._take_envelope()
        except RuntimeError:
            work.close()
            raise
        name = f"{type(self).__name__}.reply_later"
        task = asyncio.get_running_loop().create_task(self._run_reply(envelope, self._began, work), name=name)
        self._replies_owed.add(task)
        task.add_done_callback(lambda done: self._settled(done, envelope, work))
        return NO_REPLY

    def delegate_reply(
        self,
        to: Callable[[asyncio.Future[Any]], object],
        on_reply: Callable[[asyncio.Future[Any]], object] | None = None,
    ) -> NoReply:
        """Hand the reply future of the current message to ``to``, which has it resolved later; no task is made.

        ``to`` is called at once, within ``receive``. The result or the error set on the future goes to the asker;
        ``on_reply`` is called with it once it is done. After a stop it has ``shutdown_timeout`` seconds.
        """
        envelope = self._take_envelope()
        if envelope.reply is None:
            envelope.reply = asyncio.get_running_loop().create_future()
        reply = envelope.reply
        to(reply)
        self._delegated.add(reply)
        reply.add_done_callback(partial(self._reply_done, type(envelope.message), self._began, on_reply))
        return NO_REPLY

    def forward(self, to: Deliverable, message: Message[Any]) -> NoReply:
        """Hand the current envelope on with ``message`` in it: ``to`` replies directly to the asker."""
        envelope = self._take_envelope()
        request = type(envelope.message)
        envelope.message = message
        if not to.deliver(envelope):
            undelivered(envelope, to.meter, ActorDead())
        self.ref.meter.handled(request, "reply", perf_counter() - self._began)
        return NO_REPLY

    def asker_waits(self) -> Callable[[], bool]:
        """Return a predicate: whether the asker still waits for the reply to the current message."""
        reply = None if self._envelope is None else self._envelope.reply
        return lambda: reply is not None and not reply.done()

    def run_soon(self, then: Callable[[], None]) -> None:
        """Run ``then`` as a message of this actor, even when the mailbox is full; an error in it fails the actor.

        For timers and callbacks, which change no state themselves.
        """
        self.ref.signal(then)

    def when_done(self, reply: asyncio.Future[R], then: Callable[[Outcome[R]], None]) -> None:
        """Run ``then`` with the outcome of ``reply`` as a message of this actor (Akka's ``pipeToSelf``)."""
        reply.add_done_callback(lambda done: self.run_soon(partial(then, Outcome.of(done))))

    def pipe(self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str) -> None:
        """Run ``work`` in a task of its own, then ``then`` with its outcome as a message of this actor.

        ``work`` touches no state of the actor; ``then`` may. The task is cancelled when the actor ends.
        """
        if self._life.state == "ended":
            work.close()
            raise ActorDead
        task = asyncio.get_running_loop().create_task(work, name=f"{type(self).__name__}.{name}")
        self._owned.add(task)
        task.add_done_callback(lambda done: self._discard(done, work))
        self.when_done(task, then)

    def spawn(self, work: Coroutine[Any, Any, R], *, name: str) -> asyncio.Task[R]:
        """Run ``work`` in a task owned by this actor: cancelled and awaited at its end; an error fails the actor.

        It changes no state that messages change.
        """
        if self._life.state == "ended":
            work.close()
            raise ActorDead
        task = asyncio.get_running_loop().create_task(self._run_task(work), name=f"{type(self).__name__}.{name}")
        self._owned.add(task)
        task.add_done_callback(lambda done: self._discard(done, work))
        return task

    def fail(self, error: BaseException) -> None:
        """Fail this actor with ``error`` from a task or a callback, as if ``receive`` had raised it."""

        async def raise_it() -> None:
            raise error

        self.ref.signal(raise_it, first=True)

    def request_passivation(self) -> None:
        """Ask the supervisor to stop this idle actor; the next message starts it again.

        The request is dropped if a message arrives meanwhile, so an actor repeats it whenever it becomes idle.
        """
        if self._life.on_idle is not None and not (self._replies_owed or self._delegated):
            self._life.on_idle(self._life.handled)

    def _take_envelope(self) -> Envelope:
        envelope = self._envelope
        if envelope is None or not (self._handling_inline or asyncio.current_task() is self._life.task):
            raise RuntimeError("reply_later(), delegate_reply() and forward() are for the handler of a message, once")
        self._envelope = None
        return envelope

    async def _run_reply(self, envelope: Envelope, began: float, work: Coroutine[Any, Any, Any]) -> None:
        outcome = "failure"
        try:
            resolve(envelope.reply, await work)
            outcome = "reply"
        except Refusal as refusal:
            refuse(envelope.reply, refusal)
            outcome = "refusal"
        except BaseException as error:  # noqa: BLE001 - whatever it is ends this actor and no other
            if _was_cancelled():
                refuse(envelope.reply, self._why_unanswered())
            else:
                refuse(envelope.reply, failed(type(self).__name__, error))
                self.fail(error)
        finally:
            self.ref.meter.handled(type(envelope.message), outcome, perf_counter() - began)

    def _reply_done(
        self,
        request: type,
        began: float,
        on_reply: Callable[[asyncio.Future[Any]], object] | None,
        reply: asyncio.Future[Any],
    ) -> None:
        self._delegated.discard(reply)
        outcome = "failure"
        if not reply.cancelled():
            error = reply.exception()
            outcome = "reply" if error is None else "refusal" if isinstance(error, Refusal) else "failure"
        self.ref.meter.handled(request, outcome, perf_counter() - began)
        if on_reply is not None:
            on_reply(reply)

    def _why_unanswered(self) -> BaseException:
        """The error for asks whose reply was still owed when this actor ended."""
        failure = self._life.failure
        if failure is None:
            return DeadlineExceeded()
        return failure if isinstance(failure, Refusal) else failed(type(self).__name__, failure)

    def _settled(self, task: asyncio.Task[Any], envelope: Envelope, work: Coroutine[Any, Any, Any]) -> None:
        self._replies_owed.discard(task)
        if task.cancelled():  # before its first step, so the message was not handled
            work.close()
            undelivered(envelope, self.ref.meter, ActorDead())

    async def _run_task(self, work: Coroutine[Any, Any, R]) -> R:
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

    async def _run(self) -> None:
        life = self._life
        meter = self.ref.meter
        meter.mailboxes.add(self.actor_inbox)
        try:
            await self.on_start()
            life.started = True
            life.state = "running"
            life.receive_inline = self._handle_inline
            await self._receive_loop()
        except BaseException as failure:  # noqa: BLE001 - whatever it is ends this actor and no other
            life.failure = failure
            self._report(failure)
        finally:
            life.state = "stopping"
            life.receive_inline = None
            self.actor_stopped.set()
            meter.mailboxes.discard(self.actor_inbox)
            self._drain_mailbox()
        await self._shut_down()
        life.state = "ended"
        if life.on_terminated is not None:
            life.on_terminated(life.failure)
        life.describe_children = life.on_terminated = life.on_idle = life.on_unread = life.halt = None
        if _was_cancelled():
            raise asyncio.CancelledError

    async def _receive_loop(self) -> None:
        inbox = self.actor_inbox
        in_a_row = 0
        while not self.actor_stopped.is_set():
            in_a_row = 0 if inbox.empty() else in_a_row + 1
            if in_a_row >= self._THROUGHPUT:
                in_a_row = 0
                await asyncio.sleep(0)
            envelope = await inbox.take()
            message = envelope.message
            log.SCOPE.set(envelope.scope)
            if isinstance(message, Message):
                await self._answer(envelope, message)
            elif isinstance(message, Signal):
                pending = message.act()
                if pending is not None:
                    await pending
            else:
                resolve(envelope.reply, self._handle_receive(message))

    async def _answer(self, envelope: Envelope, message: Message[Any]) -> None:
        self._life.handled += 1
        self._envelope = envelope
        self._began = began = perf_counter()
        outcome = "reply"
        try:
            reply = await self.receive(message)
            if reply is NO_REPLY:
                return
            resolve(envelope.reply, reply)
        except Refusal as refusal:
            outcome = "refusal"
            refuse(envelope.reply, refusal)
        except BaseException as error:
            refuse(envelope.reply, failed(type(self).__name__, error))
            self.ref.meter.handled(type(message), "failure", perf_counter() - began)
            raise
        finally:
            self._envelope = None
        self.ref.meter.handled(type(message), outcome, perf_counter() - began)

    def _handle_inline(self, envelope: Envelope) -> None:
        """Handle an inline message; the envelope of the message being handled, if any, is restored afterwards."""
        message, handled = envelope.message, (self._envelope, self._began)
        self._life.handled += 1
        self._envelope, self._handling_inline = envelope, True
        self._began = began = perf_counter()
        outcome = "reply"
        try:
            reply = self.receive_inline(message)
            if reply is NO_REPLY:
                return
            resolve(envelope.reply, reply)
        except Refusal as refusal:
            outcome = "refusal"
            refuse(envelope.reply, refusal)
        except BaseException as error:  # noqa: BLE001 - whatever it is ends this actor and not the sender
            outcome = "failure"
            refuse(envelope.reply, failed(type(self).__name__, error))
            self.fail(error)
        finally:
            (self._envelope, self._began), self._handling_inline = handled, False
        self.ref.meter.handled(type(message), outcome, perf_counter() - began)

    def _report(self, failure: BaseException) -> None:
        if isinstance(failure, Refusal) and not self._life.started:
            _log.info("actor_start_refused", actor=type(self).__name__, refusal=failure.args[0])
            return
        self.ref.meter.failures.inc()
        _log.error("actor_failed", actor=type(self).__name__, exc_info=failure)

    def _drain_mailbox(self) -> None:
        """Drain the mailbox: hand unread messages to the next incarnation, else fail their asks."""
        unread = self.actor_inbox.drain()
        unhandled = [envelope for envelope in unread if isinstance(envelope.message, Message)]
        for envelope in unread:
            if not isinstance(envelope.message, Message):
                resolve(envelope.reply, None)
        life = self._life
        if life.started and life.on_unread is not None and life.on_unread(unhandled):
            return
        for envelope in unhandled:
            undelivered(envelope, self.ref.meter, self._why_unhandled())

    def _why_unhandled(self) -> BaseException:
        """The error for unread messages: the refusal that ended the actor, or ``ActorDead`` if it had started."""
        failure = self._life.failure
        if isinstance(failure, Refusal):
            return failure
        return ActorDead() if failure is None or self._life.started else failed(type(self).__name__, failure)

    async def _shut_down(self) -> None:
        """Finish owed replies, stop children, cancel tasks, then ``terminate``. Errors here are logged."""
        if (owed := {*self._replies_owed, *self._delegated}) and self._life.failure is None:
            await self._suppressing("replies_owed", asyncio.wait(owed, timeout=self.shutdown_timeout))
        await self._cancel(self._replies_owed)
        for reply in [*self._delegated]:
            refuse(reply, self._why_unanswered())
        await self._suppressing("release", self._release())
        await self._cancel(self._owned)
        await self._suppressing("terminate", self.terminate(self._life.failure), limit=self.shutdown_timeout)

    async def _suppressing(self, what: str, work: Coroutine[Any, Any, Any], limit: float | None = None) -> None:
        try:
            async with asyncio.timeout(limit):
                await work
        except BaseException as error:  # noqa: BLE001 - every step of a shutdown runs, whatever failed before it
            _log.error("actor_shutdown_failed", actor=type(self).__name__, part=what, exc_info=error)

    async def _cancel(self, tasks: Collection[asyncio.Future[Any]]) -> None:
        for _ in range(3):
            pending = {task for task in tasks if not task.done()}
            if not pending:
                return
            for task in pending:
                task.cancel()
            await self._suppressing("tasks", asyncio.wait(pending, timeout=self.shutdown_timeout))
        _log.error("task_cancellation_timed_out", actor=type(self).__name__, tasks=len(tasks))


def _was_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
