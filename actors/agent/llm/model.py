"""The model behind one small door: words as they arrive, then the whole answer, or a failure with a stable code."""

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
"""The words behind each code. Causes go to the log: they may name hosts and keys."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Words of the model, exactly as they came."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: its text, thinking and tool_use blocks, fit to be sent again, and what it cost in tokens.

    ``flaws`` says what is wrong with the input of a call, by the place of its block; the input is empty then.
    """

    blocks: list[dict[str, Any]]
    stop_reason: str
    usage: Usage
    flaws: Mapping[int, str] = field(default_factory=dict)

    @property
    def calls(self) -> list[int]:
        """Places of the blocks that ask for a tool."""
        return [at for at, block in enumerate(self.blocks) if block["type"] == "tool_use"]

    @property
    def words(self) -> list[dict[str, Any]]:
        """The answer without what it asks for."""
        return [block for block in self.blocks if block["type"] != "tool_use"]

    @property
    def says_something(self) -> bool:
        """Whether there is a word in it for a reader."""
        return any(block["type"] == "text" and block["text"].strip() for block in self.blocks)


class ModelFailed(Exception):
    """The call came to nothing more. ``str()`` is the stable code and a text fit for a client.

    ``usage`` is what was spent as far as the API stated it; ``blocks`` the words told so far, without any tool call.
    ``share``, below 1, is how much of this request the model might take: it was refused as it was, or for its length.
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
    """One request. ``meter`` hears the sum spent so far whenever it is stated: a cancelled call has a price, too."""

    model: str
    system: str
    tools: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    max_tokens: int
    meter: Callable[[Usage], None] | None = field(default=None, compare=False)

    def estimate(self) -> int:
        """Tokens this call is unlikely to exceed: a third of its UTF-8 bytes, and all it may answer."""
        said = json.dumps([self.system, self.tools, self.messages], ensure_ascii=False, default=str)
        return math.ceil(len(said.encode()) / 3) + self.max_tokens


class Model(Protocol):
    """What the agent's loop needs of a model."""

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer, None]:
        """Yields each `Delta` on its arrival and one `Answer` last; raises `ModelFailed`.

        Iterate inside ``contextlib.aclosing`` so that leaving the loop early, too, ends the call at once.
        """
