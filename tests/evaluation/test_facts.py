"""What counts as a fact in a text, and what a source makes known."""

from __future__ import annotations

import pytest

from tests.evaluation.facts import Facts, of_source, split_amounts


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("INR 45,200.00 or 45200 INR", ["amount INR 45200"]),
        ("₹45,200.50 and $1,120", ["amount INR 45200.5", "amount USD 1120"]),
        ("locator J8CSJ8, INR 10.00, confirmed", ["amount INR 10", "reference J8CSJ8"]),
        ("locator ABCDEF", ["reference ABCDEF"]),
        ("invoice INV-2026-0001", ["reference INV-2026-0001"]),
        ("EK 501 and 6E213, but not the A 380 or ZZ 999", ["flight 6E 213", "flight EK 501"]),
        ("on 2027-01-28", ["date 2027-01-28"]),
        ("on 28 January 2027 or January 29th, 2027", ["date 2027-01-28", "date 2027-01-29"]),
        ("at 6:05 pm, at 07:30", ["time 07:30", "time 18:05"]),
        ("Air India or the Deira Souk Hotel", ["name Air India", "name Deira Souk Hotel"]),
        ("AGE 12, 31 February 2027, BOOKED, 2 adults", []),
    ],
)
def test_facts_are_found_in_one_spelling(text: str, facts: list[str]) -> None:
    assert Facts.of(text).beyond(Facts()) == facts


def test_a_moment_is_known_as_date_and_time_in_each_zone() -> None:
    known = of_source('{"departs_at":"2027-01-27T21:20:00Z"}', ("UTC", "Asia/Kolkata"))
    assert Facts.of("on 28 January 2027 at 02:50, which is 2027-01-27 21:20 UTC").beyond(known) == []
    assert Facts.of("on 29 January 2027 at 03:50").beyond(known) == ["date 2027-01-29", "time 03:50"]


def test_any_code_of_a_source_is_a_known_reference() -> None:
    assert Facts.of("Your PNR is QWERTY").beyond(of_source('{"locator": "QWERTY"}', ())) == []
    assert Facts.of("Your PNR is QWERTZ").beyond(of_source('{"locator": "QWERTY"}', ())) == ["reference QWERTZ"]


def test_an_amount_beside_its_currency_is_known() -> None:
    result = {"invoices": [{"currency": "INR", "amount_due": "30000.00", "number": "7/A"}], "total": "5.00"}
    assert split_amounts(result) == {"INR 30000"}
