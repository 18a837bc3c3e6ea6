"""On paper: what a customer or an accountant needs, in dark ink, without the page around it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyotp
import pytest

from tests.http.browser.console.conftest import PASSWORD, Console
from tests.http.browser.console.test_work import settle, worked

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.http.browser.console.conftest import Tab
    from tests.service.conftest import Person

pytestmark = pytest.mark.browser
TODAY = datetime.now(UTC).date()
CONTROLS = "button, .button, input, select, textarea, nav, .side, .top, .tabs, .back"
INK = """all => all.filter(each => each.checkVisibility() && each.textContent.trim()).map(each => {
  const [red, green, blue] = getComputedStyle(each).color.match(/[0-9.]+/g).map(Number);
  return Math.max(red, green, blue);
})"""
A4 = {"width": 688, "height": 1000}
"""An A4 page between its margins, in CSS pixels."""


async def on_paper(tab: Tab, view: str) -> Page:
    """A view of the screen as it is printed on A4."""
    page = await tab.at(view)
    await page.set_viewport_size(A4)
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await page.emulate_media(media="print", color_scheme="dark")
    assert (view, await page.locator(CONTROLS).filter(visible=True).count()) == (view, 0)
    assert (view, await tab.overflow()) == (view, 0)
    darkest = await page.locator("main :is(h1, h2, p, td, th, dt, dd, time)").evaluate_all(INK)
    assert darkest, view
    assert (view, [each for each in darkest if each > 170]) == (view, [])
    return page


async def off_paper(page: Page) -> None:
    await page.emulate_media(media="screen", color_scheme="light")
    await page.set_viewport_size({"width": 1280, "height": 900})


async def shown(page: Page) -> str:
    """The words on the paper."""
    return " ".join((await page.locator("body").inner_text()).split())


async def headings(page: Page) -> list[str]:
    """What stands at the head, on the screen or on paper."""
    return await page.locator("h1, .paper-title").filter(visible=True).all_inner_texts()


@pytest.fixture
async def asha(console: Console) -> Person:
    return await console.sign_up()


async def test_an_itinerary_names_the_agency_and_its_travellers_and_no_price_unasked(
    console: Console, asha: Person
) -> None:
    ids = await worked(asha)
    report = await asha.get("/reports/itinerary", params={"session_id": ids["session"]})
    tab = await console.open(asha)
    page = await on_paper(tab, f"itinerary/{ids['session']}")
    words = await shown(page)
    names = ", ".join(each["full_name"] for each in report["passengers"])
    assert await headings(page) == [f"Itinerary for {names}"]
    assert words.startswith("Rao Travels Printed on ")
    assert report["flights"][0]["pnr"] in words
    assert "No passport on file" not in words
    amount = report["total_cost"]["amount"].partition(".")[0][-3:]
    assert f"{amount}." not in words
    await off_paper(page)
    assert await headings(page) != [f"Itinerary for {names}"]
    await page.get_by_label("Print the cost").check()
    await page.emulate_media(media="print")
    assert f"{amount}." in await shown(page)


async def test_reports_say_which_they_are_and_of_which_days(console: Console, asha: Person) -> None:
    await worked(asha)
    tab = await console.open(asha)
    first = TODAY - timedelta(days=90)
    day = f"{TODAY.day} {TODAY:%b %Y}"
    for view, title, *facts in (
        (f"reports/receivables?from={first}", "Receivables", "At the end of: ", "Issued on or after: "),
        ("reports/payables", "Payables", "At the end of: ", "Emirates"),
        ("reports/trial-balance", "Trial balance", "At the end of: ", "Total", "In balance"),
        ("reports/usage", "Usage", "Tokens by day"),
        ("reports/receivables/documents?currency=INR", "Open invoices", f"at the end of {day}"),
    ):
        page = await on_paper(tab, view)
        words = await shown(page)
        assert (view, await headings(page)) == (view, [title])
        assert words.startswith("Rao Travels Printed on ")
        for fact in facts:
            assert (view, fact, fact in words) == (view, fact, True)
        assert (view, "Issued on or before" in words) == (view, False)
        await off_paper(page)
        assert (view, await page.locator(".on-paper").filter(visible=True).count()) == (view, 0)


async def test_what_is_chosen_later_stands_on_the_paper(console: Console, asha: Person) -> None:
    await worked(asha)
    tab = await console.open(asha)
    page = await tab.at("reports/trial-balance")
    await page.get_by_label("At the end of").fill("2026-01-31")
    await page.get_by_label("Show accounts without entries").check()
    await page.wait_for_url("**as_of=2026-01-31**")
    await page.emulate_media(media="print")
    words = await shown(page)
    assert "At the end of: 31 Jan 2026 · Show accounts without entries" in words


async def test_an_invoice_card_is_whole_on_one_page_and_nothing_asks_for_a_message(
    console: Console, asha: Person
) -> None:
    session = await asha.session()
    due = TODAY + timedelta(days=30)
    words = f"Draft an invoice for Mehta Exports over INR 45200.00 less INR 1200.00 commission dated {TODAY} due {due}"
    await settle(asha, session, words)
    tab = await console.open(asha)
    page = await on_paper(tab, f"conversations/{session}")
    card = page.locator(".tool", has=page.locator("table"))
    names = await card.locator(".fields dt").all_inner_texts()
    assert names.index("Discount") + 1 == names.index("Total")
    for fact in ("Mehta Exports", "45,200.00", "1,200.00", "commission", "44,000.00", "INV-000001"):
        assert fact in await card.inner_text()
    assert await card.evaluate("each => getComputedStyle(each).breakInside") == "avoid"
    assert await page.get_by_text("Enter sends").is_hidden()


async def test_recovery_codes_are_printed_alone_with_whose_they_are(console: Console, asha: Person) -> None:
    tab = await console.open(asha, "settings/security")
    page = tab.page
    await page.get_by_role("button", name="Set up").click()
    secret = (await page.locator(".secret").inner_text()).replace(" ", "")
    await page.get_by_label("Code", exact=True).fill(pyotp.TOTP(secret).now())
    await page.get_by_role("button", name="Turn on").click()
    await page.locator("p:focus").get_by_text("Keep these recovery codes").wait_for()
    codes = await page.locator(".codes li").all_inner_texts()
    await page.evaluate("window.print = () => { document.title = 'printed'; }")
    await page.get_by_role("button", name="Print").click()
    assert await page.title() == "printed"
    await page.emulate_media(media="print", color_scheme="dark")
    words = await shown(page)
    assert all(code in words for code in codes)
    assert f"Recovery codes of {asha.user['email']}" in words
    assert "Login sessions" not in words
    assert PASSWORD not in words
    assert max(await page.locator("main :is(h1, h2, p, li)").evaluate_all(INK)) < 170
