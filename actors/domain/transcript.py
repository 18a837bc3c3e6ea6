"""From the stored transcript to the messages a model reads.

The transcript is a plain list of user, assistant and tool messages. A model wants alternating roles and, right behind
each message that asks for tools, one result per call. Where a result is still awaited the model reads
``approval_pending:<id>`` in its place; where it came later than other messages, it stands there as a note.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import blocks
from .outcomes import Outcome
from .turns import Message

OUTPUT_LIMIT = 32 * 1024
"""Bytes of one tool result that a model is given."""


def compact(output: Mapping[str, Any], limit: int = OUTPUT_LIMIT) -> str:
    """A tool's output as the model reads it: compact JSON, at most ``limit`` bytes, cut with a note."""
    text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit:
        return text
    note = f"… [cut: {len(encoded)} bytes in all]"
    return encoded[: limit - len(note.encode())].decode(errors="ignore") + note


@dataclass(frozen=True, slots=True)
class Call:
    """A call as a request carries it: its id there, and its name."""

    id: str
    name: str


Place = tuple[int, int]
"""Where a block stands: its message's place in a list, and its own in the message."""


class _Pairs:
    """Which result belongs to which call, and the ids under which a request carries them.

    A result belongs to the newest call before it that has its id and no result yet. It is late if it stands behind a
    user's message or another answer. Ids are made our own where they repeat or would be refused.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self.calls: dict[Place, Call] = {}
        self.results: dict[Place, Mapping[str, Any]] = {}
        self.late: dict[Place, Call | None] = {}
        self._open: dict[str, list[Place]] = {}
        self._used: set[str] = set()
        present: set[Place] = set()
        for at, message in enumerate(messages):
            if message.role == "tool":
                self._answer(at, message, present)
                continue
            present = self._ask(at, message) if message.role == "assistant" else set()

    def _ask(self, at: int, message: Message) -> set[Place]:
        asked = set()
        for place, block in enumerate(message.content):
            if block.get("type") == "tool_use":
                stored = str(block.get("id"))
                self._open.setdefault(stored, []).append((at, place))
                own = self._own_id(stored, f"call_{message.sequence}_{place}")
                self.calls[at, place] = Call(own, blocks.tool_name(block.get("name")))
                asked.add((at, place))
        return asked

    def _own_id(self, stored: str, instead: str) -> str:
        own = stored if blocks.sound_id(stored) and stored not in self._used else instead
        while own in self._used:
            own += "_"
        self._used.add(own)
        return own

    def _answer(self, at: int, message: Message, present: set[Place]) -> None:
        for place, block in enumerate(message.content):
            waiting = self._open.get(str(block.get("tool_use_id")), [])
            newest = [each for each in waiting if each[0] == waiting[-1][0]]
            asked = newest[0] if newest else None
            if asked is not None:
                waiting.remove(asked)
            if asked in present:
                self.results[asked] = block
            else:
                self.late[at, place] = None if asked is None else self.calls[asked]


def for_model(
    messages: Sequence[Message],
    *,
    pending: Mapping[str, str],
    brief: str | None = None,
    brief_after: int = 0,
    result_limit: int = OUTPUT_LIMIT,
    plain: bool = False,
) -> list[dict[str, Any]]:
    """Render the transcript, whatever is stored in it, as the API takes it.

    ``pending`` maps stored ids of calls to the approvals they wait for. ``brief`` is added once, as a message of
    the user behind the one with sequence ``brief_after``. With ``plain`` there is nothing but text: no thoughts, and
    calls and results in words.
    """
    render = _Rendering(messages, pending, result_limit, plain=plain)
    added = brief is None
    for at, message in enumerate(messages):
        render.add(at, message)
        if brief is not None and message.sequence == brief_after:
            render.append("user", [_text(brief)])
            added = True
    if brief is not None and not added:
        render.append("user", [_text(brief)])
    return render.whole()


class _Rendering:
    """Messages as they are being made for a request."""

    def __init__(self, messages: Sequence[Message], pending: Mapping[str, str], limit: int, *, plain: bool) -> None:
        self._messages: list[dict[str, Any]] = []
        self._pairs = _Pairs(messages)
        self._pending = pending
        self._limit = limit
        self._plain = plain

    def add(self, at: int, message: Message) -> None:
        """One message of the transcript, and the results of what it asks for."""
        match message.role:
            case "assistant":
                self._answer(at, message)
            case "user":
                self.append(
                    "user", [_text(block["text"]) for block in message.content if block.get("text", "").strip()]
                )
            case "tool":
                late = [place for place in range(len(message.content)) if (at, place) in self._pairs.late]
                self.append("user", [self._note(message.content[place], self._pairs.late[at, place]) for place in late])

    def _answer(self, at: int, message: Message) -> None:
        kept, results = [], []
        for place, block in enumerate(message.content):
            shown = blocks.readable(block)
            if shown is None:
                continue
            call = self._pairs.calls.get((at, place))
            if call is None:
                if not self._plain or shown["type"] == "text":
                    kept.append(shown)
                continue
            stored = str(block.get("id"))
            kept.append(self._asked(shown, call))
            results.append(self._result(call, self._pairs.results.get((at, place)), self._pending.get(stored)))
        self.append("assistant", kept)
        self.append("user", results)

    def _asked(self, block: dict[str, Any], call: Call) -> dict[str, Any]:
        if not self._plain:
            return block | {"id": call.id}
        return _text(f"[Called {call.name}] {compact(block['input'], self._limit)}")

    def _result(self, call: Call, block: Mapping[str, Any] | None, approval: str | None) -> dict[str, Any]:
        if block is not None:
            content, failed = compact(block.get("output") or {}, self._limit), bool(block.get("is_error"))
        elif approval is not None:
            content, failed = f"approval_pending:{approval}", False
        else:
            content, failed = "The result follows below, or was withdrawn.", False
        if self._plain:
            return _text(f"[Result of {call.name}] {content}")
        answer = {"type": "tool_result", "tool_use_id": call.id, "content": content}
        return answer | {"is_error": True} if failed else answer

    def _note(self, block: Mapping[str, Any], call: Call | None) -> dict[str, Any]:
        of = blocks.tool_name(block.get("name")) if call is None else f"{call.name} ({call.id})"
        return _text(f"[Result of {of}] {compact(block.get('output') or {}, self._limit)}")

    def append(self, role: str, content: list[dict[str, Any]]) -> None:
        """Add to the last message if the role is the same: a model wants the roles to alternate."""
        if not content:
            return
        if self._messages and self._messages[-1]["role"] == role:
            self._messages[-1]["content"].extend(content)
        else:
            self._messages.append({"role": role, "content": content})

    def whole(self) -> list[dict[str, Any]]:
        """The messages; a user's is the first and the last, since a model reads an answer at the end as its own."""
        if self._messages and self._messages[0]["role"] == "assistant":
            self._messages.insert(0, {"role": "user", "content": [_text("[Earlier messages are left out.]")]})
        if not self._messages or self._messages[-1]["role"] == "assistant":
            self._messages.append({"role": "user", "content": [_text("Go on.")]})
        return self._messages


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def tool_result(call_id: str, name: str, outcome: Outcome) -> dict[str, Any]:
    """The block a tool message holds. A tool's refusal is an answer, not an error."""
    return {
        "type": "tool_result",
        "tool_use_id": call_id,
        "name": name,
        "output": outcome.to_output(),
        "is_error": outcome.is_error,
    }


def tokens(text: str) -> int:
    """Tokens ``text`` is unlikely to exceed: three ASCII characters each; elsewhere one and more a character.

    Two bytes (Greek, Arabic) count as one token, three (Devanagari, Han) as five thirds, four (emoji) as seven thirds.
    The same sum is `storage.conversation.pass_context.LoadPass`'s.
    """
    return (2 * len(text.encode(errors="replace")) - len(text)) // 3 + 1


def trimmed(messages: Sequence[Message], limit: int) -> list[Message]:
    """The newest messages that fit into ``limit`` tokens, cut only where a user's message begins.

    So no call is parted from its result. The newest exchange is kept even if it is larger, but for what stands between
    the user's words and the newest answers that fit.
    """
    left, start, newest = limit, len(messages), None
    for place in range(len(messages) - 1, -1, -1):
        left -= weight(messages[place])
        if messages[place].role == "user":
            newest = place if newest is None else newest
            if left < 0:
                break
            start = place
    if start < len(messages):
        return list(messages[start:])
    return _cut(messages[newest:] if newest is not None else messages, limit)


def _cut(exchange: Sequence[Message], limit: int) -> list[Message]:
    """A user's message and the newest answers, with their results, that fit beside it; the last one in any case."""
    left = limit - (weight(exchange[0]) if exchange else 0)
    start = len(exchange)
    for place in range(len(exchange) - 1, 0, -1):
        left -= weight(exchange[place])
        if left < 0 and start < len(exchange):
            break
        if exchange[place].role == "assistant":
            start = place
    return [*exchange[:1], *exchange[start:]]


def weight(message: Message, result_limit: int = OUTPUT_LIMIT) -> int:
    """Tokens of one message; of a result no more than a model is given."""
    if message.role == "tool":
        return sum(tokens(compact(block.get("output") or {}, result_limit)) for block in message.content)
    return tokens(json.dumps(message.content, ensure_ascii=False))
