"""Orders of each kind, as a conversation makes them, and what the database says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.rehearsal import ToolUse, Turn
from tests.waiting import until

from .test_approvals import HANDOFF, SEARCH, book, resolve, results

DAY = datetime.now(UTC).date() + timedelta(days=60)
STAY = {"country": "AE", "city": "Dubai", "check_in": str(DAY), "check_out": str(DAY + timedelta(days=2)), "guests": 1}
ASHA = ToolUse("upsert_passenger", {"full_name": "Asha Rao", "date_of_birth": "1990-01-02"})


def hold(received: Any) -> Turn:
    outputs = results(received)
    fare = next(fare for each in outputs for fare in each.get("fares", ()) if fare["hold_possible"])
    person = next(each["passenger_id"] for each in outputs if "passenger_id" in each)
    return Turn(ToolUse("hold_flight", {"fare_id": fare["fare_id"], "passenger_ids": [person]}))


def stay(received: Any) -> Turn:
    outputs = results(received)
    rate = next(place["rate_keys"][0] for each in outputs for place in each.get("results", ()))
    person = next(each["passenger_id"] for each in outputs if "passenger_id" in each)
    return Turn(ToolUse("book_hotel", {"rate_key": rate, "passenger_ids": [person]}))


def buy_held(received: Any) -> Turn:
    held = next(each["booking_id"] for each in results(received) if each.get("held"))
    return Turn(ToolUse("book_flight", {"booking_id": held}))


def last_booking(received: Any) -> str:
    return next(each["booking_id"] for each in reversed(results(received)) if each.get("booked"))


def issue(received: Any) -> Turn:
    return Turn(ToolUse("issue_ticket", {"pnr_id": last_booking(received)}))


def cancel_flight(received: Any) -> Turn:
    return Turn(ToolUse("cancel_flight_order", {"booking_id": last_booking(received)}))


def cancel_stay(received: Any) -> Turn:
    return Turn(ToolUse("cancel_hotel_booking", {"booking_id": last_booking(received)}))


FLIGHTS = (HANDOFF, Turn(ToolUse("search_flights", SEARCH), ASHA))
HOTELS = (
    Turn(ToolUse("handoff", {"domain": "hotels_holidays", "goal": "book"})),
    Turn(ToolUse("search_hotels", STAY), ASHA),
)
DONE = (Turn("Done."),) * 4
SCRIPTS: dict[str, tuple[Any, ...]] = {
    "a flight": (*FLIGHTS, book, *DONE),
    "a hold": (*FLIGHTS, hold, *DONE),
    "a held flight": (*FLIGHTS, hold, buy_held, *DONE),
    "a stay": (*HOTELS, stay, *DONE),
    "a ticket": (*FLIGHTS, book, issue, *DONE),
    "a cancelled flight": (*FLIGHTS, book, cancel_flight, *DONE),
    "a cancelled stay": (*HOTELS, stay, cancel_stay, *DONE),
}
ORDERED = {
    "a flight": (1, "confirmed"),
    "a hold": (1, "tentative"),
    "a held flight": (2, "confirmed"),
    "a stay": (1, "confirmed"),
    "a ticket": (1, "ticketed"),
    "a cancelled flight": (1, "cancelled"),
    "a cancelled stay": (1, "cancelled"),
}
"""How many orders the supplier has then, and the booking's status."""

GOING_ON = """
SELECT count(*) = 0 FROM tool_calls c JOIN turns t ON t.tenant_id = c.tenant_id AND t.id = c.turn_id
 WHERE t.state IN ('queued', 'running') OR t.state = 'waiting' AND c.state = 'approved'
"""


async def ordered(asha: Any, running: Any, admin: Any, what: str) -> tuple[str, list[Any]]:
    """Talk until the order has been made and told, or its turn has ended without; the log."""
    running.rehearsal.reset()
    running.rehearsal.play(*SCRIPTS[what])
    session = await asha.session()
    await asha.say(session, f"please: {what}")
    granted: set[str] = set()
    while True:
        await until(lambda: admin.value(GOING_ON))
        events = await asha.replay(session)
        asked = {event.data["approval_id"] for event in events if event.kind == "approval_request"} - granted
        if not asked:
            return session, events
        for approval in asked:
            assert (await resolve(asha, approval))[0] == 200
        granted |= asked


LAST = """
SELECT b.status FROM tool_calls c JOIN bookings b ON b.tenant_id = c.tenant_id
 WHERE c.state = 'succeeded' AND c.driver = 'house'
   AND coalesce(c.output ->> 'booking_id', c.input ->> 'pnr_id')::uuid = b.id
 ORDER BY c.id DESC LIMIT 1
"""
OPEN = "SELECT count(*) FROM tool_calls WHERE driver IS NOT NULL AND state <> 'succeeded'"
