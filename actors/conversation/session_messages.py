"""The messages by which others address a session: viewers and users, the agency, and the process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from ...storage.conversation import sessions
from ...storage.engine.idempotency import IdempotencyKey, IdempotentReply
from ..domain.approvals import Approval, Decision
from ..domain.audit import Author
from ..runtime.actor import Message
from .event_log import Subscription
from .new_message import NewMessage
from .subscriptions import Mode

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSession(Message[R]):
    """A message routed to one session."""

    tenant_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMessage(ToSession[Subscription]):
    """Send text, decide approvals, or both; replies with the sender's subscription."""

    message: NewMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow(ToSession[Subscription | None]):
    """Subscribe from a cursor (None: from the running pass); replies None if there is nothing to replay."""

    cursor: str | None
    mode: Mode = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve(ToSession[IdempotentReply[Approval]]):
    """Decide one approval."""

    who: Author
    decision: Decision
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename(ToSession[sessions.Summary]):
    """Give the session a title."""

    who: Author
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(ToSession[None]):
    """Delete the session. Refusal: ``turn_in_progress`` if the running pass does not stop in time."""

    who: Author


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(ToSession[str]):
    """Stop the running pass if it belongs to ``turn_id`` (None: to any turn); replies with the turn's id.

    Refusal: ``no_turn_running``.
    """

    who: Author
    turn_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(ToSession[None]):
    """Event: the ``final`` with this id was written to a stream of this user."""

    turn_id: str
    event: int
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassivateIfIdle(ToSession[None]):
    """Passivate now if idle and unwatched: the agency has many active sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep(ToSession[None]):
    """Stop now, without waiting for the idle timeout; the next message activates the session again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake(ToSession[None]):
    """Work may be due: compare the tables with this actor's state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(ToSession[None]):
    """Event: text deltas up to this id were removed from the table. Only sent to active sessions."""

    through: int
