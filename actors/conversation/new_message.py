"""A message on its way in: as it was sent, while it is stored, and as the one accepted last."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...storage.conversation import session_state
from ...storage.engine.idempotency import IdempotencyKey
from ..domain import admission
from ..domain.audit import Author
from ..domain.turns import text_hash
from . import turn
from .event_log import PassEnd, Subscription
from .scheduler import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """Text to send, approvals to decide, or both."""

    who: Author
    text: str = ""
    approvals: Mapping[str, bool] = field(default_factory=dict)
    on_busy: admission.OnBusy = "reject"
    key: IdempotencyKey | None = None

    @property
    def has_text(self) -> bool:
        return bool(self.text.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The message accepted last: a sender who repeats it rejoins its turn instead of starting another."""

    turn: Turn
    user_id: str
    text_hash: bytes
    after: int | None = None
    """For text sent with decisions: its events come after this one."""

    @classmethod
    def restored(cls, stored: session_state.LastMessage, turns: Mapping[str, Turn], last_event: int) -> Accepted:
        """From its table row; ``turns`` are the unfinished ones, ``last_event`` is the end of the log."""
        begun = turns.get(stored.turn_id) or Turn(
            id=stored.turn_id,
            user_id=stored.user_id,
            state="ended",
            first_event=stored.first_event_id or 0,
            pass_event=stored.pass_event_id or 0,
        )
        begun.ended_at = stored.ended_at
        behind = begun.pass_event - 1 if begun.state != "waiting" or stored.ended_at else last_event
        return cls(
            turn=begun,
            user_id=stored.user_id,
            text_hash=stored.text_hash,
            after=max(behind, 0) if stored.is_follow_up else None,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class PendingMessage:
    """One message in progress, and the replies that wait for its outcome."""

    id: int
    message: NewMessage
    replies: list[asyncio.Future[Subscription]]
    stored_before: int = 0
    """Number of messages stored when its key was looked up."""
    admitted: bool = False
    """It is counted against the agency's quota; uncounted if it is not accepted."""
    storing: bool = False
    pass_number: int | None = None
    """Of the pass that starts as soon as it is stored."""
    waits: bool = False
    turn_id: str | None = None
    interrupt: turn.Interrupt | None = None
    """A cancellation of the pass that is about to start."""
    prelude: bytes = b""
    ends: tuple[PassEnd, ...] = ()
    after: int = 0

    def accepting(self) -> admission.Accepting:
        """What admission has to know of it while it is being stored."""
        message = self.message
        return admission.Accepting(
            intake=self.id,
            user_id=message.who.user_id,
            text_hash=text_hash(message.text) if message.has_text else None,
            approvals=message.approvals,
            key=None if message.key is None else message.key.key,
            body_hash=None if message.key is None else message.key.body_hash,
            starts=self.pass_number,
            waits=self.waits,
        )
