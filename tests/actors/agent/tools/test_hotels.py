"""Rooms: searching, checking a rate, and booking what a human was shown, once."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.supplier_tool import Executed, SupplierTool
from voyagent.actors.domain import ids
from voyagent.actors.domain.audit import canonical
from voyagent.actors.domain.money import Money
from voyagent.actors.suppliers.clients import AgencySuppliers
from voyagent.actors.suppliers.house import stock
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.storage.travel.offer_cache import OfferCache

SEARCH = {"country": "AE", "city": "Dubai", "check_in": "2026-12-05", "check_out": "2026-12-07", "guests": 2}


def reason(output: Any) -> str:
    assert isinstance(output, dict), output
    assert output.state == "failed"
    assert output["detail"]
    return cast("str", output["reason"])


async def rate_key(desk: Any, **searched: Any) -> str:
    return cast("str", (await desk.read("search_hotels", **SEARCH | searched))["results"][0]["rate_keys"][0])


async def ready(desk: Any) -> dict[str, Any]:
    """The input of a booking that could be made."""
    return {"rate_key": await rate_key(desk), "passenger_ids": [await desk.person()]}


async def test_a_search_tells_properties_cheapest_first_and_rates_that_can_be_booked(desk: Any) -> None:
    found = await desk.read("search_hotels", **SEARCH)
    assert list(found) == ["count", "results"]
    assert found["count"] == len(found["results"]) == 3
    prices = [Money.read(place["from_price"]).amount for place in found["results"]]
    assert prices == sorted(prices)
    place = found["results"][0]
    assert list(place) == [
        "property_id",
        "name",
        "city",
        "country",
        "star_rating",
        "rate_count",
        "from_price",
        "rate_keys",
        "valid_until",
        "rates",
    ]
    assert [rate["rate_key"] for rate in place["rates"]] == place["rate_keys"]
    assert list(place["rates"][0]) == ["rate_key", "room", "board_basis", "price", "is_refundable", "rooms_left"]
    assert (place["rates"][0]["price"], place["rates"][0]["rooms_left"] >= 9) == (place["from_price"], True)
    assert place["rate_count"] == len(place["rate_keys"])
    assert place["from_price"].startswith("INR ")
    checked = [await desk.read("check_hotel_rate", rate_key=key) for key in place["rate_keys"]]
    amounts = [Money.read(each["price"]).amount for each in checked]
    assert amounts == sorted(amounts)
    assert checked[0]["price"] == place["from_price"]


async def test_a_city_is_found_however_it_is_typed_and_an_unknown_one_is_refused(desk: Any) -> None:
    shown = (await desk.read("search_hotels", **SEARCH))["count"]
    assert (await desk.read("search_hotels", **SEARCH | {"city": " DUBAI"}))["count"] == shown
    told = await desk.read("search_hotels", **SEARCH | {"city": "Atlantis"})
    assert told == {"error": "validation_failed: no hotel is sold in Atlantis (AE)"}
    told = await desk.read("search_hotels", **SEARCH | {"country": "IN"})
    assert told == {"error": "validation_failed: no hotel is sold in Dubai (IN)"}


async def test_a_budget_is_held_against_prices_of_its_own_currency_alone(desk: Any) -> None:
    first = (await desk.read("search_hotels", **SEARCH, currency="AED"))["results"][0]
    limit = Money.read(first["from_price"])
    assert limit.currency == "AED"
    found = await desk.read("search_hotels", **SEARCH, currency="AED", budget_max=f"{limit.amount:f}")
    assert [(place["name"], place["rate_count"]) for place in found["results"]] == [(first["name"], 1)]
    # the house does not count in this one and answers in dollars: nothing is compared across currencies
    told = await desk.read("search_hotels", **SEARCH, currency="AMD", budget_max="100000")
    assert told["error"].startswith("validation_failed: rates are in USD, the budget in AMD")
    assert (await desk.read("search_hotels", **SEARCH, currency="AMD"))["results"][0]["from_price"].startswith("USD ")


async def test_a_checked_rate_is_told_with_its_terms_and_kept(desk: Any) -> None:
    key = await rate_key(desk)
    checked = await desk.read("check_hotel_rate", rate_key=key)
    contracted = ["checked", "rate_key", "price", "is_refundable", "board_basis", "valid_until"]
    assert list(checked) == [*contracted, "room", "cancellation", "rooms_left"]
    assert (checked["room"], checked["cancellation"]) == ("Double room", "not refundable")
    assert (checked["checked"], checked["rate_key"], checked["board_basis"]) == (True, key, "RO")
    assert checked["valid_until"] == f"{desk.clock.now() + timedelta(minutes=20):%Y-%m-%dT%H:%M:%S.%fZ}"
    row = await desk.agency.db.fetchrow("SELECT * FROM offers")
    assert (row["id"], row["kind"], row["supplier"]) == (key, "hotel", "house")


async def test_the_last_room_is_sold_once_and_the_model_is_told_what_to_do(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "_stock", lambda *_: 1)
    given = {"rate_key": await rate_key(desk), "passenger_ids": [await desk.person()]}
    gates = [await desk.gate("book_hotel", **given) for _ in range(2)]
    assert (await desk.place("book_hotel", bound=gates[0].bound, **given))["booked"] is True
    late = await desk.place("book_hotel", bound=gates[1].bound, **given)
    assert (late.state, late["reason"]) == ("failed", "sold_out")
    assert late["detail"] == "None of the double rooms on 2026-12-05 are left, and 1 are needed: search again."
    assert (await desk.check("book_hotel", **given))["reason"] == "sold_out"
    assert (await desk.read("check_hotel_rate", rate_key=given["rate_key"]))["reason"] == "sold_out"
    assert await desk.count("bookings") == 1


async def test_a_rate_that_is_gone_or_nobodys_is_told_apart(desk: Any, other_agency: Any) -> None:
    key = await rate_key(desk)
    fare = (await desk.fare())["fare_id"]
    for unknown in ("nobody", fare):
        assert reason(await desk.read("check_hotel_rate", rate_key=unknown)) == "offer_not_found"
    ours = desk.context
    desk.context = replace(ours, suppliers=AgencySuppliers(desk.agency.tenant_id, [], desk.agency.store))
    assert reason(await desk.read("check_hotel_rate", rate_key=key)) == "capability_not_supported"
    refused = await desk.read("search_hotels", **SEARCH)
    assert refused["error"].startswith("capability_not_supported: ")
    desk.context = replace(ours, tenant_id=other_agency.tenant_id)
    assert reason(await desk.read("check_hotel_rate", rate_key=key)) == "offer_not_found"
    desk.context = ours
    await desk.clock.advance(20 * 60)
    assert reason(await desk.read("check_hotel_rate", rate_key=key)) == "offer_expired"


async def test_a_stay_is_put_to_a_human_with_all_that_matters_on_one_line(desk: Any) -> None:
    people = [await desk.person("Asha Rao"), await desk.person("Ravi Rao")]
    key = await rate_key(desk)
    gate = await desk.gate("book_hotel", rate_key=key, passenger_ids=people, buyer_reference="PO-7")
    price = (await desk.read("check_hotel_rate", rate_key=key))["price"]
    assert "\n" not in gate.summary
    for part in (
        gate.bound["property"]["name"],
        "Dubai AE",
        "2026-12-05 to 2026-12-07 (2 nights)",
        "2 guests: Asha Rao, Ravi Rao",
        "RO",
        "not refundable",
        price,
        "supplier house",
        "reference PO-7",
        f"ends {gate.expires_at:%Y-%m-%d %H:%M} UTC",
    ):
        assert part in gate.summary
    bound = gate.bound
    assert json.loads(canonical(bound)) == bound
    assert (bound["check_in"], bound["check_out"], bound["guests"]) == ("2026-12-05", "2026-12-07", 2)
    assert [person["name"] for person in bound["persons"]] == ["Asha Rao", "Ravi Rao"]
    asked_again = await desk.gate("book_hotel", rate_key=key, passenger_ids=people, buyer_reference="PO-7")
    assert asked_again.bound == bound


async def test_the_longest_summary_of_a_stay_still_fits(desk: Any) -> None:
    found = await desk.read("search_hotels", **SEARCH | {"guests": 18})
    people = [await desk.person(f"{'Wolfeschlegelstein' * 12} {place}") for place in range(18)]
    key = found["results"][0]["rate_keys"][0]
    gate = await desk.gate("book_hotel", rate_key=key, passenger_ids=people, buyer_reference="x" * 128)
    assert len(gate.summary) <= 1024
    assert "supplier house" in gate.summary


FAMILY = {**SEARCH, "guests": 4, "rooms": 2, "children_ages": [5, 10]}


async def family(desk: Any, *born: str) -> list[str]:
    """An adult and children born on these days."""
    children = [await desk.person(f"Child {day}", type="child", date_of_birth=day) for day in born]
    return [await desk.person("Asha Rao", date_of_birth="1990-04-02"), *children]


async def test_t27_rooms_and_ages_that_were_searched_are_approved_and_booked(desk: Any) -> None:
    key = await rate_key(desk, **FAMILY)
    given = {"rate_key": key, "passenger_ids": await family(desk, "2016-08-01", "2021-01-05")}
    gate = await desk.gate("book_hotel", **given)
    assert "2 rooms, 4 guests, children aged 5, 10: Asha Rao, " in gate.summary
    assert (gate.bound["rooms"], gate.bound["children_ages"]) == (2, [5, 10])
    await desk.place("book_hotel", bound=gate.bound, **given)
    [order] = await desk.agency.db.fetch("SELECT data FROM house_orders")
    assert json.loads(order["data"])["stay"]["children_ages"] == [5, 10]
    [booking] = await desk.agency.db.fetch("SELECT data FROM bookings")
    assert json.loads(booking["data"])["children_ages"] == [5, 10]


@pytest.mark.parametrize(
    ("searched", "born", "told"),
    [
        (FAMILY, ["2014-08-01"], "Child 2014-08-01 (.*) is 12 on 2026-12-05"),
        (FAMILY, ["2021-01-05", "2021-03-01"], "Child 2021-03-01 (.*) is 5 on 2026-12-05"),
        (SEARCH, ["2021-01-05"], "The rate is for 2 guests. Child 2021-01-05 (.*) is 5"),
    ],
)
async def test_t27_other_ages_than_were_searched_are_refused_before_anybody_is_asked(
    searched: dict[str, Any], born: list[str], told: str, desk: Any
) -> None:
    key = await rate_key(desk, **searched)
    output = await desk.check("book_hotel", rate_key=key, passenger_ids=await family(desk, *born))
    assert reason(output) == "supplier_refused"
    assert re.search(told, output["detail"])
    assert "children_ages" in output["detail"]


async def test_t27_a_child_of_unknown_age_and_too_many_adults_are_refused(desk: Any) -> None:
    key = await rate_key(desk, **FAMILY)
    child = await desk.person("Anu Rao", type="child")
    output = await desk.check("book_hotel", rate_key=key, passenger_ids=[child])
    assert "is a child without a date of birth" in output["detail"]
    adults = [await desk.person(name) for name in ("Asha Rao", "Ravi Rao", "Dev Rao")]
    output = await desk.check("book_hotel", rate_key=key, passenger_ids=adults)
    assert "3 adults are named" in output["detail"]


async def test_k5_rooms_too_small_are_refused_with_what_they_hold(desk: Any) -> None:
    told = await desk.read("search_hotels", **SEARCH | {"guests": 5, "rooms": 1, "children_ages": [1, 2, 3]})
    assert told["error"] == "validation_failed: in 1 room at most 2 adults can stay, and 2 children more in extra beds"


async def test_b58_an_approved_stay_is_booked_written_down_and_read(desk: Any) -> None:
    given = await ready(desk)
    gate = await desk.gate("book_hotel", **given)
    key = await desk.agency.call("book_hotel")
    booked = await desk.place("book_hotel", bound=gate.bound, key=key, **given)
    assert list(booked) == ["booked", "booking_id", "supplier", "supplier_ref", "status"]
    assert (booked["booked"], booked["supplier"], booked["status"]) == (True, "house", "confirmed")
    row = await desk.agency.db.fetchrow("SELECT * FROM bookings")
    assert (row["kind"], str(row["id"]), str(row["tool_call_id"])) == ("hotel", booked["booking_id"], key)
    order = await desk.agency.db.fetchrow("SELECT * FROM house_orders")
    assert (order["kind"], str(order["id"])) == ("hotel", booked["supplier_ref"])
    kept = json.loads(order["data"])
    assert kept["stay"] == {"check_in": "2026-12-05", "check_out": "2026-12-07", "guests": 2}
    assert [person["name"] for person in kept["persons"]] == ["Asha Rao"]
    read = await desk.read("read_hotel_booking", booking_id=booked["booking_id"])
    assert read == {
        "read": True,
        "booking_id": booked["booking_id"],
        "supplier": "house",
        "supplier_ref": booked["supplier_ref"],
        "status": "confirmed",
        "check_in": "2026-12-05",
        "check_out": "2026-12-07",
        "price": Money.of(gate.bound["price"]["amount"], gate.bound["price"]["currency"]).text,
        "enquiry_id": None,
    }


async def test_only_a_stay_of_the_agency_is_read(desk: Any, other_agency: Any) -> None:
    given = await ready(desk)
    gate = await desk.gate("book_hotel", **given)
    booked = await desk.place("book_hotel", bound=gate.bound, **given)
    flight = await desk.ready()
    flown = await desk.place(bound=(await desk.gate(**flight)).bound, **flight)
    for unknown in (ids.uuid7(), "not-an-id", flown["booking_id"]):
        assert reason(await desk.read("read_hotel_booking", booking_id=unknown)) == "not_found"
    desk.context = replace(desk.context, tenant_id=other_agency.tenant_id)
    assert reason(await desk.read("read_hotel_booking", booking_id=booked["booking_id"])) == "not_found"


async def test_b17_the_same_stay_placed_many_times_is_booked_once(desk: Any) -> None:
    given = await ready(desk)
    gate = await desk.gate("book_hotel", **given)
    key = await desk.agency.call("book_hotel")
    outputs = await asyncio.gather(*(desk.place("book_hotel", bound=gate.bound, key=key, **given) for _ in range(16)))
    assert all(output == outputs[0] for output in outputs)
    assert (await desk.count("house_orders"), await desk.count("bookings")) == (1, 1)


async def test_an_approved_stay_outlives_the_cache(desk: Any) -> None:
    given = await ready(desk)
    gate = await desk.gate("book_hotel", **given)
    desk.context = replace(desk.context, offers=OfferCache(None, desk.clock))
    assert (await desk.place("book_hotel", bound=gate.bound, **given))["booked"] is True


async def test_no_human_is_asked_for_a_stay_that_cannot_be_booked(desk: Any) -> None:
    given = await ready(desk)
    three = [*given["passenger_ids"], await desk.person("Ravi Rao"), await desk.person("Mira Rao")]
    cases = {
        "offer_not_found": {"rate_key": "nobody"},
        "passenger_not_found": {"passenger_ids": [ids.uuid7()]},
        "supplier_refused": {"passenger_ids": three},
    }
    for why, change in cases.items():
        assert reason(await desk.check("book_hotel", **given | change)) == why
    assert await desk.count("offers") == 0
    desk.hotels.surcharge = Decimal(100)
    assert reason(await desk.check("book_hotel", **given)) == "price_changed"
    await desk.read("check_hotel_rate", rate_key=given["rate_key"])
    assert "Book " in (await desk.gate("book_hotel", **given)).summary, "the price it was checked at is known now"
    await desk.clock.advance(20 * 60)
    assert reason(await desk.check("book_hotel", **given)) == "offer_expired"


async def test_b3_a_stay_that_changed_after_the_approval_is_asked_for_again(desk: Any) -> None:
    given = await ready(desk)
    gate = await desk.gate("book_hotel", **given)
    other = {"passenger_ids": [await desk.person("Ravi Rao")]}
    for change in (other, {"buyer_reference": "PO-8"}, {"rate_key": await rate_key(desk)}):
        output = await desk.place("book_hotel", bound=gate.bound, **given | change)
        assert reason(output) == "changed_since_approval"
    desk.hotels.surcharge = Decimal(100)
    assert reason(await desk.place("book_hotel", bound=gate.bound, **given)) == "changed_since_approval"
    desk.hotels.surcharge = Decimal(0)
    await desk.plan("upsert_passenger", passenger_id=given["passenger_ids"][0], full_name="Asha Rai")
    assert reason(await desk.place("book_hotel", bound=gate.bound, **given)) == "changed_since_approval"
    assert desk.hotels.bookings == 0


async def test_t28_a_rate_that_moved_is_checked_again_and_a_fee_that_moved_is_approved_again(desk: Any) -> None:
    given = await ready(desk)
    found = await desk.read("check_hotel_rate", rate_key=given["rate_key"])
    desk.hotels.surcharge, desk.hotels.conditions = Decimal("19.05"), "cancelling costs INR 236.96"
    assert reason(await desk.check("book_hotel", **given)) == "price_changed"
    checked = await desk.read("check_hotel_rate", rate_key=given["rate_key"])
    currency, before = found["price"].split()
    assert checked["price"] == f"{currency} {Decimal(before) + Decimal('19.05'):f}"
    gate = await desk.gate("book_hotel", **given)
    assert checked["price"] in gate.summary
    assert "cancelling costs INR 236.96" in gate.summary
    desk.hotels.conditions = "cancelling costs INR 240.56"
    assert reason(await desk.place("book_hotel", bound=gate.bound, **given)) == "changed_since_approval"
    assert desk.hotels.bookings == 0
    again = await desk.gate("book_hotel", **given)
    assert "cancelling costs INR 240.56" in again.summary
    assert (await desk.place("book_hotel", bound=again.bound, **given))["booked"] is True


async def test_a_stay_cut_short_after_the_supplier_acted_is_found_again(desk: Any) -> None:
    given = await ready(desk)
    gate = await desk.gate("book_hotel", **given)
    key = await desk.agency.call("book_hotel")
    tool = cast("SupplierTool[Any]", CATALOGUE["book_hotel"])
    assert isinstance(await tool.place(tool.parse(given), gate.bound, key, desk.context), Executed)
    await desk.clock.advance(3600)
    assert (await desk.place("book_hotel", bound=gate.bound, key=key, again=True, **given))["booked"] is True
    assert (await desk.count("house_orders"), await desk.count("bookings")) == (1, 1)


@pytest.mark.parametrize(("code", "expected"), [("conflict", "supplier_refused"), ("permanent", "supplier_refused")])
async def test_a_suppliers_no_to_a_stay_is_told(desk: Any, code: Any, expected: str) -> None:
    given = await ready(desk)
    gate = await desk.gate("book_hotel", **given)
    desk.hotels.temper = SupplierError(code, "no room")
    assert reason(await desk.place("book_hotel", bound=gate.bound, **given)) == expected


async def test_b53_a_stay_whose_outcome_nobody_knows_is_called_unknown(desk: Any) -> None:
    given = await ready(desk)
    gate = await desk.gate("book_hotel", **given)
    desk.hotels.temper = SupplierError("transient", "the line went dead")
    assert (await desk.place("book_hotel", bound=gate.bound, **given)).state == "unknown"
