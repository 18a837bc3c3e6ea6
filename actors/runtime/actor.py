"""Actors on the event loop: Pykka's actors with a mailbox, a future and a loop made of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import Any, Generic, TypeVar

from ..domain.errors import Refusal
from .actor_loop import ActorLoop, was_cancelled
from .envelope import Deliverable, Envelope, Message, Recipient, undelivered
from .errors import ActorDead, ActorFailed, DeadlineExceeded, MailboxFull
from .ref import Ref, hint
from .reply import NO_REPLY, NoReply, Outcome, failed, once_done, refuse, resolve

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
    "hint",
]

P = TypeVar("P")
R = TypeVar("R")


class Actor(ActorLoop, Generic[P]):
    """State that changes only while a message is handled: in ``receive``, and in ``initialise`` and ``terminate``.

    The type argument is the actor's protocol: the union of the messages it handles. ``receive`` is one ``match`` over
    it that ends in ``assert_never``.

    What an actor waits for runs in tasks that touch none of its state. ``reply_later`` answers the asker when such a
    task is done; ``reply_after`` continues to handle the message with its outcome; ``pipe``, ``when_done`` and
    ``run_soon`` bring outcomes back as messages. A task of ``spawn`` may keep state of its own, which messages only
    read. What many tasks share (a queue for connections, a rate limit, a circuit breaker) keeps itself consistent: none
    of its methods awaits between reading and writing. The callable given to ``delegate_reply`` runs
    to its end without an ``await``, so that no message is handled in between.

    A ``Refusal`` raised while handling is the reply. Any other error, even a cancellation, fails this actor alone.
    """

    async def receive(self, message: P) -> Any:
        """Handle one message and return its reply."""
        raise NotImplementedError(f"{type(self).__name__} does not handle {type(message).__name__}")

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
        self._pending_replies.add(task)
        task.add_done_callback(lambda done: self._settled(done, envelope, work))
        return NO_REPLY

    def reply_after(self, awaited: Awaitable[R], then: Callable[[Outcome[R]], Any]) -> NoReply:
        """Continue to handle the current message with the outcome of ``awaited``, while other messages are handled.

        ``awaited`` touches no state of the actor; ``then`` runs as a message of it and may: what it returns or refuses
        is the reply, and it may reply later in turn. After a stop there are ``shutdown_timeout`` seconds for it.
        """
        try:
            envelope = self._take_envelope()
        except RuntimeError:
            if isinstance(awaited, Coroutine):
                awaited.close()
            raise
        self._awaiting[envelope] = self._began
        future = (
            self._task(awaited, "reply_after") if isinstance(awaited, Coroutine) else asyncio.ensure_future(awaited)
        )
        future.add_done_callback(
            lambda done: self.run_soon(partial(self._resume, envelope, then, Outcome.of(done)), finish=True)
        )
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
        once_done(reply, partial(self._reply_done, type(envelope.message), self._began, on_reply))
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

    def run_soon(self, then: Callable[[], None], *, finish: bool = False, inline: bool = False) -> None:
        """Run ``then`` as a message of this actor, even when the mailbox is full; an error in it fails the actor.

        For timers and callbacks, which change no state themselves. ``finish`` as for ``pipe``. With ``inline`` an idle
        actor runs it within this call.
        """
        self.ref.signal(then, finish=finish, inline=inline)

    def when_done(self, reply: asyncio.Future[R], then: Callable[[Outcome[R]], None], *, finish: bool = False) -> None:
        """Run ``then`` with the outcome of ``reply`` as a message of this actor (Akka's ``pipeToSelf``).

        ``finish`` as for ``pipe``.
        """
        self._piped += 1

        def come_back(outcome: Outcome[R]) -> None:
            self._piped -= 1
            then(outcome)

        once_done(reply, lambda done: self.run_soon(partial(come_back, Outcome.of(done)), finish=finish, inline=True))

    def pipe(
        self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str, finish: bool = False
    ) -> None:
        """Run ``work`` in a task of its own, then ``then`` with its outcome as a message of this actor.

        ``work`` touches no state of the actor; ``then`` may. The task is cancelled when the actor ends. With ``finish``
        replies may depend on it, so ``then`` also runs after a stop while replies are pending.
        """
        self.when_done(self._task(work, name), then, finish=finish)

    def _task(self, work: Coroutine[Any, Any, R], name: str) -> asyncio.Task[R]:
        """A task that is cancelled when the actor ends."""
        if self._life.state == "ended":
            work.close()
            raise ActorDead
        task = asyncio.get_running_loop().create_task(work, name=f"{type(self).__name__}.{name}")
        self._owned.add(task)
        task.add_done_callback(lambda done: self._discard(done, work))
        return task

    def spawn(self, work: Coroutine[Any, Any, R], *, name: str) -> asyncio.Task[R]:
        """Run ``work`` in a task owned by this actor: cancelled and awaited at its end; an error fails the actor.

        It changes no state that messages change.
        """
        if self._life.state == "ended":
            work.close()
            raise ActorDead
        task = self._task(self._run_task(work), name)
        task.add_done_callback(lambda _: work.close())
        return task

    def request_passivation(self) -> None:
        """Ask the supervisor to stop this idle actor; the next message starts it again.

        The request is dropped while a reply or an outcome is awaited, and if a message or a signal is handled before
        the supervisor has it, so an actor repeats it whenever it becomes idle.
        """
        awaits = self._pending_replies or self._delegated or self._awaiting or self._piped
        if self._life.on_idle is not None and not awaits:
            self._life.on_idle(self._life.activity)

    def _resume(self, envelope: Envelope, then: Callable[[Outcome[Any]], Any], outcome: Outcome[Any]) -> None:
        began = self._awaiting.pop(envelope, None)
        if began is not None:
            self._conclude(envelope, began, then, outcome)

    def _take_envelope(self) -> Envelope:
        envelope = self._envelope
        if envelope is None or not (self._life.handle_inline is None or asyncio.current_task() is self._life.task):
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
            if was_cancelled():
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

    def _settled(self, task: asyncio.Task[Any], envelope: Envelope, work: Coroutine[Any, Any, Any]) -> None:
        self._pending_replies.discard(task)
        if task.cancelled():  # before it ran, so the message was not handled
            work.close()
            undelivered(envelope, self.ref.meter, ActorDead())

    async def _run_task(self, work: Coroutine[Any, Any, R]) -> R:
        try:
            return await work
        except BaseException as error:
            if was_cancelled():
                raise
            self.fail(error)
            raise failed(type(self).__name__, error) from error

    def _discard(self, task: asyncio.Task[Any], work: Coroutine[Any, Any, Any]) -> None:
        self._owned.discard(task)
        work.close()
        if not task.cancelled():
            task.exception()
