"""The ticketing desk on duffel: what tools say of refusals, lost answers, two clocks, names and cancellations."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from tests.actors.agent.tools.office import DAY, Office
from voyagent.storage.travel import expired_holds


async def test_t24_an_empty_balance_is_a_refusal_and_no_booking(office: Office) -> None:
    output = await office.booked("Q12")
    assert (output.state, output["booked"], output["reason"]) == ("failed", False, "supplier_refused")
    assert "balance" in output["detail"]
    assert await office.desk.count("bookings") == 0


@pytest.mark.parametrize(
    ("row", "reason"), [("Q05", "supplier_refused"), ("Q09", "offer_expired"), ("Q11", "supplier_refused")]
)
async def test_t23_a_refused_order_says_why(office: Office, row: str, reason: str) -> None:
    output = await office.booked(row)
    assert (output.state, output["booked"], output["reason"]) == ("failed", False, reason)
    assert await office.desk.count("bookings") == 0


@pytest.mark.parametrize("row", ["Q01", "Q02", "Q07", "Q18"])
async def test_t23_an_order_whose_answer_was_lost_is_booked_once_with_its_tickets(office: Office, row: str) -> None:
    output = await office.booked(row)
    assert (output["booked"], output["status"]) == (True, "ticketed")
    pnr = await office.desk.read("read_pnr", locator=output["locator"])
    assert [ticket["status"] for ticket in pnr["tickets"]] == ["open"]
    assert (await office.desk.count("bookings"), len(office.account.orders)) == (1, 1)


async def test_t23_an_order_that_is_not_found_is_unknown_and_not_failed(office: Office) -> None:
    output = await office.booked("Q03")
    assert output.state == "unknown"
    assert str(output["error"]).startswith("outcome_unknown: ")
    assert await office.desk.count("bookings") == 0


async def test_t23_a_call_cut_off_by_a_restart_is_looked_up_and_never_sent_again(office: Office) -> None:
    given, key = await office.order(), await office.desk.agency.call("book_flight")
    gate = await office.do(office.desk.gate(**given))
    first = await office.place(bound=gate.bound, key=key, again=True, **given)
    assert first.state == "unknown"
    assert len(office.account.orders) == 0
    await office.place(bound=gate.bound, key=key, **given)
    again = await office.place(bound=gate.bound, key=key, again=True, **given)
    assert again["booked"] is True
    assert (len(office.account.orders), await office.desk.count("bookings")) == (1, 1)


async def test_an_order_confirmed_at_another_price_is_recorded_as_it_was_confirmed(office: Office) -> None:
    output = await office.booked("Q20")
    assert (output["booked"], output["price"]) == (True, "EUR 149.50")


async def test_a_price_that_rose_since_the_search_is_refused_before_anybody_is_asked(office: Office) -> None:
    output = await office.check(**await office.order("Q14"))
    assert output["reason"] == "price_changed"
    assert "GBP 119.00" in output["detail"]


async def test_t25_a_hold_that_costs_more_is_asked_for_again_at_its_new_price(office: Office) -> None:
    held = await office.held("Q31")
    assert (held["held"], held["price"], held["status"]) == (True, "AUD 287.58", "tentative")
    before = await office.do(office.desk.gate(booking_id=held["booking_id"]))
    await office.clock.advance(50 * 3600)
    late = await office.place(bound=before.bound, booking_id=held["booking_id"])
    assert late["reason"] == "changed_since_approval"
    told = await office.check(booking_id=held["booking_id"])
    assert (told["reason"], "AUD 301.20" in told["detail"]) == ("price_changed", True)
    gate = await office.do(office.desk.gate(booking_id=held["booking_id"]))
    assert "AUD 301.20" in gate.summary
    paid = await office.place(bound=gate.bound, booking_id=held["booking_id"])
    assert (paid["booked"], paid["price"], paid["status"]) == (True, "AUD 301.20", "ticketed")
    assert (office.account.payments, await office.desk.count("bookings")) == (1, 1)
    assert await office.desk.count("tickets") == 1


async def test_t25_an_approval_ends_with_the_hold_and_the_hold_at_its_deadline(office: Office) -> None:
    held = await office.held()
    deadline = office.clock.now() + timedelta(hours=72)
    await office.clock.advance(71 * 3600 + 40 * 60)
    gate = await office.do(office.desk.gate(booking_id=held["booking_id"]))
    assert gate.expires_at <= deadline
    assert deadline - gate.expires_at < timedelta(minutes=2)
    await office.clock.advance(20 * 60)
    for output in (
        await office.place(bound=gate.bound, booking_id=held["booking_id"]),
        await office.check(booking_id=held["booking_id"]),
    ):
        assert output["reason"] == "hold_expired"
    expire = expired_holds.Expire(tenant_id=office.desk.agency.tenant_id, now=office.clock.now())
    assert await office.desk.agency.store.ask(expire) == 1
    assert (await office.check(booking_id=held["booking_id"]))["reason"] == "hold_expired"
    assert office.account.payments == 0


async def test_t25_an_offer_without_a_deadline_cannot_be_held(office: Office) -> None:
    fare = await office.fare("Q16")
    assert fare["hold_possible"] is False
    output = await office.place("hold_flight", fare_id=fare["fare_id"], passenger_ids=[await office.person()])
    assert output["reason"] == "hold_not_supported"


async def test_t26_what_a_person_lacks_is_told_at_once_before_anybody_is_asked(office: Office) -> None:
    fare = await office.fare()
    bare = await office.desk.person("Lan Nguyễn", gender="X")
    output = await office.check(fare_id=fare["fare_id"], passenger_ids=[bare])
    assert output["reason"] == "passenger_incomplete"
    for word in ("title", "date_of_birth", "email", "phone", "gender X", "characters"):
        assert word in output["detail"]
    assert office.account.orders == {}


async def test_t26_a_single_name_is_not_made_up(office: Office) -> None:
    fare = await office.fare()
    prince = await office.person("Prince")
    output = await office.check(fare_id=fare["fare_id"], passenger_ids=[prince])
    assert output["reason"] == "passenger_incomplete"
    assert "given_name" in output["detail"]


async def test_t26_a_fare_that_needs_passports_is_refused_before_anybody_is_asked(office: Office) -> None:
    given = await office.order("Q15")
    output = await office.check(**given)
    assert (output["reason"], "passport_number" in output["detail"]) == ("passenger_incomplete", True)
    passport = {"passport_number": "Z1234567", "passport_expiry": "2031-01-01", "passport_country": "IN"}
    await office.person(passenger_id=given["passenger_ids"][0], **passport)
    gate = await office.do(office.desk.gate(**given))
    assert "Z1234567" not in gate.summary + str(gate.bound)
    assert (await office.place(bound=gate.bound, **given))["booked"] is True
    (order,) = office.account.orders.values()
    assert order["passengers"][0]["identity_documents"][0]["unique_identifier"] == "Z1234567"


async def test_a_passport_that_was_replaced_after_the_approval_is_approved_again(office: Office) -> None:
    given = await office.order("Q15")
    asha = {"passenger_id": given["passenger_ids"][0], "passport_expiry": "2031-01-01", "passport_country": "IN"}
    await office.person(passport_number="Z1234567", **asha)
    gate = await office.do(office.desk.gate(**given))
    await office.person(passport_number="Z7654321", **asha)
    output = await office.place(bound=gate.bound, **given)
    assert output["reason"] == "changed_since_approval"
    assert office.account.orders == {}


async def test_t26_two_persons_of_one_name_are_refused_before_anybody_is_asked(office: Office) -> None:
    found = await office.do(office.desk.read("search_flights", destination="DXB", passengers={"adult": 2}, **DAY))
    pair = [await office.person(), await office.person(email="other@example.com")]
    output = await office.check(fare_id=found["fares"][0]["fare_id"], passenger_ids=pair)
    assert output["reason"] == "supplier_refused"
    assert "duplicate_passenger_name" in output["detail"]


async def test_k5_a_search_with_children_needs_their_ages(office: Office) -> None:
    party = {"adult": 1, "child": 1}
    output = await office.do(office.desk.read("search_flights", destination="DXB", passengers=party, **DAY))
    assert str(output["error"]).startswith("validation_failed: ")
    found = await office.do(office.desk.read("search_flights", destination="DXB", passengers=party, ages=[9], **DAY))
    child = await office.person("Anu Rao", date_of_birth="2017-03-01", type="child")
    wrong = await office.person("Tara Rao", date_of_birth="2019-03-01", type="child")
    asha, fare_id = await office.person(), found["fares"][0]["fare_id"]
    assert (await office.check(fare_id=fare_id, passenger_ids=[asha, wrong]))["reason"] == "passenger_incomplete"
    gate = await office.do(office.desk.gate(fare_id=fare_id, passenger_ids=[asha, child]))
    booked = await office.place(bound=gate.bound, fare_id=fare_id, passenger_ids=[asha, child])
    assert booked["booked"] is True
    assert await office.desk.count("tickets") == 2


async def test_tickets_that_follow_a_booking_are_recorded_when_they_are_there(office: Office) -> None:
    booked = await office.booked("Q30")
    assert booked["status"] == "confirmed"
    early = await office.check("issue_ticket", pnr_id=booked["booking_id"])
    assert early["reason"] == "tickets_not_ready"
    await office.clock.advance(61)
    gate = await office.do(office.desk.gate("issue_ticket", pnr_id=booked["booking_id"]))
    assert gate.summary.startswith(
        f"Issue the tickets of {booked['locator']}; GBP 100.00; supplier duffel; ZZ 4010 BOM-Q30"
    )
    assert gate.summary.endswith("; Asha Rao")
    key = await office.desk.agency.call("issue_ticket")
    for again in (False, True):
        issued = await office.place("issue_ticket", bound=gate.bound, key=key, again=again, pnr_id=booked["booking_id"])
        assert [ticket["status"] for ticket in issued["tickets"]] == ["open"]
    pnr = await office.desk.read("read_pnr", locator=booked["locator"])
    assert (pnr["status"], len(pnr["tickets"])) == ("ticketed", 1)
    assert await office.desk.count("tickets") == 1


async def test_tickets_of_what_is_no_booking_are_not_issued(office: Office) -> None:
    held = await office.held()
    assert (await office.check("issue_ticket", pnr_id=held["booking_id"]))["reason"] == "invalid_status"
    assert (await office.check("issue_ticket", pnr_id="nobody"))["reason"] == "not_found"


async def cancelling(office: Office, row: str = "DXB") -> tuple[str, Any]:
    booked = await office.booked(row)
    gate = await office.do(office.desk.gate("cancel_flight_order", booking_id=booked["booking_id"]))
    return booked["booking_id"], gate


async def test_a_cancellation_confirms_the_quote_that_was_approved(office: Office) -> None:
    booking, gate = await cancelling(office)
    assert "refund GBP 70.00; to balance; paid GBP 100.00" in gate.summary
    done = await office.place("cancel_flight_order", bound=gate.bound, booking_id=booking)
    assert (done["cancelled"], done["status"], done["refund"], done["refund_to"]) == (
        True,
        "cancelled",
        "GBP 70.00",
        "balance",
    )
    row = await office.desk.agency.db.fetchrow("SELECT status, refund, refund_currency FROM bookings")
    assert (row["status"], f"{row['refund']:.2f}", row["refund_currency"]) == ("cancelled", "70.00", "GBP")
    again = await office.check("cancel_flight_order", booking_id=booking)
    assert again["reason"] == "not_cancellable"


async def test_k10_a_refund_nobody_states_reads_unknown_to_humans_and_null_to_the_model(office: Office) -> None:
    booking, gate = await cancelling(office, "Q22")
    assert "refund unknown; to airline_credits" in gate.summary
    done = await office.place("cancel_flight_order", bound=gate.bound, booking_id=booking)
    assert (done["refund"], done["refund_to"]) == (None, "airline_credits")


async def test_a_quote_that_expired_or_was_replaced_is_not_confirmed(office: Office) -> None:
    booking, gate = await cancelling(office)
    await office.do(office.desk.gate("cancel_flight_order", booking_id=booking))
    replaced = await office.place("cancel_flight_order", bound=gate.bound, booking_id=booking)
    assert replaced["reason"] == "quote_expired"
    newest = await office.do(office.desk.gate("cancel_flight_order", booking_id=booking))
    await office.clock.advance(31 * 60)
    late = await office.place("cancel_flight_order", bound=newest.bound, booking_id=booking)
    assert late["reason"] == "quote_expired"
    changed = await office.do(office.desk.gate("cancel_flight_order", booking_id=booking))
    other = changed.bound | {"refund": {"amount": "99", "currency": "GBP"}}
    output = await office.place("cancel_flight_order", bound=other, booking_id=booking)
    assert output["reason"] == "changed_since_approval"
    assert all(order["cancelled_at"] is None for order in office.account.orders.values())


async def test_a_confirmation_whose_answer_was_lost_is_a_cancellation(office: Office) -> None:
    booking, gate = await cancelling(office, "Q34")
    key = await office.desk.agency.call("cancel_flight_order")
    done = await office.place("cancel_flight_order", bound=gate.bound, key=key, booking_id=booking)
    assert done["cancelled"] is True
    again = await office.place("cancel_flight_order", bound=gate.bound, key=key, again=True, booking_id=booking)
    assert again["cancelled"] is True


async def test_what_cannot_be_cancelled_says_so(office: Office) -> None:
    booked = await office.booked("Q23")
    assert (await office.check("cancel_flight_order", booking_id=booked["booking_id"]))["reason"] == "not_cancellable"
    assert (await office.check("cancel_flight_order", booking_id="nobody"))["reason"] == "not_found"


async def test_a_hold_that_was_paid_after_its_cancellation_was_approved_is_not_cancelled(office: Office) -> None:
    held = {"booking_id": (await office.held())["booking_id"]}
    cancelling_it = await office.do(office.desk.gate("cancel_flight_order", **held))
    assert "refund GBP 0.00; to awaiting_payment; not paid" in cancelling_it.summary
    paying_it = await office.do(office.desk.gate(**held))
    assert (await office.place(bound=paying_it.bound, **held))["booked"] is True
    output = await office.place("cancel_flight_order", bound=cancelling_it.bound, **held)
    assert output["reason"] == "changed_since_approval"
    assert all(order["cancelled_at"] is None for order in office.account.orders.values())


async def test_a_hold_is_bought_with_the_flights_it_has_now(office: Office) -> None:
    held = {"booking_id": (await office.held())["booking_id"]}
    approved = await office.do(office.desk.gate(**held))
    [order] = office.account.orders.values()
    order["slices"] = copy.deepcopy(order["slices"])
    for flight in (flight for way in order["slices"] for flight in way["segments"]):
        flight["departing_at"], flight["arriving_at"] = "2026-12-06T01:10:00", "2026-12-06T09:55:00"
    output = await office.place(bound=approved.bound, **held)
    assert output["reason"] == "changed_since_approval"
    assert office.account.payments == 0
    again = await office.do(office.desk.gate(**held))
    assert "BOM-DXB 2026-12-06 01:10" in again.summary
    assert (await office.place(bound=again.bound, **held))["booked"] is True
