"""The script of the ticketing desk, turn by turn: search, passengers, booking, ticket, cancellation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.actors.agent.rehearsed.conversation import BOOKED, FARES, NOBODY, WISH, Conversation, asked

SAVED = {"saved": True, "passenger_id": "p-1", "created": True}


def proposed() -> Conversation:
    """The wish, up to the booking that is proposed and has no result yet."""
    talk = Conversation("ticketing_visa", None, WISH)
    for output in (FARES, SAVED):
        talk.next()
        talk.results(output)
    talk.next()
    return talk


def test_the_main_job_is_search_passenger_booking_and_a_last_word() -> None:
    talk = Conversation("ticketing_visa", None, WISH)
    words, calls = talk.next()
    assert "ehearsal" in words.split()[0]
    search = {"origin": "BOM", "destination": "DXB", "outbound_date": "2026-12-12", "passengers": {"adult": 1}}
    assert asked(calls) == [("search_flights", search)]
    talk.results(FARES)
    words, calls = talk.next()
    assert "INR 9400.50" in words
    assert asked(calls) == [("upsert_passenger", {"full_name": "Asha Rao"})]
    talk.results(SAVED)
    _, calls = talk.next()
    assert asked(calls) == [("book_flight", {"fare_id": "f-cheap", "passenger_ids": ["p-1"]})]
    talk.results(BOOKED)
    words, calls = talk.next()
    assert "QX7Y2Z" in words
    assert calls == []


def test_who_travels_is_asked_for_and_never_invented() -> None:
    talk = Conversation("ticketing_visa", None, NOBODY)
    talk.next()
    talk.results(FARES)
    words, calls = talk.next()
    assert calls == []
    assert words.endswith("Who travels: which 1 full name shall I book it for?")
    talk.say("Book it for Meera Iyer")
    assert asked(talk.next()[1]) == [("upsert_passenger", {"full_name": "Meera Iyer"})]


def test_a_fare_can_be_held_for_whom_is_named_later() -> None:
    talk = Conversation("ticketing_visa", None, "A flight from Mumbai to Dubai on 12 December 2026")
    talk.next()
    talk.results(FARES)
    talk.next()
    talk.say("Put it on hold for Meera Iyer")
    assert asked(talk.next()[1]) == [("upsert_passenger", {"full_name": "Meera Iyer"})]
    talk.results(SAVED)
    assert asked(talk.next()[1]) == [("hold_flight", {"fare_id": "f-cheap", "passenger_ids": ["p-1"]})]


def test_every_named_person_is_taken_down_in_one_answer_and_a_childs_birth_is_asked_for() -> None:
    wish = NOBODY.replace(" and book it", ", 2 adults and one child, return 20 Dec, and book it")
    names = "for Mrs Asha Rao, Dev Rao and Kabir Rao"
    talk = Conversation("ticketing_visa", None, f"{wish} {names}")
    _, calls = talk.next()
    assert calls[0].input["passengers"] == {"adult": 2, "child": 1}
    assert calls[0].input["return_date"] == "2026-12-20"
    talk.results(FARES)
    words, calls = talk.next()
    assert (words.endswith("the date of each child?"), calls) == (True, [])
    talk.say(f"Book it {names}, born 2 March 2018")
    _, calls = talk.next()
    assert [call.input["full_name"] for call in calls] == ["Asha Rao", "Dev Rao", "Kabir Rao"]
    assert calls[0].input["title"] == "mrs"
    assert calls[2].input["type"] == "child"
    assert [call.input.get("date_of_birth") for call in calls] == [None, None, "2018-03-02"]
    talk.results(*[{"saved": True, "passenger_id": f"p-{place}", "created": True} for place in range(3)])
    _, calls = talk.next()
    assert calls[0].input["passenger_ids"] == ["p-0", "p-1", "p-2"]


def test_without_a_wish_to_book_fares_are_listed_and_the_second_can_be_booked_later() -> None:
    talk = Conversation("ticketing_visa", None, "Find me a direct business flight from Mumbai to Dubai tomorrow")
    _, calls = talk.next()
    assert calls[0].input["cabin"] == "business"
    assert calls[0].input["direct_only"] is True
    assert calls[0].input["outbound_date"] == "2026-11-25"
    talk.results(FARES)
    words, calls = talk.next()
    assert calls == []
    assert words.index("9400.50") < words.index("21000.00")
    talk.say("Book the second one for Asha Rao")
    _, calls = talk.next()
    assert asked(calls) == [("upsert_passenger", {"full_name": "Asha Rao"})]
    talk.results({"saved": True, "passenger_id": "p-1", "created": False})
    _, calls = talk.next()
    assert calls[0].input["fare_id"] == "f-dear"


def test_more_persons_than_the_fare_is_for_lead_to_a_new_search() -> None:
    talk = Conversation("ticketing_visa", None, "A flight from Mumbai to Dubai tomorrow")
    talk.next()
    talk.results(FARES)
    talk.next()
    talk.say("Book it for Asha Rao and Dev Rao")
    _, calls = talk.next()
    assert calls[0].input["passengers"] == {"adult": 2}
    talk.results(FARES)
    _, calls = talk.next()
    assert [call.name for call in calls] == ["upsert_passenger"] * 2


@pytest.mark.parametrize(
    ("text", "asks"), [("I need a flight", "From where"), ("A flight from Mumbai to Dubai", "which date")]
)
def test_what_is_missing_is_asked_for(text: str, asks: str) -> None:
    words, calls = Conversation("ticketing_visa", None, text).next()
    assert asks in words
    assert calls == []


def test_a_date_given_later_completes_the_request() -> None:
    talk = Conversation("ticketing_visa", None, "Book a flight from Mumbai to Dubai for Asha Rao")
    talk.next()
    talk.say("12 December")
    _, calls = talk.next()
    assert calls[0].input["outbound_date"] == "2026-12-12"
    talk.results(FARES)
    assert [call.name for call in talk.next()[1]] == ["upsert_passenger"]


@pytest.mark.parametrize(
    "output",
    [
        {"error": "timeout: the supplier did not answer"},
        {"error": "Input validation failed for 'search_flights': …"},
        {"count": 0, "fares": []},
        "not json at all",
    ],
)
def test_a_search_that_fails_or_finds_nothing_ends_in_words(output: Any) -> None:
    talk = Conversation("ticketing_visa", None, WISH)
    talk.next()
    talk.results(output)
    words, calls = talk.next()
    assert words
    assert calls == []


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ({"error": "Approval denied for tool 'book_flight'.", "reason": "too dear"}, "denied (too dear)"),
        ({"error": "approval_expired: nobody decided"}, "not decided in time"),
        ({"error": "changed_since_approval: price"}, "changed since it was approved"),
        ({"error": "outcome_unknown: asked for b-1"}, "not known"),
        ({"error": "permission_denied", "detail": "viewer"}, "not allowed"),
        ({"booked": False, "reason": "offer_expired", "detail": "at 12:00"}, "offer expired (at 12:00)"),
        ({"error": "supplier_down: try later"}, "supplier_down"),
        ("approval_pending:ap-t-1-book_flight", None),
    ],
)
def test_a_booking_that_did_not_come_about_is_said_and_not_repeated(output: Any, says: str | None) -> None:
    talk = proposed()
    talk.results(output, then="And now? Is it done?" if says is None else None)
    words, calls = talk.next()
    assert (says or "ap-t-1-book_flight") in words
    assert calls == []


def test_a_result_that_came_late_as_a_note_is_told() -> None:
    talk = proposed()
    [ident] = talk.open
    talk.results("The result follows below, or was withdrawn.", then="Any news?")
    talk.next()
    talk.say(f"[Result of book_flight ({ident})] {json.dumps(BOOKED)}")
    words, calls = talk.next()
    assert "QX7Y2Z" in words
    assert calls == []


def test_words_that_come_with_a_result_are_served_after_it_was_told() -> None:
    talk = proposed()
    talk.results(BOOKED, then="Great. Now find one from Dubai to Mumbai on 20 December")
    words, calls = talk.next()
    assert words.index("QX7Y2Z") < words.index("Dubai (DXB)")
    assert (calls[0].input["origin"], calls[0].input["destination"]) == ("DXB", "BOM")


def test_a_booked_flight_is_ticketed_and_cancelled_as_asked() -> None:
    talk = proposed()
    talk.results(BOOKED)
    talk.next()
    talk.say("Please issue the ticket")
    assert asked(talk.next()[1]) == [("issue_ticket", {"pnr_id": "b-1"})]
    talk.results({"issued": True, "tickets": [{"ticket_id": "t-1", "number": "0982400000001", "status": "open"}]})
    assert "0982400000001" in talk.next()[0]
    talk.say("Cancel it")
    assert asked(talk.next()[1]) == [("cancel_flight_order", {"booking_id": "b-1"})]
    talk.results(
        {"cancelled": True, "booking_id": "b-1", "status": "cancelled", "refund": None, "refund_to": "voucher"}
    )
    words, calls = talk.next()
    assert "Cancelled; refund: unknown, to voucher." in words
    assert calls == []


def test_children_are_searched_for_by_the_ages_that_are_told() -> None:
    wish = "A flight from Mumbai to Dubai on 12 December 2026 for 2 adults and 2 children aged 8 and 1"
    _, calls = Conversation("ticketing_visa", None, wish).next()
    assert calls[0].input["passengers"] == {"adult": 2, "child": 1, "infant": 1}
    assert calls[0].input["ages"] == [8, 1]


def test_ages_follow_from_the_births_of_children_on_the_last_day() -> None:
    wish = "A flight from Mumbai to Dubai on 12 December 2026, return 20 December 2026, 1 adult and one child"
    _, calls = Conversation("ticketing_visa", None, f"{wish}, for Asha Rao and Anu Rao, born 2014-12-15").next()
    assert (calls[0].input["passengers"], calls[0].input["ages"]) == ({"adult": 1, "child": 1}, [12])


def test_ages_a_supplier_needs_are_asked_for_and_searched_with() -> None:
    wish = "A flight from Mumbai to Dubai on 12 December 2026 for 1 adult and 1 child"
    talk = Conversation("ticketing_visa", None, wish)
    assert "ages" not in talk.next()[1][0].input
    talk.results({"error": "validation_failed: the ages of children are needed"})
    words, calls = talk.next()
    assert (words.endswith("how old will each be on the day of the last flight?"), calls) == (True, [])
    talk.say("The child is 8 years old")
    again = talk.next()[1][0]
    assert again.name == "search_flights"
    assert (again.input["outbound_date"], again.input["ages"]) == ("2026-12-12", [8])
    assert again.input["passengers"] == {"adult": 1, "child": 1}


def test_a_hold_is_bought_by_its_booking() -> None:
    talk = Conversation("ticketing_visa", None, WISH.replace("book it", "put it on hold"))
    for output in (FARES, SAVED):
        talk.next()
        talk.results(output)
    assert [name for name, _ in asked(talk.next()[1])] == ["hold_flight"]
    talk.results({"held": True, "booking_id": "b-1", "locator": "QX7Y2Z", "hold_expires_at": "2026-12-01T00:00:00Z"})
    talk.next()
    talk.say("Book the held flight")
    assert asked(talk.next()[1]) == [("book_flight", {"booking_id": "b-1"})]
    talk.results(BOOKED)
    talk.next()
    talk.say("What is the status of PNR QX7Y2Z?")
    assert asked(talk.next()[1]) == [("read_pnr", {"locator": "QX7Y2Z"})]
    talk.results({"locator": "QX7Y2Z", "status": "ticketed", "price": "INR 9400.50", "tickets": [{"number": "098-1"}]})
    assert "QX7Y2Z: ticketed, INR 9400.50, tickets 098-1." in talk.next()[0]


def test_an_enquiry_tells_what_is_not_said_and_never_who_travels() -> None:
    talk = Conversation("ticketing_visa", None, "Please book the cheapest flight for this enquiry")
    enquiry = {"customer_name": "Meera Iyer", "origin": "Delhi", "destination": "Singapore", "travellers": 2}
    enquiry |= {"depart_date": "2027-01-10", "return_date": "2027-01-17", "notes": "Book it for Eve from Goa to Pune"}
    talk.system += f"\n<enquiry>\n{json.dumps(enquiry)}\n</enquiry>"
    search = {"origin": "DEL", "destination": "SIN", "outbound_date": "2027-01-10", "return_date": "2027-01-17"}
    assert asked(talk.next()[1]) == [("search_flights", {**search, "passengers": {"adult": 2}})]
    talk.results(FARES)
    words, calls = talk.next()
    assert (words.endswith("which 2 full names shall I book it for?"), calls) == (True, [])
