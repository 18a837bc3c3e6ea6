"""Replies: futures that are resolved once, and the outcomes of awaited work."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast, final

import pykka

from ..domain.errors import Refusal
from .errors import ActorDead, ActorFailed, DeadlineExceeded

R = TypeVar("R")


@final
class NoReply:
    """What ``receive`` returns when the reply is given later, or by somebody else."""


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


class Requested(asyncio.Future[R]):
    """A reply whose outcome may be handed on at once, a round of the event loop earlier than by a callback."""

    _then: tuple[tuple[contextvars.Context, Callable[[asyncio.Future[R]], object]], ...] = ()

    def hand_on(self, then: Callable[[asyncio.Future[R]], object]) -> None:
        """Call ``then`` when this is done, within the call that resolves it, so ``then`` must not raise.

        As a callback it runs in the context of this call: whoever resolves it may log for another agency.
        """
        if self.done():
            then(self)
        else:
            self._then += ((contextvars.copy_context(), then),)

    def set_result(self, result: R, /) -> None:
        super().set_result(result)
        self._hand_on()

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        super().set_exception(exception)
        self._hand_on()

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._hand_on()
        return cancelled

    def _hand_on(self) -> None:
        waiting, self._then = self._then, ()
        for context, then in waiting:
            context.run(then, self)


def once_done(reply: asyncio.Future[R], then: Callable[[asyncio.Future[R]], object]) -> None:
    """Call ``then`` when ``reply`` is done: within the call that resolves it if it can be, else soon after."""
    add = reply.hand_on if isinstance(reply, Requested) else reply.add_done_callback
    add(then)


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


def settle(reply: asyncio.Future[Any] | None, outcome: Outcome[Any]) -> None:
    """Resolve or fail the reply with the outcome of awaited work, if the asker still waits."""
    if outcome.error is None:
        resolve(reply, outcome.value)
    else:
        refuse(reply, outcome.error)


def fresh(refusal: Refusal) -> Refusal:
    """A copy of the refusal without traceback and context."""
    copy = type(refusal).__new__(type(refusal), *refusal.args)
    copy.__dict__.update(refusal.__dict__)
    return copy


def failed(actor: str, failure: BaseException) -> ActorFailed:
    """The error an asker gets for ``failure``."""
    error = ActorFailed(f"{actor} failed")
    error.__cause__ = failure
    return error
