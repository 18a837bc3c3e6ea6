"""What plays the model in the session's property test: it goes only as far as it is let."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.rehearsal import Gate, Received, Text, ToolUse, Turn

MARKER = re.compile(r"m\d+ (?:chat|fly|post|two|setup)")
DAY = str(datetime.now(UTC).date() + timedelta(days=60))
SEARCH = {
    "origin": "BOM",
    "destination": "DXB",
    "outbound_date": DAY,
    "passengers": {"adult": 1, "child": 0, "infant": 0, "senior": 0},
}
PERSON = {"full_name": "Asha Rao", "date_of_birth": "1990-01-02"}
DESKS = {"fly": "ticketing_visa", "setup": "ticketing_visa", "post": "accounting", "two": "accounting"}
LINES = [
    {"account_id": "1000", "currency": "INR", "debit_amount": "10.00"},
    {"account_id": "3000", "currency": "INR", "credit_amount": "10.00"},
]


def pieces_of(marker: str) -> tuple[str, ...]:
    """The words of the last answer to a marker, as they are split."""
    return (f" {marker}\n", "\u00fcber \U0001f642 ", f"\t{marker[::-1]} ")


class Player:
    """Answers by what a turn is about: small talk at once, else a desk, its gated calls, and words when they are done.

    The last words of each turn wait at a gate; a gate that is asked for again is another one.
    """

    def __init__(self) -> None:
        self.fare = ""
        self.person = ""
        self.gates: dict[str, asyncio.Future[Gate]] = defaultdict(asyncio.get_running_loop().create_future)

    async def gate(self, marker: str) -> Gate:
        """Where the newest answer to this marker stands, as soon as it stands there."""
        async with asyncio.timeout(10):
            gate = await asyncio.shield(self.gates[marker])
        await gate.waiting()
        return gate

    def forget(self, marker: str) -> None:
        """Wait for another request for this marker."""
        self.gates.pop(marker, None)

    def reply(self, received: Received) -> Turn:
        """What is said to one request."""
        desk = "handoff" not in received.tools
        texts = [text for text in received.user_texts() if not desk or "Its goal:" in text]
        marker = next(found[0] for text in texts if (found := MARKER.search(text)))
        kind = marker.split()[1]
        if kind in DESKS and not desk:
            return Turn(ToolUse("handoff", {"domain": DESKS[kind], "goal": marker}))
        calls = self._calls(marker, kind)
        if calls and not self._asked(received, calls[0].id):
            return Turn("I ask.", *calls)
        if kind == "setup":
            return Turn("Found.")
        gate = Gate()
        waiting = self.gates[marker]
        if waiting.done():
            waiting = self.gates[marker] = asyncio.get_running_loop().create_future()
        waiting.set_result(gate)
        return Turn(Text.split(*pieces_of(marker)), gate=gate)

    def _calls(self, marker: str, kind: str) -> list[ToolUse]:
        name = f"toolu_{marker.split(maxsplit=1)[0]}"
        match kind:
            case "setup":
                return [
                    ToolUse("search_flights", SEARCH, id=f"{name}_0"),
                    ToolUse("upsert_passenger", PERSON, id=f"{name}_1"),
                ]
            case "fly":
                booking = {"fare_id": self.fare, "passenger_ids": [self.person]}
                return [ToolUse("book_flight", booking, id=f"{name}_0")]
            case "post" | "two":
                entries = [{"narration": f"{marker} {place}", "lines": LINES} for place in range(1 + (kind == "two"))]
                return [
                    ToolUse("post_journal_entry", {"entry": entry}, id=f"{name}_{place}")
                    for place, entry in enumerate(entries)
                ]
            case _:
                return []

    @staticmethod
    def _asked(received: Received, call: str) -> bool:
        blocks: list[Any] = [block for message in received.messages for block in message["content"]]
        return any(block["type"] == "tool_use" and block["id"] == call for block in blocks)
