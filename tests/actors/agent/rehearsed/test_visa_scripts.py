"""The script of visa files, turn by turn."""

from __future__ import annotations

from typing import Any

import pytest

from tests.actors.agent.rehearsed.conversation import BOOKED, FARES, Conversation, asked
from voyagent.actors.domain.visas import CHECKLIST

WISH = "Open a tourist visa file for Meera Iyer to the United Arab Emirates, travelling on 12 December 2026"
FILE = {
    "passenger_id": "p-1",
    "destination_country": "AE",
    "visa_category": "tourist",
    "travel_date": "2026-12-12",
}
OPENED = {
    "opened": True,
    "visa_file_id": "v-1",
    "status": "draft",
    "checklist": [each.model_dump() for each in CHECKLIST],
}


def opened() -> Conversation:
    """A conversation in which a file was opened."""
    talk = Conversation("ticketing_visa", None, WISH)
    talk.next()
    talk.results({"count": 1, "passengers": [{"passenger_id": "p-1", "full_name": "Meera Iyer"}]})
    assert asked(talk.next()[1]) == [("open_visa_file", FILE)]
    talk.results(OPENED)
    words, calls = talk.next()
    assert "Needed: passport, photograph, application form" in words
    assert calls == []
    return talk


def test_a_file_is_opened_for_a_traveller_on_file() -> None:
    opened()


def test_a_traveller_who_is_not_on_file_is_noted_first() -> None:
    talk = Conversation("ticketing_visa", None, WISH)
    assert asked(talk.next()[1]) == [("lookup_passenger", {"query": "Meera Iyer"})]
    talk.results({"count": 0, "passengers": []})
    assert asked(talk.next()[1]) == [("upsert_passenger", {"full_name": "Meera Iyer"})]
    talk.results({"saved": True, "passenger_id": "p-1", "created": True})
    assert asked(talk.next()[1]) == [("open_visa_file", FILE)]


def test_who_was_noted_in_the_conversation_is_known() -> None:
    talk = Conversation("ticketing_visa", None, "Book a flight from Mumbai to Dubai tomorrow for Meera Iyer")
    talk.next()
    talk.results(FARES)
    talk.next()
    talk.results({"saved": True, "passenger_id": "p-1", "created": True})
    talk.next()
    talk.results(BOOKED)
    talk.next()
    talk.say(WISH)
    assert asked(talk.next()[1]) == [("open_visa_file", FILE)]


def test_of_two_travellers_of_one_name_the_address_tells_which() -> None:
    talk = Conversation("ticketing_visa", None, WISH)
    talk.next()
    talk.results({"count": 2, "passengers": [{"passenger_id": "p-1"}, {"passenger_id": "p-2"}]})
    words, calls = talk.next()
    assert words.endswith("with the e-mail address.")
    assert calls == []
    talk.say(f"{WISH}, meera@example.com")
    assert asked(talk.next()[1]) == [("lookup_passenger", {"query": "meera@example.com"})]


def test_what_is_missing_is_asked_for_and_never_invented() -> None:
    talk = Conversation("ticketing_visa", None, "I need a visa")
    answers = ["For Meera Iyer", "To Dubai", "As a tourist"]
    for question, answer in zip(
        ("For whom is the visa", "To which country", "What for: tourist"), answers, strict=True
    ):
        words, calls = talk.next()
        assert question in words
        assert calls == []
        talk.say(answer)
    assert asked(talk.next()[1]) == [("lookup_passenger", {"query": "Meera Iyer"})]
    talk.results({"count": 1, "passengers": [{"passenger_id": "p-1"}]})
    given = {"passenger_id": "p-1", "destination_country": "AE", "visa_category": "tourist"}
    assert asked(talk.next()[1]) == [("open_visa_file", given)]


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("The passport and the photograph are collected", {"collected": ["passport", "photograph"]}),
        ("We have the financial statements now", {"collected": ["financial_statements"]}),
        ("The documents are verified", {"status": "docs_verified"}),
        (
            "The visa application is submitted, reference VFS-77",
            {"status": "application_submitted", "application_ref": "VFS-77"},
        ),
        ("The visa is approved", {"status": "approved"}),
        ("The visa was refused", {"status": "rejected"}),
    ],
)
def test_what_has_happened_is_noted(said: str, change: dict[str, Any]) -> None:
    talk = opened()
    talk.say(said)
    assert asked(talk.next()[1]) == [("update_visa_file", {"visa_file_id": "v-1", **change})]
    talk.results({"updated": True, "visa_file_id": "v-1", "status": "docs_verified", "missing": ["application_form"]})
    words, _ = talk.next()
    assert words == "The visa file is docs verified. Still missing: application form."


@pytest.mark.parametrize(
    ("text", "code"),
    [("for Germany", "DE"), ("to the UK", "GB"), ("to Niger", "NE"), ("to Nigeria", "NG"), ("to Bangkok", "TH")],
)
def test_a_country_is_read_by_its_name_or_a_city(text: str, code: str) -> None:
    talk = Conversation("ticketing_visa", None, f"Open a business visa file for Meera Iyer {text}")
    talk.next()
    talk.results({"count": 1, "passengers": [{"passenger_id": "p-1"}]})
    assert talk.next()[1][0].input["destination_country"] == code


def test_a_flight_that_is_asked_for_beside_a_visa_is_searched() -> None:
    talk = Conversation("ticketing_visa", None, "A flight from Mumbai to Dubai tomorrow; is a visa needed?")
    assert [name for name, _ in asked(talk.next()[1])] == ["search_flights"]
