"""What an invoice has to be: its sums, its taxes, its party and its number."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from tests.actors.agent.tools.documents import (
    at,
    billed,
    both,
    created,
    drafted,
    issued,
    item,
    journal,
    received,
)
from voyagent.actors.agent.tools.tool import InputInvalid
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.domain.tax_rates import TaxRate
from voyagent.storage.books import tax_rates


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"line_items": [item(), item(currency="USD")]}, "mixed_currency"),
        ({"due_date": "2000-01-01"}, "invalid_date"),
        ({"issue_date": "2026-02-30"}, "invalid_date"),
        ({"issue_date": "next week"}, "invalid_date"),
        ({"issue_date": "2099-01-01", "due_date": "2099-02-01"}, "invalid_date"),
        ({"line_items": [item("-5")]}, "invalid_amount"),
        ({"line_items": [item("5.00001")]}, "invalid_amount"),
        ({"line_items": [item("1e3")]}, "invalid_amount"),
        ({"line_items": [item("0.00")]}, "invalid_amount"),
        ({"line_items": [item("99999999999999", quantity=2)]}, "invalid_amount"),
        ({"line_items": [item("99999999999999.9999", quantity=1_000_000)]}, "invalid_amount"),
        ({"line_items": [item("99999999999999", quantity=9_999)] * 200}, "invalid_amount"),
        ({"line_items": [item(booking_id="b-1")]}, "booking_not_found"),
    ],
)
async def test_b50_a_draft_that_cannot_stand_is_refused(desk: Any, change: dict[str, Any], why: str) -> None:
    assert await both(desk, "draft_invoice", **drafted(desk) | change) == why


async def test_b50_a_draft_keeps_its_lines_and_notes(desk: Any) -> None:
    given = drafted(desk, item("26.0347", quantity=95, desk="ticketing_visa"), item("1"), notes="Net 30")
    made = await desk.plan("draft_invoice", **given)
    row = await desk.agency.db.fetchrow("SELECT notes, total FROM invoices WHERE id = $1", made["invoice_id"])
    assert (row["notes"], f"{row['total']:f}") == ("Net 30", "2474.3000")
    lines = await desk.agency.db.fetch("SELECT * FROM invoice_lines ORDER BY line_no")
    assert [(line["desk"], f"{line['quantity'].normalize():f}", f"{line['subtotal']:f}") for line in lines] == [
        ("ticketing_visa", "95", "2473.2965"),
        ("other", "1", "1.0000"),
    ]


async def test_t6_the_total_that_is_printed_can_be_paid(desk: Any) -> None:
    invoice = await issued(desk, item("26.0347", quantity=95))
    assert invoice["total_amount"] == "2473.30"
    for amount, why in (("2473.2965", "invalid_amount"), ("2473.31", "overpayment")):
        assert await both(desk, "record_payment", **received(desk, invoice["invoice_id"], amount)) == why
    done = await desk.plan("record_payment", **received(desk, invoice["invoice_id"], "2473.30"))
    assert (done["invoice_status"], done["amount_due"]) == ("paid", "0.00")


def tax(amount: str, bps: int = 1960, taxable: str = "70.06", **given: Any) -> dict[str, Any]:
    name = {"regime": "gst_india", "code": "IGST"}
    return {**name, "rate_bps": bps, "taxable_amount": taxable, "tax_amount": amount, **given}


async def test_t6_a_tax_exact_to_four_decimals_is_paid_in_minor_units(desk: Any) -> None:
    line = {"description": "Fee", "unit_price": "70.06", "taxes": [tax("13.7318")]}
    made = await desk.plan("create_invoice", **created(desk, line | {"subtotal": "70.06", "total": "83.7918"}))
    assert made == {"created": True, "invoice_id": made["invoice_id"], "invoice_number": "26-27/0001"}
    posted = await desk.agency.db.fetchval("SELECT id FROM journals")
    assert await journal(desk, posted) == [("Dr", "1100", "83.79"), ("Cr", "2130", "13.73"), ("Cr", "4200", "70.06")]
    done = await desk.plan("record_payment", **received(desk, made["invoice_id"], "83.79"))
    assert done["invoice_status"] == "paid"


async def test_t6_what_rounding_leaves_goes_to_its_own_account(desk: Any) -> None:
    halves = [item("10.005", desk="ticketing_visa"), item("10.005", desk="hotels_holidays")]
    invoice = await issued(desk, *halves)
    assert invoice["total_amount"] == "20.01"
    assert await journal(desk, invoice["journal_id"]) == [
        ("Dr", "1100", "20.01"),
        ("Dr", "7000", "0.01"),
        ("Cr", "4000", "10.01"),
        ("Cr", "4100", "10.01"),
    ]


async def test_t6_a_tax_in_a_currency_without_decimals_is_paid_in_whole_units(desk: Any) -> None:
    sales = tax("112.7", 1000, "1127", regime="sales_tax_us", code="SALES")
    line = {"description": "Fee", "unit_price": "1127", "taxes": [sales]}
    made = await desk.plan("create_invoice", **created(desk, line, currency="JPY"))
    posted = await desk.agency.db.fetchval("SELECT id FROM journals")
    assert await journal(desk, posted) == [("Dr", "1100", "1240"), ("Cr", "2100", "113"), ("Cr", "4200", "1127")]
    given = received(desk, made["invoice_id"], "1239.7", currency="JPY")
    assert await both(desk, "record_payment", **given) == "invalid_amount"
    done = await desk.plan("record_payment", **given | {"amount": "1240"})
    assert (done["invoice_status"], done["amount_due"]) == ("paid", "0")


async def test_t35_a_commission_is_a_bill_of_the_agent_and_no_line_below_zero(desk: Any) -> None:
    lines = [item("9154.00"), item("-873.34", description="Commission")]
    assert await both(desk, "draft_invoice", **drafted(desk, *lines)) == "invalid_amount"
    refused = await desk.bind("draft_invoice", **drafted(desk, *lines))
    assert refused["detail"].startswith("Line 2: unit_price must be an amount")
    assert refused["detail"].endswith(": what is deducted is the discount of a line")
    invoice = await issued(desk, lines[0], customer_name="Sub Agent")
    commission = billed(desk, vendor_name="Sub Agent", vendor_reference="COM-1", amount="873.34")
    assert (await desk.plan("record_bill", **commission)).state == "succeeded"
    due = (await desk.read("list_invoices"))["invoices"][0]["amount_due"]
    owed = (await desk.read("list_bills"))["bills"][0]["amount_due"]
    assert (invoice["total_amount"], Decimal(due) - Decimal(owed)) == ("9154.00", Decimal("8280.66"))


@pytest.mark.parametrize(
    ("currency", "price", "total"), [("KWD", "1.0005", "1.001"), ("JPY", "1239.7", "1240"), ("USD", "1.005", "1.01")]
)
async def test_t6_a_total_has_its_currencys_decimals(desk: Any, currency: str, price: str, total: str) -> None:
    assert (await issued(desk, item(price, currency=currency)))["total_amount"] == total


@pytest.mark.parametrize(
    ("cgst", "sgst", "taxable", "bps", "journals"),
    [
        ("2.53", "2.53", "101.00", 250, [("2110", "2.53"), ("2120", "2.53"), ("4200", "101")]),
        ("292.0950", "292.0950", "3245.50", 900, [("2110", "292.1"), ("2120", "292.1"), ("4200", "3245.5")]),
        ("292.10", "292.10", "3245.50", 900, [("2110", "292.1"), ("2120", "292.1"), ("4200", "3245.5")]),
        ("2.53", "2.52", "101.00", 250, None),
        ("2.54", "2.54", "101.00", 250, None),
    ],
)
async def test_t8_the_halves_of_a_tax_are_equal_and_right(
    desk: Any, cgst: str, sgst: str, taxable: str, bps: int, journals: Any
) -> None:
    halves = [tax(cgst, bps, taxable, code="CGST"), tax(sgst, bps, taxable, code="SGST")]
    given = created(desk, {"description": "Fee", "unit_price": taxable, "taxes": halves})
    if journals is None:
        assert await both(desk, "create_invoice", **given) == "validation_failed"
        return
    assert (await desk.plan("create_invoice", **given)).state == "succeeded"
    posted = await journal(desk, await desk.agency.db.fetchval("SELECT id FROM journals"))
    assert [(code, amount) for side, code, amount in posted if side == "Cr"] == journals


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ({"subtotal": "999"}, {}),
        ({"total": "1000.01"}, {}),
        ({"currency": "USD"}, {}),
        ({"booking_id": "b-1"}, {}),
        ({}, {"due_date": "2000-01-01"}),
        ({}, {"issue_date": "2099-01-01"}),
        ({"unit_price": "0"}, {}),
        ({"unit_price": "99999999999999", "quantity": "999999.9999"}, {}),
        ({"unit_price": "99999999999999", "quantity": 2, "subtotal": "99999999999999"}, {}),
        ({"taxes": [tax("99999999999999", 100_000, "99999999999999")] * 10}, {}),
        ({"taxes": [{"regime": "none", "code": "T", "rate_bps": 100_000, "taxable_amount": "99999999999999"}]}, {}),
    ],
)
async def test_an_invoice_whose_sums_are_wrong_is_not_created(desk: Any, line: Any, given: Any) -> None:
    wrong = created(desk, {"description": "Ticket", "unit_price": "1000"} | line, **given)
    assert await both(desk, "create_invoice", **wrong) == "validation_failed"


@pytest.mark.parametrize(
    ("given", "party"),
    [
        ({"client_name": "Rao & Sons"}, "Rao & Sons"),
        ({}, "Asha Rao"),
        ({"billing_address": {"street": "1 Fort Road"}}, "client-1"),
        ({"billing_address": {"attention": " \u200b\n"}}, "client-1"),
        ({"billing_address": {"attention": " Asha\n Rao"}}, "Asha Rao"),
        ({"client_id": "client\n 1 ", "billing_address": {}}, "client 1"),
    ],
)
async def test_the_party_of_an_invoice_is_the_best_name_there_is(desk: Any, given: Any, party: str) -> None:
    made = await desk.plan("create_invoice", **created(desk, **given))
    name = "SELECT party_name FROM invoices WHERE id = $1"
    assert await desk.agency.db.fetchval(name, made["invoice_id"]) == party


async def test_an_invoice_is_for_somebody_who_can_be_read(desk: Any) -> None:
    with pytest.raises(InputInvalid, match="has nothing in it that can be read"):
        await desk.bind("create_invoice", **created(desk, client_id=" \u2060", billing_address={}))


async def test_the_party_of_an_invoice_is_the_passenger_with_that_id(desk: Any) -> None:
    person = await desk.person("Meera Iyer")
    made = await desk.plan("create_invoice", **created(desk, client_id=person, billing_address={}))
    name = "SELECT party_name FROM invoices WHERE id = $1"
    assert await desk.agency.db.fetchval(name, made["invoice_id"]) == "Meera Iyer"


async def test_t9_fifty_drafts_at_once_have_consecutive_numbers(desk: Any) -> None:
    good, bad = drafted(desk), drafted(desk, item(), item(booking_id=uuid7()))
    made = await asyncio.gather(
        *(desk.plan("draft_invoice", **(bad if place % 10 == 3 else good)) for place in range(50))
    )
    numbers = sorted(each["number"] for each in made if each["drafted"])
    assert numbers == [f"INV-{count:06}" for count in range(1, 46)]
    assert await desk.count("invoices") == 45


async def test_t9_a_number_given_by_hand_is_skipped_and_never_given_twice(desk: Any) -> None:
    by_hand = drafted(desk, number="INV-000002")
    assert (await desk.plan("draft_invoice", **drafted(desk)))["number"] == "INV-000001"
    assert (await desk.plan("draft_invoice", **by_hand))["number"] == "INV-000002"
    assert (await desk.plan("draft_invoice", **drafted(desk)))["number"] == "INV-000003"
    assert await both(desk, "draft_invoice", **by_hand) == "invoice_number_conflict"
    assert await both(desk, "create_invoice", **created(desk, invoice_number="INV-000003")) == "invoice_number_conflict"


async def test_t9_a_financial_year_begins_its_own_series(desk: Any) -> None:
    await desk.agency.db.execute(
        "INSERT INTO tenant_settings (tenant_id, invoice_series, created_at) VALUES ($1, '{fy}/{n:04}', now())"
        " ON CONFLICT (tenant_id) DO UPDATE SET invoice_series = '{fy}/{n:04}'",
        desk.agency.tenant_id,
    )
    at(desk, "2027-03-30T12:00:00+00:00", "Asia/Kolkata")
    numbers = []
    for day in ("2027-03-31", "2027-03-31", "2027-04-01", "2027-03-31", "2027-04-02"):
        made = await desk.plan("draft_invoice", **drafted(desk, issue_date=day, due_date="2027-05-01"))
        numbers.append(made["number"])
    assert numbers == ["26-27/0001", "26-27/0002", "27-28/0001", "26-27/0003", "27-28/0002"]


async def test_t8_taxes_without_rates_follow_from_the_agencys_rates_of_the_issue_date(desk: Any) -> None:
    halves = [
        {"regime": "gst_india", "code": code, "supply": "tour_package", "taxable_amount": "101.00"}
        for code in ("CGST", "SGST")
    ]
    line = {"description": "Package", "unit_price": "101.00", "taxes": halves, "total": "106.06"}
    assert (await desk.plan("create_invoice", **created(desk, line))).state == "succeeded"
    posted = await journal(desk, await desk.agency.db.fetchval("SELECT id FROM journals"))
    assert [(code, amount) for side, code, amount in posted if side == "Cr"] == [
        ("2110", "2.53"),
        ("2120", "2.53"),
        ("4200", "101"),
    ]
    (stored,) = await desk.agency.db.fetch("SELECT taxes FROM invoice_lines")
    assert [(each["rate_bps"], each["tax_amount"]) for each in json.loads(stored["taxes"])] == [(250, "2.53")] * 2


@pytest.mark.parametrize(("day", "right", "wrong"), [("2023-12-31", 800, 900), ("2024-01-01", 900, 800)])
async def test_t8_a_rate_of_the_other_side_of_a_change_is_refused(desk: Any, day: str, right: int, wrong: int) -> None:
    def given(bps: int) -> dict[str, Any]:
        gst = tax(f"{bps / 100:.2f}", bps, "100", regime="gst_sg", code="GST")
        return created(desk, {"description": "Fee", "unit_price": "100", "taxes": [gst]}, issue_date=day, due_date=day)

    assert await both(desk, "create_invoice", **given(wrong)) == "validation_failed"
    assert (await desk.plan("create_invoice", **given(right))).state == "succeeded"


async def test_t6_the_approver_is_told_of_a_rate_the_agency_does_not_have(desk: Any) -> None:
    asked = await desk.bind(
        "create_invoice", **created(desk, {"description": "Fee", "unit_price": "70.06", "taxes": [tax("13.7318")]})
    )
    assert "IGST at 19.6 % is none of the agency's rates (18 %, 5 %, 0 %)" in asked.summary
    assert asked.bound["unlisted_rates"] == [["IGST", 1960, [1800, 500, 0]]]
    known = await desk.bind(
        "create_invoice",
        **created(desk, {"description": "Fee", "unit_price": "100", "taxes": [tax("18", 1800, "100")]}),
    )
    assert "none of" not in known.summary
    assert "unlisted_rates" not in known.bound


async def test_b3_a_rate_that_is_set_after_the_approver_was_asked_changes_what_was_approved(desk: Any) -> None:
    fee = {"regime": "gst_india", "code": "IGST", "taxable_amount": "100"}
    given = created(desk, {"description": "Fee", "unit_price": "100", "taxes": [fee]})
    before = await desk.bind("create_invoice", **given)
    assert before == await desk.bind("create_invoice", **given)
    made = await desk.plan("create_invoice", **given)
    raised = TaxRate("gst_india", "IGST", "", "standard", desk.context.today, 2000)
    agency, now = desk.agency, desk.clock.now()
    origin = Origin(request_id="r-1")
    await agency.store.ask(
        tax_rates.Set(tenant_id=agency.tenant_id, rates=(raised,), by=agency.user_id, origin=origin, now=now)
    )
    after = await desk.bind("create_invoice", **created(desk, *given["invoice"]["lines"], invoice_number="26-27/0002"))
    assert (before.bound["total"], after.bound["total"]) == ("INR 118.00", "INR 120.00")
    total = "SELECT total FROM invoices WHERE id = $1"
    assert await agency.db.fetchval(total, made["invoice_id"]) == 118, "a document keeps its taxes"


async def test_the_desk_lists_the_rates_of_a_day(desk: Any) -> None:
    found = await desk.read("list_tax_rates", on="2023-12-31", regime="gst_sg")
    assert found == {
        "count": 2,
        "on": "2023-12-31",
        "rates": [
            {
                "regime": "gst_sg",
                "code": "GST",
                "jurisdiction": None,
                "supply": supply,
                "rate_bps": bps,
                "holds_from": since,
            }
            for supply, bps, since in (("standard", 800, "2023-01-01"), ("zero_rated", 0, "1994-04-01"))
        ],
    }
    today = await desk.read("list_tax_rates")
    assert today["on"] == desk.context.today.isoformat()
    assert today["count"] == len(today["rates"]) > 10
