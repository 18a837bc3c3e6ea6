"""What a role may not see or do is said where it was asked for, and what does not exist, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.http.browser.console.conftest import NARROW, WIDE, Console

if TYPE_CHECKING:
    from tests.http.browser.console.conftest import Tab

pytestmark = pytest.mark.browser
ADMINS = "This is for agency admins. Ask one if you need it."
LEADS = "This is for leads and agency admins. Ask an agency admin if you need it."
WRITERS = "A viewer reads and changes nothing. Ask an agency admin if you need more."


async def refused(tab: Tab, view: str, title: str, why: str) -> None:
    """The address stays, the view says why it shows nothing, and nothing there can be filled in or sent."""
    page = await tab.at(view)
    await page.get_by_text("Your role may not open this").wait_for()
    assert (view, await page.locator("main h1").inner_text()) == (view, title)
    assert (view, await page.locator("main .empty").get_by_text(why, exact=True).count()) == (view, 1)
    assert (view, await page.locator("main form, main textarea").count()) == (view, 0)
    assert page.url.endswith(f"#/{view}")
    assert (view, await tab.violations(), await tab.overflow()) == (view, [], 0)


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
async def test_a_view_that_a_role_may_not_open_says_who_may(width: int, scheme: str, console: Console) -> None:
    asha = await console.sign_up()
    _, enquiry = await asha.call("POST", "/enquiries", json={"customer_name": "Meera Iyer"})
    tab = await console.open(await console.member(asha, "viewer"), width=width, scheme=scheme)
    for view, title, why in (
        ("audit", "Audit", ADMINS),
        ("settings/agency", "Settings", ADMINS),
        ("settings/tax_rates", "Settings", ADMINS),
        ("settings/people", "Settings", ADMINS),
        ("reports/usage", "Reports", LEADS),
        ("enquiries/new", "New enquiry", WRITERS),
        (f"enquiries/{enquiry['id']}/edit", "Edit an enquiry", WRITERS),
        ("conversations/new", "New conversation", WRITERS),
    ):
        await refused(tab, view, title, why)
    assert await tab.page.get_by_role("link", name="All conversations").count() == 1


async def test_a_refused_view_has_the_focus_at_its_heading_and_leads_on(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(await console.member(asha, "agent"))
    await tab.at("audit")
    await tab.page.locator("h1:focus").get_by_text("Audit").wait_for()
    assert await tab.page.title() == "Audit · Voyagent"
    await tab.at("enquiries/new")
    await tab.page.get_by_label("Customer's name").wait_for()
    await tab.at("audit")
    await tab.page.get_by_text(ADMINS, exact=True).wait_for()
    await tab.page.go_back()
    await tab.page.get_by_label("Customer's name").wait_for()


async def test_a_refusal_speaks_hindi(console: Console) -> None:
    asha = await console.sign_up()
    assert (await asha.call("PATCH", "/tenant-settings", json={"locale": "hi"}))[0] == 200
    tab = await console.open(await console.member(asha, "viewer"), "audit", NARROW)
    await tab.page.get_by_text("आपकी भूमिका इसे नहीं खोल सकती").wait_for()
    await tab.page.get_by_text("यह एजेंसी व्यवस्थापकों के लिए है।").wait_for()
    assert await tab.violations() == []


async def test_what_is_another_agencys_reads_like_what_was_deleted_and_leads_back(console: Console) -> None:
    asha, meera = await console.sign_up(), await console.sign_up("Iyer Tours")
    session = await meera.session()
    _, enquiry = await meera.call("POST", "/enquiries", json={"customer_name": "Meera Iyer"})
    tab = await console.open(asha)
    conversation = "Your agency has no such conversation. It may have been deleted, or the link is for another account."
    customer = "Your agency has no such enquiry. The link may be for another account."
    for view, title, why, back in (
        (f"conversations/{session}", "Conversation not found", conversation, "All conversations"),
        (f"itinerary/{session}", "Conversation not found", conversation, "Choose another trip"),
        (f"enquiries/{enquiry['id']}", "Enquiry not found", customer, "All enquiries"),
        (f"enquiries/{enquiry['id']}/edit", "Enquiry not found", customer, "All enquiries"),
    ):
        page = await tab.at(view)
        await page.locator("h1").get_by_text(title).wait_for()
        await page.get_by_role("alert").get_by_text(why, exact=True).wait_for()
        assert (view, await page.locator("main").get_by_role("link", name=back).count()) == (view, 1)
        assert (view, await tab.violations()) == (view, [])
