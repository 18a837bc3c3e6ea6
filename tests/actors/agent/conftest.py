"""Fixtures of the agent's tests: a rehearsal server per test, and the real SDK pointed at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.rehearsal import Rehearsal
from tests.waiting import Event
from voyagent.actors.agent.llm.messages_api import AnthropicModel
from voyagent.actors.agent.llm.model import Answer, Delta, ModelCall, ModelFailed
from voyagent.actors.agent.rehearsed.server import KEY
from voyagent.actors.foundation.clock import Clock

TOOL = {"name": "search_flights", "description": "Search.", "input_schema": {"type": "object", "properties": {}}}


class HastyClock(Clock):
    """Sleeps at once and remembers for how long it was asked."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


@dataclass(slots=True)
class Heard:
    """All that came of one call."""

    deltas: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    failure: ModelFailed | None = None
    grown: asyncio.Event = field(default_factory=Event)

    async def told(self, count: int, within: float = 10.0) -> None:
        """Return when so many deltas have been read."""
        async with asyncio.timeout(within):
            while len(self.deltas) < count:
                self.grown.clear()
                await self.grown.wait()

    @property
    def text(self) -> str:
        return "".join(self.deltas)

    @property
    def answer(self) -> Answer:
        if self.failure is not None:
            raise self.failure
        [answer] = self.answers
        return answer


@pytest.fixture
async def rehearsal() -> AsyncIterator[Rehearsal]:
    server = Rehearsal(delay=0)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
async def model(rehearsal: Rehearsal, clock: HastyClock) -> AsyncIterator[AnthropicModel]:
    client = AnthropicModel(KEY, rehearsal.url, clock, jitter=lambda: 0.5)
    yield client
    await client.close()


@pytest.fixture
def call_of() -> Callable[..., ModelCall]:
    """Makes a call with sensible parts; strings are what the user says."""

    def make(*messages: Any, **parts: Any) -> ModelCall:
        conversation = [{"role": "user", "content": said} if isinstance(said, str) else said for said in messages]
        usual: dict[str, Any] = {
            "model": "claude-sonnet-5-5",
            "system": "Be kind.",
            "tools": [TOOL],
            "messages": conversation or [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "max_tokens": 1024,
        }
        return ModelCall(**(usual | parts))

    return make


@pytest.fixture
def listen(model: AnthropicModel, call_of: Callable[..., ModelCall]) -> Callable[..., Awaitable[Heard]]:
    """Reads a call to its end or failure; ``heard`` may be handed in to watch it grow."""

    async def listening(call: ModelCall | None = None, heard: Heard | None = None) -> Heard:
        heard = heard or Heard()
        try:
            async with aclosing(model.stream(call or call_of())) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Delta):
                        heard.deltas.append(piece.text)
                        heard.grown.set()
                    else:
                        heard.answers.append(piece)
        except ModelFailed as failure:
            heard.failure = failure
        return heard

    return listening


@pytest.fixture
def heard() -> Heard:
    return Heard()
