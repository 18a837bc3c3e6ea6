"""Searching, looking up and putting on file: what a desk does without asking anybody."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from voyagent.actors.domain.money import Money
from voyagent.actors.domain.transcript import OUTPUT_LIMIT
from voyagent.actors.suppliers.clients import AgencySuppliers
from voyagent.storage.engine.sealing import Sealing

SEARCH = {"origin": "BOM", "destination": "DXB", "outbound_date": "2026-12-05"}


def reason(output: Any) -> str:
    assert isinstance(output, dict), output
    assert output.state == "failed"
    assert output["detail"]
    return cast("str", output["reason"])


async def test_a_search_tells_at_most_twenty_fares_cheapest_first_and_counts_all(desk: Any) -> None:
    found = await desk.read("search_flights", origin="BOM", destination="BJS", outbound_date="2026-12-05")
    assert found["count"] > 20
    assert len(found["fares"]) == 20
    prices = [Money.read(fare["price"]).amount for fare in found["fares"]]
    assert prices == sorted(prices)
    fare = found["fares"][0]
    assert list(fare) == [
        "fare_id",
        "source",
        "source_ref",
        "price",
        "valid_until",
        "carrier",
        "stops",
        "departs_at",
        "arrives_at",
        "cabin",
        "hold_possible",
        "baggage",
        "refundable",
        "changeable",
        "conditions",
        "seats_left",
        "segments",
    ]
    assert fare["source"] == "house"
    assert fare["price"].startswith("INR ")
    assert fare["valid_until"] == f"{desk.clock.now() + timedelta(minutes=20):%Y-%m-%dT%H:%M:%S.%fZ}"
    assert fare["departs_at"] < fare["arrives_at"]


async def test_b56_the_price_is_in_the_agencys_currency(desk: Any) -> None:
    desk.context = replace(desk.context, settings=replace(desk.context.settings, default_currency="AED"))
    assert (await desk.fare())["price"].startswith("AED ")


async def test_a_supplier_that_cannot_search_says_why(desk: Any) -> None:
    refused = await desk.read("search_flights", **SEARCH | {"destination": "ZZZ"})
    assert refused == {"error": "validation_failed: ZZZ is not an airport or city that is served"}
    desk.context = replace(desk.context, suppliers=AgencySuppliers(desk.agency.tenant_id, [], desk.agency.store))
    refused = await desk.read("search_flights", **SEARCH)
    assert refused["error"].startswith("capability_not_supported: ")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"outbound_date": "2020-01-01"}, "outbound_date 2020-01-01 is past"),
        ({"outbound_date": "2028-02-01"}, "outbound_date 2028-02-01 is sold from 2027-02-11 on"),
        ({"origin": "BOM", "destination": "BOM"}, "origin and destination are the same"),
        ({"origin": "LON", "destination": "LHR"}, "origin and destination are the same"),
    ],
)
async def test_a_search_that_cannot_find_anything_says_why(change: Any, told: str, desk: Any) -> None:
    assert await desk.read("search_flights", **SEARCH | change) == {"error": f"validation_failed: {told}"}


async def test_a_fare_tells_each_flight_with_its_airports_and_the_times_there(desk: Any) -> None:
    asked = {"origin": "LON", "destination": "NYC", "outbound_date": "2026-12-05", "return_date": "2026-12-12"}
    for fare in (await desk.read("search_flights", **asked))["fares"]:
        out = [each for each in fare["segments"] if each["way"] == "out"]
        back = [each for each in fare["segments"] if each["way"] == "back"]
        assert [*out, *back] == fare["segments"]
        assert out[0]["departs_local"].startswith("2026-12-05T")
        assert back[0]["departs_local"].startswith("2026-12-12T")
        assert out[0]["departs_local"].endswith("+00:00[Europe/London]")
        assert out[-1]["arrives_local"].endswith("-05:00[America/New_York]")
        assert out[0]["origin"] in {"LHR", "LGW", "STN", "LTN", "LCY"}
        moment = datetime.fromisoformat(out[0]["departs_local"].partition("[")[0])
        assert fare["departs_at"] == f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        assert {each["flight"].partition(" ")[0] for each in out[:1]} == {fare["carrier"]}


async def test_the_longest_list_of_fares_can_be_read_by_a_model(desk: Any) -> None:
    asked = {"origin": "LON", "destination": "SYD", "outbound_date": "2026-12-05", "return_date": "2026-12-12"}
    assert len(json.dumps(await desk.read("search_flights", **asked))) < OUTPUT_LIMIT


async def test_a_person_is_saved_and_looked_up(desk: Any) -> None:
    saved = await desk.plan(
        "upsert_passenger", full_name=" Asha\u202e  Rao ", email="Asha <ASHA@example.com>", date_of_birth="1990-02-28"
    )
    assert saved == {"saved": True, "passenger_id": saved["passenger_id"], "created": True}
    again = await desk.plan("upsert_passenger", full_name="Asha Rao", email="asha@example.com", phone="+919820012345")
    assert again == saved | {"created": False}
    assert await desk.read("lookup_passenger", query="asha") == {
        "count": 1,
        "passengers": [
            {
                "passenger_id": saved["passenger_id"],
                "full_name": "Asha Rao",
                "email": "asha@example.com",
                "phone": "+919820012345",
                "date_of_birth": "1990-02-28",
                "nationality": None,
                "passport_last4": None,
                "passport_expiry": None,
            }
        ],
    }


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"phone": "9820012345"}, "invalid_phone"),
        ({"phone": "+0123456789"}, "invalid_phone"),
        ({"phone": "+91982001234512345"}, "invalid_phone"),
        ({"email": "nobody"}, "invalid_email"),
        ({"email": "a@b@c.com"}, "invalid_email"),
        ({"passenger_id": "nobody"}, "not_found"),
        ({"passenger_id": "01a20b55-82b8-7224-a4f3-8780048d6e87"}, "not_found"),
    ],
)
async def test_a_person_is_not_saved_with_wrong_details(desk: Any, given: dict[str, Any], why: str) -> None:
    assert reason(await desk.plan("upsert_passenger", full_name="Asha Rao", **given)) == why
    assert await desk.count("passengers") == 0


async def test_of_a_passport_the_last_four_characters_are_told_and_its_number_to_nobody(desk: Any) -> None:
    number = {"passport_number": "z 12-34567", "passport_expiry": "2030-01-31"}
    saved = await desk.plan("upsert_passenger", full_name="Asha Rao", **number)
    found = await desk.read("lookup_passenger", query="asha")
    assert "Z1234567" not in json.dumps([saved, found])
    (asha,) = found["passengers"]
    assert (asha["passport_last4"], asha["passport_expiry"]) == ("4567", "2030-01-31")
    taken = await desk.plan("upsert_passenger", full_name="Ravi Rao", passport_number="Z1234567")
    assert reason(taken) == "passport_taken"
    assert saved["passenger_id"] in taken["detail"]
    assert await desk.count("passengers") == 1
    desk.context = replace(desk.context, sealing=Sealing({"other": bytes(range(1, 33))}))
    assert (await desk.read("lookup_passenger", query="asha"))["passengers"][0]["passport_last4"] is None


async def test_two_people_on_file_are_not_made_one(desk: Any) -> None:
    asha, ravi = (
        await desk.person("Asha Rao", email="rao@example.com"),
        await desk.person("Ravi Rao", email="rao@example.com"),
    )
    refused = await desk.plan("upsert_passenger", full_name="Asha Rao", passenger_id=ravi)
    assert reason(refused) == "already_on_file"
    assert asha in refused["detail"]


async def test_a_booking_is_read_by_its_locator(desk: Any) -> None:
    given = await desk.ready()
    booked = await desk.place(bound=(await desk.gate(**given)).bound, **given)
    pnr = await desk.read("read_pnr", locator=f" {booked['locator'].lower()} ")
    assert pnr["pnr_id"] == booked["booking_id"]
    assert (pnr["status"], pnr["passenger_count"], pnr["fare_count"], pnr["tickets"]) == ("confirmed", 1, 1, [])
    assert (pnr["price"], pnr["hold_expires_at"]) == (booked["price"], None)
    assert pnr["segment_count"] == len(pnr["segments"])
    assert pnr["segments"][0]["origin"] == "BOM"
    assert pnr["segments"][-1]["destination"] == "DXB"
    assert await desk.read("read_pnr", locator="NOBODY") == {
        "error": "not_found: no booking of this agency has this locator"
    }
