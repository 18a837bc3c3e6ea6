"""No input ends in an empty result, a crash or a meaningless row: one table for all tools."""

from __future__ import annotations

from typing import Any

import pytest

from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.schema import MOST_FLAWS
from voyagent.actors.agent.tools.tool import InputInvalid

FLIGHT = {"origin": "BOM", "destination": "DXB", "outbound_date": "2026-12-05"}
HOTEL = {"country": "AE", "city": "Dubai", "check_in": "2026-12-05", "check_out": "2026-12-07", "guests": 2}


def journal(*amounts: str, currency: str = "INR", **parts: Any) -> dict[str, Any]:
    lines = [
        {"account_id": account, "currency": currency, side: amount}
        for amount in amounts
        for account, side in (("1000", "debit_amount"), ("3000", "credit_amount"))
    ]
    return {"entry": {"narration": "Capital", "lines": lines, "entry_date": "2026-11-20", **parts}}


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("lookup_passenger", {"query": "     "}),
        ("lookup_passenger", {"query": " a "}),
        ("lookup_passenger", {"query": "\u200b\u200b\u200b"}),
        ("upsert_passenger", {"full_name": "\u202e\u2066"}),
        ("upsert_passenger", {"full_name": "-.-"}),
        ("search_flights", FLIGHT | {"passengers": {"adult": 10**30}}),
        ("search_flights", FLIGHT | {"passengers": {"adult": -1}}),
        ("search_flights", FLIGHT | {"return_date": "2026-12-03"}),
        ("search_hotels", HOTEL | {"city": "  \u200b "}),
        ("search_hotels", HOTEL | {"guests": 0}),
        ("search_hotels", HOTEL | {"currency": "ZZZ"}),
        ("search_hotels", HOTEL | {"currency": "AED", "budget_max": "0"}),
        ("search_hotels", HOTEL | {"currency": "AED", "budget_max": "-5"}),
        ("post_journal_entry", journal("5", currency="ZZZ")),
        ("post_journal_entry", journal("5", currency="XXX")),
        ("post_journal_entry", journal("-5")),
        ("post_journal_entry", journal("5", narration=" \u200b ")),
        ("post_journal_entry", journal("5", source_event="\u2028")),
        ("post_journal_entry", journal("5", entry_date="2026-02-30")),
        ("book_flight", {"fare_id": "f", "passenger_ids": [f"p{n}" for n in range(101)]}),
    ],
    ids=str,
)
def test_what_nobody_can_mean_is_no_input(tool: str, given: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid):
        CATALOGUE[tool].parse(given)


def test_an_input_with_any_number_of_flaws_is_refused_in_a_few_words() -> None:
    with pytest.raises(InputInvalid) as refused:
        CATALOGUE["lookup_passenger"].parse({f"field_{number}": number for number in range(10_000)})
    told = refused.value.outcome.error
    assert len(told) < 2_000
    assert "field_0: Extra inputs are not permitted" in told
    assert told.endswith(f"and {10_001 - MOST_FLAWS} more")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (journal("0"), "invalid_line"),
        (journal("99999999999999.9999"), "invalid_line"),
        (journal("1.005"), "invalid_line"),
        (journal("1.5", currency="JPY"), "invalid_line"),
        (journal("99999999999999.99", "0.01"), "validation_failed"),
        (journal(*["99999999999999"] * 20), "validation_failed"),
        (journal("5", entry_date="0001-01-01"), "validation_failed"),
        (journal("5", entry_date="1969-12-31"), "validation_failed"),
        (journal("5", entry_date="9999-12-31"), "validation_failed"),
        (journal("5", entry_date="2028-01-01"), "validation_failed"),
    ],
    ids=str,
)
async def test_a_journal_nobody_can_mean_is_refused_before_anybody_is_asked(
    given: dict[str, Any], why: str, desk: Any
) -> None:
    for told in (await desk.bind("post_journal_entry", **given), await desk.plan("post_journal_entry", **given)):
        assert isinstance(told, dict), told
        assert (told["posted"], told["reason"]) == (False, why)
    assert await desk.count("journals") == 0


@pytest.mark.parametrize("amount", ["99999999999999.99", "0.01"])
async def test_the_largest_and_the_smallest_amount_are_posted(amount: str, desk: Any) -> None:
    assert (await desk.plan("post_journal_entry", **journal(amount)))["posted"] is True


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_no_day_of_the_calendar_breaks_a_search(day: str, desk: Any) -> None:
    for given in (FLIGHT | {"outbound_date": day}, FLIGHT | {"outbound_date": day, "return_date": day}):
        assert (await desk.read("search_flights", **given))["error"].startswith("validation_failed: ")
    out = {"check_in": day, "check_out": day} if day != "0001-01-01" else {"check_in": day, "check_out": "0001-01-02"}
    if day == "9999-12-31":
        out["check_in"] = "9999-12-30"
    assert (await desk.read("search_hotels", **HOTEL | out))["error"].startswith("validation_failed: ")
    assert (await desk.read("read_account_balance", account_id="1000", as_of=day))["read"] is True


async def test_offers_that_cannot_be_written_down_are_not_shown(desk: Any) -> None:
    search = desk.house.search

    async def odd(question: Any) -> Any:
        first, *others = await search(question)
        return [first.model_copy(update={"supplier_ref": "a\0b"}), *others]

    everything = await desk.read("search_flights", **FLIGHT)
    desk.house.search = odd
    assert (await desk.read("search_flights", **FLIGHT))["count"] == everything["count"] - 1
