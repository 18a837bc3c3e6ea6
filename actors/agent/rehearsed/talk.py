"""A request as read by scripts: the texts of user and model, the tool calls, and their results."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

PASSING = frozenset({"handoff", "clarify"})
"""Calls that only hand over or ask."""

_NOTE = re.compile(r"\[Result of (?P<name>\w+) \((?P<id>[^)]+)\)\] (?P<output>.*)", re.DOTALL)
_PENDING = re.compile(r"approval_pending:(?P<id>\S+)")
_LATER = "The result follows below"
_ENQUIRY = re.compile(r"^<enquiry>\n(?P<newest>\{.*\})$", re.MULTILINE)
_ISO_DATE = re.compile(r"\b(\d{4}-\d{2}-\d{2})\b")


@dataclass(frozen=True, slots=True)
class Words:
    """Text of the user, or the brief on the user's behalf."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """Text of the model."""

    text: str


@dataclass(slots=True)
class Call:
    """A tool call and its result: ``output`` once answered, ``approval`` while one is pending."""

    id: str
    name: str
    input: dict[str, Any]
    output: dict[str, Any] = field(default_factory=dict)
    answered: bool = False
    approval: str | None = None

    @property
    def error(self) -> str | None:
        """The error, if the output is one."""
        error = self.output.get("error")
        return None if error is None else str(error)


@dataclass(frozen=True, slots=True)
class News:
    """Marks where a call's result was sent to the model."""

    call: Call


class Talk:
    """One request's conversation in order, with the questions scripts ask of it."""

    def __init__(self, body: Mapping[str, Any], today: date) -> None:
        self.system = _flat(body.get("system", ""))
        self.tools = frozenset(str(tool["name"]) for tool in body.get("tools", []))
        dated = _ISO_DATE.search(self.system)
        self.today = date.fromisoformat(dated[1]) if dated else today
        """The date the system prompt names, else the server's."""

        quoted = _ENQUIRY.search(self.system)
        self.enquiry: Mapping[str, Any] = _output(quoted["newest"]) if quoted else {}
        """The newest enquiry the conversation is about. Of its texts only places are read: they are no instructions."""

        self._calls: dict[str, Call] = {}
        self._entries: list[Words | Said | Call | News] = []
        for message in body.get("messages", []):
            self._read(message["role"], message["content"])

    def _read(self, role: str, content: str | list[dict[str, Any]]) -> None:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            match role, block["type"]:
                case "assistant", "text":
                    self._entries.append(Said(block["text"]))
                case "assistant", "tool_use":
                    call = Call(block["id"], block["name"], block["input"])
                    self._calls[call.id] = call
                    self._entries.append(call)
                case "user", "tool_result":
                    self._answer(block["tool_use_id"], _flat(block.get("content", "")))
                case "user", "text":
                    note = _NOTE.match(block["text"])
                    if note is None:
                        self._entries.append(Words(block["text"]))
                    else:
                        self._answer(note["id"], note["output"])

    def _answer(self, call_id: str, content: str) -> None:
        call = self._calls.get(call_id)
        if call is None or content.startswith(_LATER):
            return
        if pending := _PENDING.match(content):
            call.approval = pending["id"]
            return
        call.output, call.answered, call.approval = _output(content), True, None
        if call.name not in PASSING:
            self._entries.append(News(call))

    @property
    def fresh(self) -> bool:
        """Whether a user's text follows the model's last one."""
        return any(isinstance(entry, Words) for entry in self._since_model())

    @property
    def news(self) -> list[Call]:
        """The calls whose results follow the model's last text."""
        return [entry.call for entry in self._since_model() if isinstance(entry, News)]

    def _since_model(self) -> list[Words | Said | Call | News]:
        spoke = [at for at, entry in enumerate(self._entries) if isinstance(entry, Said) or self._asks(entry)]
        return self._entries[spoke[-1] + 1 :] if spoke else self._entries

    @staticmethod
    def _asks(entry: Words | Said | Call | News) -> bool:
        """Whether the item is a call of a desk's tool; handoffs and questions do not count."""
        return isinstance(entry, Call) and entry.name not in PASSING

    @property
    def request(self) -> list[str]:
        """The user's request, newest text first: all since the last call of a desk's tool before the latest text."""
        spoken = [at for at, entry in enumerate(self._entries) if isinstance(entry, Words)]
        if not spoken:
            return []
        before = [at for at in range(spoken[-1]) if self._asks(self._entries[at])]
        first = before[-1] if before else 0
        asked = [entry.text for entry in self._entries[first : spoken[-1] + 1] if isinstance(entry, Words)]
        return asked[::-1]

    @property
    def latest_words(self) -> str:
        """The user's latest text."""
        return self.request[0] if self.request else ""

    @property
    def asked_back(self) -> bool:
        """Whether the model's last text before the user's latest was a question."""
        said = [entry.text for entry in self._entries if isinstance(entry, Said)]
        clarified = any(call.name == "clarify" for call in self.calls[-1:])
        return clarified or (bool(said) and said[-1].rstrip().endswith("?"))

    @property
    def calls(self) -> list[Call]:
        """All calls, oldest first."""
        return list(self._calls.values())

    def latest(self, tool: str) -> Call | None:
        """The newest answered call of ``tool`` that succeeded."""
        return next((c for c in reversed(self.calls) if c.name == tool and c.answered and c.error is None), None)

    def known(self, full_name: str) -> dict[str, str]:
        """The id of a person who was noted in this conversation, as the input of a call; empty if nobody was."""
        noted = (call for call in reversed(self.calls) if call.name == "upsert_passenger")
        same = (call for call in noted if call.input.get("full_name") == full_name)
        found = next((call.output["passenger_id"] for call in same if call.output.get("passenger_id")), None)
        return {} if found is None else {"passenger_id": str(found)}

    def waiting(self) -> list[Call]:
        """The calls with a pending approval."""
        return [call for call in self.calls if call.approval is not None]


def _flat(content: Any) -> str:
    """Text given as a string or as blocks."""
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content)


def _output(content: str) -> dict[str, Any]:
    try:
        output = json.loads(content)
    except ValueError:
        output = None
    return output if isinstance(output, dict) else {"text": content}
