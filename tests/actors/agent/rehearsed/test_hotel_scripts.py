"""The script of the hotels desk, turn by turn."""

from __future__ import annotations

from tests.actors.agent.rehearsed.conversation import Conversation, asked


def booked() -> Conversation:
    """Somebody with a stay that is booked, and told so."""
    talk = Conversation("hotels_holidays", None, "Book a hotel in Dubai from 12 to 15 December for Asha Rao")
    for output in (
        {"count": 1, "results": [{"name": "Fair", "from_price": "AED 400.00", "rate_keys": ["r-4"], "star_rating": 4}]},
        {"checked": True, "rate_key": "r-4", "price": "AED 400.00"},
        {"saved": True, "passenger_id": "p-1", "created": True},
        {"booked": True, "booking_id": "b-2", "supplier_ref": "H-77", "status": "confirmed"},
    ):
        talk.next()
        talk.results(output)
    talk.next()
    return talk


def test_who_stays_is_asked_for_and_never_invented() -> None:
    talk = Conversation("hotels_holidays", None, "Book a hotel in Dubai from 12 to 15 December for 1 guest")
    talk.next()
    talk.results({"count": 1, "results": [{"name": "Fair", "from_price": "AED 400.00", "rate_keys": ["r-4"]}]})
    talk.next()
    talk.results({"checked": True, "rate_key": "r-4", "price": "AED 400.00"})
    words, calls = talk.next()
    assert calls == []
    assert words.endswith("Who stays: whom shall I book it for?")
    talk.say("Book it for Meera Iyer")
    assert asked(talk.next()[1]) == [("check_hotel_rate", {"rate_key": "r-4"})]
    talk.results({"checked": True, "rate_key": "r-4", "price": "AED 400.00"})
    assert asked(talk.next()[1]) == [("upsert_passenger", {"full_name": "Meera Iyer"})]


def test_a_booked_stay_is_cancelled_as_asked() -> None:
    talk = booked()
    talk.say("Please cancel the hotel")
    assert asked(talk.next()[1]) == [("cancel_hotel_booking", {"booking_id": "b-2"})]
    talk.results({"cancelled": True, "booking_id": "b-2", "status": "cancelled", "refund": "AED 400.00"})
    assert "Cancelled; refund: AED 400.00." in talk.next()[0]


def test_a_hotel_is_searched_checked_again_and_booked() -> None:
    wish = "Book a hotel in Dubai from 12 to 15 December for Asha Rao, 2 guests"
    talk = Conversation("hotels_holidays", None, wish)
    words, calls = talk.next()
    assert "ehearsal" in words.split()[0]
    stay = {"country": "AE", "city": "Dubai", "check_in": "2026-12-12", "check_out": "2026-12-15", "guests": 2}
    assert asked(calls) == [("search_hotels", stay)]
    hotels = [
        {"name": "Dear", "from_price": "AED 900.00", "rate_keys": ["r-9"], "star_rating": 5},
        {"name": "Fair", "from_price": "AED 400.00", "rate_keys": ["r-4", "r-5"], "star_rating": None},
    ]
    talk.results({"count": 2, "results": hotels})
    assert asked(talk.next()[1]) == [("check_hotel_rate", {"rate_key": "r-4"})]
    talk.results({"checked": True, "rate_key": "r-4", "price": "AED 400.00"})
    assert asked(talk.next()[1]) == [("upsert_passenger", {"full_name": "Asha Rao"})]
    talk.results({"saved": True, "passenger_id": "p-1", "created": True})
    assert asked(talk.next()[1]) == [("book_hotel", {"rate_key": "r-4", "passenger_ids": ["p-1"]})]
    talk.results({"booked": True, "supplier_ref": "H-77", "status": "confirmed"})
    words, calls = talk.next()
    assert "H-77" in words
    assert calls == []


def test_hotels_that_can_only_be_quoted_are_quoted() -> None:
    talk = Conversation("hotels_holidays", None, "A hotel in Paris for two nights from tomorrow")
    assert talk.next()[1][0].input["check_out"] == "2026-11-27"
    talk.results({"count": 1, "offers": [{"property_name": "Lutetia", "price": "EUR 800.00", "offer_ref": "o"}]})
    words, calls = talk.next()
    assert "Lutetia asks EUR 800.00" in words
    assert calls == []


def test_rooms_and_ages_of_children_are_searched_for_as_told() -> None:
    wish = "Book a hotel in Dubai from 12 to 15 December for 2 adults and 2 children"
    talk = Conversation("hotels_holidays", None, f"{wish} in 2 rooms, for Asha Rao")
    words, calls = talk.next()
    assert (words.endswith("how old will each child be at check-in?"), calls) == (True, [])
    talk.say("They are aged 5 and 10")
    [search] = talk.next()[1]
    assert search.name == "search_hotels"
    assert {name: search.input[name] for name in ("guests", "rooms", "children_ages")} == {
        "guests": 4,
        "rooms": 2,
        "children_ages": [5, 10],
    }


def test_a_booked_stay_is_read_again() -> None:
    talk = booked()
    talk.say("Show me the hotel booking")
    assert asked(talk.next()[1]) == [("read_hotel_booking", {"booking_id": "b-2"})]
    talk.results(
        {
            "read": True,
            "check_in": "2026-12-12",
            "check_out": "2026-12-15",
            "status": "confirmed",
            "price": "AED 400.00",
        }
    )
    assert "The stay 2026-12-12 to 2026-12-15 is confirmed, AED 400.00." in talk.next()[0]
