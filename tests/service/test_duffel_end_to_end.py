"""The main job on duffel: a real service, the rehearsal model, and the stand-in over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.actors.suppliers.duffel.standin import Standin
from voyagent.actors import credentials
from voyagent.http.service import Service

DAY = datetime.now(UTC).date() + timedelta(days=60)
WHO = "for Ms Asha Rao, born 1990-04-02, female, asha.rao@example.com, +919820012345"
TOKEN, OTHER = "duffel_test_env", "duffel_test_own"


@pytest.fixture
async def standin() -> AsyncIterator[tuple[Standin, str]]:
    server = Standin()
    url = await server.start()
    yield server, url
    await server.stop()


@pytest.fixture
async def running(
    settings_for: Any, rehearsal: Any, running_class: Any, standin: tuple[Standin, str]
) -> AsyncIterator[Any]:
    settings = settings_for(
        VOYAGENT_SUPPLIERS="duffel", VOYAGENT_DUFFEL_TOKEN=TOKEN, VOYAGENT_DUFFEL_BASE_URL=standin[1]
    )
    rehearsal[0].reset()
    async with Service(settings) as service, aiohttp.ClientSession() as http:
        yield running_class(service, rehearsal[0], http, settings)


async def granted(person: Any, session: str, events: Any) -> Any:
    """Grant what waits; the output of the call."""
    assert [event.kind for event in events[-2:]] == ["approval_request", "final"], [event.data for event in events[-4:]]
    approval = events[-2].data["approval_id"]
    status, _ = await person.call("POST", f"/approvals/{approval}/resolve", json={"granted": True})
    assert status == 200
    rest = await person.replay(session, events[-1].id)
    return next(event.data["tool_output"] for event in rest if event.kind == "tool_result"), rest


async def test_a_flight_is_searched_held_approved_paid_ticketed_and_cancelled(
    asha: Any, admin: Any, standin: tuple[Standin, str]
) -> None:
    account = standin[0].account(TOKEN)
    session = await asha.session()
    held = await asha.say(session, f"Find a flight from Mumbai to Dubai on {DAY} {WHO}, and book it on hold")
    output = [event.data["tool_output"] for event in held if event.kind == "tool_result"][-1]
    assert output["held"] is True, output
    (order,) = account.orders.values()
    assert order["payment_status"]["awaiting_payment"]
    assert order["passengers"][0]["born_on"] == "1990-04-02"

    session = await asha.session()
    events = await asha.say(session, f"Find a flight from Mumbai to Dubai on {DAY} {WHO}, and book it")
    assert "GBP 100.00" in events[-2].data["approval_summary"]
    booked, rest = await granted(asha, session, events)
    assert (booked["booked"], booked["status"], booked["supplier"]) == (True, "ticketed", "duffel")
    assert len(account.orders) == 2
    assert await admin.value("SELECT count(*) FROM tickets") == 1

    events = await asha.say(session, "Please cancel this flight")
    assert "refund GBP 70.00; to balance" in events[-2].data["approval_summary"]
    cancelled, _ = await granted(asha, session, events)
    assert cancelled == {
        "cancelled": True,
        "booking_id": booked["booking_id"],
        "status": "cancelled",
        "refund": "GBP 70.00",
        "refund_to": "balance",
    }
    assert await admin.value("SELECT status FROM bookings WHERE id = $1", booked["booking_id"]) == "cancelled"
    kinds = await admin.audit_kinds()
    assert [kinds.count(kind) for kind in ("hold_flight", "book_flight", "cancel_flight_order")] == [2, 2, 2]
    told = "".join(event.raw.decode() for event in [*held, *events, *rest])
    assert TOKEN not in told


async def test_t25_a_hold_that_nobody_paid_expires_by_itself(running: Any, asha: Any, admin: Any) -> None:
    await asha.say(await asha.session(), f"Find a flight from Mumbai to Dubai on {DAY} {WHO}, and book it on hold")
    await admin.execute("UPDATE bookings SET hold_expires_at = now() - interval '1 second'")
    running.service.system._on_storage_lost()  # housekeeping's round, now and not within a minute
    async with asyncio.timeout(20):
        while "booking.lapsed" not in (kinds := await admin.audit_kinds()):  # noqa: ASYNC110  # the database is polled
            await asyncio.sleep(0.05)
    assert kinds.count("booking.lapsed") == 1
    assert await admin.value("SELECT status FROM bookings") == "cancelled"


async def test_a_traveller_whose_details_are_missing_is_asked_for_before_any_human_is(
    asha: Any, standin: tuple[Standin, str]
) -> None:
    session = await asha.session()
    events = await asha.say(session, f"Find a flight from Mumbai to Dubai on {DAY} for Ms Asha Rao, and book it")
    output = [event.data["tool_output"] for event in events if event.kind == "tool_result"][-1]
    assert (output["booked"], output["reason"]) == (False, "passenger_incomplete")
    assert all(field in output["detail"] for field in ("gender", "date_of_birth", "email", "phone"))
    assert "approval_request" not in [event.kind for event in events]
    assert ("POST", "/air/orders") not in standin[0].log


async def test_t24_an_order_the_balance_does_not_pay_spends_its_approval_and_leaves_no_booking(
    asha: Any, admin: Any, standin: tuple[Standin, str]
) -> None:
    standin[0].account(TOKEN).is_empty = True
    session = await asha.session()
    wish = f"Find a flight from Mumbai to Dubai on {DAY} {WHO}, and book it"
    refused, _ = await granted(asha, session, await asha.say(session, wish))
    assert (refused["booked"], refused["reason"], "balance" in refused["detail"]) == (False, "supplier_refused", True)
    assert await admin.value("SELECT state FROM tool_calls WHERE tool = 'book_flight'") == "failed"
    assert await admin.value("SELECT count(*) FROM bookings") == 0
    standin[0].account(TOKEN).is_empty = False
    booked, _ = await granted(asha, session, await asha.say(session, wish))
    assert booked["booked"] is True
    statuses = await admin.db.fetch("SELECT status FROM pending_approvals")
    assert [row["status"] for row in statuses] == ["granted", "granted"]


async def test_t26_a_fare_that_needs_a_passport_is_booked_once_it_is_on_file(
    asha: Any, admin: Any, standin: tuple[Standin, str]
) -> None:
    account = standin[0].account(TOKEN)
    account.wants_documents = True
    session, number = await asha.session(), "Z8172635"
    wish = f"Find a flight from Mumbai to Dubai on {DAY} {WHO}"
    events = await asha.say(session, f"{wish}, and book it")
    output = [event.data["tool_output"] for event in events if event.kind == "tool_result"][-1]
    assert (output["reason"], "passport_number" in output["detail"]) == ("passenger_incomplete", True)
    assert "approval_request" not in [event.kind for event in events]
    events = await asha.say(session, f"{wish}, passport {number} issued by IN expires 2035-01-01, and book it")
    booked, rest = await granted(asha, session, events)
    assert booked["booked"] is True
    (order,) = account.orders.values()
    assert order["passengers"][0]["identity_documents"] == [
        {"type": "passport", "unique_identifier": number, "issuing_country_code": "IN", "expires_on": "2035-01-01"}
    ]
    assert number not in "".join(event.raw.decode() for event in [*events, *rest])
    saved = await admin.value("SELECT inputs->>'passport_number' FROM audit_events WHERE inputs ? 'passport_number'")
    assert saved == "***2635"
    found = await asha.get("/reports/itinerary", params={"session_id": session})
    assert found["passengers"] == [{"full_name": "Asha Rao", "passport_number": number}]


async def test_b45_two_agencies_search_with_their_own_tokens(
    running: Any, asha: Any, standin: tuple[Standin, str]
) -> None:
    other = await running.sign_up("other")
    await credentials.put(running.settings, other.user["tenant_id"], "duffel", OTHER)
    wish = f"Find a flight from Mumbai to Dubai on {DAY}"
    for person, counts in ((asha, [1, 0]), (other, [1, 1])):
        await person.say(await person.session(), wish)
        assert [len(standin[0].account(token).requests) for token in (TOKEN, OTHER)] == counts
