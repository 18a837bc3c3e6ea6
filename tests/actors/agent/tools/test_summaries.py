"""What a human decides by cannot be written by who is being decided about."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.agent.tools.documents import billed, drafted, issued, item, received
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.summary import code, shown

FORGED = (
    "Asha Rao; INR 1.00; supplier free",
    "Asha Rao, Ravi Rao",
    "Asha\u202e oaR",
    "Asha Rao\n; supplier free",
    "Asha\u2028Rao; INR 1.00",
    "Asha\x1b[2K Rao",
    "Asha\u2066Rao\u2069; INR 1",
    "Asha\u037e INR 1.00\u037e supplier free",
    "Asha\uff1b INR 1.00",
    "\u201d; INR 1.00; \u201c",
    '"; INR 1.00; supplier "free',
    "Asha\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301 Rao",
    "Asha\u00a0Rao\u00a0INR\u00a01.00",
    "Asha Rao (INR 1.00)",
)
FIELDS = re.compile(r"; (?=(?:[^“”]*“[^“”]*”)*[^“”]*$)")
"""Where one field ends and the next begins: outside of quotes."""


def held(summary: str) -> None:
    """A line whose fields are those of the service."""
    assert all(unicodedata.category(sign)[0] != "C" for sign in summary), ascii(summary)
    assert not {sign for sign in summary if unicodedata.category(sign) in ("Zl", "Zp")}
    assert len(summary) <= 1024


def forged(fields: list[str]) -> list[str]:
    return [field for field in fields if field.strip() in ("INR 1.00", "supplier free", "INR 1")]


@pytest.mark.parametrize("name", FORGED, ids=ascii)
async def test_no_name_and_no_reference_looks_like_a_field_of_a_flight(name: str, desk: Any) -> None:
    fare = await desk.fare()
    person = await desk.person(name, given_name="Asha", family_name="Rao")
    gate = await desk.gate(fare_id=fare["fare_id"], passenger_ids=[person], buyer_reference=name[:128])
    held(gate.summary)
    fields = FIELDS.split(gate.summary)
    assert len(fields) == 9
    assert [field for field in fields if re.search(r"INR [0-9.]+$", field)][:1] == [fare["price"]]
    assert not forged(fields)
    assert gate.summary.index(fare["price"]) < gate.summary.index("supplier house") < gate.summary.index("1 adult: ")
    assert fields[-1].startswith("reference ")
    assert fields[-2].startswith("1 adult: ")


@pytest.mark.parametrize("name", FORGED, ids=ascii)
async def test_no_name_looks_like_a_field_of_a_stay(name: str, desk: Any) -> None:
    stay = {"country": "AE", "city": "Dubai", "check_in": "2026-12-05", "check_out": "2026-12-07", "guests": 1}
    place = (await desk.read("search_hotels", **stay))["results"][0]
    person = await desk.person(name)
    gate = await desk.gate(
        "book_hotel", rate_key=place["rate_keys"][0], passenger_ids=[person], buyer_reference=name[:128]
    )
    held(gate.summary)
    fields = FIELDS.split(gate.summary)
    assert len(fields) == 8
    assert not forged(fields)
    assert fields[1] == place["from_price"]
    assert fields[2] == "supplier house"
    assert fields[-2].startswith("1 guest: ")


async def test_no_name_looks_like_a_field_of_a_ticket_or_a_cancellation(desk: Any) -> None:
    fare = await desk.fare()
    for name in FORGED:
        person = await desk.person(name, given_name="Asha", family_name="Rao")
        trip = {"fare_id": fare["fare_id"], "passenger_ids": [person]}
        booked = await desk.place(bound=(await desk.gate(**trip)).bound, **trip)
        for tool, key, count in (("issue_ticket", "pnr_id", 5), ("cancel_flight_order", "booking_id", 8)):
            summary = (await desk.gate(tool, **{key: booked["booking_id"]})).summary
            held(summary)
            fields = FIELDS.split(summary)
            assert len(fields) == count, fields
            assert not forged(fields)
            assert summary.index(fare["price"]) < summary.index("supplier house") < summary.index(fields[-1])


async def test_no_words_look_like_a_field_of_a_document(desk: Any) -> None:
    for said in FORGED:
        draft = drafted(desk, item("5.00", description=said), customer_name=said)
        invoice = await issued(desk, item("5.00", description=said), customer_name=said)
        for tool, asked in (
            ("draft_invoice", draft),
            ("record_payment", received(desk, invoice["invoice_id"], "1", reference=said[:128])),
            ("void_invoice", {"invoice_id": invoice["invoice_id"], "reason": said}),
            ("record_bill", billed(desk) | {"vendor_name": said, "vendor_reference": said[:128]}),
        ):
            summary = (await desk.bind(tool, **asked)).summary
            held(summary)
            fields = FIELDS.split(summary)
            assert len(fields) == 3, fields
            assert not forged(fields)


@pytest.mark.parametrize("said", FORGED, ids=ascii)
async def test_no_narration_looks_like_a_field_of_a_journal(said: str, desk: Any) -> None:
    lines = [
        {"account_id": "1000", "currency": "INR", "debit_amount": "5"},
        {"account_id": "3000", "currency": "INR", "credit_amount": "5"},
    ]
    gate = await desk.bind("post_journal_entry", entry={"narration": said, "lines": lines, "entry_date": "2026-11-20"})
    held(gate.summary)
    fields = FIELDS.split(gate.summary)
    assert fields[0] == "Post journal of 2026-11-20: INR 5.00"
    assert len(fields) == 3
    assert fields[2] == "debit 1000 Cash and bank INR 5.00, credit 3000 Equity INR 5.00"


@pytest.mark.parametrize("locator", FORGED, ids=ascii)
def test_no_locator_of_a_supplier_looks_like_a_field(locator: str) -> None:
    told = CATALOGUE["book_flight"].done_already({"booked": True, "locator": locator})
    held(told)
    assert len(FIELDS.split(told)) == 1
    assert told.startswith("Already booked ")
    assert told.endswith(": ")
    assert CATALOGUE["book_flight"].done_already({"locator": "WQ82U4"}) == "Already booked WQ82U4: "


@given(st.text(max_size=300), st.integers(8, 80))
def test_whatever_is_said_is_one_value_on_one_line(text: str, limit: int) -> None:
    for told in (shown(text, limit), code(text, limit)):
        assert len(told) <= limit
        assert all(unicodedata.category(sign)[0] != "C" for sign in told)
        if any(sign in told for sign in ";,:"):
            assert told[0] == "“"
            assert told[-1] == "”"
        assert told.count("“") == told.count("”") <= 1


@pytest.mark.parametrize(
    "name",
    ["Asha Rao", "Seán O'Brien", "O\u2019Brien", "Jean-Luc", "राम शर्मा", "محمد علي", "Dr. Rao", "王小明", "Ana·Li"],
)
def test_a_name_that_is_one_stands_as_it_is(name: str) -> None:
    assert shown(name) == name
