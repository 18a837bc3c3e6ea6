"""What fits where: tables on a phone, the navigation behind its button, titles that were cut off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.http.browser.console.conftest import NARROW, PASSWORD, Console
from tests.http.browser.console.held import held

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.browser
TODAY = datetime.now(UTC).date()
RETURN = f"Find a flight from Mumbai to London on {TODAY + timedelta(days=60)}, return {TODAY + timedelta(days=67)}"
FLIGHT = f"Find a flight from Mumbai to Dubai on {TODAY + timedelta(days=60)} for Asha Rao"
INVOICE = f"Draft an invoice for Mehta Exports over INR 145200.00 dated {TODAY} due {TODAY + timedelta(days=30)}"
CUT = "frames => frames.map(each => each.scrollWidth - each.clientWidth)"


async def cut(page: Page, tables: str) -> list[int]:
    """By how much each table is wider than its frame."""
    await page.locator(tables).first.wait_for()
    found: list[int] = await page.locator(f".table-frame:has({tables})").evaluate_all(CUT)
    return found


@pytest.mark.parametrize("width", [1280, NARROW, 360])
async def test_fares_there_and_back_are_compared_without_scrolling(console: Console, width: int) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    await asha.say(session, RETURN)
    page = (await console.open(asha, f"conversations/{session}", width)).page
    assert await cut(page, ".fare-table") == [0]
    first = page.locator(".fare-table tbody tr").first
    assert await first.locator("th .way").count() == 2
    inside = await first.bounding_box()
    choose = await first.get_by_role("button").bounding_box()
    assert inside is not None
    assert choose is not None
    assert choose["x"] + choose["width"] <= inside["x"] + inside["width"]


async def test_an_aging_fits_a_phone(console: Console) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    await asha.say(session, f"{INVOICE} and issue it")
    while waits := (await asha.get(f"/approvals?session_id={session}"))["items"]:
        await asha.call("POST", f"/approvals/{waits[0]['id']}/resolve", json={"granted": True})
        await asha.replay(session)
    page = (await console.open(asha, "reports/receivables", NARROW)).page
    assert set(await cut(page, ".as-table")) == {0}


async def test_a_card_leaves_out_what_is_not_known(console: Console) -> None:
    asha = await console.sign_up()
    await asha.call("POST", "/enquiries", json={"customer_name": "Meera Iyer", "destination": "Singapore"})
    page = (await console.open(asha, "enquiries?view=list", NARROW)).page
    row = page.locator("tbody tr")
    await row.get_by_text("To Singapore").wait_for()
    assert "Budget" not in await row.inner_text()
    assert not await row.locator("[data-label=Budget]").is_visible()
    await page.set_viewport_size({"width": 1280, "height": 900})
    assert await row.locator("[data-label=Budget]").inner_text() == "\u2013"


async def test_a_tap_beside_the_navigation_closes_it_and_escape_goes_back_to_its_button(console: Console) -> None:
    page = (await console.open(await console.sign_up(), width=NARROW)).page
    menu = page.get_by_role("button", name="Menu")
    await menu.click()
    await page.get_by_role("link", name="Enquiries").wait_for()
    await page.mouse.click(NARROW - 10, 600)
    await page.get_by_role("link", name="Enquiries").wait_for(state="hidden")
    assert await menu.get_attribute("aria-expanded") == "false"
    await menu.click()
    await page.get_by_role("link", name="Enquiries").focus()
    await page.keyboard.press("Escape")
    await page.get_by_role("link", name="Enquiries").wait_for(state="hidden")
    assert await menu.evaluate("each => each === document.activeElement")


async def test_a_phone_shows_how_many_approvals_wait_without_its_menu(console: Console) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    await asha.say(session, INVOICE)
    page = (await console.open(asha, width=NARROW)).page
    await page.get_by_role("link", name="Approvals: 1 waiting").click()
    await page.get_by_role("heading", name="Draft an invoice").wait_for()
    await page.get_by_role("button", name="Grant").click()
    await page.locator(".top-alert").wait_for(state="hidden")


async def test_an_earlier_count_of_approvals_does_not_replace_a_later_one(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "settings")).page
    await page.wait_for_load_state("networkidle")
    async with held(page, r"/approvals\?.*limit=1$", most=1, answers=True) as gate:
        await page.evaluate("dispatchEvent(new Event('vy-approvals'))")
        earlier = await gate.first()
        session = await asha.session()
        await asha.say(session, INVOICE)
        await page.evaluate("dispatchEvent(new Event('vy-approvals'))")
        await page.locator(".count-badge").get_by_text("1").wait_for()
    assert await earlier.response() is not None
    await page.evaluate("new Promise((done) => setTimeout(done))")
    assert await page.locator(".count-badge").is_visible()


async def test_a_title_that_was_cut_off_ends_with_dots(console: Console) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    await asha.say(session, f"{INVOICE} for the wedding in Jaipur")
    page = (await console.open(asha)).page
    (listed,) = (await asha.get("/chat/sessions"))["sessions"]
    await page.get_by_role("link", name=f"{listed['title'].rstrip()}…").click()
    await page.get_by_role("heading", name=f"{listed['title'].rstrip()}…").wait_for()


async def test_an_approval_in_sight_is_not_pointed_to(console: Console) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    await asha.say(session, f"{FLIGHT} and book it")
    page = (await console.open(asha, f"conversations/{session}")).page
    card, pointer = page.locator(".approval[data-status=pending]"), page.locator(".waiting-approvals")
    await card.wait_for()
    await pointer.wait_for(state="hidden")
    await page.evaluate("scrollTo(0, 0)")
    await pointer.get_by_text("1 approval waits").wait_for()
    await pointer.get_by_role("button", name="Show").click()
    await pointer.wait_for(state="hidden")
    await page.get_by_role("button", name="Grant").click()
    await page.locator(".approval[data-status=granted]").wait_for()
    await page.evaluate("scrollTo(0, 0)")
    assert await pointer.is_hidden()


async def test_the_count_of_one_agency_is_not_shown_to_the_next(console: Console) -> None:
    asha, meera = await console.sign_up(), await console.sign_up("Iyer Tours")
    session = await asha.session()
    await asha.say(session, INVOICE)
    tab = await console.open(asha)
    page = tab.page
    await page.locator(".count-badge").get_by_text("1").wait_for()
    await page.route(r"**/approvals?*", lambda route: route.abort())
    await page.get_by_role("button", name="Asha Rao").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("E-mail").fill(meera.user["email"])
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", name="Conversations").wait_for()
    assert await page.locator(".count-badge").is_hidden()
    tab.complaints.clear()


async def test_long_words_break_in_a_dialog_and_short_ones_beside_them_do_not(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "settings/people", 1100)).page
    address = "somebody.with.a.rather.long.address.indeed@subdomain.of.a.long.company.example"
    await page.get_by_role("button", name="Invite somebody").click()
    await page.get_by_role("dialog").get_by_label("E-mail address").fill(address)
    await page.get_by_role("dialog").get_by_role("button", name="Invite somebody").click()
    made = page.get_by_role("dialog", name="Invite sent")
    await made.locator("code").wait_for()
    assert await made.evaluate("each => each.scrollWidth - each.clientWidth") == 0
    await made.get_by_role("button", name="Copy").click()
    await made.locator(".toast").wait_for()
    await made.get_by_role("button", name="Close").last.click()
    lines = """cells => cells.map((cell) => {
      const words = document.createRange();
      words.selectNodeContents(cell);
      return new Set([...words.getClientRects()].map((each) => Math.round(each.top))).size;
    })"""
    row = page.get_by_role("row").filter(has_text=address)
    assert await row.locator("td:nth-child(2) .cell, td .button").evaluate_all(lines) == [1, 1]
