"""Answers of the rehearsal as plain data: text and tool calls."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

PIECE = 7
"""Longest delta in characters: a token's size, so that streams look like a model's."""

JSON_PIECE = 12
"""Characters of a call's JSON in one delta."""

_TOKENS = re.compile(rf"\s*\S{{1,{PIECE}}}|\s+")


def pieces(text: str) -> list[str]:
    """``text`` as a model would stream it: small deltas, spaces in front; joined they are the text."""
    return _TOKENS.findall(text)


class Content(Protocol):
    """One content block of an answer."""

    def block_start(self) -> Mapping[str, Any]:
        """The block as it opens."""

    def block_deltas(self) -> Sequence[Mapping[str, Any]]:
        """What fills it."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text, streamed in `pieces`."""

    text: str

    def block_start(self) -> Mapping[str, Any]:
        return {"type": "text", "text": ""}

    def block_deltas(self) -> Sequence[Mapping[str, Any]]:
        return [{"type": "text_delta", "text": piece} for piece in pieces(self.text)]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call; without an ``id`` it gets a new one."""

    name: str
    input: dict[str, Any]
    id: str | None = None

    def written(self) -> str:
        """The input's JSON."""
        return json.dumps(self.input, ensure_ascii=False)

    def block_start(self) -> Mapping[str, Any]:
        return {"type": "tool_use", "id": self.id or f"toolu_{secrets.token_hex(12)}", "name": self.name, "input": {}}

    def block_deltas(self) -> Sequence[Mapping[str, Any]]:
        """The input's JSON in pieces, an empty one first, as the API sends it."""
        written = self.written()
        parts = ["", *(written[at : at + JSON_PIECE] for at in range(0, len(written), JSON_PIECE))]
        return [{"type": "input_json_delta", "partial_json": part} for part in parts]


@dataclass(frozen=True, slots=True, init=False)
class Turn:
    """One streamed answer."""

    blocks: tuple[Content, ...]

    def __init__(self, *blocks: str | Content) -> None:
        put = tuple(Text(block) if isinstance(block, str) else block for block in blocks)
        object.__setattr__(self, "blocks", put)

    @property
    def ends_with(self) -> str:
        """The stop reason that the blocks imply."""
        return "tool_use" if any(isinstance(block, ToolUse) for block in self.blocks) else "end_turn"
