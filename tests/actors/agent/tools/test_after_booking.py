"""What follows a booking at the desks: tickets and cancellations, quoted, approved, and executed once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from voyagent.actors.domain.money import Money
from voyagent.actors.suppliers.clients import AgencySuppliers
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
from voyagent.actors.suppliers.protocols import SupplierError

STAY = {"country": "AE", "city": "Dubai", "check_in": "2026-12-20", "check_out": "2026-12-23", "guests": 2}
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


async def booked(desk: Any) -> dict[str, Any]:
    """A booking of a flight that can be held, which is refundable."""
    given = await desk.ready(hold=True, outbound_date="2026-12-20")
    gate = await desk.gate(**given)
    return dict(await desk.place(bound=gate.bound, **given))


async def held(desk: Any) -> dict[str, Any]:
    given = await desk.ready(hold=True, outbound_date="2026-12-20")
    return dict(await desk.place("hold_flight", **given))


async def stayed(desk: Any, *, refundable: bool = True) -> dict[str, Any]:
    found = await desk.read("search_hotels", **STAY)
    keys = [key for place in found["results"] for key in place["rate_keys"]]
    checked = [await desk.read("check_hotel_rate", rate_key=key) for key in keys[:4]]
    key = next(each["rate_key"] for each in checked if each["is_refundable"] == refundable)
    given = {"rate_key": key, "passenger_ids": [await desk.person()]}
    gate = await desk.gate("book_hotel", **given)
    return dict(await desk.place("book_hotel", bound=gate.bound, **given))


async def test_an_approved_ticket_is_issued_recorded_and_read(desk: Any) -> None:
    booking = await booked(desk)
    gate = await desk.gate("issue_ticket", pnr_id=booking["booking_id"])
    assert gate.summary.startswith(f"Issue the tickets of {booking['locator']}; {booking['price']}; supplier house; ")
    assert gate.summary.endswith("; Asha Rao")
    assert gate.bound["persons"] == ["Asha Rao"]
    issued = await desk.place("issue_ticket", bound=gate.bound, pnr_id=booking["booking_id"])
    assert list(issued) == ["issued", "tickets"]
    [ticket] = issued["tickets"]
    assert (ticket["number"][3:], ticket["status"]) == ("2400000001", "open")
    read = await desk.read("read_pnr", locator=booking["locator"])
    assert (read["status"], read["tickets"]) == ("ticketed", issued["tickets"])
    gate = await desk.gate("issue_ticket", pnr_id=booking["booking_id"])
    again = await desk.place("issue_ticket", bound=gate.bound, pnr_id=booking["booking_id"])
    assert again == issued
    assert await desk.count("tickets") == 1


async def test_a_ticket_is_issued_for_what_is_booked_and_paid(desk: Any) -> None:
    hold = await held(desk)
    output = await desk.check("issue_ticket", pnr_id=hold["booking_id"])
    assert output["reason"] == "invalid_status"
    stay = await stayed(desk)
    for unknown in ("nobody", NOBODY, stay["booking_id"]):
        assert (await desk.check("issue_ticket", pnr_id=unknown))["reason"] == "not_found"


async def test_persons_that_changed_after_the_approval_are_asked_for_again(desk: Any) -> None:
    booking = await booked(desk)
    gate = await desk.gate("issue_ticket", pnr_id=booking["booking_id"])
    person = await desk.agency.db.fetchval("SELECT id::text FROM passengers")
    await desk.plan("upsert_passenger", full_name="Asha Menon", passenger_id=person)
    output = await desk.place("issue_ticket", bound=gate.bound, pnr_id=booking["booking_id"])
    assert output["reason"] == "changed_since_approval"
    assert await desk.count("tickets") == 0


async def test_a_ticket_whose_answer_was_lost_is_found_and_issued_once(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = await booked(desk)
    gate = await desk.gate("issue_ticket", pnr_id=booking["booking_id"])
    issue = EmbeddedInventory.issue

    async def lost(*arguments: Any) -> Any:
        await issue(*arguments)
        raise SupplierError("transient", "the line went dead")

    monkeypatch.setattr(EmbeddedInventory, "issue", lost)
    key = await desk.agency.call("issue_ticket")
    asked = {"bound": gate.bound, "key": key, "pnr_id": booking["booking_id"]}
    first = await desk.place("issue_ticket", **asked)
    assert first["issued"] is True
    second = await desk.place("issue_ticket", again=True, **asked)
    assert second["tickets"] == first["tickets"]
    assert await desk.count("tickets") == 1


async def test_a_ticket_that_is_being_issued_when_its_call_is_resumed_is_awaited(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = await booked(desk)
    gate = await desk.gate("issue_ticket", pnr_id=booking["booking_id"])
    issue, begun, go_on = EmbeddedInventory.issue, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await issue(*arguments)

    monkeypatch.setattr(EmbeddedInventory, "issue", slow)
    asked = {"bound": gate.bound, "key": await desk.agency.call("issue_ticket"), "pnr_id": booking["booking_id"]}
    cut_off = asyncio.ensure_future(desk.place("issue_ticket", **asked))
    await begun.wait()
    cut_off.cancel()
    person = await desk.agency.db.fetchval("SELECT id::text FROM passengers")
    await desk.plan("upsert_passenger", full_name="Asha Menon", passenger_id=person)
    resumed = asyncio.ensure_future(desk.place("issue_ticket", again=True, **asked))
    await asyncio.wait({resumed}, timeout=0.5)  # it has no answer before the supplier has one
    go_on.set()
    assert (await resumed)["issued"] is True
    assert await desk.count("tickets") == 1


async def test_the_refund_is_quoted_and_shown_before_anybody_is_asked(desk: Any) -> None:
    booking = await booked(desk)
    gate = await desk.gate("cancel_flight_order", booking_id=booking["booking_id"])
    price = Money.read(booking["price"])
    returned = price - Money.of(price.times(25).amount.scaleb(-2), price.currency).rounded()
    assert gate.summary.startswith(
        f"Cancel {booking['locator']}; refund {returned.text}; to balance; paid {price.text}; supplier house; quote "
    )
    assert gate.summary.endswith("; Asha Rao")
    assert gate.bound["persons"] == ["Asha Rao"]
    assert gate.expires_at == desk.clock.now() + timedelta(minutes=20)
    done = await desk.place("cancel_flight_order", bound=gate.bound, booking_id=booking["booking_id"])
    assert dict(done) == {
        "cancelled": True,
        "booking_id": booking["booking_id"],
        "status": "cancelled",
        "refund": returned.text,
        "refund_to": "balance",
    }
    row = await desk.agency.db.fetchrow("SELECT status, refund, refund_currency FROM bookings")
    assert (row["status"], Money.of(row["refund"], row["refund_currency"]).text) == ("cancelled", returned.text)
    again = await desk.check("cancel_flight_order", booking_id=booking["booking_id"])
    assert again["reason"] == "not_cancellable"


async def test_a_grant_confirms_that_very_quote_and_no_other(desk: Any) -> None:
    booking = await booked(desk)
    asked = {"booking_id": booking["booking_id"]}
    first = await desk.gate("cancel_flight_order", **asked)
    second = await desk.gate("cancel_flight_order", **asked)
    assert (await desk.place("cancel_flight_order", bound=first.bound, **asked))["reason"] == "quote_expired"
    other = second.bound | {"refund": {"amount": "1", "currency": "INR"}}
    changed = await desk.place("cancel_flight_order", bound=other, **asked)
    assert changed["reason"] == "changed_since_approval"
    await desk.clock.advance(20 * 60)
    assert (await desk.place("cancel_flight_order", bound=second.bound, **asked))["reason"] == "quote_expired"
    assert await desk.agency.db.fetchval("SELECT status FROM bookings") == "confirmed"


async def test_a_hold_is_cancelled_as_not_paid(desk: Any) -> None:
    hold = await held(desk)
    gate = await desk.gate("cancel_flight_order", booking_id=hold["booking_id"])
    assert "refund INR 0.00; to awaiting_payment; not paid; " in gate.summary
    done = await desk.place("cancel_flight_order", bound=gate.bound, booking_id=hold["booking_id"])
    assert done["refund"] == "INR 0.00"
    assert (await desk.check(booking_id=hold["booking_id"]))["reason"] == "invalid_status"


async def test_the_tickets_of_a_cancelled_booking_are_refunded(desk: Any) -> None:
    booking = await booked(desk)
    gate = await desk.gate("issue_ticket", pnr_id=booking["booking_id"])
    await desk.place("issue_ticket", bound=gate.bound, pnr_id=booking["booking_id"])
    gate = await desk.gate("cancel_flight_order", booking_id=booking["booking_id"])
    await desk.place("cancel_flight_order", bound=gate.bound, booking_id=booking["booking_id"])
    read = await desk.read("read_pnr", locator=booking["locator"])
    assert (read["status"], read["tickets"][0]["status"]) == ("cancelled", "refunded")


async def test_tickets_that_are_recorded_after_the_cancellation_are_not_open(desk: Any) -> None:
    booking = await booked(desk)
    gate = await desk.gate("issue_ticket", pnr_id=booking["booking_id"])
    key = await desk.agency.call("issue_ticket")
    await desk.context.suppliers.named("house").issue(gate.bound["supplier_ref"], key)  # and its call was cut off
    cancelling = await desk.gate("cancel_flight_order", booking_id=booking["booking_id"])
    await desk.place("cancel_flight_order", bound=cancelling.bound, booking_id=booking["booking_id"])
    late = await desk.place("issue_ticket", bound=gate.bound, key=key, again=True, pnr_id=booking["booking_id"])
    assert [ticket["status"] for ticket in late["tickets"]] == ["refunded"]
    assert (await desk.read("read_pnr", locator=booking["locator"]))["tickets"] == late["tickets"]


async def test_a_stay_is_cancelled_at_the_refund_that_was_shown(desk: Any) -> None:
    stay = await stayed(desk)
    asked = {"booking_id": stay["booking_id"]}
    price = (await desk.read("read_hotel_booking", **asked))["price"]
    gate = await desk.gate("cancel_hotel_booking", **asked)
    assert gate.summary.startswith(
        f"Cancel the stay 2026-12-20 to 2026-12-23; refund {price}; to balance; paid {price}; supplier house; quote "
    )
    assert "free of charge before 2026-12-18" in gate.summary
    assert gate.summary.endswith("; Asha Rao")
    done = await desk.place("cancel_hotel_booking", bound=gate.bound, **asked)
    assert (done["cancelled"], done["status"], done["refund"], done["refund_to"]) == (
        True,
        "cancelled",
        price,
        "balance",
    )
    assert (await desk.read("read_hotel_booking", **asked))["status"] == "cancelled"
    assert (await desk.check("cancel_hotel_booking", **asked))["reason"] == "not_cancellable"


async def test_a_rate_that_is_not_refundable_says_so_before_anybody_is_asked(desk: Any) -> None:
    stay = await stayed(desk, refundable=False)
    gate = await desk.gate("cancel_hotel_booking", booking_id=stay["booking_id"])
    assert "refund INR 0.00; to balance" in gate.summary
    assert "not refundable" in gate.summary


@pytest.mark.parametrize("tool", ["cancel_flight_order", "cancel_hotel_booking"])
async def test_each_desk_cancels_its_own_kind_of_this_agency(tool: str, desk: Any, other_agency: Any) -> None:
    flight, stay = await booked(desk), await stayed(desk)
    own, other = (flight, stay) if tool == "cancel_flight_order" else (stay, flight)
    for unknown in ("nobody", NOBODY, other["booking_id"]):
        assert (await desk.check(tool, booking_id=unknown))["reason"] == "not_found"
    ours = desk.context
    desk.context = replace(ours, tenant_id=other_agency.tenant_id)
    assert (await desk.check(tool, booking_id=own["booking_id"]))["reason"] == "not_found"
    desk.context = replace(ours, suppliers=AgencySuppliers(desk.agency.tenant_id, [], desk.agency.store))
    assert (await desk.check(tool, booking_id=own["booking_id"]))["reason"] == "capability_not_supported"


async def test_a_cancellation_looked_up_again_is_one_cancellation(desk: Any) -> None:
    stay = await stayed(desk)
    asked = {"booking_id": stay["booking_id"]}
    gate = await desk.gate("cancel_hotel_booking", **asked)
    key = await desk.agency.call("cancel_hotel_booking")
    first = await desk.place("cancel_hotel_booking", bound=gate.bound, key=key, **asked)
    later = await asyncio.gather(
        *(desk.place("cancel_hotel_booking", bound=gate.bound, key=key, again=True, **asked) for _ in range(4))
    )
    assert {frozenset(each.items()) for each in later} == {frozenset(first.items())}
    assert await desk.agency.db.fetchval("SELECT count(*) FROM house_orders WHERE state = 'cancelled'") == 1
