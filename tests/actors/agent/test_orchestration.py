"""The orchestrator's calls, each validated."""

from __future__ import annotations

from typing import Any

import pytest

from tests.actors.agent.stand import calls
from voyagent.actors.agent import orchestration
from voyagent.actors.domain.turns import Brief

FLY: tuple[str, dict[str, Any]] = ("handoff", {"domain": "ticketing_visa", "goal": "Fly to Goa"})
STAY: tuple[str, dict[str, Any]] = ("handoff", {"domain": "hotels_holidays", "goal": "Stay in Goa"})
WHEN: tuple[str, dict[str, Any]] = ("clarify", {"question": "When?"})


def test_handoffs_and_questions_are_read_in_their_order() -> None:
    asked = orchestration.read(calls(FLY, WHEN, STAY))
    assert asked.handoffs == [Brief("ticketing_visa", "Fly to Goa"), Brief("hotels_holidays", "Stay in Goa")]
    assert asked.questions == ["When?"]
    assert asked.unknown_desk is None
    assert not asked.refused


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (("sing", {}), "unknown_tool"),
        (("handoff", {"domain": "ticketing_visa"}), "Input validation failed"),
        (("handoff", {"domain": "ticketing_visa", "goal": " "}), "Input validation failed"),
        (("clarify", {"question": ""}), "Input validation failed"),
        (("clarify", {"question": "When?", "mood": "kind"}), "Input validation failed"),
    ],
)
def test_an_invalid_call_is_sent_back_to_the_model_and_the_others_are_made(
    made: tuple[str, dict[str, Any]], code: str
) -> None:
    asked = orchestration.read(calls(made, FLY))
    assert asked.refused
    assert asked.handoffs == [Brief("ticketing_visa", "Fly to Goa")]
    assert asked.questions == []
    assert code in str(asked.calls[0].result())
    assert code not in str(asked.calls[1].result())


def test_a_repeated_call_is_made_once() -> None:
    asked = orchestration.read(calls(FLY, FLY, WHEN, WHEN))
    assert len(asked.handoffs) == len(asked.questions) == 1
    assert ["duplicate_call" in str(each.result()) for each in asked.calls] == [False, True, False, True]


def test_an_input_that_could_not_be_read_is_refused_whatever_is_left_of_it() -> None:
    asked = orchestration.read(calls(FLY, flaws={0: "not JSON"}))
    assert asked.handoffs == []
    assert "not JSON" in str(asked.calls[0].result())


def test_a_desk_that_does_not_exist_is_named() -> None:
    asked = orchestration.read(calls(FLY, ("handoff", {"domain": "catering", "goal": "Feed them"})))
    assert asked.unknown_desk == "catering"
