"""The built-in scripts, turn by turn, as the agent's loop would call them."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from voyagent.actors.agent.desks import DESKS
from voyagent.actors.agent.rehearsed.server import script
from voyagent.actors.agent.rehearsed.talk import Talk
from voyagent.actors.agent.rehearsed.turns import Text, ToolUse, Turn
from voyagent.actors.agent.rehearsed.wire import check

TODAY = date(2026, 11, 24)
WISH = "Find me a flight from Mumbai to Dubai on 12 December 2026 for Asha Rao and book it"
NOBODY = "Find me a flight from Mumbai to Dubai on 12 December 2026 and book it"
FARES = {
    "count": 2,
    "fares": [
        {
            "fare_id": "f-dear",
            "price": "INR 21000.00",
            "carrier": "EK",
            "stops": 0,
            "departs_at": "2026-12-12T04:00:00Z",
        },
        {
            "fare_id": "f-cheap",
            "price": "INR 9400.50",
            "carrier": "IX",
            "stops": 1,
            "departs_at": "2026-12-12T06:00:00Z",
        },
    ],
}
BOOKED = {"booked": True, "booking_id": "b-1", "locator": "QX7Y2Z", "status": "confirmed", "price": "INR 9400.50"}


class Conversation:
    """A transcript that grows by the script's own answers and what is said to it."""

    def __init__(self, desk: str, tools: tuple[str, ...] | None = None, *said: str) -> None:
        self.names = DESKS[desk].tools if tools is None else tools
        self.system = f"Your desk: {desk}. Today is 2026-11-24, a Tuesday."
        self.messages: list[dict[str, Any]] = []
        self.open: list[str] = []
        for text in said:
            self.say(text)

    def say(self, text: str) -> None:
        self.messages.append({"role": "user", "content": [*self._take("{}"), {"type": "text", "text": text}]})

    def results(self, *outputs: dict[str, Any] | str, then: str | None = None) -> None:
        """Answer the open calls in order."""
        blocks = []
        for call, output in zip(self.open, outputs, strict=True):
            content = output if isinstance(output, str) else json.dumps(output)
            blocks.append({"type": "tool_result", "tool_use_id": call, "content": content})
        self.open = []
        words = [] if then is None else [{"type": "text", "text": then}]
        self.messages.append({"role": "user", "content": [*blocks, *words]})

    def _take(self, output: str) -> list[dict[str, Any]]:
        taken = [{"type": "tool_result", "tool_use_id": call, "content": output} for call in self.open]
        self.open = []
        return taken

    def body(self) -> dict[str, Any]:
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in self.names]
        return {
            "model": "m",
            "max_tokens": 64,
            "stream": True,
            "system": self.system,
            "tools": tools,
            "messages": self.messages,
        }

    def next(self) -> tuple[str, list[ToolUse]]:
        """The script's next words and calls; what it asks is a request the real service would take."""
        check(self.body())
        turn = script(Talk(self.body(), TODAY))
        assert isinstance(turn, Turn)
        words = "".join(block.text for block in turn.blocks if isinstance(block, Text))
        calls = [block for block in turn.blocks if isinstance(block, ToolUse)]
        blocks: list[dict[str, Any]] = [{"type": "text", "text": words}] if words else []
        for place, call in enumerate(calls):
            ident = f"toolu_{len(self.messages)}_{place}"
            self.open.append(ident)
            blocks.append({"type": "tool_use", "id": ident, "name": call.name, "input": call.input})
        self.messages.append({"role": "assistant", "content": blocks})
        return words, calls


def asked(calls: list[ToolUse]) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.input) for call in calls]


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
    talk.results({"saved": True, "passenger_id": "p-1", "created": True})
    _, calls = talk.next()
    assert asked(calls) == [("book_flight", {"fare_id": "f-cheap", "passenger_ids": ["p-1"]})]
    talk.results(BOOKED)
    words, calls = talk.next()
    assert "QX7Y2Z" in words
    assert calls == []


def test_a_brief_behind_a_handoff_starts_the_desk() -> None:
    talk = Conversation("orchestrator", None, WISH)
    talk.next()
    talk.results({"accepted": True}, then=f"You have been handed the request above. Its goal:\n{WISH}")
    talk.names = DESKS["ticketing_visa"].tools
    _, calls = talk.next()
    assert [call.name for call in calls] == ["search_flights"]


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
    talk.results({"saved": True, "passenger_id": "p-1", "created": True})
    assert asked(talk.next()[1]) == [("hold_flight", {"fare_id": "f-cheap", "passenger_ids": ["p-1"]})]


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
    talk = Conversation("ticketing_visa", None, WISH)
    talk.next()
    talk.results(FARES)
    talk.next()
    talk.results({"saved": True, "passenger_id": "p-1", "created": True})
    talk.next()
    talk.results(output, then="And now? Is it done?" if says is None else None)
    words, calls = talk.next()
    assert (says or "ap-t-1-book_flight") in words
    assert calls == []


def test_a_result_that_came_late_as_a_note_is_told() -> None:
    talk = Conversation("ticketing_visa", None, WISH)
    talk.next()
    talk.results(FARES)
    talk.next()
    talk.results({"saved": True, "passenger_id": "p-1", "created": True})
    talk.next()
    [ident] = talk.open
    talk.results("The result follows below, or was withdrawn.", then="Any news?")
    talk.next()
    talk.say(f"[Result of book_flight ({ident})] {json.dumps(BOOKED)}")
    words, calls = talk.next()
    assert "QX7Y2Z" in words
    assert calls == []


def test_words_that_come_with_a_result_are_served_after_it_was_told() -> None:
    talk = Conversation("ticketing_visa", None, WISH)
    talk.next()
    talk.results(FARES)
    talk.next()
    talk.results({"saved": True, "passenger_id": "p-1", "created": True})
    talk.next()
    talk.results(BOOKED, then="Great. Now find one from Dubai to Mumbai on 20 December")
    words, calls = talk.next()
    assert words.index("QX7Y2Z") < words.index("Dubai (DXB)")
    assert (calls[0].input["origin"], calls[0].input["destination"]) == ("DXB", "BOM")


def test_a_booked_flight_is_ticketed_and_cancelled_as_asked() -> None:
    talk = Conversation("ticketing_visa", None, WISH)
    for output in (FARES, {"saved": True, "passenger_id": "p-1", "created": True}):
        talk.next()
        talk.results(output)
    talk.next()
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


def test_a_booked_stay_is_cancelled_as_asked() -> None:
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


def test_a_document_may_be_dated_in_the_past() -> None:
    talk = Conversation("accounting", None, "Draft an invoice for Acme over INR 500.00 dated 2026-08-01 and issue it")
    [(_, draft)] = asked(talk.next()[1])
    assert (draft["issue_date"], draft["due_date"]) == ("2026-08-01", "2026-08-31")
    words = "Record a bill from Emirates over AED 900.00 reference EK-7 dated 2026-08-01 due 2026-08-11"
    [(tool, bill)] = asked(Conversation("accounting", None, words).next()[1])
    assert (tool, bill["vendor_name"], bill["vendor_reference"]) == ("record_bill", "Emirates", "EK-7")
    assert (bill["issue_date"], bill["due_date"]) == ("2026-08-01", "2026-08-11")


def test_an_invoice_is_drafted_and_then_issued() -> None:
    talk = Conversation("accounting", None, "Draft an invoice for Acme Travels over INR 45,200.00 and issue it")
    _, calls = talk.next()
    [(name, draft)] = asked(calls)
    assert name == "draft_invoice"
    assert draft["customer_name"] == "Acme Travels"
    assert (draft["issue_date"], draft["due_date"]) == ("2026-11-24", "2026-12-24")
    assert draft["line_items"][0]["unit_price"] == "45200.00"
    talk.results(
        {"drafted": True, "invoice_id": "i-1", "number": "INV-1", "total_amount": "45200.00", "currency": "INR"}
    )
    assert asked(talk.next()[1]) == [("issue_invoice", {"invoice_id": "i-1"})]
    talk.results({"issued": True, "number": "INV-1", "total_amount": "45200.00", "currency": "INR"})
    words, calls = talk.next()
    assert "Issued: INV-1" in words
    assert calls == []


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Which invoices are open?", ("list_invoices", {"status": "open"})),
        ("Show the chart of accounts", ("list_ledger_accounts", {})),
        (
            "What is the balance of account 1000 on 2026-11-20?",
            ("read_account_balance", {"account_id": "1000", "as_of": "2026-11-20"}),
        ),
    ],
)
def test_accounting_lists_what_is_asked_for(text: str, call: tuple[str, dict[str, Any]]) -> None:
    talk = Conversation("accounting", None, text)
    assert asked(talk.next()[1]) == [call]
    talk.results({"count": 0, "accounts": [], "invoices": [], "balance": "INR 0.00"})
    words, calls = talk.next()
    assert "There are 0" in words or "The balance is INR 0.00." in words
    assert calls == []


def test_a_journal_is_posted_with_what_was_said_and_asked_for_what_was_not() -> None:
    talk = Conversation("accounting", None, "Post a journal: debit 1000")
    words, calls = talk.next()
    assert "how much" in words
    assert calls == []
    talk.say("Credit 3000 with INR 500.00, as a journal")
    [(name, given)] = asked(talk.next()[1])
    assert name == "post_journal_entry"
    assert given["entry"]["lines"] == [
        {"account_id": "1000", "currency": "INR", "debit_amount": "500.00"},
        {"account_id": "3000", "currency": "INR", "credit_amount": "500.00"},
    ]
    talk.results({"posted": True, "journal_id": "j-1"})
    assert "Posted: journal j-1." in talk.next()[0]


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
