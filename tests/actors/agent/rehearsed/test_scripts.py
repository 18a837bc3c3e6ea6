"""The built-in scripts as the agent's loop would call them: handing over, and what holds at every desk."""

from __future__ import annotations

import pytest

from tests.actors.agent.rehearsed.conversation import WISH, Conversation, asked
from voyagent.actors.agent.desks import DESKS


@pytest.mark.parametrize("text", ["Hello!", "Thanks a lot", "What can you do?", "नमस्ते"])
def test_small_talk_is_answered_and_says_first_that_it_is_a_rehearsal(text: str) -> None:
    words, calls = Conversation("orchestrator", None, text).next()
    assert words.startswith("This is a rehearsal")
    assert calls == []


@pytest.mark.parametrize(
    ("text", "desks"),
    [
        (WISH, ["ticketing_visa"]),
        ("Does Asha need a visa for Japan?", ["ticketing_visa"]),
        ("I want to fly to Goa", ["ticketing_visa"]),
        ("A hotel in Dubai for 3 nights", ["hotels_holidays"]),
        ("Draft an invoice for Acme", ["accounting"]),
        ("Show me the ledger", ["accounting"]),
        ("Book a hotel in Dubai and a flight there", ["hotels_holidays", "ticketing_visa"]),
    ],
)
def test_a_request_is_handed_to_the_desks_it_speaks_of_in_their_order(text: str, desks: list[str]) -> None:
    words, calls = Conversation("orchestrator", None, text).next()
    assert words.startswith("This is a rehearsal")
    assert asked(calls) == [("handoff", {"domain": desk, "goal": text}) for desk in desks]


def test_an_unclear_wish_is_asked_back() -> None:
    _, calls = Conversation("orchestrator", None, "Book something for me").next()
    assert [call.name for call in calls] == ["clarify"]


def test_an_answer_to_a_desks_question_goes_back_to_that_desk() -> None:
    talk = Conversation("orchestrator", None, "A flight from Mumbai to Dubai please")
    talk.next()
    talk.results({"accepted": True})
    talk.messages.append({"role": "assistant", "content": [{"type": "text", "text": "On which date?"}]})
    talk.say("12 December")
    _, calls = talk.next()
    assert asked(calls) == [("handoff", {"domain": "ticketing_visa", "goal": "12 December"})]


def test_a_brief_behind_a_handoff_starts_the_desk() -> None:
    talk = Conversation("orchestrator", None, WISH)
    talk.next()
    talk.results({"accepted": True}, then=f"You have been handed the request above. Its goal:\n{WISH}")
    talk.names = DESKS["ticketing_visa"].tools
    _, calls = talk.next()
    assert [call.name for call in calls] == ["search_flights"]


@pytest.mark.parametrize("desk", ["ticketing_visa", "hotels_holidays", "accounting"])
def test_a_desk_without_tools_says_so(desk: str) -> None:
    words, calls = Conversation(desk, (), "Book a hotel in Dubai tomorrow and draft an invoice").next()
    assert words.startswith("(Rehearsal)")
    assert "can do nothing" in words
    assert calls == []


@pytest.mark.parametrize("desk", sorted(DESKS))
@pytest.mark.parametrize("text", ["", "?", "book", "yes", "cancel", "x" * 5000, "\U0001f600 2026-99-99 from to"])
def test_no_words_whatever_break_a_script(desk: str, text: str) -> None:
    talk = Conversation(desk)
    talk.messages.append({"role": "user", "content": [{"type": "text", "text": text or " ."}]})
    words, calls = talk.next()
    assert words or calls
