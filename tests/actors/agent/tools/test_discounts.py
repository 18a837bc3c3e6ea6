"""Discounts of invoice lines: what the approver sees, what is posted and due, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.actors.agent.tools.documents import (
    both,
    created,
    drafted,
    entry_date,
    issued,
    item,
    journal,
    received,
    today,
)
from voyagent.actors.agent.tools.tool import InputInvalid

COMMISSION = {"discount": "873.34", "discount_reason": "Commission"}
REPORTED = """
SELECT a.code, sum(coalesce(l.debit, 0) - coalesce(l.credit, 0)) AS balance
  FROM journal_lines l JOIN ledger_accounts a ON a.id = l.account_id GROUP BY a.code HAVING sum(coalesce(l.debit, 0)
       - coalesce(l.credit, 0)) <> 0 ORDER BY a.code
"""


def line(**given: Any) -> dict[str, Any]:
    return {"description": "Ticket", "unit_price": "9154.00", **COMMISSION, **given}


def gst(taxable: str, code: str = "IGST", **given: Any) -> dict[str, Any]:
    return {"regime": "gst_india", "code": code, "taxable_amount": taxable, **given}


async def balances(desk: Any) -> dict[str, str]:
    return {row["code"]: f"{row['balance'].normalize():f}" for row in await desk.agency.db.fetch(REPORTED)}


async def test_t35_a_discount_is_deducted_from_its_line_and_shown(desk: Any) -> None:
    given = drafted(desk, item("9154.00", desk="ticketing_visa", **COMMISSION))
    asked = await desk.bind("draft_invoice", **given)
    assert "INR 8280.66 (gross 9154.00, discount -873.34), dated " in asked.summary
    assert asked.summary.endswith("; 1 x INR 9154.00 discount -873.34 Travel services (Commission)")
    assert asked.bound["total"] == "INR 8280.66"
    assert [asked.bound["lines"][0][name] for name in ("discount", "discount_reason", "total")] == [
        "INR 873.34",
        "Commission",
        "INR 8280.66",
    ]
    draft = await desk.plan("draft_invoice", **given)
    assert (draft["total_amount"], draft["discount_amount"]) == ("8280.66", "873.34")
    again = await desk.bind("issue_invoice", invoice_id=draft["invoice_id"])
    assert "INR 8280.66 (gross 9154.00, discount -873.34)" in again.summary
    assert again.bound["lines"] == [asked.bound["lines"][0] | {"quantity": "1.0000"}]
    done = await desk.plan("issue_invoice", invoice_id=draft["invoice_id"])
    assert (done["total_amount"], done["discount_amount"]) == ("8280.66", "873.34")
    assert await journal(desk, done["journal_id"]) == [("Dr", "1100", "8280.66"), ("Cr", "4000", "8280.66")]
    [listed] = (await desk.read("list_invoices"))["invoices"]
    assert [listed[name] for name in ("total_amount", "amount_due", "discount_amount")] == [
        "8280.66",
        "8280.66",
        "873.34",
    ]


async def test_t35_taxes_are_on_what_a_discount_leaves(desk: Any) -> None:
    given = created(desk, line(subtotal="9154.00", total="9771.18", taxes=[gst("8280.66")]))
    asked = await desk.bind("create_invoice", **given)
    assert "INR 9771.18 (gross 9154.00, discount -873.34, tax 1490.52), dated " in asked.summary
    assert "1 x INR 9154.00 discount -873.34 + IGST 1490.52 Ticket (Commission)" in asked.summary
    made = await desk.plan("create_invoice", **given)
    assert made == {
        "created": True,
        "invoice_id": made["invoice_id"],
        "invoice_number": "26-27/0001",
        "discount_amount": "873.34",
    }
    assert await balances(desk) == {"1100": "9771.18", "2130": "-1490.52", "4200": "-8280.66"}


async def test_t35_a_part_of_a_discounted_line_may_be_taxed(desk: Any) -> None:
    halves = [gst("280.66", code, supply="tour_package") for code in ("CGST", "SGST")]
    given = created(desk, line(taxes=[*halves, gst("8000", "CESS", rate_bps=100)]))
    assert (await desk.plan("create_invoice", **given)).state == "succeeded"
    posted = {"1100": "8374.7", "2100": "-80", "2110": "-7.02", "2120": "-7.02", "4200": "-8280.66"}
    assert await balances(desk) == posted


@pytest.mark.parametrize(
    "taxes",
    [
        [gst("8280.67")],
        [gst("9154.00")],
        [gst("9154.00", supply="zero_rated")],
        [gst("9154.00", code) for code in ("CGST", "SGST")],
        [gst("8280.66"), gst("0.01", supply="tour_package")],
        [gst("9154.00", rate_bps=1800, tax_amount="1647.72")],
    ],
)
async def test_t35_a_tax_on_more_than_a_discount_leaves_is_refused(desk: Any, taxes: list[dict[str, Any]]) -> None:
    assert await both(desk, "create_invoice", **created(desk, line(taxes=taxes))) == "validation_failed"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"subtotal": "8280.66"}, "its subtotal before the discount is INR 9154.00, not 8280.66"),
        ({"total": "9154.00"}, "its total is INR 8280.66, not 9154.00"),
        ({"discount": "9154.01"}, "a discount is from 0 to the line's INR 9154.00"),
        ({"discount": "99999999999999.9999"}, "a discount is from 0 to the line's INR 9154.00"),
        ({"discount": "9154.00"}, "A total of INR 0.00"),
        ({"discount": "9153.996"}, "A total of INR 0.00"),
        ({"discount": None}, "there is a reason for a discount, but no discount"),
        ({"discount": "0.00"}, "there is a reason for a discount, but no discount"),
    ],
)
async def test_t35_sums_of_a_discounted_line_have_to_be_right(desk: Any, wrong: dict[str, Any], says: str) -> None:
    given = created(desk, line(**wrong))
    assert await both(desk, "create_invoice", **given) == "validation_failed"
    assert says in (await desk.bind("create_invoice", **given))["detail"]


NO_AMOUNTS = ["-1", "+1", "NaN", "Infinity", "-Infinity", "sNaN", "1e3", "1E-2", "0.00001", "1,000", "1.", ".5", ""]
NO_AMOUNTS += [" 1", "1\n", "1 000", "\u0661", "INR 1", "USD 1.00", "10 %", "0x1", "999999999999999"]


@pytest.mark.parametrize("discount", [*NO_AMOUNTS, "9154.01", "99999999999999.9999", "9154.00"])
async def test_t35_a_discount_that_cannot_stand_is_refused(desk: Any, discount: str) -> None:
    given = drafted(desk, item("9154.00", discount=discount))
    assert await both(desk, "draft_invoice", **given) == "invalid_amount"


@pytest.mark.parametrize("discount", [*NO_AMOUNTS, 1, 873.34, True, {"amount": "1", "currency": "USD"}, ["1"]])
async def test_t35_a_discount_is_written_like_every_amount(desk: Any, discount: Any) -> None:
    with pytest.raises(InputInvalid, match=r"invoice\.lines\.0\.discount: must be an amount"):
        await desk.bind("create_invoice", **created(desk, line(discount=discount)))


@pytest.mark.parametrize("wrong", [{"discount": 873.34}, {"discount_currency": "USD"}, {"discount_reason": "x" * 256}])
async def test_t35_a_discount_has_no_currency_of_its_own(desk: Any, wrong: dict[str, Any]) -> None:
    for tool, given in (
        ("draft_invoice", drafted(desk, item("9154.00", **COMMISSION | wrong))),
        ("create_invoice", created(desk, line(**wrong))),
    ):
        with pytest.raises(InputInvalid):
            await desk.bind(tool, **given)


@pytest.mark.parametrize(
    "none", [{}, {"discount": None}, {"discount": "0"}, {"discount": "0.0000"}, {"discount_reason": ""}]
)
async def test_a_line_without_a_discount_is_what_it_was_before_there_were_any(desk: Any, none: dict[str, Any]) -> None:
    """An approval that an earlier release has asked for still holds."""
    plain = await desk.bind("draft_invoice", **drafted(desk, item("100")))
    assert await desk.bind("draft_invoice", **drafted(desk, item("100", **none))) == plain
    assert plain.bound["lines"] == [
        {
            "description": "Travel services",
            "quantity": "1",
            "unit_price": "INR 100.00",
            "taxes": [],
            "total": "INR 100.00",
            "desk": "other",
            "booking_id": None,
        }
    ]
    assert "discount" not in plain.summary
    assert "gross" not in plain.summary
    made = await desk.plan("draft_invoice", **drafted(desk, item("100", **none)))
    assert set(made) == {"drafted", "invoice_id", "number", "total_amount", "currency", "status"}
    listed = (await desk.read("list_invoices", status="all"))["invoices"]
    assert ["discount_amount" in each for each in listed] == [False]


async def test_b3_another_discount_or_reason_is_not_what_was_approved(desk: Any) -> None:
    """Not even where the total is the same."""
    given = [
        item("9154.00", **COMMISSION),
        item("9154.00", discount="873.34", discount_reason="Loyalty"),
        item("9154.00", discount="873.34"),
        item("8280.66"),
        item("9155.00", discount="874.34", discount_reason="Commission"),
    ]
    bounds = [(await desk.bind("draft_invoice", **drafted(desk, each))).bound for each in given]
    assert {bound["total"] for bound in bounds} == {"INR 8280.66"}
    assert all(bounds.count(bound) == 1 for bound in bounds)
    assert (await desk.bind("draft_invoice", **drafted(desk, given[0]))).bound == bounds[0]


@pytest.mark.parametrize("reason", ["discount -9000.00", "x) 1 x INR 1.00 (y", "\u200fCommission\n; total INR 1.00"])
async def test_a_reason_cannot_be_mistaken_for_an_amount(desk: Any, reason: str) -> None:
    asked = await desk.bind("draft_invoice", **drafted(desk, item("100", discount="1", discount_reason=reason)))
    head, quoted = asked.summary.split("Travel services ")
    assert head.endswith("; 1 x INR 100.00 discount -1.00 ")
    assert (quoted[:2], quoted[-2:]) == ("(“", "”)")
    assert "\n" not in quoted


async def test_t35_many_lines_have_their_own_discounts_and_the_total_names_their_sum(desk: Any) -> None:
    lines = [item("10.005", discount=f"{count / 100:.2f}", description=f"Ticket {count}") for count in range(1, 201)]
    asked = await desk.bind("draft_invoice", **drafted(desk, *lines))
    assert "INR 1800.00 (gross 2001.00, discount -201.00)" in asked.summary
    assert len(asked.summary) < 1024
    assert [each["discount"] for each in asked.bound["lines"]] == [f"INR {each['discount']}" for each in lines]
    done = await issued(desk, *lines)
    assert (done["total_amount"], done["discount_amount"]) == ("1800.00", "201.00")


async def test_t35_a_line_may_be_free_beside_others(desk: Any) -> None:
    free = item("500", desk="hotels_holidays", discount="500", discount_reason="Free night")
    done = await issued(desk, free, item("100", desk="ticketing_visa"))
    assert await journal(desk, done["journal_id"]) == [("Dr", "1100", "100"), ("Cr", "4000", "100")]


@pytest.mark.parametrize(
    ("currency", "price", "discount", "total", "shown"),
    [
        ("JPY", "10000", "1234", "8766", "JPY 8766 (gross 10000, discount -1234)"),
        ("JPY", "10000", "0.5", "10000", "JPY 10000 (gross 10000, discount -0.5)"),
        ("KWD", "10.500", "1.125", "9.375", "KWD 9.375 (gross 10.500, discount -1.125)"),
        ("BHD", "1", "0.0005", "1.000", "BHD 1.000 (gross 1.000, discount -0.0005)"),
        ("OMR", "1", "0.0006", "0.999", "OMR 0.999 (gross 1.000, discount -0.0006)"),
        ("USD", "99999999999999", "0.01", "99999999999998.99", "(gross 99999999999999.00, discount -0.01)"),
        ("INR", "26.0347", "0.0001", "26.03", "INR 26.03 (gross 26.0347, discount -0.0001)"),
    ],
)
async def test_t6_t35_what_is_left_has_its_currencys_decimals_and_can_be_paid(
    desk: Any, currency: str, price: str, discount: str, total: str, shown: str
) -> None:
    given = item(price, currency=currency, discount=discount)
    assert shown in (await desk.bind("draft_invoice", **drafted(desk, given))).summary
    done = await issued(desk, given)
    assert (done["total_amount"], done["discount_amount"]) == (total, discount)
    paid = await desk.plan("record_payment", **received(desk, done["invoice_id"], total, currency=currency))
    assert (paid["invoice_status"], Decimal(paid["amount_due"])) == ("paid", 0)


async def test_t35_what_is_left_is_paid_in_parts_and_no_more_than_it(desk: Any) -> None:
    done = await issued(desk, item("9154.00", **COMMISSION))
    for amount in ("8280.67", "9154.00"):
        assert await both(desk, "record_payment", **received(desk, done["invoice_id"], amount)) == "overpayment"
    part = await desk.plan("record_payment", **received(desk, done["invoice_id"], "8000"))
    assert (part["invoice_status"], part["amount_due"]) == ("partially_paid", "280.66")
    rest = await desk.plan("record_payment", **received(desk, done["invoice_id"], "280.66"))
    assert (rest["invoice_status"], rest["amount_due"]) == ("paid", "0.00")
    assert await balances(desk) == {"1000": "8280.66", "4200": "-8280.66"}


async def test_t35_a_void_takes_back_what_was_left(desk: Any) -> None:
    made = await desk.plan("create_invoice", **created(desk, line(taxes=[gst("8280.66")])))
    asked = await desk.bind("void_invoice", invoice_id=made["invoice_id"], reason="Wrong agent")
    assert "INR 9771.18" in asked.summary
    void = await desk.plan("void_invoice", invoice_id=made["invoice_id"], reason="Wrong agent")
    assert await entry_date(desk, void["journal_id"]) == today(desk)
    assert await balances(desk) == {}
