"""An address that does not exist is reported where it was asked for, with a way home."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest

from tests.http.browser.console.conftest import NARROW, WIDE, Console

if TYPE_CHECKING:
    from tests.http.browser.console.conftest import Tab

pytestmark = pytest.mark.browser
ID = "019b4c1e-0000-7000-8000-000000000000"
NOWHERE = (
    "nonsense",
    "constructor",
    "settings/nonsense",
    "settings/profile/more",
    "reports/nonsense",
    "reports/tally/documents",
    "reports/receivables/nonsense",
    f"conversations/{ID}/more",
    f"enquiries/{ID}/nonsense",
    "enquiries/..",
    "conversations/a%2Fb",
    "approvals/1",
    "sign-in/again",
    quote("<img src=x onerror=alert(1)>"),
    "100%",
    "w" * 400,
)


async def said(tab: Tab, address: str) -> None:
    """The address stays and is named; title, focus and an alert tell what there is not."""
    page = tab.page
    await page.locator("h1:focus").get_by_text("Page not found", exact=True).wait_for()
    alert = page.get_by_role("alert")
    assert (address, await page.title()) == (address, "Page not found · Voyagent")
    assert (address, await alert.get_by_text(f"There is no page at “#/{unquote(address)}”.").count()) == (address, 1)
    assert page.url.endswith(f"/app/#/{address}")
    assert (address, await page.locator("[aria-current=page]").count()) == (address, 0)
    assert (address, await tab.violations(), await tab.overflow()) == (address, [], 0)


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
async def test_an_address_that_does_not_exist_says_so_and_leads_home(width: int, scheme: str, console: Console) -> None:
    tab = await console.open(await console.sign_up(), width=width, scheme=scheme)
    page = tab.page
    for address in NOWHERE:
        await tab.at(address)
        await said(tab, address)
    await page.get_by_role("link", name="To the start page").click()
    await page.locator("h1:focus").get_by_text("Conversations").wait_for()
    await page.go_back()
    await said(tab, NOWHERE[-1])


async def test_it_says_so_at_the_first_view_after_a_reload_and_to_guests(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "nonsense")).page
    for _ in range(2):
        await page.get_by_role("alert").get_by_text("There is no page at “#/nonsense”.").wait_for()
        assert await page.title() == "Page not found · Voyagent"
        await page.reload()
    page = (await console.open(at="nonsense")).page
    await page.get_by_role("heading", name="Page not found", level=1).wait_for()
    await page.get_by_role("link", name="To the start page").click()
    await page.get_by_role("heading", name="Sign in").wait_for()


async def test_a_path_that_does_not_exist_says_so_too_and_one_of_a_view_leads_to_it(console: Console) -> None:
    tab = await console.open(await console.sign_up())
    page = tab.page
    answer = await page.goto(f"{console.url}nonsense?of=it")
    assert answer is not None
    assert answer.status == 404
    await page.get_by_role("alert").get_by_text("There is no page at “#/nonsense”.").wait_for()
    await page.get_by_role("link", name="Reports").click()
    await page.locator("h1:focus").get_by_text("Reports").wait_for()
    assert page.url.startswith(f"{console.url}#/reports")
    await page.goto(f"{console.url}enquiries")
    await page.get_by_role("heading", name="Enquiries", level=1).wait_for()


@pytest.mark.parametrize(
    ("view", "title"),
    [
        (f"conversations/{ID}", "Conversation not found"),
        ("conversations/nonsense", "Conversation not found"),
        (f"itinerary/{ID}", "Conversation not found"),
        ("itinerary/nonsense", "Conversation not found"),
        (f"enquiries/{ID}", "Enquiry not found"),
        ("enquiries/nonsense/edit", "Enquiry not found"),
    ],
)
async def test_an_id_of_nothing_is_told_by_title_heading_focus_and_alert(
    view: str, title: str, console: Console
) -> None:
    tab = await console.open(await console.sign_up())
    page = await tab.at(view)
    await page.locator("h1:focus").get_by_text(title, exact=True).wait_for()
    assert await page.title() == f"{title} · Voyagent"
    assert (await page.get_by_role("alert").inner_text()).startswith("Your agency has no such ")
    assert page.url.endswith(f"#/{view}")


async def test_it_is_said_in_hindi(console: Console) -> None:
    asha = await console.sign_up()
    assert (await asha.call("PATCH", "/tenant-settings", json={"locale": "hi"}))[0] == 200
    tab = await console.open(asha, "nonsense", NARROW)
    page = tab.page
    await page.get_by_role("heading", name="पेज नहीं मिला", level=1).wait_for()
    await page.get_by_role("alert").get_by_text("“#/nonsense” पर कोई पेज नहीं है।").wait_for()
    assert await page.title() == "पेज नहीं मिला · Voyagent"
    await page.get_by_role("link", name="मुखपृष्ठ पर जाएँ").click()
    await page.get_by_role("heading", name="बातचीत", level=1).wait_for()
