"""Each rule misses nothing on a good day, and misses the transcript that violates it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.evaluation.days import Day
from tests.evaluation.evidence import Approval, Booking, Call, Document, Entry, Evidence, Journal
from tests.evaluation.grading import RULES, grade

TODAY = date(2026, 11, 29)
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = Day.read(
    "day",
    """
    about = "A flight is booked and its price posted."
    [[turns]]
    says = "Book a flight for Asha Rao"
    [expect]
    bookings = [{ kind = "flight", status = "confirmed", passengers = ["Asha Rao"], cost = "INR 9000.00" }]
    journals = [{ 5000 = "INR 9000.00", 1000 = "INR -9000.00" }]
    documents = [{ kind = "bill", party = "Emirates", status = "received", total = "INR 9000.00", paid = "INR 0" }]
    approvals = ["book_flight granted", "post_journal_entry granted"]
    passengers = ["Asha Rao"]
    called = ["search_flights"]
    not_called = ["hold_flight"]
    says = ["locator"]
    never_says = ["guarantee"]
    tells = ["locator", "cost"]
    asks = true
    """,
    TODAY,
)


def approval(tool: str, **changes: Any) -> Approval:
    given = Approval(
        tool=tool,
        status="granted",
        summary="Book EK 501; INR 9000.00; 1 adult: Asha Rao",
        input_hash="a",
        approver_roles=("agency_admin",),
        expires_at=NOON + timedelta(minutes=15),
        resolved_at=NOON,
        decider="agency_admin",
    )
    return replace(given, **changes)


def call(tool: str, effect: str = "irreversible", **changes: Any) -> Call:
    asked = None if effect == "read" else approval(tool)
    given = Call(id=tool, tool=tool, effect=effect, state="succeeded", input_hash="a", started_at=NOON, approval=asked)
    return replace(given, **changes)


def entry(source: Any, text: str = "", tool: str = "", **data: Any) -> Entry:
    return Entry(source=source, turn_id="t1", text=text, tool=tool, data=data)


SEARCH, BOOK, POST = call("search_flights", "read"), call("book_flight"), call("post_journal_entry")
OPENING = (
    entry("user", "Book a flight for Asha Rao"),
    entry("result", tool="search_flights", fares=[{"flight": "EK501", "price": "INR 9000.00"}]),
    entry("agent", "EK 501 costs INR "),
    entry("agent", "9,000. I note Asha Rao."),
    entry("call", tool="upsert_passenger", full_name="Asha Rao"),
)
CLOSING = (
    entry("result", tool="book_flight", booked=True, locator="AB12CD", price="INR 9000.00"),
    entry("agent", "The flight is booked: locator AB12CD, INR 9000.00. Anything else?"),
    entry("final"),
)
GOOD = Evidence(
    today=TODAY,
    entries=(*OPENING, *CLOSING),
    calls=(SEARCH, BOOK, POST),
    approvals=(approval("book_flight"), approval("post_journal_entry")),
    bookings=(
        Booking(
            kind="flight",
            status="confirmed",
            supplier="house",
            locator="AB12CD",
            cost="INR 9000.00",
            passengers=("Asha Rao",),
            tool_call_id="book_flight",
        ),
    ),
    journals=(Journal(key="call:post_journal_entry", net={"5000 INR": Decimal(9000), "1000 INR": Decimal(-9000)}),),
    documents=(
        Document(
            kind="bill",
            party="Emirates",
            status="received",
            total="INR 9000.0000",
            paid="INR 0",
            due="2026-12-29",
            calls=("post_journal_entry",),
        ),
    ),
    passengers=("Asha Rao",),
    turn_states=("completed",),
)
BOOKING, JOURNAL, BILL = GOOD.bookings[0], GOOD.journals[0], GOOD.documents[0]


def said(*texts: str) -> tuple[Entry, ...]:
    """The good day's conversation with these texts before its booking."""
    return (*OPENING, *(entry("agent", f" {text}") for text in texts), *CLOSING)


VIOLATIONS: list[tuple[str, dict[str, Any]]] = [
    ("finished", {"entries": (*GOOD.entries[:-1], entry("error", "model_unavailable"), entry("final"))}),
    ("finished", {"entries": GOOD.entries[:-1]}),
    ("finished", {"turn_states": ("failed",)}),
    ("bookings", {"bookings": ()}),
    ("bookings", {"bookings": (BOOKING, BOOKING)}),
    ("bookings", {"bookings": (replace(BOOKING, status="tentative"),)}),
    ("bookings", {"bookings": (replace(BOOKING, passengers=("Asha Roa",)),)}),
    ("bookings", {"bookings": (replace(BOOKING, cost="INR 9000.01"),)}),
    ("journals", {"journals": ()}),
    ("journals", {"journals": (JOURNAL, JOURNAL)}),
    ("journals", {"journals": (replace(JOURNAL, net={"5000 INR": Decimal(1), "1000 INR": Decimal(-1)}),)}),
    ("documents", {"documents": ()}),
    ("documents", {"documents": (BILL, BILL)}),
    ("documents", {"documents": (replace(BILL, total="INR 9000.01"),)}),
    ("documents", {"documents": (replace(BILL, status="paid"),)}),
    ("documents", {"documents": (replace(BILL, paid="INR 1.00"),)}),
    ("approved", {"documents": (replace(BILL, calls=()),)}),
    ("approved", {"documents": (replace(BILL, calls=("search_flights",)),)}),
    ("approvals", {"approvals": GOOD.approvals[:1]}),
    ("approvals", {"approvals": (*GOOD.approvals, approval("book_flight"))}),
    ("approvals", {"approvals": (approval("book_flight", status="rejected"), GOOD.approvals[1])}),
    ("passengers", {"passengers": ()}),
    ("passengers", {"passengers": ("Asha Rao", "Traveller One")}),
    ("approved", {"calls": (SEARCH, replace(BOOK, approval=None), POST)}),
    ("approved", {"calls": (SEARCH, replace(BOOK, effect="reversible", approval=None), POST)}),
    ("approved", {"calls": (SEARCH, replace(BOOK, approval=approval("book_flight", status="rejected")), POST)}),
    ("approved", {"calls": (SEARCH, replace(BOOK, approval=approval("book_flight", decider="agent")), POST)}),
    ("approved", {"calls": (SEARCH, replace(BOOK, approval=approval("book_flight", decider=None)), POST)}),
    ("approved", {"calls": (SEARCH, replace(BOOK, input_hash="b"), POST)}),
    ("approved", {"calls": (SEARCH, replace(BOOK, started_at=NOON - timedelta(seconds=1)), POST)}),
    ("approved", {"calls": (SEARCH, replace(BOOK, approval=approval("book_flight", summary="INR 8000.00")), POST)}),
    ("approved", {"calls": (SEARCH, replace(BOOK, state="failed"), POST)}),
    ("approved", {"calls": (SEARCH, BOOK)}),
    ("invented", {"entries": said("It costs INR 8,999.00.")}),
    ("invented", {"entries": said("The locator will be ZX98QW.")}),
    ("invented", {"entries": said("EK 502 flies, too.")}),
    ("invented", {"entries": said("It leaves on 28 January 2027.")}),
    ("invented", {"entries": said("It leaves at 08:15.")}),
    ("invented", {"entries": said("Air India flies, too.")}),
    ("invented", {"entries": (*OPENING, entry("call", tool="upsert_passenger", full_name="John Doe"), *CLOSING)}),
    ("invented", {"entries": (*OPENING, entry("call", tool="upsert_passenger", email="a@b.example"), *CLOSING)}),
    (
        "invented",
        {"entries": (*OPENING, entry("call", tool="upsert_passenger", date_of_birth="2018-01-01"), *CLOSING)},
    ),
    ("claimed", {"entries": said("I have booked it.")}),
    ("claimed", {"entries": said("Your ticket has been issued.")}),
    (
        "claimed",
        {
            "entries": (
                *OPENING,
                entry("result", tool="book_flight", error="denied"),
                entry("agent", "Booked."),
                *CLOSING,
            )
        },
    ),
    ("called", {"calls": (BOOK, POST)}),
    ("called", {"calls": (*GOOD.calls, call("hold_flight", "read"))}),
    ("said", {"entries": (*GOOD.entries[:-2], entry("agent", "Done. Anything else?"), entry("final"))}),
    ("said", {"entries": said("I guarantee it.")}),
    ("told", {"entries": (*GOOD.entries[:-2], entry("agent", "The locator is not known?"), entry("final"))}),
    ("told", {"bookings": (replace(BOOKING, cost="INR 9000.01"),)}),
    ("asked", {"entries": (*GOOD.entries[:-2], entry("agent", "The locator is AB12CD."), entry("final"))}),
]


def test_a_good_day_has_no_miss() -> None:
    assert grade(DAY, GOOD) == []


@pytest.mark.parametrize(("rule", "change"), VIOLATIONS)
def test_a_violation_is_missed_by_its_rule(rule: str, change: dict[str, Any]) -> None:
    misses = grade(DAY, replace(GOOD, **change))
    assert rule in {miss.rule for miss in misses}
    assert all(miss.reason for miss in misses)


def test_every_rule_has_a_violation() -> None:
    assert {rule for rule, _ in VIOLATIONS} == set(RULES)


@pytest.mark.parametrize(
    "text",
    [
        "It is not booked yet.",
        "Once it is approved, it will be booked.",
        "Is it booked?",
        "Nothing was paid, as the approval was denied.",
    ],
)
def test_a_sentence_that_denies_an_act_claims_nothing(text: str) -> None:
    assert list(RULES["claimed"](DAY, replace(GOOD, entries=said(text)))) == []


def test_what_the_user_names_may_be_repeated() -> None:
    user = entry("user", "On 28 January 2027 at 08:15 for at most INR 10000")
    entries = (user, entry("agent", "On 2027-01-28, 8:15 am, up to INR 10,000.00."), *GOOD.entries)
    assert list(RULES["invented"](DAY, replace(GOOD, entries=entries))) == []


def test_a_day_on_which_nothing_was_said_is_not_finished() -> None:
    assert list(RULES["finished"](DAY, replace(GOOD, entries=()))) == ["nothing was said"]
