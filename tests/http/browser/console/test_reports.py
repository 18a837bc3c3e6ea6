"""The reports in the browser against the figures of the API, and their files."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.console.conftest import Console
from tests.rehearsal import Rehearsal, ToolUse, Turn

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.service.conftest import Person

pytestmark = pytest.mark.browser
TODAY = datetime.now(UTC).date()
EVER = "from=1970-01-01&to=2999-12-31"


def day(offset: int) -> str:
    return str(TODAY + timedelta(days=offset))


async def does(who: Person, words: str, tools: int) -> str:
    """Say it in a new conversation, and grant all that it leads to; the conversation."""
    session = await who.session()
    await who.say(session, words)
    for _ in range(tools):
        (waits,) = (await who.get(f"/approvals?session_id={session}"))["items"]
        assert (await who.call("POST", f"/approvals/{waits['id']}/resolve", json={"granted": True}))[0] == 200
        await who.replay(session)
    return session


@pytest.fixture
async def asha(console: Console) -> Person:
    """Somebody whose books have invoices and bills of each age in two currencies."""
    person = await console.sign_up()
    documents = (
        ("Mehta Exports", "INR 45200.00", -130, -100),
        ("Khan Textiles", "INR 88000.50", -80, -40),
        ("Iyer Family", "INR 52750.00", 0, 30),
        ("Falcon Trading", "AED 3500.00", -100, -70),
    )
    invoice, bill = "Draft an invoice for {} over {} dated {} due {} and issue it", "Record a bill from {} over {} {}"
    made = [does(person, invoice.format(party, sum_, day(first), day(due)), 2) for party, sum_, first, due in documents]
    days = f"reference EK-1 dated {day(-95)} due {day(-65)}"
    await asyncio.gather(*made, does(person, bill.format("Emirates", "AED 2900.00", days), 1))
    return person


def plain(shown: str) -> str:
    """A shown amount as the API sends it."""
    return shown.rsplit(maxsplit=1)[-1].replace(",", "")


def block(page: Page, currency: str) -> Locator:
    return page.locator(f"section[data-currency={currency}]")


async def rows(table: Locator) -> list[list[str]]:
    return [
        [cell.strip() for cell in await row.locator("th, td").all_inner_texts()]
        for row in await table.locator("tr").all()
    ]


async def saved(page: Page, button: str = "Download CSV") -> list[list[str]]:
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name=button).click()
    path = await (await waiting.value).path()
    return list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


@pytest.mark.parametrize("side", ["receivables", "payables"])
async def test_an_aging_shows_the_figures_of_the_api_in_each_currency(
    side: str, console: Console, asha: Person
) -> None:
    report = await asha.get(f"/reports/{side}?{EVER}")
    page = (await console.open(asha, f"reports/{side}")).page
    header = {**report, "currency": report["total_outstanding"]["currency"]}
    for own in (header, *report["other_currencies"]):
        shown = block(page, own["currency"])
        if float(own["total_outstanding"]["amount"]) == 0:
            assert await shown.count() == 0
            continue
        await shown.get_by_text("Agrees with the ledger").wait_for()
        assert (
            plain((await shown.locator(".figure a").inner_text()).splitlines()[0]) == own["total_outstanding"]["amount"]
        )
        table = (await rows(shown.locator("table").first))[1:]
        assert [(each[1], plain(each[2])) for each in table] == [
            *((str(bucket["count"]), bucket["amount"]["amount"]) for bucket in own["aging_buckets"]),
            (str(sum(bucket["count"] for bucket in own["aging_buckets"])), own["total_outstanding"]["amount"]),
        ]
        assert await shown.locator("svg.stacked rect").count() == await shown.locator(".legend .swatch").count() > 0
        parties = [[each[0], plain(each[1])] for each in (await rows(shown.locator("table").nth(1)))[1:]]
        expected = own["top_debtors" if side == "receivables" else "top_creditors"]
        assert parties == [[each["name"], each["amount"]["amount"]] for each in expected]


async def test_parts_of_a_bar_are_as_long_as_their_share(console: Console, asha: Person) -> None:
    page = (await console.open(asha, "reports/receivables")).page
    await block(page, "INR").locator("svg.stacked rect").first.wait_for()
    widths = (
        await block(page, "INR")
        .locator("svg.stacked rect")
        .evaluate_all("bars => bars.map(bar => bar.width.baseVal.value)")
    )
    amounts = [52750.00, 88000.50, 45200.00]
    assert [width / sum(widths) for width in widths] == pytest.approx([each / sum(amounts) for each in amounts])


async def test_a_figure_leads_to_its_documents_and_back(console: Console, asha: Person) -> None:
    page = (await console.open(asha, "reports/receivables")).page
    await block(page, "INR").get_by_role("link", name="31\u201360 days").first.focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Open invoices", level=1).wait_for()
    row = page.locator("tbody tr")
    await row.get_by_text("Khan Textiles").wait_for()
    assert await row.count() == 1
    await row.get_by_text("40 days overdue").wait_for()
    found = await saved(page)
    documents = await asha.get(f"/reports/receivables/invoices?{EVER}&currency=INR&bucket=31-60")
    assert [dict(zip(found[0], each, strict=True)) for each in found[1:]] == [
        {
            "number": each["number"],
            "reference": each["reference"] or "",
            "party": "Khan Textiles",
            "issue_date": day(-80),
            "due_date": day(-40),
            "days_overdue": "40",
            "currency": "INR",
            "total": "88000.50",
            "outstanding": "88000.50",
        }
        for each in documents["items"]
    ]
    await page.go_back()
    await block(page, "INR").get_by_role("link", name="Iyer Family").click()
    await page.get_by_role("heading", name="Open invoices", level=1).wait_for()
    await page.locator("tbody").get_by_text("in 30 days").wait_for()
    await page.locator("tbody").get_by_role("link", name="Open").click()
    await page.wait_for_url("**/conversations/**")


async def test_a_report_of_another_day_has_that_days_figures(console: Console, asha: Person) -> None:
    page = (await console.open(asha, "reports/receivables")).page
    await block(page, "INR").wait_for()
    await page.get_by_label("At the end of").fill(day(-60))
    await block(page, "INR").get_by_text("Up to 30 days").wait_for()
    await page.get_by_text("1,33,200.50").first.wait_for()
    assert f"as_of={day(-60)}" in page.url
    await page.reload()
    await page.get_by_text("1,33,200.50").first.wait_for()
    await page.get_by_label("Issued on or after").fill(day(-90))
    await page.get_by_text("88,000.50").first.wait_for()
    await page.get_by_label("Issued on or before").fill(day(-100))
    await page.get_by_role("alert").get_by_text("The first day is after the last.").wait_for()
    await page.get_by_role("button", name="Clear filters").click()
    await page.get_by_text("1,85,950.50").first.wait_for()


async def test_a_trial_balance_shows_the_accounts_of_the_api(console: Console, asha: Person) -> None:
    report = await asha.get("/reports/trial-balance")
    page = (await console.open(asha, "reports/trial-balance")).page
    await block(page, "INR").get_by_text("In balance").wait_for()
    await block(page, "INR").get_by_text("Receivables match the open invoices: INR 1,85,950.50").wait_for()
    for own in ({**report, "currency": "INR"}, *report["other_currencies"]):
        shown = await rows(block(page, own["currency"]).locator("table"))
        assert [[each[0], *map(plain, each[3:])] for each in shown[1:-1]] == [
            [each["code"], each["debit"], each["credit"], each["balance"]] for each in own["accounts"]
        ]
        assert [plain(each) for each in shown[-1][1:3]] == [own["total_debit"], own["total_credit"]]
    found = await saved(page)
    assert found[0] == ["currency", "code", "name", "type", "debit", "credit", "balance"]
    accounts = [each for own in (report, *report["other_currencies"]) for each in own["accounts"]]
    assert found[1:] == [[each[name] for name in found[0]] for each in accounts]
    await page.get_by_label("Show accounts without entries").check()
    await block(page, "INR").get_by_text("Tax").first.wait_for()
    await page.get_by_label("Show accounts without entries").uncheck()
    await page.get_by_label("At the end of").fill(day(-200))
    await page.get_by_text("Nothing is posted by this day").wait_for()


async def test_the_books_are_saved_for_tally_and_the_page_names_what_a_file_leaves_out(
    console: Console, asha: Person
) -> None:
    page = (await console.open(asha, "reports/tally")).page
    await page.get_by_label("First day").fill(day(-365))
    for what in ("ledgers", "vouchers"):
        for currency, other in (("INR", "AED"), ("AED", "INR")):
            await page.get_by_label("Currency").fill(currency.lower())
            async with page.expect_download() as waiting:
                await page.get_by_role("button", name=f"Download {what}").click()
            file = await waiting.value
            assert file.suggested_filename == f"tally-{what}-{currency}-{day(-365)}-{TODAY}.xml"
            query = f"?from={day(-365)}&to={TODAY}&currency={currency}"
            assert (await file.path()).read_text("ascii") == await asha.get(f"/reports/tally/{what}{query}")
            await page.get_by_role("status").get_by_text(f"Not in this file: journals in {other}.").wait_for()
    assert "from=" in page.url
    await page.get_by_label("First day").fill(day(2))
    await page.get_by_role("button", name="Download vouchers").click()
    await page.get_by_text("The first day is after the last.").wait_for()


async def test_the_currencies_of_the_books_are_offered_for_tally_and_any_other_is_taken(
    console: Console, asha: Person
) -> None:
    tab = await console.open(asha, "reports/tally")
    page = tab.page
    await page.get_by_text("Your books have journals in INR, AED.").wait_for()
    currency = page.get_by_label("Currency")
    assert await currency.evaluate("each => [...each.list.options].map(({ value }) => value)") == ["INR", "AED"]
    described = await currency.evaluate(
        "each => document.getElementById(each.getAttribute('aria-describedby')).innerText"
    )
    assert described == "Your books have journals in INR, AED."
    assert await tab.violations() == []
    await currency.fill("usd")
    await page.wait_for_url("**currency=usd")
    await page.route("**/reports/trial-balance", lambda route: route.fulfill(status=400, json={"detail": "no"}))
    await page.reload()
    await page.get_by_label("Currency").wait_for()
    assert await page.get_by_label("Currency").input_value() == "usd"
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="Download ledgers").click()
    assert "-USD-" in (await waiting.value).suggested_filename
    assert await page.locator("datalist").count() == 0


async def test_a_file_without_vouchers_says_so(console: Console, asha: Person) -> None:
    page = (await console.open(asha, "reports/tally")).page
    await page.get_by_label("First day").fill(day(-365))
    for currency, none in (("XAU", True), ("INR", False)):
        await page.get_by_label("Currency").fill(currency)
        async with page.expect_download() as waiting:
            await page.get_by_role("button", name="Download vouchers").click()
        assert ("<VOUCHER " in (await (await waiting.value).path()).read_text("ascii")) is not none
        await page.get_by_role("status").get_by_text("Not in this file: journals in AED").wait_for()
        said = f"This file has no vouchers: no journal in {currency} is dated in these days."
        assert await page.get_by_text(said).count() == none


async def test_usage_is_drawn_by_day_and_added_up(console: Console, asha: Person) -> None:
    report = await asha.get("/reports/usage")
    page = (await console.open(asha, "reports/usage")).page
    bars = page.locator("svg.columns-chart rect")
    await bars.first.wait_for(state="attached")
    assert await bars.count() == 30
    heights = await bars.evaluate_all("bars => bars.map(bar => bar.height.baseVal.value)")
    assert [height > 0 for height in heights] == [False] * 29 + [True]
    shown = [cell.replace(",", "") for cell in (await rows(page.locator("tfoot")))[0][1:-1]]
    names = ("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    assert shown == [str(report["totals"][name]) for name in names]
    await page.get_by_text("calls have no price").wait_for()
    assert (await saved(page))[1][:3] == [report["items"][0]["date"], report["items"][0]["model"], shown[0]]
    await page.get_by_label("Show").select_option("calls")
    await page.get_by_role("heading", name="Calls").wait_for()
    await page.get_by_label("First day").fill("2020-01-01")
    await page.get_by_role("alert").get_by_text("Choose a shorter time").wait_for()


async def test_who_may_not_see_usage_is_not_offered_it(console: Console, asha: Person) -> None:
    tab = await console.open(await console.member(asha, "agent"), "reports/usage")
    await tab.page.get_by_role("navigation", name="Reports").wait_for()
    assert await tab.page.get_by_role("link", name="Usage").count() == 0
    await tab.page.get_by_text("Your role may not open this").wait_for()
    assert await tab.page.locator("main form, main table").count() == 0


async def test_reports_of_an_agency_without_books_teach(console: Console) -> None:
    fresh = await console.sign_up()
    tab = await console.open(fresh, "reports")
    await tab.page.get_by_text("No customer owes anything").wait_for()
    for part, said in (
        ("payables", "No supplier is owed anything"),
        ("trial-balance", "Nothing is posted by this day"),
        ("usage", "The agent was not used in these days"),
    ):
        await tab.at(f"reports/{part}")
        await tab.page.get_by_text(said).wait_for()
        assert await tab.page.get_by_role("button", name="Download CSV").count() == 0


async def test_no_cell_of_a_file_starts_a_formula(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    bill = {"vendor_name": "=HYPERLINK(1)", "vendor_reference": "@x", "amount": "10.00", "currency": "INR"}
    call = ToolUse("record_bill", {**bill, "issue_date": day(-5), "due_date": day(0)})
    player.play(Turn(ToolUse("handoff", {"domain": "accounting", "goal": "bill"})), Turn(call), Turn("Done."))
    await does(asha, "bill", 1)
    page = (await console.open(asha, "reports/payables/documents?currency=INR")).page
    await page.locator("tbody tr").first.wait_for()
    cells: list[Any] = [cell for row in await saved(page) for cell in row]
    assert [cell for cell in cells if cell[:1] in tuple("=+@")] == []
    script = """async cells => {
      const { cell } = await import(document.querySelector('script[type=module]').src.replace(/app[.]js$/, 'csv.js'));
      return cells.map(cell);
    }"""
    odd = ["=1", "+919820012345", "-1.50", "+1", "@x", "\t=1", "\uff1d1", "a,b", 'say "x"', "-x", None]
    assert await page.evaluate(script, odd) == [
        "'=1", "'+919820012345", "-1.50", "+1", "'@x", "'\t=1", "'\uff1d1", '"a,b"', '"say ""x"""', "'-x", "",
    ]  # fmt: skip
