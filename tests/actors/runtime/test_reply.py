"""Replies that hand their outcome on at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from voyagent.actors.foundation import log
from voyagent.actors.runtime.reply import Outcome, Requested

ENDS: dict[str, Callable[[Requested[str]], object]] = {
    "a result": lambda reply: reply.set_result("stored"),
    "an error": lambda reply: reply.set_exception(ValueError("refused")),
    "a cancellation": lambda reply: reply.cancel(),
}


def seen(reply: asyncio.Future[Any]) -> tuple[Any, str]:
    outcome = Outcome.of(reply)
    return (None, type(outcome.error).__name__) if outcome.error is not None else (outcome.value, "")


@pytest.mark.parametrize("end", ENDS)
async def test_an_outcome_is_handed_on_within_the_call_that_resolves_the_reply(end: str) -> None:
    reply: Requested[str] = Requested()
    got: list[tuple[Any, str]] = []
    reply.hand_on(lambda done: got.append(seen(done)))
    assert got == []
    ENDS[end](reply)
    assert got == [{"a result": ("stored", ""), "an error": (None, "ValueError")}.get(end, (None, "DeadlineExceeded"))]
    await asyncio.sleep(0)
    assert len(got) == 1


@pytest.mark.parametrize("end", ENDS)
async def test_an_outcome_that_is_there_already_is_handed_on_at_once(end: str) -> None:
    reply: Requested[str] = Requested()
    ENDS[end](reply)
    got: list[tuple[Any, str]] = []
    reply.hand_on(lambda done: got.append(seen(done)))
    assert len(got) == 1


async def test_all_who_wait_get_it_in_the_order_in_which_they_asked() -> None:
    reply: Requested[str] = Requested()
    got: list[str] = []
    reply.hand_on(lambda _: got.append("first"))
    reply.hand_on(lambda _: got.append("second"))
    reply.set_result("stored")
    assert got == ["first", "second"]


async def test_a_reply_that_is_done_is_not_cancelled_and_hands_on_nothing_more() -> None:
    reply: Requested[str] = Requested()
    got: list[tuple[Any, str]] = []
    reply.hand_on(lambda done: got.append(seen(done)))
    reply.set_result("stored")
    assert not reply.cancel()
    assert got == [("stored", "")]


async def test_callbacks_and_awaits_still_get_it() -> None:
    reply: Requested[str] = Requested()
    called: list[str] = []
    reply.hand_on(lambda _: called.append("at once"))
    reply.add_done_callback(lambda _: called.append("in the next round"))
    asyncio.get_running_loop().call_soon(reply.set_result, "stored")
    assert await reply == "stored"
    assert called == ["at once", "in the next round"]


@pytest.mark.parametrize("end", ENDS)
async def test_an_outcome_is_handed_on_in_the_log_scope_of_who_waits_and_not_of_who_resolves_it(end: str) -> None:
    waits, resolves = log.Scope("r-1", "rao", "s-1", "t-1"), log.Scope("r-2", "other", "s-2", "t-2")
    reply: Requested[str] = Requested()
    got: list[log.Scope] = []
    log.SCOPE.set(waits)
    reply.hand_on(lambda _: got.append(log.SCOPE.get()))
    log.SCOPE.set(resolves)
    ENDS[end](reply)
    assert (got, log.SCOPE.get()) == ([waits], resolves)
    log.SCOPE.set(log.NOBODY)
