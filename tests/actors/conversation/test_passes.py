"""The passes of a session's turns: started, interrupted, ended, and given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.actors.conversation.parts import ASHA, LAST, Parts, parts
from voyagent.actors.conversation.passes import interrupted
from voyagent.actors.conversation.scheduler import Turn
from voyagent.actors.conversation.turn import Interrupt, PassEnded
from voyagent.actors.domain.errors import Conflict, Unavailable
from voyagent.actors.domain.turns import MAX_ATTEMPTS, TurnError
from voyagent.storage.conversation import endings, turns
from voyagent.storage.conversation.steps import Written

STOP = Interrupt(TurnError("turn_cancelled", "stopped by a person"), ASHA)


@pytest.fixture
async def session() -> AsyncIterator[Parts]:
    async with parts() as made:
        yield made


def refuse(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("state", ["waiting", "failed", "cancelled"])
async def test_after_a_pass_that_may_have_changed_approvals_the_deadline_is_read_again(
    state: str, session: Parts
) -> None:
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    session.passes.ended(PassEnded("t-1", state))
    assert session.owner.calls == ["rearm"]


async def test_a_completed_pass_has_no_approval_whose_deadline_is_to_be_read(session: Parts) -> None:
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    session.passes.ended(PassEnded("t-1", "completed"))
    assert session.owner.calls == []


async def test_a_pass_runs_in_a_child_once_its_start_is_stored(session: Parts) -> None:
    session.store.hold(turns.Start)
    session.queued("t-1", "to Goa")
    session.passes.start_next()
    await session.owner.settle()
    assert session.owner.children == {}
    [held] = session.store.held
    assert isinstance(held.message, turns.Start)
    assert (held.message.text, held.message.attempts, held.message.new_pass) == ("to Goa", 1, False)
    held.reply.set_result(Written(None, ()))
    await session.owner.settle()
    assert list(session.owner.children) == ["t-1/1"]


async def test_one_pass_runs_at_a_time(session: Parts) -> None:
    session.queued("t-1")
    session.queued("t-2")
    for _ in range(3):
        session.passes.start_next()
        await session.owner.settle()
    assert list(session.owner.children) == ["t-1/1"]
    session.passes.ended(PassEnded("t-1", "completed"))
    session.passes.start_next()
    await session.owner.settle()
    assert list(session.owner.children) == ["t-1/1", "t-2/2"]


@pytest.mark.parametrize(
    ("state", "attempts", "new_pass", "pass_event"),
    [("queued", 1, False, LAST + 1), ("waiting", 1, True, LAST + 1), ("running", 3, False, 4)],
)
async def test_what_a_start_stores_depends_on_what_the_turn_was_doing(
    state: str, attempts: int, new_pass: bool, pass_event: int, session: Parts
) -> None:
    turn = Turn(id="t-1", user_id="asha", state=state, attempts=2, first_event=4, pass_event=4)
    session.scheduler.add(turn)
    (session.scheduler.queue if state == "queued" else session.scheduler.due).append("t-1")
    session.passes.start_next()
    await session.owner.settle()
    [start] = session.store.of(turns.Start)
    assert (start.attempts, start.new_pass, turn.pass_event) == (attempts, new_pass, pass_event)
    assert turn.first_event == 4


async def test_a_turn_that_was_interrupted_too_often_fails_instead_of_running(session: Parts) -> None:
    turn = Turn(id="t-1", user_id="asha", state="running", attempts=MAX_ATTEMPTS, pass_event=4)
    session.scheduler.add(turn)
    session.scheduler.due.append("t-1")
    session.passes.start_next()
    await session.owner.settle()
    assert session.owner.children == {}
    [end] = session.pass_log.of(endings.End)
    assert end.ending.state == "failed"
    assert session.scheduler.current is None


async def test_a_refused_start_ends_the_pass_with_an_error(session: Parts) -> None:
    session.store.on(turns.Start, lambda _: refuse(Conflict("turn_in_progress")))
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    assert session.owner.children == {}
    [abandoned] = session.store.of(turns.AbandonStart)
    assert abandoned.error.code == "internal_error"
    assert session.scheduler.current is None


async def test_a_start_that_unavailable_storage_lost_is_left_to_the_session_s_end(session: Parts) -> None:
    session.store.on(turns.Start, lambda _: refuse(Unavailable("storage_unavailable")))
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    assert session.store.of(turns.AbandonStart) == []
    assert [type(each) for each in session.owner.failures] == [Unavailable]


async def test_an_interrupt_reaches_the_pass_it_was_judged_against_alone(session: Parts) -> None:
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    session.passes.interrupt(2, STOP)
    session.passes.interrupt(1, STOP)
    await asyncio.sleep(0)
    await session.owner.settle()
    assert session.owner.children["t-1/1"] == [STOP]


async def test_an_interrupt_before_the_child_runs_is_kept_for_it(session: Parts) -> None:
    session.queued("t-1")
    session.passes.start_next()
    session.passes.interrupt(1, STOP)
    await session.owner.settle()
    assert session.owner.children["t-1/1"] == [STOP]


async def test_a_child_that_fails_ends_its_pass_with_an_error(session: Parts) -> None:
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    session.passes.child_failed("t-1/7", ValueError("another pass"))
    assert session.scheduler.current is not None
    session.passes.child_failed("t-1/1", ValueError("a defect"))
    await session.owner.settle()
    [end] = session.pass_log.of(endings.End)
    assert end.ending.error is not None
    assert end.ending.error.code == "internal_error"
    assert session.scheduler.current is None


async def test_a_child_that_lost_storage_takes_the_session_with_it(session: Parts) -> None:
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    with pytest.raises(Unavailable):
        session.passes.child_failed("t-1/1", Unavailable("storage_unavailable"))
    assert session.pass_log.of(endings.End) == []


async def test_a_pass_that_cannot_even_be_given_up_fails_the_session(session: Parts) -> None:
    session.pass_log.on(endings.End, lambda _: refuse(Unavailable("storage_unavailable")))
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    session.passes.child_failed("t-1/1", ValueError("a defect"))
    await session.owner.settle()
    assert [type(each) for each in session.owner.failures] == [Unavailable]


async def test_the_time_of_a_turn_is_counted_over_its_passes(session: Parts) -> None:
    turn = session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    await session.clock.advance(2.5)
    session.passes.ended(PassEnded("t-1", "waiting"))
    await session.clock.advance(60)
    session.scheduler.decided([("t-1", "p-1")])
    session.passes.start_next()
    await session.owner.settle()
    await session.clock.advance(1.5)
    session.passes.ended(PassEnded("t-1", "completed"))
    assert turn.ran_ms == 4000


async def test_a_pass_that_ends_twice_is_counted_once(session: Parts) -> None:
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    session.passes.ended(PassEnded("t-1", "waiting"))
    session.passes.ended(PassEnded("t-1", "waiting"))
    assert session.owner.calls == ["rearm"]


async def test_a_cancel_names_the_turn_it_stopped_or_finds_it_over(session: Parts) -> None:
    session.queued("t-1")
    session.passes.start_next()
    await session.owner.settle()
    run = session.scheduler.current
    assert run is not None
    assert run.child is not None
    assert await interrupted(run.child, STOP, "t-1") == "t-1"
    await run.child.stop_and_wait(5.0)
    with pytest.raises(Conflict, match="no_turn_running"):
        await interrupted(run.child, STOP, "t-1")


async def test_the_time_of_a_pass_is_no_longer_counted_when_it_or_its_session_has_ended(session: Parts) -> None:
    session.queued("t-1")
    session.queued("t-2")
    for end in (lambda: session.passes.ended(PassEnded("t-1", "completed")), session.passes.close):
        session.passes.start_next()
        await session.owner.settle()
        run = session.scheduler.current
        assert run is not None
        assert run.counted_from is not None
        end()
        assert run.counted_from is None
