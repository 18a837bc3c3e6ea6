"""Turns, the calls a model asks for in them, and the rules that tell which state may follow which."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from .audit import canonical

TurnState = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]
CallState = Literal["proposed", "approved", "executing", "succeeded", "failed", "unknown"]
Effect = Literal["read", "reversible", "irreversible"]

MESSAGE_LIMIT = 32_000
"""Code points of one message."""
TITLE_LENGTH = 60
QUEUE_LIMIT = 5
"""Messages that may wait behind a running pass."""
MAX_ROUNDS = 24
"""Model calls of one pass unless it is set otherwise: the largest party is taken down one by one, and booked."""
TURN_SECONDS = 600.0
"""Running time of one turn, over all its passes."""
GRANT_LIFE = timedelta(seconds=900)
"""How long a grant may wait for its run; after it the call is ``approval_stale``."""
REJOIN_WINDOW = timedelta(seconds=60)
"""How long after its end a turn can be rejoined with the same text, if its sender did not get the ``final``."""
MAX_ATTEMPTS = 3
"""A turn found unfinished at start this many times fails."""


def text_hash(text: str) -> bytes:
    """SHA-256 of a message, by which the same text is known again."""
    return hashlib.sha256(text.encode()).digest()


def title_of(text: str) -> str:
    """The first message names its session: trimmed, at most sixty code points."""
    return text.strip()[:TITLE_LENGTH]


def fingerprint(tool: str, call_input: Mapping[str, Any], bound: Mapping[str, Any] | None) -> str:
    """SHA-256 (64 hex) over a call's tool, exact input and all its approver was shown."""
    return hashlib.sha256(canonical({"tool": tool, "input": call_input, "bound": bound})).hexdigest()


@dataclass(frozen=True, slots=True)
class Started:
    """What a message has started: its turns, and the event before them if it resumed them."""

    turn_ids: tuple[str, ...]
    after: int | None = None


@dataclass(frozen=True, slots=True)
class TurnError:
    """Why a turn is refused, fails or is cancelled: a stable code, and a text for people."""

    code: str
    text: str

    @property
    def line(self) -> str:
        """``"<code>: <text>"``, as in the ``error`` event and the turn's row."""
        return f"{self.code}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One tool call of one turn. Its ``id`` is the key suppliers and journals see.

    Sensitive input is masked in ``input`` and sealed in ``input_sealed``, until the call has its outcome.
    """

    id: str
    turn_id: str
    call_id: str
    tool: str
    desk: str | None
    input: dict[str, Any]
    effect: Effect
    user_id: str
    position: int
    state: CallState = "proposed"
    bound: dict[str, Any] | None = None
    approval_id: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    error: str | None = None
    output: dict[str, Any] | None = None
    driver: str | None = None
    reported: bool = False
    input_sealed: bytes | None = field(default=None, repr=False)

    @property
    def input_hash(self) -> str:
        return fingerprint(self.tool, self.input, self.bound)

    @property
    def undecided(self) -> bool:
        """Waits for a human."""
        return self.approval_id is not None and self.state == "proposed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsk:
    """An approval about to be stored: what a human will read, and until when it can be decided."""

    id: str
    call: ToolCall
    summary: str
    approver_roles: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Brief:
    """What a desk is told when a conversation is handed to it; it stays out of the transcript."""

    domain: str
    goal: str


@dataclass(frozen=True, slots=True)
class LoopState:
    """Where a turn's loop stands, as far as the transcript does not say: kept with the turn after every answer."""

    desk: str | None = None
    brief: Brief | None = None
    brief_after: int = 0
    handoffs: tuple[Brief, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "desk": self.desk,
            "brief": None if self.brief is None else [self.brief.domain, self.brief.goal],
            "brief_after": self.brief_after,
            "handoffs": [[each.domain, each.goal] for each in self.handoffs],
        }

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any] | None) -> LoopState:
        """Read back what ``plain`` wrote; nothing stored is a turn at its beginning."""
        if not stored:
            return cls()
        brief = stored.get("brief")
        return cls(
            desk=stored.get("desk"),
            brief=None if brief is None else Brief(*brief),
            brief_after=stored.get("brief_after", 0),
            handoffs=tuple(Brief(*each) for each in stored.get("handoffs", ())),
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the transcript. ``content`` is a list of blocks (business 2.7)."""

    id: str
    sequence: int
    turn_id: str
    role: Literal["user", "assistant", "tool"]
    content: list[dict[str, Any]]
    user_id: str | None
    created_at: datetime


class Spoken(NamedTuple):
    """A message's role and its sequence in the transcript."""

    role: str
    sequence: int


NextAction = Literal["converse", "next_desk", "wait", "complete"]
"""How a pass goes on: ask the model, let the next desk begin, or end as ``waiting`` or ``completed``."""


def next_action(
    *,
    calls: Sequence[ToolCall],
    decided: Sequence[ToolCall],
    own: Sequence[Spoken],
    loop: LoopState,
    follow_up: bool,
    again: bool,
) -> NextAction:
    """How a pass goes on after it has settled the ``decided`` calls, as they were before that.

    ``calls`` and ``own`` are the turn's calls and messages, ``follow_up`` whether a message was sent with the
    decisions, ``again`` whether the pass resumes a turn that was interrupted. The model is asked where somebody waits
    for an answer: an expired approval alone is reported in the next turn.
    """
    if follow_up:
        return "converse"
    if _unanswered(own) and (again or any(call.error != "expired" for call in decided)):
        return "converse"
    if any(call.undecided for call in calls):
        return "wait"
    if _expired(calls):
        return "complete"
    if decided or not (again and _desk_answered(own, loop)):
        return "converse"
    return "next_desk" if loop.handoffs else "complete"


def _unanswered(own: Sequence[Spoken]) -> bool:
    """Whether a user's message follows the model's last one."""
    spoken = [message.role for message in own if message.role != "tool"]
    return bool(spoken) and spoken[-1] == "user"


def _expired(calls: Sequence[ToolCall]) -> bool:
    """Whether the latest decision is an expiry and no approved call was executed."""
    decided = [(call.decided_at, call) for call in calls if call.approval_id and call.decided_at is not None]
    if not decided or any(call.state in ("succeeded", "unknown") for _, call in decided):
        return False
    newest = max(at for at, _ in decided)
    return any(call.error == "expired" for at, call in decided if at == newest)


def _desk_answered(own: Sequence[Spoken], loop: LoopState) -> bool:
    """Whether the current desk has answered without a tool call: only another desk can be left to run."""
    return bool(own) and own[-1].role == "assistant" and own[-1].sequence > loop.brief_after
