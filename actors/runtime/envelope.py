"""Messages, what accepts them, and the envelopes in which they travel."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ..foundation import log
from ..foundation.metrics import ActorMeter
from .reply import refuse

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_log = log.get(__name__)
_log_throttle = log.LogThrottle(first=10, pause=300.0)


class Message(Generic[R_co]):
    """What actors send each other; the type argument is the reply. Subclasses are frozen, slotted dataclasses."""

    __slots__ = ()


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


@dataclass(slots=True, eq=False)
class Envelope:
    """A message with its reply future, if it was asked, and the log scope of its sender."""

    message: Any
    reply: asyncio.Future[Any] | None
    scope: log.Scope


def envelope_of(message: Message[Any], reply: asyncio.Future[Any] | None = None) -> Envelope:
    """Put a message in an envelope, with the current log scope."""
    return Envelope(message, reply, log.SCOPE.get())


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
