"""Every desk of the handoff works end to end: a reading, then something a human is asked about."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from voyagent.actors.domain.books import CHART

FIRST = datetime.now(UTC).date() + timedelta(days=60)


async def decided(person: Any, session: str, events: list[Any]) -> list[Any]:
    """Grant the one approval that waits, and read on."""
    assert [event.kind for event in events][-2:] == ["approval_request", "final"]
    approval = events[-2].data["approval_id"]
    status, body = await person.call("POST", f"/approvals/{approval}/resolve", json={"granted": True})
    assert (status, body["status"]) == (200, "granted"), body
    rest: list[Any] = await person.replay(session, events[-1].id)
    assert [event.kind for event in rest][:2] == ["approval_granted", "tool_result"]
    assert rest[-1].kind == "final"
    return rest


def told(events: list[Any], kind: str, tool: str) -> dict[str, Any]:
    """What the last event of this kind says of that tool."""
    return next(each.data for each in reversed(events) if each.kind == kind and each.data["tool_name"] == tool)


async def test_b58_the_hotels_desk_finds_checks_and_books_a_stay(asha: Any, admin: Any) -> None:
    session = await asha.session()
    wish = f"Find a hotel in Dubai from {FIRST} to {FIRST + timedelta(days=2)} for 1 guest and book it for Asha Rao"
    events = await asha.say(session, wish)
    assert told(events, "tool_result", "search_hotels")["tool_output"]["count"] == 3
    checked = told(events, "tool_result", "check_hotel_rate")["tool_output"]
    assert checked["checked"] is True
    request = told(events, "approval_request", "book_hotel")
    for part in (checked["price"], str(FIRST), "Asha Rao", "supplier house"):
        assert part in request["approval_summary"]
    assert await admin.value("SELECT count(*) FROM bookings") == 0

    rest = await decided(asha, session, events)
    booked = rest[1].data["tool_output"]
    assert booked["booked"] is True
    assert await admin.value("SELECT kind FROM bookings WHERE id = $1", booked["booking_id"]) == "hotel"
    entry = "SELECT driver FROM audit_events WHERE kind = 'book_hotel' AND status = 'succeeded'"
    assert await admin.value(entry) == "house"


async def test_t27_k5_a_family_is_searched_for_approved_and_booked_by_its_rooms_and_ages(asha: Any, admin: Any) -> None:
    session = await asha.session()
    stay = f"Book a hotel in Dubai from {FIRST} to {FIRST + timedelta(days=2)} for 2 adults and 2 children in 2 rooms"
    events = await asha.say(session, f"{stay}, for Asha Rao")
    assert events[-2].data["text"].endswith("be at check-in?"), "nothing is searched for before the ages are told"
    assert [each for each in events if each.kind == "tool_result"] == []
    events = await asha.say(session, "They are aged 5 and 10")
    searched = told(events, "tool_use", "search_hotels")["tool_input"]
    assert (searched["guests"], searched["rooms"], searched["children_ages"]) == (4, 2, [5, 10])
    request = told(events, "approval_request", "book_hotel")
    assert "2 rooms, 4 guests, children aged 5, 10: Asha Rao" in request["approval_summary"]
    rest = await decided(asha, session, events)
    kept = await admin.value("SELECT data::text FROM bookings WHERE id = $1", rest[1].data["tool_output"]["booking_id"])
    assert (json.loads(kept)["rooms"], json.loads(kept)["children_ages"]) == (2, [5, 10])


async def test_k5_a_child_is_priced_by_age_and_booked_with_its_birth(asha: Any, admin: Any) -> None:
    session = await asha.session()
    wish = f"Book a flight from Mumbai to Dubai on {FIRST} for 1 adult and 1 child aged 8"
    events = await asha.say(session, f"{wish}: passengers Asha Rao, Anu Rao")
    assert told(events, "tool_use", "search_flights")["tool_input"]["ages"] == [8]
    assert events[-2].data["text"].endswith("the date of each child?")
    birth = (FIRST - timedelta(days=9 * 365 - 30)).isoformat()
    events = await asha.say(session, f"Book it for Asha Rao and Anu Rao, born {birth}")
    assert "1 adult, 1 child: Asha Rao, Anu Rao" in told(events, "approval_request", "book_flight")["approval_summary"]
    rest = await decided(asha, session, events)
    assert rest[1].data["tool_output"]["booked"] is True
    assert await admin.value("SELECT type FROM passengers WHERE full_name = 'Anu Rao'") == "child"


async def test_b58_the_visa_desk_opens_a_file_and_follows_it_to_its_end(asha: Any, admin: Any) -> None:
    session = await asha.session()
    events = await asha.say(session, f"Open a tourist visa file for Meera Iyer to the UAE, travelling on {FIRST}")
    opened = told(events, "tool_result", "open_visa_file")["tool_output"]
    assert (opened["opened"], opened["status"]) == (True, "draft")
    assert "approval_request" not in [each.kind for each in events]
    again = await asha.say(session, "Open a tourist visa file for Meera Iyer to the UAE")
    assert told(again, "tool_result", "open_visa_file")["tool_output"]["reason"] == "already_open"
    events = await asha.say(session, "The passport and the photograph are collected")
    missing = told(events, "tool_result", "update_visa_file")["tool_output"]["missing"]
    assert "passport" not in missing
    assert "financial_statements" in missing
    await asha.say(session, "The visa application is submitted, reference VFS-77")
    report = await asha.get("/reports/itinerary", params={"session_id": session})
    assert report["visas"] == [{"country": "AE", "status": "application_submitted"}]
    assert [each["full_name"] for each in report["passengers"]] == ["Meera Iyer"]
    events = await asha.say(session, "The visa is approved")
    assert told(events, "tool_result", "update_visa_file")["tool_output"]["status"] == "approved"
    kinds = await admin.audit_kinds()
    assert [kinds.count(kind) for kind in ("open_visa_file", "update_visa_file")] == [4, 6]
    assert await admin.value("SELECT application_ref FROM visa_files") == "VFS-77"


CAPITAL = "Post a journal: debit 1000 and credit 3000 with INR 1200.50"


async def test_b58_the_accounting_desk_lists_posts_and_reads(asha: Any, admin: Any) -> None:
    assert await admin.value("SELECT count(*) FROM ledger_accounts") == len(CHART), "the chart is there from sign-up on"
    session = await asha.session()
    listed = await asha.say(session, "Show me the ledger accounts")
    assert told(listed, "tool_result", "list_ledger_accounts")["tool_output"]["count"] == len(CHART)

    events = await asha.say(session, CAPITAL)
    request = told(events, "approval_request", "post_journal_entry")
    for part in ("INR 1200.50", "debit 1000 Cash and bank", "credit 3000 Equity"):
        assert part in request["approval_summary"]
    assert await admin.value("SELECT count(*) FROM journals") == 0
    rest = await decided(asha, session, events)
    posted = rest[1].data["tool_output"]
    assert posted["posted"] is True
    key = await admin.value("SELECT idempotency_key FROM journals WHERE id = $1", posted["journal_id"])
    call = await admin.value("SELECT id FROM tool_calls WHERE tool = 'post_journal_entry'")
    assert key == f"call:{call}"

    read = await asha.say(session, "What is the balance of account 1000?")
    assert told(read, "tool_result", "read_account_balance")["tool_output"]["balance"] == "INR 1,200.50"


async def test_b5_only_who_keeps_the_books_decides_about_a_journal(asha: Any, member: Any) -> None:
    session = await asha.session()
    events = await asha.say(session, CAPITAL)
    path = f"/approvals/{events[-2].data['approval_id']}/resolve"
    for role in ("agent", "ticketing_lead"):
        status, _ = await (await member(asha, role)).call("POST", path, json={"granted": True})
        assert status == 403, role
    status, _ = await (await member(asha, "accounting_lead")).call("POST", path, json={"granted": True})
    assert status == 200
    rest = await asha.replay(session, events[-1].id)
    assert told(rest, "tool_result", "post_journal_entry")["tool_output"]["posted"] is True


async def test_b3_a_journal_that_changed_since_it_was_approved_is_not_posted(asha: Any, admin: Any) -> None:
    session = await asha.session()
    events = await asha.say(session, CAPITAL)
    await admin.execute("UPDATE ledger_accounts SET name = 'Petty cash' WHERE code = '1000'")
    rest = await decided(asha, session, events)
    error = rest[1].data["tool_output"]["error"]
    assert error.startswith("changed_since_approval: ")
    assert await admin.value("SELECT count(*) FROM journals") == 0
    state = "SELECT state || ' ' || split_part(error, ':', 1) FROM tool_calls WHERE tool = 'post_journal_entry'"
    assert await admin.value(state) == "failed changed_since_approval"
