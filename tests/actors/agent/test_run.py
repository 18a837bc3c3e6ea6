"""One pass: what it stores, in which order, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.actors.agent.stand import FLIGHTS, Stand, calls, context, text
from tests.fakes.pass_ports import steps
from voyagent.actors.agent.llm.model import Answer, ModelFailed
from voyagent.actors.agent.run import Pass
from voyagent.actors.domain.turns import Brief, LoopState, Spoken, TurnError
from voyagent.storage.conversation import answers, endings, turns
from voyagent.storage.conversation.endings import FollowUp
from voyagent.storage.conversation.pass_context import PassContext

HANDOFF = ("handoff", {"domain": "ticketing_visa", "goal": "Fly to Goa"})
SILENT = text(" ")


def error_of(stand: Stand) -> str:
    [end] = stand.log.of(endings.End)
    return "" if end.ending.error is None else end.ending.error.code


async def test_a_question_to_the_user_ends_the_pass_with_the_answer_that_asks_it() -> None:
    stand = Stand(calls(("clarify", {"question": "When?"})))
    assert await Pass(stand.task, stand.ports).run() == "completed"
    [answer] = stand.log.of(answers.Answer)
    assert [event.kind for event in answer.events] == ["tool_use", "text_delta", "final"]
    assert answer.ending is not None
    assert steps(stand.log.written) == ["Answer"]


@pytest.mark.parametrize("beside", [("clarify", {"question": "When?"}), ("sing", {}), ("handoff", {"domain": 1})])
async def test_a_question_to_the_user_ends_the_pass_whatever_else_is_refused(beside: tuple[str, Any]) -> None:
    stand = Stand(calls(("clarify", {"question": "When?"}), beside))
    assert await Pass(stand.task, stand.ports).run() == "completed"
    [answer] = stand.log.of(answers.Answer)
    assert [event.kind for event in answer.events] == ["tool_use", "tool_use", "text_delta", "final"]
    assert len(answer.own) == 2


async def test_a_desk_s_answer_in_words_completes_the_turn() -> None:
    stand = Stand(text("Done."), loaded=context(state=FLIGHTS))
    assert await Pass(stand.task, stand.ports).run() == "completed"
    assert steps(stand.log.written) == ["text", "Answer"]
    [answer] = stand.log.of(answers.Answer)
    assert answer.spent is not None
    assert [event.kind for event in answer.events] == ["final"]


async def test_a_handoff_is_stored_before_the_desk_is_asked() -> None:
    stand = Stand(calls(HANDOFF), text("Done."))
    stand.log.on(answers.Answer, lambda _: 3)
    assert await Pass(stand.task, stand.ports).run() == "completed"
    handed, said = stand.log.of(answers.Answer)
    assert handed.ending is None
    assert (handed.state.desk, handed.state.brief_after) == ("ticketing_visa", -1)
    assert (said.state.desk, said.state.brief_after) == ("ticketing_visa", 3)
    assert len(stand.model.calls) == 2


async def test_text_is_stored_before_the_answer_that_holds_it() -> None:
    stand = Stand(text("One. ", "Two."), loaded=context(state=FLIGHTS))
    await Pass(stand.task, stand.ports).run()
    assert stand.log.text == "One. Two."
    assert stand.log.flushes == 2  # the turn's start, and the text


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([SILENT, SILENT], "model_silent"),
        ([ModelFailed("model_unavailable")], "model_unavailable"),
        ([calls(("handoff", {"domain": "catering", "goal": "Feed them"}))], "desk_unknown"),
        ([calls(("sing", {}))] * 4, "tool_rounds_exceeded"),
    ],
    ids=["says nothing twice", "fails", "names no desk", "never comes to an end"],
)
async def test_a_model_that_is_of_no_help_fails_the_pass(said: list[Answer | ModelFailed], expected: str) -> None:
    stand = Stand(*said)
    await Pass(stand.task, stand.ports).run()
    [end] = stand.log.of(endings.End)
    assert error_of(stand) == expected
    assert end.keep_pending_approvals
    assert [event.kind for event in end.events] == ["error", "final"]


async def test_a_model_that_says_nothing_once_is_asked_again() -> None:
    stand = Stand(SILENT, text("Done."), loaded=context(state=FLIGHTS))
    assert await Pass(stand.task, stand.ports).run() == "completed"
    assert stand.model.calls[0].messages != stand.model.calls[1].messages


async def test_in_the_last_round_no_tool_is_offered_and_none_is_stored() -> None:
    stand = Stand(calls(("sing", {})), calls(("sing", {})), rounds=2)
    await Pass(stand.task, stand.ports).run()
    assert [bool(call.tools) for call in stand.model.calls] == [True, False]
    assert stand.log.of(answers.Answer)[-1].content == []


async def test_a_budget_that_is_used_up_asks_no_model() -> None:
    stand = Stand()
    stand.budget.refusal = TurnError("daily_budget_exceeded", "limit=1 used=1")
    await Pass(stand.task, stand.ports).run()
    assert error_of(stand) == "daily_budget_exceeded"
    assert stand.model.calls == []
    assert stand.budget.settled == []


async def test_however_the_model_s_call_ends_its_reservation_is_settled_once() -> None:
    for said in (text("Done."), ModelFailed("model_unavailable")):
        stand = Stand(said, loaded=context(state=FLIGHTS))
        await Pass(stand.task, stand.ports).run()
        assert [reserved for reserved, _ in stand.budget.settled] == stand.budget.reserved


async def test_the_next_desk_begins_where_the_first_has_answered() -> None:
    waiting = LoopState(
        desk="ticketing_visa",
        brief=Brief("ticketing_visa", "Fly"),
        brief_after=1,
        handoffs=(Brief("hotels_holidays", "Stay"),),
    )
    stand = Stand(text("Flight found."), text("Hotel found."), loaded=context(state=waiting))
    assert await Pass(stand.task, stand.ports).run() == "completed"
    assert steps(stand.log.written) == ["text", "Answer", "NextDesk", "text", "Answer"]
    [next_desk] = stand.log.of(answers.NextDesk)
    assert (next_desk.state.desk, next_desk.state.handoffs) == ("hotels_holidays", ())


async def test_a_message_sent_with_decisions_is_added_before_the_model_is_asked() -> None:
    follow_up = FollowUp("and a hotel", "ravi")
    stand = Stand(text("Done."), loaded=context(state=FLIGHTS, follow_up=follow_up))
    await Pass(stand.task, stand.ports).run()
    assert steps(stand.log.written) == ["AddFollowUp", "text", "Answer"]
    [added] = stand.log.of(turns.AddFollowUp)
    assert (added.user_id, added.text) == ("ravi", "and a hotel")


@pytest.mark.parametrize(("again", "cut", "expected"), [(True, True, True), (True, False, False), (False, True, False)])
async def test_an_answer_cut_off_by_a_crash_is_declared_void(again: bool, cut: bool, expected: bool) -> None:
    stand = Stand(text("Done."), loaded=context(state=FLIGHTS, cut=cut))
    await Pass(replace(stand.task, again=again), stand.ports).run()
    assert bool(stand.log.of(answers.RestartAnswer)) is expected


async def test_a_turn_whose_desk_had_answered_before_a_crash_is_completed_without_the_model() -> None:
    loaded: PassContext = context(state=FLIGHTS, own=[Spoken("user", 1), Spoken("assistant", 2)])
    stand = Stand(loaded=loaded)
    assert await Pass(replace(stand.task, again=True), stand.ports).run() == "completed"
    assert steps(stand.log.written) == ["End"]
