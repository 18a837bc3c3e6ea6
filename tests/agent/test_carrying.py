"""A supplier's write, once begun, is not left behind by its pass."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from voyagent.actors.agent.carrying import _unbroken


async def begun(work: Any) -> tuple[asyncio.Task[Any], asyncio.Event, list[str]]:
    """A pass that waits for a write, what lets the write end, and whether it has."""
    answer, ended = asyncio.Event(), []

    async def write() -> dict[str, str]:
        await answer.wait()
        ended.append("written")
        return {"booked": "yes"}

    waiting = asyncio.create_task(_unbroken(work, write()))
    await asyncio.sleep(0)
    return waiting, answer, ended


async def test_b53_a_write_comes_to_its_outcome_however_often_its_pass_is_cancelled() -> None:
    waiting, answer, ended = await begun(SimpleNamespace(abandoned=False))
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == ["written"]


async def test_a_pass_whose_actor_is_stopped_does_not_wait_for_it() -> None:
    work = SimpleNamespace(abandoned=False)
    waiting, answer, ended = await begun(work)
    work.abandoned = True
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == []
    answer.set()


async def test_an_undisturbed_write_answers_and_its_failure_is_the_pass_s() -> None:
    waiting, answer, _ = await begun(SimpleNamespace(abandoned=False))
    answer.set()
    assert await waiting == {"booked": "yes"}

    async def fails() -> dict[str, str]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await _unbroken(SimpleNamespace(abandoned=False), fails())  # type: ignore[arg-type]
