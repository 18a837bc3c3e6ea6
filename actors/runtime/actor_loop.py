"""The loop of an actor: start, one message at a time, and an orderly end.

Made through the three hooks Pykka documents for new kinds of actors. Beyond them this closes what Pykka leaves open: an
error ends one actor and never the process, every ask is resolved, mailboxes are bounded, dead letters are counted.
All of it belongs to the thread of one event loop; from another thread go through ``loop.call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Collection, Coroutine
from time import perf_counter
from typing import Any, ClassVar

import pykka

from ..domain.errors import Refusal
from ..foundation import log
from .envelope import Envelope, Message, undelivered
from .errors import ActorDead, DeadlineExceeded
from .mailbox import Inbox, Signal
from .ref import Ref
from .reply import NO_REPLY, Reply, failed, refuse, resolve

_log = log.get(__name__)
_tasks: set[asyncio.Task[None]] = set()
"""Tasks of all live actors: asyncio keeps weak references, so an idle actor whose ref was dropped would vanish."""


class ActorLoop(pykka.Actor):
    """Runs an actor in a task of its own. ``Actor`` adds what its subclasses call.

    Its hooks are ``initialise`` and ``terminate``, both awaited. Those of Pykka, as ``on_start``, are not called.
    """

    mailbox: ClassVar[int] = 1_000
    """Messages that may wait before senders get ``MailboxFull``."""
    inline: ClassVar[tuple[type, ...]] = ()
    """Messages that this actor handles within the call that sends them, whenever it is idle (Akka's calling-thread
    dispatcher). ``receive`` handles them without an ``await``.

    It is still one message at a time, in the order of the mailbox: an actor is idle while it awaits a message and has
    none. For frequent messages: each saves two iterations of the event loop.
    """
    shutdown_timeout: ClassVar[float] = 5.0
    """Seconds after a stop for pending replies to be given, and again for ``terminate``."""
    _THROUGHPUT: ClassVar[int] = 64
    """Messages handled in a row before the actor yields to the event loop."""

    log_scope: log.Scope = log.NOBODY
    """What all log lines of this actor belong to: an agency, a session, a turn. The rest comes with each message."""

    actor_inbox: Inbox

    def __init__(self) -> None:
        super().__init__()
        self.ref = Ref(self)
        self._life = self.ref.life
        self._given_scope: log.Scope | None = None
        self._scope = log.NOBODY
        self._envelope: Envelope | None = None
        self._began = 0.0
        self._owned: set[asyncio.Task[Any]] = set()
        self._pending_replies: set[asyncio.Task[Any]] = set()
        self._delegated: set[asyncio.Future[Any]] = set()
        self._awaiting: dict[Envelope, float] = {}
        """Messages whose handling continues with an outcome, and when it began."""
        self._piped = 0
        """Outcomes that are yet to come back."""

    @property
    def actor_ref(self) -> Any:
        return self.ref

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Ref:
        """Create and start the actor; messages may be sent at once and wait until ``initialise`` is done."""
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

    async def initialise(self) -> None:
        """Run before the first message. A ``Refusal`` raised here is the reply to all waiting asks."""

    async def receive(self, message: Any) -> Any:
        """Handle one message and return its reply."""
        raise NotImplementedError(f"{type(self).__name__} does not handle {type(message).__name__}")

    async def terminate(self, failure: BaseException | None, /) -> None:
        """Run after the last message, within ``shutdown_timeout`` seconds; ``failure`` is ``None`` after a stop."""

    def fail(self, error: BaseException) -> None:
        """Fail this actor with ``error`` from a task or a callback, as if ``receive`` had raised it."""

        async def raise_it() -> None:
            raise error

        self.ref.signal(raise_it, first=True)

    async def _release(self) -> None:
        """Release what this actor owns; a supervisor stops its children here."""

    async def _run(self) -> None:
        life = self._life
        meter = self.ref.meter
        meter.mailboxes.add(self.actor_inbox)
        log.SCOPE.set(self.log_scope)
        try:
            await self.initialise()
            life.started = True
            life.state = "running"
            life.handle_inline = self._handle_inline
            await self._receive_loop()
        except BaseException as failure:  # noqa: BLE001 - whatever it is ends this actor and no other
            life.failure = failure
            self._report(failure)
        finally:
            life.state = "stopping"
            life.finishing = life.failure is None
            life.handle_inline = None
            self.actor_stopped.set()
            meter.mailboxes.discard(self.actor_inbox)
            self._drain_mailbox()
        await self._shut_down()
        life.state = "ended"
        if life.on_terminated is not None:
            life.on_terminated(life.failure)
        life.describe_children = life.on_terminated = life.on_idle = life.on_unread = life.halt = None
        if was_cancelled():
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
            self._life.activity += 1
            message = envelope.message
            self._set_log_scope(envelope)
            if isinstance(message, Message):
                await self._answer(envelope, message)
            elif isinstance(message, Signal):
                pending = message.act()
                if pending is not None:
                    await pending
            else:
                resolve(envelope.reply, self._handle_receive(message))
            del envelope, message  # else an idle actor would keep what its last message holds

    def _set_log_scope(self, envelope: Envelope) -> None:
        given = envelope.scope
        if given is log.NOBODY:
            log.SCOPE.set(self.log_scope)
            return
        if given is not self._given_scope:  # all messages of one turn have the same
            self._given_scope, self._scope = given, given.within(self.log_scope)
        log.SCOPE.set(self._scope)

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
        """Handle an envelope in the task of its sender, while this actor is idle; what is sent meanwhile waits."""
        life, scope, message = self._life, log.SCOPE.get(), envelope.message
        life.handle_inline = None
        life.activity += 1
        self._set_log_scope(envelope)
        try:
            if isinstance(message, Signal):
                message.act()
            else:
                life.handled += 1
                self._conclude(envelope, perf_counter(), self._receive_at_once, message)
        except BaseException as error:  # noqa: BLE001 - whatever it is ends this actor and not the sender
            self.fail(error)
        finally:
            log.SCOPE.set(scope)
            life.handle_inline = self._handle_inline

    def _receive_at_once(self, message: Any) -> Any:
        receiving = self.receive(message)
        try:
            receiving.send(None)
        except StopIteration as received:
            return received.value
        receiving.close()
        raise RuntimeError(f"{type(self).__name__} awaits while it handles an inline message")

    def _conclude(self, envelope: Envelope, began: float, handle: Callable[[Any], Any], argument: Any) -> None:
        """Reply with what ``handle`` returns or refuses; raises any other error, which the asker gets as a failure."""
        self._envelope, self._began = envelope, began
        outcome = "reply"
        try:
            reply = handle(argument)
            if reply is NO_REPLY:
                return
            resolve(envelope.reply, reply)
        except Refusal as refusal:
            outcome = "refusal"
            refuse(envelope.reply, refusal)
        except BaseException as error:
            refuse(envelope.reply, failed(type(self).__name__, error))
            self.ref.meter.handled(type(envelope.message), "failure", perf_counter() - began)
            raise
        finally:
            self._envelope = None
        self.ref.meter.handled(type(envelope.message), outcome, perf_counter() - began)

    def _why_unanswered(self) -> BaseException:
        """The error for asks whose reply was still pending when this actor ended."""
        failure = self._life.failure
        if failure is None:
            return DeadlineExceeded()
        return failure if isinstance(failure, Refusal) else failed(type(self).__name__, failure)

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
            if isinstance(envelope.message, Signal):
                if envelope.message.finish and self._life.finishing:
                    self.actor_inbox.add(envelope)
            elif not isinstance(envelope.message, Message):
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
        """Finish pending replies, stop children, cancel tasks, then ``terminate``. Errors here are logged."""
        if self._life.failure is None:
            await self._suppressing("replies_pending", self._finish_replies())
        self._life.finishing = False
        await self._cancel(self._pending_replies)
        for reply in [*self._delegated]:
            refuse(reply, self._why_unanswered())
        for envelope in [*self._awaiting]:
            refuse(envelope.reply, self._why_unanswered())
        self._awaiting.clear()
        await self._suppressing("release", self._release())
        await self._cancel(self._owned)
        await self._suppressing("terminate", self.terminate(self._life.failure), limit=self.shutdown_timeout)

    async def _finish_replies(self) -> None:
        """Wait until no reply is pending, within ``shutdown_timeout``; outcomes that replies depend on are handled."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.shutdown_timeout
        while (left := until - loop.time()) > 0 and (self._pending_replies or self._delegated or self._awaiting):
            reading = loop.create_task(self.actor_inbox.take())
            try:
                pending = {reading, *self._pending_replies, *self._delegated}
                await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    await self._suppressing("outcome", self._act(reading.result()))
            finally:
                reading.cancel()

    async def _act(self, envelope: Envelope) -> None:
        self._set_log_scope(envelope)
        pending = envelope.message.act()
        if pending is not None:
            await pending

    async def _suppressing(self, what: str, work: Coroutine[Any, Any, Any], limit: float | None = None) -> None:
        try:
            async with asyncio.timeout(limit):
                await work
        except BaseException as error:  # noqa: BLE001 - every part of a shutdown runs, whatever failed before it
            _log.error("actor_shutdown_failed", actor=type(self).__name__, part=what, exc_info=error)

    async def _cancel(self, tasks: Collection[asyncio.Future[Any]]) -> None:
        for _ in range(3):
            pending = {task for task in tasks if not task.done()}
            if not pending:
                return
            for task in pending:
                task.cancel()
            await self._suppressing("tasks", asyncio.wait(pending, timeout=self.shutdown_timeout))
        if left := sum(not task.done() for task in tasks):
            _log.error("task_cancellation_timed_out", actor=type(self).__name__, tasks=left)


def was_cancelled() -> bool:
    """Whether the current task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
