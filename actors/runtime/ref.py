"""Refs, through which actors are addressed: to one incarnation, or to a permanent child by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Literal, TypeVar, overload

import pykka

from ..foundation import log
from ..foundation.metrics import ActorMeter
from .envelope import Envelope, Message, Recipient, dead_letter, envelope_of
from .errors import ActorDead, DeadlineExceeded, MailboxFull
from .lifecycle import Lifecycle
from .mailbox import Inbox, Signal
from .reply import Requested, refuse

R = TypeVar("R")

_log = log.get(__name__)


class Ref(pykka.ActorRef[Any]):
    """A reference to one incarnation of an actor."""

    def __init__(self, actor: Any) -> None:
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
        if reply.done():
            return reply.result()
        deadline = loop.call_later(within, self._time_out, reply)
        try:
            return await reply
        finally:
            deadline.cancel()

    def request(self, message: Message[R]) -> asyncio.Future[R]:
        """The reply as a future, without a timeout: only a reply or the actor's end resolves it."""
        reply: Requested[R] = Requested()
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
        if isinstance(envelope.message, self._inline) and self.inbox.idle and self.life.handle_inline is not None:
            self.life.handle_inline(envelope)
            return True
        if len(self.inbox) >= self._limit:
            self.meter.mailbox_full.inc()
            raise MailboxFull
        self.inbox.add(envelope)
        return True

    def signal(
        self,
        act: Callable[[], Awaitable[None] | None],
        *,
        first: bool = False,
        finish: bool = False,
        inline: bool = False,
    ) -> None:
        """Run ``act`` in the actor between two messages; an error in it fails the actor.

        With ``finish`` it also runs after a stop, while replies are pending. With ``inline`` an idle actor runs it
        within this call; it does not await then.
        """
        if inline and self.is_alive() and self.inbox.idle and self.life.handle_inline is not None:
            self.life.handle_inline(Envelope(Signal(act), None, log.SCOPE.get()))
        elif self.is_alive() or (finish and self.life.finishing):
            self.inbox.add(Envelope(Signal(act, finish=finish), None, log.SCOPE.get()), first=first)

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


def hint(to: Recipient, message: Message[None]) -> None:
    """Tell what is found out later without it; a full mailbox is ignored."""
    with suppress(MailboxFull):
        to.tell(message)


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
