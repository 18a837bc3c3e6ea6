"""What every tool promises: a schema a model can read, an input that is checked, an output held to its model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.agent.desks import DESKS
from voyagent.actors.agent.tools.book_flight import BookFlight
from voyagent.actors.agent.tools.catalogue import CATALOGUE, catalogue, for_desk
from voyagent.actors.agent.tools.lookup_passenger import LookupPassenger
from voyagent.actors.agent.tools.search_flights import SearchFlights
from voyagent.actors.agent.tools.supplier_tool import GATED, SupplierTool
from voyagent.actors.agent.tools.tool import InputInvalid, Objection, Tool
from voyagent.actors.agent.tools.upsert_passenger import UpsertPassenger
from voyagent.actors.agent.tools.void_bill import VoidBill
from voyagent.actors.domain.identity import Role
from voyagent.actors.domain.outcomes import Failed, Outcome, Refused, Succeeded

SEARCH: dict[str, Any] = {"origin": "BOM", "destination": "DXB", "outbound_date": "2026-12-05"}
HOTELS: dict[str, Any] = {
    "country": "AE",
    "city": "Dubai",
    "check_in": "2026-12-05",
    "check_out": "2026-12-07",
    "guests": 2,
}
ENTRY: dict[str, Any] = {
    "narration": "Capital",
    "lines": [
        {"account_id": "1000", "currency": "INR", "debit_amount": "1"},
        {"account_id": "3000", "currency": "INR", "credit_amount": "1"},
    ],
}
PAYMENT: dict[str, Any] = {"amount": "100", "currency": "INR", "method": "upi"}
RIGHT: dict[str, dict[str, Any]] = {
    "search_flights": SEARCH,
    "lookup_passenger": {"query": "Rao"},
    "read_pnr": {"locator": "ABC234"},
    "upsert_passenger": {"full_name": "Asha Rao"},
    "hold_flight": {"fare_id": "f", "passenger_ids": ["p"]},
    "book_flight": {"fare_id": "f", "passenger_ids": ["p"]},
    "open_visa_file": {"passenger_id": "p", "destination_country": "FR", "visa_category": "tourist"},
    "update_visa_file": {"visa_file_id": "v", "status": "docs_collecting"},
    "issue_ticket": {"pnr_id": "b"},
    "cancel_flight_order": {"booking_id": "b"},
    "cancel_hotel_booking": {"booking_id": "b"},
    "search_hotels": HOTELS,
    "check_hotel_rate": {"rate_key": "r"},
    "book_hotel": {"rate_key": "r", "passenger_ids": ["p"]},
    "read_hotel_booking": {"booking_id": "b"},
    "list_ledger_accounts": {},
    "read_account_balance": {"account_id": "1000", "as_of": "2026-12-05"},
    "post_journal_entry": {"entry": ENTRY},
    "reverse_journal_entry": {"journal_id": "j", "narration": "Wrong account"},
    "draft_invoice": {
        "customer_name": "Asha Rao",
        "issue_date": "2026-12-05",
        "due_date": "2026-12-31",
        "line_items": [{"description": "Ticket", "quantity": 1, "unit_price": "100", "currency": "INR"}],
    },
    "create_invoice": {
        "invoice": {
            "invoice_number": "26-27/0001",
            "client_id": "c",
            "issue_date": "2026-12-05",
            "currency": "INR",
            "lines": [{"description": "Ticket", "unit_price": "100"}],
            "billing_address": {"attention": "Asha Rao"},
        }
    },
    "issue_invoice": {"invoice_id": "i"},
    "void_invoice": {"invoice_id": "i", "reason": "Wrong customer"},
    "record_payment": PAYMENT | {"invoice_id": "i", "received_on": "2026-12-05"},
    "list_invoices": {},
    "record_bill": {
        "vendor_name": "Emirates",
        "vendor_reference": "EK-1",
        "issue_date": "2026-12-05",
        "due_date": "2026-12-31",
        "amount": "100",
        "currency": "INR",
    },
    "pay_bill": PAYMENT | {"bill_id": "b", "paid_on": "2026-12-05"},
    "void_bill": {"bill_id": "b", "reason": "Twice"},
    "list_bills": {},
    "list_tax_rates": {},
    "fetch_bsp_statement": {"country": "IN", "period_start": "2026-12-05", "period_end": "2026-12-07"},
    "reconcile_bsp": {"report_id": "r"},
}
TOOLS = list(CATALOGUE.values())
SECRET = "s3cret-4111-1111"


def objection(name: str, given: Mapping[str, Any]) -> str:
    with pytest.raises(InputInvalid) as caught:
        CATALOGUE[name].parse(given)
    return str(caught.value)


def test_every_tool_is_of_a_desk_that_lists_it() -> None:
    for tool in TOOLS:
        assert tool.desks <= set(DESKS)
        for desk in tool.desks:
            assert tool.name in DESKS[desk].tools
            assert tool in for_desk(desk)
    assert for_desk("nobody") == []


def test_b5_every_gated_tool_has_approvers_an_admin_among_them() -> None:
    gated = [tool for tool in TOOLS if isinstance(tool, GATED)]
    assert [tool.name for tool in gated] == [
        "book_flight",
        "issue_ticket",
        "cancel_flight_order",
        "book_hotel",
        "cancel_hotel_booking",
        "draft_invoice",
        "create_invoice",
        "issue_invoice",
        "void_invoice",
        "record_payment",
        "record_bill",
        "pay_bill",
        "void_bill",
        "post_journal_entry",
        "reverse_journal_entry",
    ]
    for tool in gated:
        lead = Role.ACCOUNTING_LEAD if "accounting" in tool.desks else Role.TICKETING_LEAD
        assert tool.approvers == {Role.AGENCY_ADMIN, lead}


def test_b5_a_gated_tool_nobody_could_grant_stops_the_start() -> None:
    class Open(VoidBill):
        approvers = frozenset()

    with pytest.raises(ValueError, match="void_bill is gated and has no approvers"):
        catalogue([Open()])


def test_a_name_given_twice_stops_the_start() -> None:
    with pytest.raises(ValueError, match="two tools are called search_flights"):
        catalogue([SearchFlights(), SearchFlights()])


def test_what_has_an_effect_at_a_supplier_is_an_order() -> None:
    assert {tool.name for tool in TOOLS if isinstance(tool, SupplierTool)} == {
        "hold_flight",
        "book_flight",
        "issue_ticket",
        "cancel_flight_order",
        "book_hotel",
        "cancel_hotel_booking",
    }
    assert {tool.name: tool.effect for tool in TOOLS if tool.effect != "read"} == {
        "upsert_passenger": "reversible",
        "open_visa_file": "reversible",
        "update_visa_file": "reversible",
        "hold_flight": "reversible",
        "book_flight": "irreversible",
        "issue_ticket": "irreversible",
        "cancel_flight_order": "irreversible",
        "book_hotel": "reversible",
        "cancel_hotel_booking": "irreversible",
        "draft_invoice": "reversible",
        "create_invoice": "reversible",
        "issue_invoice": "irreversible",
        "void_invoice": "irreversible",
        "record_payment": "irreversible",
        "record_bill": "irreversible",
        "pay_bill": "irreversible",
        "void_bill": "irreversible",
        "post_journal_entry": "irreversible",
        "reverse_journal_entry": "irreversible",
    }


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_schema_is_closed_plain_and_without_references(tool: Tool[Any]) -> None:
    shown = tool.schema()
    assert set(shown) == {"name", "description", "input_schema"}
    schema = shown["input_schema"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert not {"oneOf", "anyOf", "allOf", "$defs"} & set(schema), "the model's API refuses these at the top"
    text = json.dumps(schema)
    assert '"$ref"' not in text
    assert '"title": "' not in text


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_right_input_is_taken_and_any_other_key_refused(tool: Tool[Any]) -> None:
    tool.parse(RIGHT[tool.name])
    text = objection(tool.name, RIGHT[tool.name] | {"card_number": SECRET})
    assert text.startswith(f"Input validation failed for '{tool.name}': card_number: ")
    assert SECRET not in text


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_required_field_is_asked_for_by_name(tool: Tool[Any]) -> None:
    for name in tool.schema()["input_schema"].get("required", []):
        given = {key: value for key, value in RIGHT[tool.name].items() if key != name}
        assert f"{name}: Field required" in objection(tool.name, given)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
@given(
    wrong=st.sampled_from([SECRET, 4.5, 10**20, True, None, [SECRET], {SECRET: SECRET}, {"adult": SECRET}, [[SECRET]]])
)
def test_a_wrong_input_is_told_by_field_and_reason_and_never_repeated(tool: Tool[Any], wrong: Any) -> None:
    for name in tool.schema()["input_schema"]["properties"]:
        try:
            tool.parse(RIGHT[tool.name] | {name: wrong})
        except InputInvalid as invalid:
            text = str(invalid)
            assert text.startswith(f"Input validation failed for '{tool.name}': ")
            assert SECRET not in text
            assert str(10**20) not in text
            assert "pydantic" not in text


def test_a_key_that_is_more_than_a_name_is_not_repeated() -> None:
    assert "(unknown field): " in objection("read_pnr", {"locator": "ABC", f"my card is {SECRET}": 1})


Place = tuple[str | int, ...]
BY_THEMSELVES = {"draft_invoice"}
"""Tools that refuse a date with a reason of their own."""


def places(schema: Mapping[str, Any], kind: str, here: Place = ()) -> Iterator[Place]:
    """Where an input has fields of a format, down to its innermost objects."""
    if schema.get("format") == kind:
        yield here
    for name, field in schema.get("properties", {}).items():
        yield from places(field, kind, (*here, name))
    for other in schema.get("anyOf", ()):
        yield from places(other, kind, here)
    if "items" in schema:
        yield from places(schema["items"], kind, (*here, 0))


def fields_of(kind: str) -> list[tuple[str, Place]]:
    """Every field of a format, of every tool."""
    return [(tool.name, place) for tool in TOOLS for place in places(tool.schema()["input_schema"], kind)]


def changed(name: str, place: Place, value: Any) -> dict[str, Any]:
    """A right input with another value at one place."""
    whole: dict[str, Any] = json.loads(json.dumps(RIGHT[name]))
    inner: Any = whole
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return whole


DATES = [(name, place) for name, place in fields_of("date") if name not in BY_THEMSELVES]
MOMENTS = fields_of("date-time")


def test_b51_the_dates_of_the_tools_are_found() -> None:
    assert len(DATES) > 18
    assert ("create_invoice", ("invoice", "issue_date")) in DATES
    assert MOMENTS == [("update_visa_file", ("appointment_at",))]
    assert {name for name, _ in fields_of("date")} - {name for name, _ in DATES} == BY_THEMSELVES


@pytest.mark.parametrize(("name", "place"), DATES)
@pytest.mark.parametrize(
    "day",
    [
        "2026-02-30",
        "2026-13-01",
        "2026-1-5",
        "05-12-2026",
        "20261205",
        "2026-12-05T00:00:00",
        "",
        "٢٠٢٦-12-05",
        20261205,
    ],
)
def test_b51_a_date_is_a_day_of_the_calendar_written_in_one_way(name: str, place: Place, day: Any) -> None:
    CATALOGUE[name].parse(changed(name, place, "2026-12-06"))
    text = objection(name, changed(name, place, day))
    assert text.startswith(f"Input validation failed for '{name}': {'.'.join(map(str, place))}: ")
    if isinstance(day, str) and day:
        assert day not in text


@pytest.mark.parametrize(("name", "place"), MOMENTS)
@pytest.mark.parametrize("moment", ["2026-12-05T09:30:00", "2026-12-05", "2026-02-30T09:30:00Z", "09:30", "", 1])
def test_b51_a_moment_has_its_offset_from_utc(name: str, place: Place, moment: Any) -> None:
    CATALOGUE[name].parse(changed(name, place, "2026-12-05T09:30:00+05:30"))
    assert f"{'.'.join(map(str, place))}: must be a date and time" in objection(name, changed(name, place, moment))


def test_a_date_is_read() -> None:
    assert SearchFlights().parse(SEARCH | {"return_date": "2028-02-29"}).return_date == date(2028, 2, 29)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("search_flights", {"origin": "bom"}),
        ("search_flights", {"origin": "B"}),
        ("search_flights", {"origin": "BOMX"}),
        ("search_flights", {"destination": "DXB\n"}),
        ("search_flights", {"return_date": "2026-12-03"}),
        ("search_flights", {"passengers": {"adult": -1}}),
        ("search_flights", {"passengers": {"adult": 1.0}}),
        ("search_flights", {"passengers": {"adult": "1"}}),
        ("search_flights", {"passengers": {"adult": True}}),
        ("search_flights", {"passengers": {"pets": 1}}),
        ("search_flights", {"passengers": 2}),
        ("search_flights", {"cabin": "deck"}),
        ("search_flights", {"direct_only": "yes"}),
        ("search_flights", {"ages": [9]}),
        ("search_flights", {"passengers": {"adult": 1, "child": 1}, "ages": [1]}),
        ("search_flights", {"passengers": {"adult": 1, "child": 1}, "ages": [18]}),
        ("search_flights", {"passengers": {"adult": 1, "child": 1}, "ages": [-1]}),
        ("search_flights", {"passengers": {"adult": 1, "child": 1}, "ages": ["9"]}),
        ("cancel_flight_order", {"booking_id": ""}),
        ("cancel_hotel_booking", {"booking_id": 1}),
        ("search_flights", {"direct_only": 1}),
        ("lookup_passenger", {"query": "R"}),
        ("lookup_passenger", {"query": "R" * 121}),
        ("read_pnr", {"locator": ""}),
        ("upsert_passenger", {"full_name": ""}),
        ("upsert_passenger", {"full_name": "x" * 256}),
        ("upsert_passenger", {"full_name": " \u200b "}),
        ("upsert_passenger", {"title": "lord"}),
        ("upsert_passenger", {"type": "dog"}),
        ("upsert_passenger", {"gender": "f"}),
        ("upsert_passenger", {"nationality": "India"}),
        ("upsert_passenger", {"nationality": "in"}),
        ("hold_flight", {"passenger_ids": []}),
        ("hold_flight", {"passenger_ids": ["p", "p"]}),
        ("book_flight", {"passenger_ids": []}),
        ("book_flight", {"passenger_ids": ["p", "p"]}),
        ("book_flight", {"passenger_ids": None}),
        ("book_flight", {"booking_id": "b"}),
        ("book_flight", {"fare_id": None}),
        ("book_flight", {"fare_id": None, "passenger_ids": None}),
        ("book_flight", {"fare_id": None, "booking_id": "b"}),
        ("book_flight", {"buyer_reference": "x" * 129}),
        ("search_hotels", {"country": "ARE"}),
        ("search_hotels", {"city": ""}),
        ("search_hotels", {"check_out": "2026-12-05"}),
        ("search_hotels", {"guests": 0}),
        ("search_hotels", {"guests": "2"}),
        ("open_visa_file", {"visa_category": " "}),
        ("open_visa_file", {"destination_country": "France"}),
        ("update_visa_file", {"status": "done"}),
        ("update_visa_file", {"status": None}),
        ("update_visa_file", {"appointment_at": "2026-12-05T09:30:00"}),
        ("update_visa_file", {"appointment_at": "soon"}),
        ("search_hotels", {"rooms": 0}),
        ("search_hotels", {"rooms": 3}),
        ("search_hotels", {"rooms": 2, "children_ages": [4]}),
        ("search_hotels", {"children_ages": [4, 5]}),
        ("search_hotels", {"children_ages": [18]}),
        ("search_hotels", {"currency": "aed"}),
        ("search_hotels", {"budget_max": "100"}),
        ("search_hotels", {"currency": "AED", "budget_max": "-1"}),
        ("search_hotels", {"currency": "AED", "budget_max": "1.23456"}),
        ("search_hotels", {"currency": "AED", "budget_max": "1e3"}),
        ("search_hotels", {"currency": "AED", "budget_max": 100}),
        ("check_hotel_rate", {"rate_key": ""}),
        ("post_journal_entry", {"entry": ENTRY | {"narration": ""}}),
        ("post_journal_entry", {"entry": ENTRY | {"lines": ENTRY["lines"][:1]}}),
        ("post_journal_entry", {"entry": ENTRY | {"entry_date": "2026-02-30"}}),
        ("post_journal_entry", {"entry": ENTRY | {"lines": [{**ENTRY["lines"][0], "debit_amount": "-1"}] * 2}}),
        ("post_journal_entry", {"entry": ENTRY | {"lines": [{**ENTRY["lines"][0], "debit_amount": 1}] * 2}}),
        ("post_journal_entry", {"entry": ENTRY | {"lines": [{**ENTRY["lines"][0], "currency": "inr"}] * 2}}),
        ("book_hotel", {"passenger_ids": []}),
        ("book_hotel", {"passenger_ids": ["p", "p"]}),
        ("book_hotel", {"buyer_reference": "x" * 129}),
    ],
)
def test_an_input_out_of_bounds_is_refused(name: str, change: dict[str, Any]) -> None:
    objection(name, RIGHT[name] | change)


def test_a_hold_is_bought_by_its_booking_id_alone() -> None:
    assert CATALOGUE["book_flight"].parse({"booking_id": "b"}).fare is None


def test_nobody_named_means_one_adult() -> None:
    for passengers in ({}, {"adult": 0, "child": 0}):
        question = SearchFlights().parse(SEARCH | {"passengers": passengers}).question("INR")
        assert question.party.counts == {"adult": 1}
    assert SearchFlights().parse(SEARCH | {"passengers": {"senior": 2}}).question("INR").party.counts == {"senior": 2}


def test_an_output_that_is_not_what_was_agreed_is_not_told() -> None:
    tool = UpsertPassenger()
    saved = {"saved": True, "passenger_id": "p", "created": True}
    assert tool.succeed(passenger_id="p", created=True) == Succeeded(saved)
    broken = tool.succeed(passenger_id=SECRET, created="perhaps", extra=1)
    assert broken == Failed("tool_output_invalid", "the answer of 'upsert_passenger' is not what was agreed")


def test_b53_an_executed_write_whose_output_is_wrong_is_unknown_and_not_failed() -> None:
    assert BookFlight().succeed(booking_id=7).state == "unknown"


async def test_a_reading_whose_output_is_wrong_is_made_once_more() -> None:
    class Hesitant(LookupPassenger):
        answers: ClassVar = [{"count": "many"}, {"count": 0, "passengers": []}]

        async def look(self, given: Any, context: Any) -> Outcome:
            del given, context
            return self.succeed(**self.answers.pop(0))

    tool = Hesitant()
    read = await tool.read(tool.parse({"query": "Rao"}), None)  # type: ignore[arg-type]
    assert read == Succeeded({"count": 0, "passengers": []})


def test_a_tool_refuses_only_for_reasons_it_declares() -> None:
    tool = UpsertPassenger()
    assert tool.refuse(Objection("not_found", "Nobody.")) == Refused("saved", "not_found", "Nobody.")
    with pytest.raises(AssertionError):
        tool.refuse(Objection("bad_mood", "No."))


def test_the_reasons_of_refusal_are_those_of_the_contract() -> None:
    hold = {"offer_not_found", "offer_expired", "hold_not_supported", "passenger_not_found", "passenger_incomplete"}
    hold |= {"price_changed", "supplier_refused", "sold_out"}
    book = hold - {"hold_not_supported"}
    book |= {"not_found", "hold_expired", "invalid_status", "capability_not_supported", "changed_since_approval"}
    assert CATALOGUE["hold_flight"].reasons == hold
    assert CATALOGUE["book_flight"].reasons == book
    issue = {"capability_not_supported", "not_found", "invalid_status", "tickets_not_ready", "supplier_refused"}
    assert CATALOGUE["issue_ticket"].reasons == issue | {"changed_since_approval"}
    cancel = {"not_found", "not_cancellable", "quote_expired", "capability_not_supported", "supplier_refused"}
    assert CATALOGUE["cancel_flight_order"].reasons == cancel | {"changed_since_approval"}
    assert CATALOGUE["cancel_hotel_booking"].reasons == cancel | {"changed_since_approval"}
    check = {"capability_not_supported", "offer_not_found", "offer_expired", "sold_out"}
    assert CATALOGUE["check_hotel_rate"].reasons == check
    stay = {"price_changed", "passenger_not_found", "supplier_refused", "changed_since_approval"}
    assert CATALOGUE["book_hotel"].reasons == check | stay
    assert CATALOGUE["read_hotel_booking"].reasons == {"not_found"}
    assert CATALOGUE["read_account_balance"].reasons == {"account_not_found", "capability_not_supported"}
    assert CATALOGUE["post_journal_entry"].reasons == {"invalid_line", "validation_failed", "control_account"}
