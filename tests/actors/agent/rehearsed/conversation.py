"""A transcript that grows by the scripts' answers, checked as the real service would."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from voyagent.actors.agent.desks import DESKS
from voyagent.actors.agent.rehearsed.server import script
from voyagent.actors.agent.rehearsed.talk import Talk
from voyagent.actors.agent.rehearsed.turns import Text, ToolUse, Turn
from voyagent.actors.agent.rehearsed.wire import check

TODAY = date(2026, 11, 24)
WISH = "Find me a flight from Mumbai to Dubai on 12 December 2026 for Asha Rao and book it"
NOBODY = "Find me a flight from Mumbai to Dubai on 12 December 2026 and book it"
FARES = {
    "count": 2,
    "fares": [
        {
            "fare_id": "f-dear",
            "price": "INR 21000.00",
            "carrier": "EK",
            "stops": 0,
            "departs_at": "2026-12-12T04:00:00Z",
        },
        {
            "fare_id": "f-cheap",
            "price": "INR 9400.50",
            "carrier": "IX",
            "stops": 1,
            "departs_at": "2026-12-12T06:00:00Z",
        },
    ],
}
BOOKED = {"booked": True, "booking_id": "b-1", "locator": "QX7Y2Z", "status": "confirmed", "price": "INR 9400.50"}


class Conversation:
    """A transcript that grows by the script's own answers and what is said to it."""

    def __init__(self, desk: str, tools: tuple[str, ...] | None = None, *said: str) -> None:
        self.names = DESKS[desk].tools if tools is None else tools
        self.system = f"Your desk: {desk}. Today is 2026-11-24, a Tuesday."
        self.messages: list[dict[str, Any]] = []
        self.open: list[str] = []
        for text in said:
            self.say(text)

    def say(self, text: str) -> None:
        self.messages.append({"role": "user", "content": [*self._take("{}"), {"type": "text", "text": text}]})

    def results(self, *outputs: dict[str, Any] | str, then: str | None = None) -> None:
        """Answer the open calls in order."""
        blocks = []
        for call, output in zip(self.open, outputs, strict=True):
            content = output if isinstance(output, str) else json.dumps(output)
            blocks.append({"type": "tool_result", "tool_use_id": call, "content": content})
        self.open = []
        words = [] if then is None else [{"type": "text", "text": then}]
        self.messages.append({"role": "user", "content": [*blocks, *words]})

    def _take(self, output: str) -> list[dict[str, Any]]:
        taken = [{"type": "tool_result", "tool_use_id": call, "content": output} for call in self.open]
        self.open = []
        return taken

    def body(self) -> dict[str, Any]:
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in self.names]
        return {
            "model": "m",
            "max_tokens": 64,
            "stream": True,
            "system": self.system,
            "tools": tools,
            "messages": self.messages,
        }

    def next(self) -> tuple[str, list[ToolUse]]:
        """The script's next words and calls; what it asks is a request the real service would take."""
        check(self.body())
        turn = script(Talk(self.body(), TODAY))
        assert isinstance(turn, Turn)
        words = "".join(block.text for block in turn.blocks if isinstance(block, Text))
        calls = [block for block in turn.blocks if isinstance(block, ToolUse)]
        blocks: list[dict[str, Any]] = [{"type": "text", "text": words}] if words else []
        for place, call in enumerate(calls):
            ident = f"toolu_{len(self.messages)}_{place}"
            self.open.append(ident)
            blocks.append({"type": "tool_use", "id": ident, "name": call.name, "input": call.input})
        self.messages.append({"role": "assistant", "content": blocks})
        return words, calls


def asked(calls: list[ToolUse]) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.input) for call in calls]
