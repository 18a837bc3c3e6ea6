"""Each line of an invoice says what it comes to, exactly, as far as that follows from what was given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.console.conftest import NARROW, WIDE, Console
from tests.http.browser.console.test_reports import does
from tests.rehearsal import Rehearsal, ToolUse, Turn

if TYPE_CHECKING:
    from tests.http.browser.console.conftest import Tab
    from tests.service.conftest import Person

pytestmark = pytest.mark.browser
TODAY = str(datetime.now(UTC).date())
A4 = {"width": 688, "height": 1000}


def gst(code: str, taxable: str, **more: Any) -> dict[str, Any]:
    return {"regime": "gst_india", "code": code, "taxable_amount": taxable, **more}


COMMISSION = {"discount": "100.00", "discount_reason": "commission"}
GIVEN = [gst(code, "1900.00", rate_bps=900, tax_amount="171.00") for code in ("CGST", "SGST")]
TAXED = {
    "invoice_number": "T-1",
    "client_id": "mehta",
    "client_name": "Mehta Exports",
    "issue_date": TODAY,
    "currency": "INR",
    "billing_address": {},
    "lines": [
        {"description": "Fare", "quantity": 2, "unit_price": "1000.00", **COMMISSION, "taxes": GIVEN},
        {"description": "Fee", "unit_price": "333.33", "taxes": [gst("IGST", "333.33", rate_bps=1800)]},
        {"description": "Visa", "quantity": "1.5", "unit_price": "10.01", "taxes": [gst("IGST", "15.01")]},
        {"description": "Courier", "unit_price": "5.00", "subtotal": "5.00", "total": "5.00"},
    ],
}


async def invoiced(who: Person, player: Rehearsal, tool: str, given: dict[str, Any]) -> str:
    """An invoice made in a new conversation; where it is shown."""
    handoff = ToolUse("handoff", {"domain": "accounting", "goal": "invoice"})
    player.play(Turn(handoff), Turn(ToolUse(tool, given)), Turn("Done."))
    return f"conversations/{await does(who, 'invoice', 1)}"


async def lines(tab: Tab) -> tuple[list[str], list[list[str]]]:
    """The heads and cells of an invoice's lines."""
    table = tab.page.get_by_role("table").filter(has=tab.page.locator("caption", has_text="Lines"))
    heads = await table.locator("thead th").all_inner_texts()
    rows = await table.locator("tbody tr").all()
    return heads, [[" ".join(cell.split()) for cell in await row.locator("th, td").all_inner_texts()] for row in rows]


async def test_an_amount_is_after_discount_and_with_the_taxes_that_were_given(
    console: Console, player: Rehearsal
) -> None:
    asha = await console.sign_up()
    view = await invoiced(asha, player, "create_invoice", {"invoice": TAXED})
    tab = await console.open(asha)
    await tab.at(view)
    heads, rows = await lines(tab)
    assert heads == ["Description", "Quantity", "Unit price", "Discount", "Tax", "Amount"]
    assert [row[:1] + row[4:] for row in rows] == [
        ["Fare", "INR 171.00 CGST 9 % INR 171.00 SGST 9 %", "INR 2,242.00"],
        ["Fee", "INR 60.00 IGST 18 %", "INR 393.33"],
        ["Visa", "IGST", "INR 15.02 before tax"],
        ["Courier", "\u2013", "INR 5.00"],
    ]
    assert await tab.violations() == []
    await tab.page.set_viewport_size(A4)
    await tab.page.emulate_media(media="print")
    assert await tab.overflow() == 0


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
async def test_an_amount_is_exact_however_large_and_written_as_the_currency_is(
    width: int, scheme: str, console: Console, player: Rehearsal
) -> None:
    asha = await console.sign_up()
    days = {"customer_name": "Mehta Exports", "issue_date": TODAY, "due_date": TODAY}
    dear = {"description": "Charter", "quantity": 3, "unit_price": "33333333333333.33", "currency": "INR"}
    small = {"description": "Stamp", "quantity": 1, "unit_price": "0.0049", "currency": "INR"}
    view = await invoiced(asha, player, "draft_invoice", {**days, "line_items": [dear]})
    tab = await console.open(asha, width=width, scheme=scheme)
    await tab.at(view)
    assert [row[-1] for row in (await lines(tab))[1]] == ["INR 9,99,99,99,99,99,999.99"]
    dinars = [{**dear, "quantity": 7, "unit_price": "1.005", "currency": "KWD"}, {**small, "currency": "KWD"}]
    view = await invoiced(asha, player, "draft_invoice", {**days, "line_items": dinars})
    await tab.at(view)
    heads, rows = await lines(tab)
    assert heads == ["Description", "Quantity", "Unit price", "Amount"]
    assert [row[-1] for row in rows] == ["KWD 7.035", "KWD 0.005"]
    assert (await tab.violations(), await tab.overflow()) == ([], 0)


async def test_an_amount_is_told_in_hindi(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    assert (await asha.call("PATCH", "/tenant-settings", json={"locale": "hi"}))[0] == 200
    view = await invoiced(asha, player, "create_invoice", {"invoice": TAXED})
    page = (await console.open(asha, view)).page
    table = page.get_by_role("table", name="पंक्तियाँ")
    await table.get_by_text("कर से पहले").wait_for()
    assert (await table.locator("thead th").all_inner_texts())[-2:] == ["कर", "राशि"]


async def test_sums_and_products_of_decimal_strings_are_exact(console: Console) -> None:
    page = (await console.open()).page
    script = """async () => {
      const of = document.querySelector('script[type=module]').src;
      const { minus, plus, rounded, times } = await import(of.replace(/app[.]js$/, 'decimal.js'));
      return [plus('0.1', '0.2'), minus('0.5', '1'), minus('-0.5', '0.25'), times('1.5', '10.01'), times('3', '0'),
        times('33333333333333.33', '3'), rounded('0.005', 2), rounded('0.0049', 2), rounded('-0.005', 2),
        rounded('7', 2), rounded('59.9994', 0)];
    }"""
    assert await page.evaluate(script) == [
        "0.3", "-0.5", "-0.75", "15.015", "0", "99999999999999.99", "0.01", "0.00", "-0.01", "7", "60",
    ]  # fmt: skip
