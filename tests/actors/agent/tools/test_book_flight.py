"""Booking: what a human is shown is what is bound, and what is bound is what runs, once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.supplier_tool import Executed, SupplierTool
from voyagent.actors.agent.tools.tool import InputInvalid
from voyagent.actors.domain import ids
from voyagent.actors.domain.audit import canonical
from voyagent.actors.domain.money import Money
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.storage.travel.offer_cache import OfferCache


def reason(output: Any) -> str:
    assert isinstance(output, dict), output
    assert output.state == "failed"
    assert output["detail"]
    return cast("str", output["reason"])


async def test_a_booking_is_put_to_a_human_with_all_that_matters_on_one_line(desk: Any) -> None:
    fare = await desk.fare(
        origin="BOM", destination="LHR", return_date="2026-12-19", passengers={"adult": 2}, direct_only=True
    )
    people = [await desk.person("Asha Rao"), await desk.person("Ravi Rao")]
    gate = await desk.gate(fare_id=fare["fare_id"], passenger_ids=people, buyer_reference="PO-7")
    out, back = gate.bound["segments"]
    assert "\n" not in gate.summary
    for part in (
        "Asha Rao, Ravi Rao",
        "2 adults",
        fare["price"],
        "supplier house",
        "reference PO-7",
        f"{out['flight']} BOM-LHR 2026-12-05",
        f"back {back['flight']} LHR-BOM 2026-12-19",
        f"ends {gate.expires_at:%Y-%m-%d %H:%M} UTC",
    ):
        assert part in gate.summary
    assert gate.expires_at == desk.clock.now() + timedelta(minutes=20)


async def test_what_is_bound_is_all_that_is_shown_and_plain_json(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given, buyer_reference="PO-7")
    bound = gate.bound
    assert json.loads(canonical(bound)) == bound
    assert (bound["supplier"], bound["offer_id"], bound["buyer_reference"]) == ("house", given["fare_id"], "PO-7")
    assert [(person["passenger_id"], person["name"]) for person in bound["persons"]] == [
        (given["passenger_ids"][0], "Asha Rao")
    ]
    assert Money.of(bound["price"]["amount"], bound["price"]["currency"]).text in gate.summary
    assert (await desk.gate(**given, buyer_reference="PO-7")).bound == bound, "asked twice it is the same"


async def test_the_longest_summary_still_fits(desk: Any) -> None:
    fare = await desk.fare(destination="LHR", return_date="2026-12-19", passengers={"adult": 9})
    people = [await desk.person(f"{'Wolfeschlegelstein' * 12} {'Hausenbergerdorff' * 2}{place}") for place in range(9)]
    gate = await desk.gate(fare_id=fare["fare_id"], passenger_ids=people, buyer_reference="x" * 128)
    assert len(gate.summary) <= 1024
    assert "supplier house" in gate.summary


async def test_an_approved_booking_is_made_and_written_down(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    key = await desk.agency.call("book_flight")
    booked = await desk.place(bound=gate.bound, key=key, **given)
    assert list(booked) == [
        "booked",
        "booking_id",
        "locator",
        "supplier",
        "supplier_ref",
        "status",
        "price",
        "warnings",
    ]
    assert (booked["booked"], booked["status"], booked["supplier"]) == (True, "confirmed", "house")
    assert booked["price"] in gate.summary
    assert booked.state == "succeeded"
    row = await desk.agency.db.fetchrow("SELECT * FROM bookings")
    assert (str(row["id"]), str(row["tool_call_id"]), str(row["session_id"])) == (
        booked["booking_id"],
        key,
        desk.agency.session_id,
    )
    assert (
        str(await desk.agency.db.fetchval("SELECT passenger_id FROM booking_passengers")) == given["passenger_ids"][0]
    )


async def test_b17_the_same_call_placed_many_times_books_once(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    key = await desk.agency.call("book_flight")
    outputs = await asyncio.gather(*(desk.place(bound=gate.bound, key=key, **given) for _ in range(16)))
    assert all(output == outputs[0] for output in outputs)
    assert await desk.count("house_orders") == 1
    assert await desk.count("bookings") == 1


async def test_b45_an_approval_outlives_the_cache(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.context = replace(desk.context, offers=OfferCache(None, desk.clock))
    assert (await desk.place(bound=gate.bound, **given))["booked"] is True


async def test_b45_a_fare_of_another_agency_is_unknown(desk: Any, other_agency: Any) -> None:
    given = await desk.ready()
    await desk.gate(**given)
    desk.context = replace(desk.context, tenant_id=other_agency.tenant_id)
    assert reason(await desk.check(**given)) == "offer_not_found"


async def test_no_human_is_asked_for_what_cannot_be_booked(desk: Any) -> None:
    given = await desk.ready()
    child = await desk.person("Mira Rao", type="child")
    mononym = await desk.person("Suharto")
    cases = {
        "offer_not_found": {"fare_id": "nobody"},
        "passenger_not_found": {"passenger_ids": [ids.uuid7()]},
        "passenger_incomplete": {"passenger_ids": [child]},
    }
    for why, change in cases.items():
        assert reason(await desk.check(**given | change)) == why
    assert reason(await desk.check(**given | {"passenger_ids": ["not-an-id"]})) == "passenger_not_found"
    assert "given_name" in cast("dict[str, Any]", await desk.check(**given | {"passenger_ids": [mononym]}))["detail"]
    two = [*given["passenger_ids"], await desk.person("Ravi Rao")]
    refused = cast("dict[str, Any]", await desk.check(**given | {"passenger_ids": two}))
    assert refused["detail"] == "The fare is for 1 adult; those named are 2 adults."
    assert await desk.count("offers") == 0


async def test_t26_the_house_takes_long_names_and_two_persons_of_one_name(desk: Any) -> None:
    fare = await desk.fare(passengers={"adult": 2})
    name = "Asha Venkatanarasimharajuvaripeta"
    people = [await desk.person(name, date_of_birth=born) for born in ("1961-03-04", "1990-04-02")]
    assert len(set(people)) == 2
    gate = await desk.gate(fare_id=fare["fare_id"], passenger_ids=people)
    assert gate.summary.count(name) == 2
    booked = await desk.place(bound=gate.bound, fare_id=fare["fare_id"], passenger_ids=people)
    assert (booked["booked"], await desk.count("booking_passengers")) == (True, 2)


@pytest.mark.parametrize("name", ["Þórr Ás", "Lan Nguyễn", "محمد علي", "O'Neal Bryce-Buchanan"])
async def test_t26_the_house_takes_names_of_any_script_as_they_are(desk: Any, name: str) -> None:
    given = {"fare_id": (await desk.fare())["fare_id"], "passenger_ids": [await desk.person(name)]}
    gate = await desk.gate(**given)
    assert (await desk.place(bound=gate.bound, **given))["booked"] is True
    assert await desk.agency.db.fetchval("SELECT data->'persons'->0->>'name' FROM house_orders") == name


async def test_t26_the_house_fills_up_no_single_name(desk: Any) -> None:
    given = {"fare_id": (await desk.fare())["fare_id"], "passenger_ids": [await desk.person("Prince")]}
    refused = await desk.check(**given)
    assert (refused["reason"], "given_name" in refused["detail"]) == ("passenger_incomplete", True)


SPELLINGS = (str.upper, str.title, lambda key: key[:8].upper() + key[8:])


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("tool", ["book_flight", "hold_flight", "book_hotel"])
def test_one_person_in_two_spellings_is_one_person(tool: str, spelling: Any) -> None:
    person = "01a20b55-82b8-7224-a4f3-8780048d6eab"
    what = {"rate_key": "r"} if tool == "book_hotel" else {"fare_id": "f"}
    with pytest.raises(InputInvalid, match="passenger_ids must differ"):
        CATALOGUE[tool].parse({**what, "passenger_ids": [person, spelling(person)]})
    assert CATALOGUE[tool].parse({**what, "passenger_ids": [spelling(person)]}).passenger_ids == [person]


@pytest.mark.parametrize("tool", ["book_flight", "hold_flight"])
@pytest.mark.parametrize("surcharge", [10**14, 10**17, Decimal("0.00001"), -(10**9)])
async def test_a_price_that_cannot_be_written_down_is_not_bought_at(tool: str, surcharge: Any, desk: Any) -> None:
    given = await desk.ready(hold=True)
    real = await desk.context.offers.find(desk.context.tenant_id, given["fare_id"])
    odd = real.model_copy(update={"price": real.price + Money.of(surcharge, "INR")})
    desk.house.surcharge = surcharge
    await desk.context.offers.keep(desk.context.tenant_id, [odd.model_copy(update={"id": "odd"})])
    desk.house.price = _as_is
    given = given | {"fare_id": "odd"}
    if tool == "book_flight":
        assert reason(await desk.check(**given)) == "supplier_refused"
    else:
        assert reason(await desk.place(tool, **given)) == "supplier_refused"
    assert await desk.count("house_orders") == 0


def able(desk: Any, **abilities: bool) -> None:
    """The desk's supplier of flights can do this, or cannot."""
    counter = desk.context.suppliers.named("house")
    object.__setattr__(counter, "capabilities", replace(EmbeddedInventory.capabilities, **abilities))


async def _as_is(offer: Any) -> Any:
    return offer


@pytest.mark.parametrize("again", [True, False])
async def test_a_supplier_that_honours_keys_and_cannot_look_up_denies_nothing(again: bool, desk: Any) -> None:
    """What an earlier attempt has done is not undone by an offer that has expired since."""
    given = await desk.ready()
    gate = await desk.gate(**given)
    await desk.clock.advance(3600)
    able(desk, looks_up=False)
    output = await desk.place(bound=gate.bound, again=again, **given)
    assert output.state == ("unknown" if again else "failed")


async def test_a_supplier_without_keys_is_looked_up_and_never_asked_twice(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    able(desk, honours_keys=False)
    key = await desk.agency.call("book_flight")
    assert (await desk.place(bound=gate.bound, key=key, again=True, **given)).state == "unknown"
    assert desk.house.bookings == 0
    assert (await desk.place(bound=gate.bound, key=key, **given))["booked"] is True
    assert (await desk.place(bound=gate.bound, key=key, again=True, **given))["booked"] is True
    assert desk.house.bookings == 1


async def test_an_expired_fare_is_neither_asked_about_nor_booked(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    await desk.clock.advance(20 * 60)
    assert reason(await desk.check(**given)) == "offer_expired"
    assert reason(await desk.place(bound=gate.bound, **given)) == "offer_expired"
    assert await desk.count("house_orders") == 0


async def test_a_price_that_moved_before_the_question_is_told(desk: Any) -> None:
    given = await desk.ready()
    desk.house.surcharge = 100
    assert reason(await desk.check(**given)) == "price_changed"


async def test_b3_a_price_that_moved_after_the_approval_is_asked_for_again(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.surcharge = 100
    assert reason(await desk.place(bound=gate.bound, **given)) == "changed_since_approval"
    assert desk.house.bookings == 0


@pytest.mark.parametrize(
    "change",
    [
        {"full_name": "Ravi Rao"},
        {"full_name": "Asha Rao", "date_of_birth": "1990-01-01"},
        {"full_name": "Asha Rao", "title": "dr"},
    ],
)
async def test_b3_a_person_who_changed_after_the_approval_is_asked_about_again(
    desk: Any, change: dict[str, Any]
) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    await desk.plan("upsert_passenger", passenger_id=given["passenger_ids"][0], **change)
    assert reason(await desk.place(bound=gate.bound, **given)) == "changed_since_approval"
    assert desk.house.bookings == 0


async def test_b3_an_approval_is_good_for_exactly_its_input(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    other = {"passenger_ids": [await desk.person("Ravi Rao")]}
    for change in (other, {"buyer_reference": "PO-8"}, {"fare_id": (await desk.fare())["fare_id"]}):
        assert reason(await desk.place(bound=gate.bound, **given | change)) == "changed_since_approval"
    assert desk.house.bookings == 0


async def test_a_call_cut_short_after_the_supplier_acted_is_found_again(desk: Any) -> None:
    """The service died between the booking and its record; meanwhile the offer has expired."""
    given = await desk.ready()
    gate = await desk.gate(**given)
    key = await desk.agency.call("book_flight")
    tool = cast("SupplierTool[Any]", CATALOGUE["book_flight"])
    assert isinstance(await tool.place(tool.parse(given), gate.bound, key, desk.context), Executed)
    assert await desk.count("bookings") == 0
    await desk.clock.advance(3600)
    assert (await desk.place(bound=gate.bound, key=key, again=True, **given))["booked"] is True
    assert (await desk.count("house_orders"), await desk.count("bookings")) == (1, 1)


async def test_a_call_cut_short_before_the_supplier_acted_is_made(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    assert (await desk.place(bound=gate.bound, again=True, **given))["booked"] is True
    assert await desk.count("house_orders") == 1


async def test_b53_an_answer_that_is_lost_is_looked_up(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.silent = True
    assert (await desk.place(bound=gate.bound, **given))["booked"] is True
    assert await desk.count("house_orders") == 1


async def test_b53_an_outcome_nobody_knows_is_called_unknown(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.temper = SupplierError("transient", "the line went dead")
    output = await desk.place(bound=gate.bound, **given)
    assert output["error"].startswith("outcome_unknown: ")
    assert output.state == "unknown"


async def test_nothing_is_denied_while_an_earlier_attempt_may_have_succeeded(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    await desk.clock.advance(3600)
    desk.house.temper = SupplierError("permanent", "out of order")
    assert (await desk.place(bound=gate.bound, again=True, **given)).state == "unknown"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("conflict", "supplier_refused"),
        ("permanent", "supplier_refused"),
        ("validation_failed", "supplier_refused"),
        ("capability_not_supported", "capability_not_supported"),
    ],
)
async def test_a_suppliers_no_is_told_as_such(desk: Any, code: Any, expected: str) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.temper = SupplierError(code, "No seats.")
    assert await desk.place(bound=gate.bound, **given) == {"booked": False, "reason": expected, "detail": "No seats."}


async def test_a_suppliers_failure_is_told_by_its_code(desk: Any) -> None:
    given = await desk.ready()
    gate = await desk.gate(**given)
    desk.house.temper = SupplierError("authentication", "The key is not accepted.")
    assert await desk.place(bound=gate.bound, **given) == {"error": "authentication: The key is not accepted."}


async def test_b39_tool_call_and_audit_name_the_supplier(desk: Any) -> None:
    book, hold = (cast("SupplierTool[Any]", CATALOGUE[name]) for name in ("book_flight", "hold_flight"))
    given = await desk.ready()
    gate = await desk.gate(**given)
    assert await book.driver(book.parse(given), gate.bound, desk.context) == "house"
    assert await hold.driver(hold.parse(given), {}, desk.context) == "house"
    assert await hold.driver(hold.parse(given | {"fare_id": "nobody"}), {}, desk.context) == "none"


async def test_the_approver_is_told_baggage_and_conditions_and_they_are_compared_again(desk: Any) -> None:
    given = await desk.ready(hold=True)
    gate = await desk.gate(**given)
    assert "; baggage “1 cabin bag of 7 kg, 1 checked bag of 23 kg”; conditions “refundable: 25 % is kept until" in (
        gate.summary
    )
    for name in ("baggage", "refundable", "changeable", "conditions"):
        output = await desk.place(bound=gate.bound | {name: "other"}, **given)
        assert output["reason"] == "changed_since_approval", name
    assert await desk.count("house_orders") == 0


@pytest.mark.parametrize(("expiry", "told"), [("2027-06-04", True), ("2027-06-06", False), (None, False)])
async def test_a_passport_that_ends_within_six_months_of_the_journey_is_warned_of_and_blocks_nothing(
    desk: Any, expiry: str | None, told: bool
) -> None:
    asha = await desk.person(**({} if expiry is None else {"passport_expiry": expiry}))
    given = {"fare_id": (await desk.fare(hold=True))["fare_id"], "passenger_ids": [asha]}
    gate = await desk.gate(**given)
    assert (f"; passport ends {expiry} of Asha Rao; 1 adult" in gate.summary) is told
    held = await desk.place("hold_flight", **given)
    booked = await desk.place(bound=gate.bound, **given)
    for output in (held, booked):
        assert [f"({asha}) ends on {expiry}: " in each for each in output["warnings"]] == [True] * told


async def test_a_journey_within_one_country_asks_for_no_passport(desk: Any) -> None:
    asha = await desk.person(passport_expiry="2026-12-01")
    fare = await desk.fare(origin="BOM", destination="DEL")
    gate = await desk.gate(fare_id=fare["fare_id"], passenger_ids=[asha])
    assert ("passport" in gate.summary, gate.bound["warnings"]) == (False, [])


async def test_the_longest_summary_of_a_flight_is_whole(desk: Any) -> None:
    asked = {"origin": "COK", "destination": "JFK", "outbound_date": "2026-12-05", "return_date": "2026-12-15"}
    people = [await desk.person(f"{chr(65 + n)}{'ä' * 200} Rao", passport_expiry="2027-01-01") for n in range(9)]
    fares = (await desk.read("search_flights", **asked, passengers={"adult": 9}))["fares"]
    fare = max(fares, key=lambda each: (each["hold_possible"], len(each["segments"])))
    gate = await desk.gate(fare_id=fare["fare_id"], passenger_ids=people, buyer_reference="R" * 128)
    assert len(fare["segments"]) == 4
    assert len(gate.summary) <= 1024
    assert gate.summary.endswith("R" * 128)
    assert "; passport ends 2027-01-01 of Aä" in gate.summary
    assert " and 8 more; 9 adults: " in gate.summary
