"""Admission of a message to a conversation, as a pure function of message, session and time.

``decide`` performs no I/O: it takes a snapshot of the session and returns what is to be done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from .errors import Conflict, Refusal, Unavailable, Unprocessable
from .turns import QUEUE_LIMIT, REJOIN_WINDOW

OnBusy = Literal["reject", "queue", "interrupt"]
Place = Literal["now", "last", "first"]
"""Where a message's pass goes: it starts at once, or is queued last or first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A message to be admitted.

    ``text_hash`` is None without text; ``approvals`` is its map, ``decidable``: any entry
    still waits for a verdict.
    """

    user_id: str
    text_hash: bytes | None = None
    approvals: Mapping[str, bool] = field(default_factory=dict)
    decidable: bool = False
    on_busy: OnBusy = "reject"
    key: str | None = None
    body_hash: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepting:
    """A message that is being stored. ``starts``: its pass begins as soon as it is."""

    intake: int
    user_id: str
    text_hash: bytes | None = None
    approvals: Mapping[str, bool] = field(default_factory=dict)
    key: str | None = None
    body_hash: bytes | None = None
    starts: int | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The message accepted last. ``delivered``: its sender was handed the ``final`` of its pass."""

    user_id: str
    text_hash: bytes
    under_way: bool
    ended_at: datetime | None = None
    delivered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The session at one moment.

    ``running`` is the number of the pass that runs. ``due`` tells whether decided calls wait to be carried out,
    ``queued`` how many messages wait. ``resumed_ended_at`` is when the last resumed pass ended.
    """

    now: datetime
    stopping: bool = False
    deleting: bool = False
    running: int | None = None
    due: bool = False
    deciding: bool = False
    queued: int = 0
    accepting: Sequence[Accepting] = ()
    latest: Latest | None = None
    resumed_ended_at: datetime | None = None

    @property
    def busy(self) -> bool:
        """A pass runs or is due, or a message or a decision is being stored."""
        return self.running is not None or self.due or self.deciding or bool(self.queued or self.accepting)

    @property
    def places(self) -> int:
        """Messages queued, or to be queued as soon as they are stored."""
        return self.queued + sum(each.waits for each in self.accepting)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the message as a whole."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Share:
    """A repetition of a message that is being stored: both get the same reply."""

    intake: int


@dataclass(frozen=True, slots=True)
class Rejoin:
    """A repetition of the message accepted last: its sender rejoins that turn."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Store the message as a new turn. ``over`` is the number of the pass it interrupts."""

    place: Place
    over: int | None = None


@dataclass(frozen=True, slots=True)
class Decide:
    """Write the decisions. ``text`` goes behind the results in the resumed pass, or as ``then`` says."""

    text: Literal["none", "follows_up", "is_accepted"]
    then: Accept | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Subscribe: to the running pass, to the one resumed last, or until the session is idle."""

    what: Literal["running", "resumed", "settled"]


Admission: TypeAlias = Refuse | Share | Rejoin | Accept | Decide | Watch


def decide(request: Request, session: Snapshot) -> Admission:
    """Decide what is done with a message; the order of the cases is the order of the refusals."""
    repeated = _repeated(request, session)
    if repeated is not None:
        return repeated
    if request.text_hash is None:
        return Decide("none") if request.approvals else _empty(session)
    if session.stopping:
        return Refuse(Unavailable("shutting_down", retry_after=5.0))
    if session.deleting:
        return Refuse(Conflict("turn_in_progress"))
    if not session.busy:
        return Decide("follows_up") if request.approvals else Accept("now")
    if request.on_busy == "reject":
        return Refuse(Conflict("turn_in_progress"))
    if session.places >= QUEUE_LIMIT:
        return Refuse(Conflict("queue_full"))
    waiting = Accept("last")
    if request.on_busy == "interrupt":
        waiting = Accept("first", over=_interrupted(session))
    return Decide("is_accepted", waiting) if request.approvals else waiting


def _repeated(request: Request, session: Snapshot) -> Refuse | Share | Rejoin | None:
    """Find what the message repeats: by key, else the same user's same text if none was accepted since."""
    if request.key is not None:
        same = [each for each in session.accepting if (each.user_id, each.key) == (request.user_id, request.key)]
        if not same:
            return None
        reused = same[0].body_hash != request.body_hash
        return Refuse(Unprocessable("idempotency_key_reused")) if reused else Share(same[0].intake)
    if request.text_hash is None:
        return None
    repeated = (request.user_id, request.text_hash)
    being_stored = [each for each in session.accepting if each.text_hash is not None]
    if being_stored:
        newest = being_stored[-1]
        same_text = (newest.user_id, newest.text_hash) == repeated
        return Share(newest.intake) if same_text and request.approvals.items() <= newest.approvals.items() else None
    latest = session.latest
    if latest is None or (latest.user_id, latest.text_hash) != repeated or request.decidable:
        return None
    return Rejoin() if latest.under_way or _was_cut(latest, session.now) else None


def _was_cut(latest: Latest, now: datetime) -> bool:
    """Whether its pass has just ended and its sender did not get the ``final``."""
    return latest.ended_at is not None and not latest.delivered and now - latest.ended_at < REJOIN_WINDOW


def _interrupted(session: Snapshot) -> int | None:
    """The running pass, or the one that starts as soon as its message is stored."""
    if session.running is not None:
        return session.running
    return next((each.starts for each in session.accepting if each.starts is not None), None)


def _empty(session: Snapshot) -> Watch | Refuse:
    if session.running is not None:
        return Watch("running")
    ended = session.resumed_ended_at
    if ended is not None and session.now - ended < REJOIN_WINDOW:
        return Watch("resumed")
    return Watch("settled") if session.busy else Refuse(Unprocessable("message_required"))
