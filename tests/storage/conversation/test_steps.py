"""Steps as data: their place in the log, the numbers of their events, and what one writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.connection import FakeConnection
from voyagent.actors.domain.events import Event
from voyagent.storage.conversation.steps import (
    INSERT_EVENTS,
    INSERT_MESSAGE,
    UNSTAMPED,
    EventRow,
    Step,
    TranscriptMessage,
    Written,
    add_message,
    columns,
    session_lock,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ONE, TWO = Event(kind="text_delta", turn_id="t-1", text="One"), Event(kind="final", turn_id="t-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Step[str]):
    """A step that only reports."""

    events: tuple[Event, ...] = ()

    async def run(self, db: Any) -> Written[str]:
        return await self.write(db, "reported", self.events)


def report(*events: Event) -> Report:
    return Report(tenant_id="a-1", session_id="s-1", events=events)


def test_a_step_is_stamped_as_a_copy_of_itself() -> None:
    made = report(ONE)
    stamped = made.stamped(41, NOW)
    assert (made.after, made.now) == (0, UNSTAMPED)
    assert (stamped.after, stamped.now, stamped.events) == (41, NOW, (ONE,))
    assert (stamped.at.tenant_id, stamped.at.session_id, stamped.at.now) == ("a-1", "s-1", NOW)


def test_events_are_numbered_from_the_newest_one_in_their_order() -> None:
    rows = report().stamped(41, NOW).number([ONE, TWO])
    assert rows == (
        EventRow("a-1", "s-1", 42, "t-1", "text_delta", ONE.data("s-1", NOW), NOW),
        EventRow("a-1", "s-1", 43, "t-2", "final", TWO.data("s-1", NOW), NOW),
    )


async def test_what_a_step_reports_is_stored_in_one_statement_and_returned() -> None:
    db = FakeConnection()
    written = await report(ONE, TWO).stamped(41, NOW).run(db)
    assert (written.reply, [row.seq for row in written.rows]) == ("reported", [42, 43])
    assert db.ran == [(INSERT_EVENTS, columns(written.rows))]


async def test_a_step_without_events_stores_none() -> None:
    db = FakeConnection()
    assert await report().stamped(41, NOW).run(db) == Written("reported", ())
    assert db.ran == []


def test_rows_become_an_array_for_each_column() -> None:
    rows = report().stamped(1, NOW).number([ONE, TWO])
    assert columns(rows)[2:5] == ((2, 3), ("t-1", "t-2"), ("text_delta", "final"))


@given(st.lists(st.uuids().map(str), min_size=2, max_size=2, unique=True))
def test_a_session_has_one_lock_of_its_own_that_the_database_can_hold(sessions: list[str]) -> None:
    one, other = map(session_lock, sessions)
    assert one == session_lock(sessions[0]) != other
    assert -(2**63) <= one < 2**63
    assert Report(tenant_id="a-1", session_id=sessions[0]).lock == one


@pytest.mark.parametrize("user_id", [None, "asha"])
async def test_a_message_is_added_at_the_time_of_its_step_and_answers_its_place(user_id: str | None) -> None:
    db: Any = FakeConnection()
    db.on(INSERT_MESSAGE.sql, lambda *_: 7)
    line = TranscriptMessage("user", [{"type": "text", "text": "To Goa"}], user_id)
    assert await add_message(db, report().stamped(41, NOW), "m-1", "t-1", line) == 7
    [values] = db.named(INSERT_MESSAGE)
    assert values == {
        "message_id": "m-1",
        "tenant_id": "a-1",
        "session_id": "s-1",
        "turn_id": "t-1",
        "user_id": user_id,
        "role": "user",
        "content": line.content,
        "tool_call_id": None,
        "now": NOW,
    }
