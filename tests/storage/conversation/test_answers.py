"""What an answer leaves with its turn: where its desk's brief begins, and through which event its text is kept."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fakes.connection import FakeConnection
from voyagent.actors.domain.events import Event
from voyagent.actors.domain.turns import Brief, LoopState
from voyagent.storage.conversation.answers import (
    END,
    GO_ON,
    KEEP_PLACE,
    KEEP_STATE,
    LOOP_STATE,
    VOID_FROM,
    Answer,
    NextDesk,
    RestartAnswer,
)
from voyagent.storage.conversation.endings import KEPT_THROUGH, Ending
from voyagent.storage.conversation.steps import INSERT_EVENTS, INSERT_MESSAGE, Written

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STEP: dict[str, Any] = {"tenant_id": "a-1", "session_id": "s-1", "after": 40, "now": NOW, "turn_id": "t-1"}
FINAL = Event(kind="final", turn_id="t-1")
FLY = Brief("ticketing_visa", "Fly")
SAID = [{"type": "text", "text": "Done."}]


@pytest.fixture
def db() -> Any:
    """A session with six messages."""
    made, places = FakeConnection(), itertools.count(7)
    made.on(INSERT_MESSAGE.sql, lambda *_: next(places))
    return made


def answer(**parts: Any) -> Answer:
    usual: dict[str, Any] = {"message_id": "m-1", "content": SAID, "events": (), "state": LoopState(desk="accounting")}
    return Answer(**STEP, **(usual | parts))


async def test_an_answer_keeps_its_turn_s_state_and_that_all_text_so_far_is_in_the_transcript(db: Any) -> None:
    written = await answer(events=(FINAL,)).run(db)
    assert (written.reply, [row.seq for row in written.rows]) == (7, [41])
    [kept] = db.named(GO_ON)
    assert (kept["tenant_id"], kept["turn_id"], kept["desk"]) == ("a-1", "t-1", "accounting")
    assert kept["step"] == LoopState(desk="accounting").plain() | {KEPT_THROUGH: 41}


async def test_results_of_calls_without_a_tool_follow_the_answer(db: Any) -> None:
    own = [("m-2", {"type": "tool_result", "tool_use_id": "toolu_1"})]
    assert (await answer(own=tuple(own)).run(db)).reply == 8
    stored = [(values["message_id"], values["role"]) for values in db.named(INSERT_MESSAGE)]
    assert stored == [("m-1", "assistant"), ("m-2", "tool")]


async def test_an_answer_without_blocks_is_no_message(db: Any) -> None:
    assert (await answer(content=[]).run(db)).reply == 0
    assert db.named(INSERT_MESSAGE) == []


@pytest.mark.parametrize(("given", "kept"), [(-1, 7), (3, 3)])
async def test_a_new_brief_begins_behind_the_answer_that_hands_over(given: int, kept: int, db: Any) -> None:
    later = (Brief("hotels_holidays", "Stay"),)
    state = LoopState(desk="ticketing_visa", brief=FLY, brief_after=given, handoffs=later)
    await answer(state=state).run(db)
    [stored] = db.named(GO_ON)
    assert stored["step"]["brief_after"] == kept
    assert stored["step"]["handoffs"] == [["hotels_holidays", "Stay"]]


@pytest.mark.parametrize("ending", [None, Ending(state="completed", ran_ms=5)])
async def test_a_turn_ends_only_with_an_answer_that_ends_it(ending: Ending | None, db: Any) -> None:
    await answer(ending=ending).run(db)
    assert [each["state"] for each in db.named(END)] == ([] if ending is None else ["completed"])
    assert len(db.named(GO_ON)) == (ending is None)


async def test_the_next_desk_is_kept_and_reports_nothing(db: Any) -> None:
    state = LoopState(desk="ticketing_visa", brief=FLY, brief_after=9)
    assert await NextDesk(**STEP, state=state).run(db) == Written(None, ())
    [kept] = db.named(KEEP_STATE)
    assert (kept["desk"], kept["step"]) == ("ticketing_visa", state.plain())
    assert len(db.ran) == 1


@pytest.mark.parametrize(("kept", "since"), [(None, 0), ({}, 0), ({KEPT_THROUGH: 33}, 33)])
async def test_text_behind_what_the_transcript_has_is_declared_void(
    kept: dict[str, Any] | None, since: int, db: Any
) -> None:
    db.on(LOOP_STATE.sql, lambda *_: kept)
    db.on(VOID_FROM, lambda *_: 36)
    written = await RestartAnswer(**STEP).run(db)
    assert db.of(VOID_FROM) == [("a-1", "s-1", "t-1", since)]
    [row] = written.rows
    assert (row.seq, row.kind) == (41, "error")
    assert "answer_restarted: 36 " in row.data
    assert [each["step"] for each in db.named(KEEP_PLACE)] == [{KEPT_THROUGH: 41}]


async def test_where_no_text_was_published_nothing_is_void(db: Any) -> None:
    assert await RestartAnswer(**STEP).run(db) == Written(None, ())
    assert db.of(INSERT_EVENTS) == []
    assert db.named(KEEP_PLACE) == []
