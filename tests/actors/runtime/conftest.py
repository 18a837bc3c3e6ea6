"""A supervisor on a clock to move, what its children did, and actors that end with their test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.actors.runtime.adder import Adder
from tests.actors.runtime.family import Observed, Parent
from tests.manual_clock import ManualClock
from tests.running import run_actor
from voyagent.actors.runtime.actor import Actor, Ref


@pytest.fixture
def observed() -> Observed:
    return Observed()


@pytest.fixture
async def parent(clock: ManualClock) -> AsyncIterator[Ref]:
    ref = Parent.start(clock)
    yield ref
    await ref.stop_and_wait(5.0)


@pytest.fixture
async def started() -> AsyncIterator[list[Ref]]:
    refs: list[Ref] = []
    yield refs
    for ref in refs:
        await ref.stop_and_wait(1.0)


@pytest.fixture
def start(started: list[Ref]) -> Any:
    """Starts an actor that is stopped after the test; answers it with its ref."""

    def begin(cls: type[Actor] = Adder, **kwargs: Any) -> tuple[Any, Ref]:
        actor = cls(**kwargs)
        run_actor(actor)
        started.append(actor.ref)
        return actor, actor.ref

    return begin
