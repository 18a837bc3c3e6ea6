"""Holding: seats that are kept unpaid, and bought or lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.domain import ids
from voyagent.actors.suppliers.house import stock

SEARCH = {"origin": "BOM", "destination": "DXB", "outbound_date": "2026-12-05"}


def reason(output: Any) -> str:
    assert isinstance(output, dict), output
    assert output.state == "failed"
    assert output["detail"]
    return cast("str", output["reason"])


async def test_a_hold_keeps_seats_and_is_bought_later(desk: Any) -> None:
    fare = await desk.fare(hold=True)
    held = await desk.place("hold_flight", fare_id=fare["fare_id"], passenger_ids=[await desk.person()])
    assert list(held) == ["held", "booking_id", "locator", "status", "price", "hold_expires_at", "warnings"]
    assert (held["held"], held["status"], held["price"]) == (True, "tentative", fare["price"])
    await desk.clock.advance(3 * 3600)
    gate = await desk.gate(booking_id=held["booking_id"])
    assert f"hold {held['locator']} ends" in gate.summary
    assert gate.expires_at == desk.clock.now() + timedelta(hours=21)
    booked = await desk.place(bound=gate.bound, booking_id=held["booking_id"].upper())
    assert (booked["booking_id"], booked["locator"], booked["status"]) == (
        held["booking_id"],
        held["locator"],
        "confirmed",
    )
    pnr = await desk.read("read_pnr", locator=held["locator"])
    assert (pnr["status"], pnr["hold_expires_at"], pnr["passenger_count"]) == ("confirmed", None, 1)
    assert await desk.count("bookings") == 1
    assert reason(await desk.check(booking_id=held["booking_id"])) == "invalid_status"


async def test_a_hold_that_cannot_be_bought_says_why(desk: Any) -> None:
    fare = await desk.fare(hold=True)
    held = await desk.place("hold_flight", fare_id=fare["fare_id"], passenger_ids=[await desk.person()])
    gate = await desk.gate(booking_id=held["booking_id"])
    assert reason(await desk.check(booking_id=ids.uuid7())) == "not_found"
    assert reason(await desk.check(booking_id="nobody")) == "not_found"
    desk.house.surcharge = 5
    assert reason(await desk.check(booking_id=held["booking_id"])) == "price_changed"
    assert reason(await desk.place(bound=gate.bound, booking_id=held["booking_id"])) == "changed_since_approval"
    desk.house.surcharge = 0
    await desk.clock.advance(24 * 3600)
    assert reason(await desk.check(booking_id=held["booking_id"])) == "hold_expired"
    assert reason(await desk.place(bound=gate.bound, booking_id=held["booking_id"])) == "hold_expired"


async def test_a_hold_refuses_what_it_cannot_hold(desk: Any) -> None:
    found = await desk.read("search_flights", **SEARCH)
    cheap = next(fare for fare in found["fares"] if not fare["hold_possible"])
    person = await desk.person()
    assert (
        reason(await desk.place("hold_flight", fare_id=cheap["fare_id"], passenger_ids=[person]))
        == "hold_not_supported"
    )
    assert reason(await desk.place("hold_flight", fare_id="nobody", passenger_ids=[person])) == "offer_not_found"
    desk.house.surcharge = 5
    fare = (await desk.fare(hold=True))["fare_id"]
    assert reason(await desk.place("hold_flight", fare_id=fare, passenger_ids=[person])) == "price_changed"
    assert await desk.count("house_orders") == 0


async def test_a_hold_cut_short_is_found_again_after_its_fare_has_expired(desk: Any) -> None:
    fare = await desk.fare(hold=True)
    given = {"fare_id": fare["fare_id"], "passenger_ids": [await desk.person()]}
    key = await desk.agency.call("hold_flight")
    tool = CATALOGUE["hold_flight"]
    await tool.place(tool.parse(given), {}, key, desk.context)
    await desk.clock.advance(3600)
    held = await desk.place("hold_flight", key=key, again=True, **given)
    assert held["held"] is True
    assert (await desk.count("house_orders"), await desk.count("bookings")) == (1, 1)


async def test_the_last_seat_is_held_once_and_the_model_is_told_what_to_do(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "_stock", lambda *_: 1)
    fares = (await desk.read("search_flights", **SEARCH))["fares"]
    fare = next(each for each in fares if each["hold_possible"])
    assert {each["seats_left"] for each in fares} == {1}
    given = {"fare_id": fare["fare_id"], "passenger_ids": [await desk.person()]}
    assert (await desk.place("hold_flight", **given))["held"] is True
    for late in (await desk.place("hold_flight", **given), await desk.check("book_flight", **given)):
        assert (late.state, late["reason"]) == ("failed", "sold_out")
        assert late["detail"].startswith("None of the economy seats on ")
        assert late["detail"].endswith(" are left, and 1 are needed: search again.")
    again = (await desk.read("search_flights", **SEARCH))["fares"]
    assert fare["source_ref"] not in [each["source_ref"] for each in again]
    assert await desk.count("bookings") == 1
