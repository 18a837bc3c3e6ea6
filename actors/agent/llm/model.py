"""The port to the model: text as it arrives, then the whole answer, or a failure with a stable code."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .accumulator import Usage

TEXTS = {
    "model_not_configured": "no model key is set, or the model's vendor refuses it",
    "model_rate_limited": "the model's own rate limit is reached; please try again later",
    "model_unavailable": "the model could not be reached or broke off; please try again",
    "model_request_rejected": "the model refused to read this request",
    "model_refused": "the model declined to answer this",
    "output_truncated": "the answer reached the limit of its length",
}
"""The client's text for each code. Causes go to the log only: they may name hosts and keys."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Text of the model, exactly as received."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: its text, thinking and tool_use blocks, fit to be sent again, and what it cost in tokens.

    ``flaws`` describes invalid inputs of calls, by the index of their block; such an input is empty.
    """

    blocks: list[dict[str, Any]]
    stop_reason: str
    usage: Usage
    flaws: Mapping[int, str] = field(default_factory=dict)

    @property
    def calls(self) -> list[int]:
        """Indexes of the blocks that call a tool."""
        return [at for at, block in enumerate(self.blocks) if block["type"] == "tool_use"]

    @property
    def words(self) -> list[dict[str, Any]]:
        """The answer's blocks without tool calls."""
        return [block for block in self.blocks if block["type"] != "tool_use"]

    @property
    def says_something(self) -> bool:
        """Whether the answer has text for the user."""
        return any(block["type"] == "text" and block["text"].strip() for block in self.blocks)


class ModelFailed(Exception):
    """The call failed for good. ``str()`` is the stable code and a text fit for a client.

    ``usage`` is the usage as far as the API reported it; ``blocks`` the text published so far, without tool calls.
    ``share``, below 1, is the share of the request the model may accept: it was refused for its form or its length.
    """

    def __init__(
        self,
        code: str,
        usage: Usage | None = None,
        blocks: list[dict[str, Any]] | None = None,
        text: str | None = None,
        *,
        share: float = 1.0,
    ) -> None:
        self.code = code
        self.share = share
        self.text = text or TEXTS[code]
        self.usage = usage
        self.blocks = blocks or []
        super().__init__(f"{code}: {self.text}")


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One request. ``meter`` is called with the total usage whenever it is reported: cancelled calls cost, too."""

    model: str
    system: str
    tools: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    max_tokens: int
    meter: Callable[[Usage], None] | None = field(default=None, compare=False)

    def estimate(self) -> int:
        """Tokens this call is unlikely to exceed: a third of its UTF-8 bytes, and all it may answer."""
        request = json.dumps([self.system, self.tools, self.messages], ensure_ascii=False, default=str)
        return math.ceil(len(request.encode()) / 3) + self.max_tokens


class Model(Protocol):
    """A model, as the agent's loop uses it."""

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer, None]:
        """Yields each `Delta` on its arrival and one `Answer` last; raises `ModelFailed`.

        Iterate inside ``contextlib.aclosing``, so that leaving the loop early ends the call at once.
        """
