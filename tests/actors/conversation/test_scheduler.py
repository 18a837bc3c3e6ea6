"""Which pass of a session's turns runs, which is due, and what the end of one leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from voyagent.actors.conversation.scheduler import Turn, TurnScheduler
from voyagent.actors.conversation.turn import PassEnded
from voyagent.storage.conversation.session_state import OpenTurn

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def turn(name: str, state: str = "queued") -> Turn:
    return Turn(id=name, user_id="asha", state=state)


def stored(name: str, state: str, *, undecided: int = 0, unreported: int = 0, text: str | None = None) -> OpenTurn:
    return OpenTurn(
        id=name,
        user_id="asha",
        state=state,
        text_hash=b"",
        input={} if text is None else {"text": text},
        first_event_id=1,
        pass_event_id=1,
        attempts=1,
        ran_ms=0,
        undecided=undecided,
        unreported=unreported,
    )


def waiting(scheduler: TurnScheduler, name: str) -> Turn:
    found = turn(name, "waiting")
    scheduler.add(found)
    return found


def names(scheduler: TurnScheduler) -> list[str]:
    """Runs everything that is due, each pass to its end; answers the order."""
    order = []
    while (upcoming := scheduler.next()) is not None:
        scheduler.begin(upcoming[0])
        order.append(upcoming[0].id)
        scheduler.ended(PassEnded(upcoming[0].id, "completed"), NOW, 1)
    return order


def test_what_was_decided_goes_before_what_is_queued_and_an_interrupt_before_the_queue() -> None:
    scheduler = TurnScheduler()
    waiting(scheduler, "asked")
    for name, first in (("one", False), ("two", False), ("urgent", True)):
        scheduler.enqueue(turn(name), first=first)
    scheduler.decided([("asked", "a")])
    assert names(scheduler) == ["asked", "urgent", "one", "two"]


def test_one_pass_runs_at_a_time() -> None:
    scheduler = TurnScheduler()
    scheduler.begin(turn("one", "running"))
    scheduler.enqueue(turn("two"), first=False)
    assert scheduler.next() is None
    assert scheduler.busy


def test_a_decision_the_running_pass_has_read_causes_no_further_one() -> None:
    scheduler = TurnScheduler()
    asked = waiting(scheduler, "asked")
    scheduler.decided([("asked", "a")])
    run = scheduler.begin(asked)
    scheduler.due.clear()
    [end] = scheduler.decided([("asked", "b")])
    scheduler.final_stored("asked", 9)
    scheduler.ended(PassEnded("asked", "waiting", frozenset({"a", "b"})), NOW, 9)
    assert (run.end.event, end.event, scheduler.due) == (9, 9, [])


def test_a_stream_of_a_decision_the_running_pass_has_not_read_ends_with_the_next_one() -> None:
    scheduler = TurnScheduler()
    asked = waiting(scheduler, "asked")
    scheduler.begin(asked)
    [end] = scheduler.decided([("asked", "b")])
    scheduler.final_stored("asked", 9)
    scheduler.ended(PassEnded("asked", "waiting", frozenset({"a"})), NOW, 9)
    assert end.event is None
    assert scheduler.due == ["asked"]
    upcoming = scheduler.next()
    assert upcoming is not None
    scheduler.begin(upcoming[0])
    scheduler.final_stored("asked", 14)
    scheduler.ended(PassEnded("asked", "completed", frozenset({"a", "b"})), NOW, 14)
    assert end.event == 14


def test_a_turn_that_is_over_leaves_no_stream_waiting() -> None:
    scheduler = TurnScheduler()
    asked = waiting(scheduler, "asked")
    scheduler.begin(asked)
    [end] = scheduler.decided([("asked", "b")])
    scheduler.ended(PassEnded("asked", "cancelled"), NOW, 11)
    assert end.event == 11
    assert not scheduler.busy


def test_the_end_of_another_turn_changes_nothing() -> None:
    scheduler = TurnScheduler()
    run = scheduler.begin(turn("one", "running"))
    assert scheduler.ended(PassEnded("two", "completed"), NOW, 5) is None
    assert scheduler.current is run


def test_each_pass_has_a_number_of_its_own() -> None:
    scheduler = TurnScheduler()
    first = scheduler.begin(turn("one", "running"))
    scheduler.ended(PassEnded("one", "waiting"), NOW, 1)
    second = scheduler.begin(turn("one", "waiting"))
    assert first.number != second.number


@pytest.mark.parametrize(
    ("found", "due", "queued"),
    [
        (stored("t", "running"), ["t"], []),
        (stored("t", "queued", text="hello"), [], ["t"]),
        (stored("t", "waiting", undecided=1), [], []),
        (stored("t", "waiting", undecided=1, unreported=1), ["t"], []),
        (stored("t", "waiting"), ["t"], []),
    ],
    ids=["running", "queued", "undecided", "decided and untold", "nothing undecided"],
)
def test_what_the_table_holds_is_taken_up_once(found: OpenTurn, due: list[str], queued: list[str]) -> None:
    scheduler = TurnScheduler()
    assert scheduler.restore(found) == bool(due or queued)
    assert (scheduler.due, scheduler.queue) == (due, queued)
    assert not scheduler.restore(found), "the same again is no news"
    assert (scheduler.due, scheduler.queue) == (due, queued)


@pytest.mark.parametrize("act", [lambda s: s.end_of("none"), lambda s: s.decided([("none", "a")]), lambda s: s.next()])
def test_nothing_comes_of_turns_it_does_not_know(act: Callable[[TurnScheduler], Any]) -> None:
    scheduler = TurnScheduler()
    assert not act(scheduler)
    assert not scheduler.busy
