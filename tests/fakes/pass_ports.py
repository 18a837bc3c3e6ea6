"""The ports of a pass: its log, the model, and the token budget."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

from voyagent.actors.agent.llm.model import Answer, Delta, Model, ModelCall, ModelFailed
from voyagent.actors.agent.ports import PassLog, TokenBudget
from voyagent.actors.domain.turns import TurnError
from voyagent.storage.conversation.endings import End
from voyagent.storage.conversation.steps import Step

R = TypeVar("R")
S = TypeVar("S", bound=Step[Any])


class FakePassLog:
    """Stores steps at once. A step's reply is what the test says for its type, else None; an ``End``'s is its state."""

    def __init__(self) -> None:
        self.written: list[str | Step[Any]] = []
        """Text and steps, in their order."""
        self.flushes = 0
        self.closed = False
        self._replies: dict[type[Step[Any]], Callable[[Any], Any]] = {End: lambda end: end.ending.state}

    def on(self, kind: type[S], reply: Callable[[S], Any]) -> None:
        """Answer steps of this type with what ``reply`` returns or raises."""
        self._replies[kind] = reply

    def of(self, kind: type[S]) -> list[S]:
        """The steps written of this type."""
        return [step for step in self.written if isinstance(step, kind)]

    @property
    def text(self) -> str:
        return "".join(each for each in self.written if isinstance(each, str))

    async def append_text(self, text: str) -> None:
        self.written.append(text)

    async def write(self, step: Step[R]) -> R:
        self.written.append(step)
        answer = self._replies.get(type(step))
        reply: R = None if answer is None else answer(step)  # type: ignore[assignment]  # of the step's own type
        return reply

    async def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.closed = True


class FakeModel:
    """Gives the answers it was made with, one a call, each with its text as a delta before; a failure is raised."""

    def __init__(self, *answers: Answer | ModelFailed) -> None:
        self.answers = list(answers)
        self.calls: list[ModelCall] = []

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer, None]:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, ModelFailed):
            raise answer
        for block in answer.words:
            if block["type"] == "text":
                yield Delta(block["text"])
        if call.meter is not None:
            call.meter(answer.usage)
        yield answer


class FakeBudget:
    """Keeps what was reserved and settled; refuses with ``refusal``."""

    def __init__(self) -> None:
        self.refusal: TurnError | None = None
        self.reserved: list[int] = []
        self.settled: list[tuple[int, int]] = []

    def reserve(self, tokens: int) -> TurnError | None:
        if self.refusal is None:
            self.reserved.append(tokens)
        return self.refusal

    def settle(self, reserved: int, used: int) -> None:
        self.settled.append((reserved, used))


def ports(log: FakePassLog, model: FakeModel, budget: FakeBudget) -> tuple[PassLog, Model, TokenBudget]:
    """The type checker compares the fakes with the protocols here."""
    return log, model, budget


def steps(written: Sequence[str | Step[Any]]) -> list[str]:
    """What was written, by name: ``text`` or the step's type."""
    return ["text" if isinstance(each, str) else type(each).__name__ for each in written]
