"""Every view by keyboard alone: all is reached in the order of the page, the focus is seen, and never lost."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.console.conftest import NARROW, WIDE, Console, Tab
from tests.http.browser.console.conversing import at_rest, button, said, write
from tests.http.browser.console.test_conversations import SEARCH
from tests.http.browser.console.test_work import VIEWS, worked
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.browser

GUESTS = ("sign-in", "sign-up", "forgot-password", "reset-password?token=x", "verify-email?token=x")
PARTS = ("profile", "security", "api_keys", "agency", "tax_rates", "people")
ALL = (
    "conversations",
    "conversations/new",
    "conversations/{session}",
    *VIEWS,
    *(f"settings/{part}" for part in PARTS),
)
REACHABLE = """() => {
  const names = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  const seen = (each) => each.checkVisibility({ visibilityProperty: true }) && each.getClientRects().length > 0;
  const radios = new Set();
  window.reachable = [...document.querySelectorAll(names)].filter((each) => {
    if (each.disabled || !seen(each) || each.tabIndex < 0) return false;
    if (each.type !== "radio") return true;
    const first = !radios.has(each.name);
    radios.add(each.name);
    return first;
  });
  scrollTo(0, 0);
  document.querySelector(".skip").focus();
  return window.reachable.length;
}"""
"""What the keyboard has to reach: of radio buttons, one of each group."""
STOP = """async () => {
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const own = document.activeElement;
  if (own === document.body || own === document.documentElement) return null;
  const first = own.type === "radio" ? (each) => each.name === own.name : (each) => each === own;
  const { left, top, width, height } = own.getBoundingClientRect();
  const middle = (from, length, whole) => Math.max(from, 0) + Math.min(length, whole) / 2;
  const line = own.getClientRects()[0]; // of a link that goes on in the next line
  const [x, y] = [middle(line.left, line.width, innerWidth), middle(line.top, line.height, innerHeight)];
  const hit = document.elementFromPoint(x, y);
  const style = getComputedStyle(own);
  return {
    name: `${own.localName} ${own.getAttribute("aria-label") ?? (own.textContent.trim().slice(0, 40) || own.name)}`,
    place: window.reachable.findIndex(first), main: own.closest("main") !== null,
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    shown: hit !== null && (own.contains(hit) || own.labels?.[0]?.contains(hit) === true),
    positive: own.tabIndex > 0,
    box: [left + scrollX, top + scrollY, left + width + scrollX, top + height + scrollY].map(Math.round),
  };
}"""
"""What has the focus: its place among the reachable, and whether a person sees that it has."""


PARTS_OF_A_DATE = 20
"""More presses than all days, months, years and calendars of a page take."""


async def walk(page: Page) -> list[dict[str, Any]]:
    """All stops of Tab through a page, from its start to its end."""
    counts = [-1, await page.evaluate(REACHABLE)]
    while counts[-1] != counts[-2]:  # what a view reads may still be coming
        await page.wait_for_timeout(200)
        counts.append(await page.evaluate(REACHABLE))
    count = counts[-1]
    stops = [await page.evaluate(STOP)]
    for _ in range(count + PARTS_OF_A_DATE):
        await page.keyboard.press("Tab")
        stop = await page.evaluate(STOP)
        if stop is None or stop["place"] == 0:
            return stops
        if stop["place"] != stops[-1]["place"]:
            stops.append(stop)
    raise AssertionError(f"Tab never leaves the page: {[stop['name'] for stop in stops[-3:]]}")


def faults(stops: list[dict[str, Any]], count: int) -> list[str]:
    """What a person who walks so would complain of."""
    found = [f"missed: {number}" for number in range(count) if number not in {stop["place"] for stop in stops}]
    found += [f"no focus is seen: {stop['name']}" for stop in stops if not stop["outlined"]]
    found += [f"hidden behind something: {stop['name']}" for stop in stops if not stop["shown"]]
    found += [f"a tabindex above 0: {stop['name']}" for stop in stops if stop["positive"]]
    inside = [stop for stop in stops if stop["main"]]
    for former, latter in pairwise(inside):
        (_, top, right, _), (left, _, _, bottom) = former["box"], latter["box"]
        if bottom <= top and left < right:
            found.append(f"backwards: from {former['name']} {former['box']} to {latter['name']} {latter['box']}")
    if len({stop["place"] for stop in stops}) < len(stops):
        found.append(f"twice: {[(stop['name'], stop['place']) for stop in stops]}")
    return found


async def walked(tab: Tab, view: str) -> None:
    await tab.at(view)
    stops = await walk(tab.page)
    names = await tab.page.evaluate("window.reachable.map(each => each.outerHTML.slice(0, 120))")
    found = [
        f"missed: {names[int(each.split()[1])]}" if each.startswith("missed") else each
        for each in faults(stops, len(names))
    ]
    assert (view, found) == (view, [])


@pytest.mark.parametrize("width", [WIDE, NARROW])
async def test_tab_reaches_all_of_each_view_in_the_order_of_the_page(console: Console, width: int) -> None:
    guest = await console.open(width=width)
    for view in GUESTS:
        await walked(guest, view)
    asha = await console.sign_up()
    ids = await worked(asha)
    tab = await console.open(asha, width=width)
    for view in ALL:
        await walked(tab, view.format(**ids))


DIALOGS = {
    "conversations": ("Rename", "Delete"),
    "conversations/{session}": ("Rename", "Delete"),
    "settings/people": ("Invite somebody", "Change role", "Deactivate", "Revoke"),
    "settings/api_keys": ("Create key", "Revoke"),
    "settings/tax_rates": ("Set a rate",),
    "settings/security": ("Sign out",),
}
"""Views with the dialogs that their buttons open. Those of conversations are in a menu."""
FOCUSED = """() => {
  const own = document.activeElement;
  const name = own.getAttribute("aria-label") ?? own.labels?.[0]?.textContent ?? own.textContent.trim();
  return { name, tag: own.localName, dialog: own.closest("dialog") !== null };
}"""


async def focused(page: Page) -> dict[str, Any]:
    return dict(await page.evaluate(FOCUSED))


@pytest.mark.parametrize("view", DIALOGS)
async def test_a_dialog_holds_the_focus_and_escape_gives_it_back(console: Console, view: str) -> None:
    asha = await console.sign_up()
    await console.member(asha, "viewer")
    await asha.call("POST", "/auth/invites", json={"email": "ravi@example.com", "role": "agent"})
    await asha.call("POST", "/auth/api-keys", json={"name": "Website"})
    session = await asha.session()
    tab = await console.open(asha)
    page = await tab.at(view.format(session=session))
    for name in DIALOGS[view]:
        opener = page.locator("main").get_by_role("button", name=name, exact=True).last
        if view.startswith("conversations"):
            opener = page.locator("main").get_by_role("button", name="More for")
            await opener.press("Enter")
            while (await focused(page))["name"] != name:
                await page.keyboard.press("Tab")
            await page.keyboard.press("Enter")
        else:
            await opener.press("Enter")
        before = await opener.evaluate("each => each.getAttribute('aria-label') ?? each.textContent.trim()")
        dialog = page.locator("dialog[open]")
        await dialog.wait_for()
        assert (name, (await focused(page))["dialog"]) == (name, True)
        for key in ("Tab", "Shift+Tab"):
            for _ in range(await dialog.locator("button, input, select, textarea").count() + 2):
                await page.keyboard.press(key)
                own = await focused(page)
                assert (name, own["dialog"] or own["tag"] == "body") == (name, True), own
        await page.keyboard.press("Escape")
        await dialog.wait_for(state="detached")
        assert (name, (await focused(page))["name"]) == (name, before)


async def to(page: Page, name: str) -> None:
    """Tab on until what has the focus is called so."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if (await focused(page))["name"].startswith(name):
            return
    raise AssertionError(f"{name} is not reached by Tab")


async def at(page: Page, tag: str, name: str) -> None:
    """The focus comes to an element."""

    async def there() -> bool:
        own = await focused(page)
        return (own["tag"], own["name"]) == (tag, name)

    await until(there)


async def headed(page: Page, title: str) -> None:
    """A view is opened and begins at its heading."""
    await page.get_by_role("heading", name=title, level=1).wait_for()
    await at(page, "h1", title)


async def test_a_view_begins_at_its_heading_wherever_one_comes_from(console: Console) -> None:
    asha = await console.sign_up()
    ids = await worked(asha)
    await asha.call("PATCH", f"/chat/sessions/{ids['session']}", json={"title": "Goa in May"})
    page = (await console.open(asha)).page
    for subject in ("Enquiries", "Approvals", "Itinerary", "Reports", "Audit", "Settings", "Conversations"):
        await page.locator(".skip").focus()
        await to(page, subject)
        await page.keyboard.press("Enter")
        await headed(page, subject)
    await to(page, "Goa in May")
    await page.keyboard.press("Enter")
    await headed(page, "Goa in May")
    await page.wait_for_timeout(500)
    await headed(page, "Goa in May")
    await to(page, "More for Goa in May")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("#/itinerary/"))
    await headed(page, "Goa in May")
    await page.evaluate("location.hash = '#/reports'")
    await headed(page, "Reports")
    await to(page, "31")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Open invoices").wait_for()
    await at(page, "h1", "Open invoices")
    await to(page, "Open INV-000001")
    await page.keyboard.press("Enter")
    await headed(page, "Goa in May")


async def test_a_dialog_goes_with_the_view_it_belongs_to(console: Console) -> None:
    tab = await console.open(await console.sign_up(), "settings/security")
    await tab.at("settings/api_keys")
    await tab.page.get_by_role("button", name="Create key").click()
    await tab.page.get_by_role("dialog").wait_for()
    await tab.page.go_back()
    await tab.page.get_by_role("heading", name="Login sessions").wait_for()
    assert await tab.page.get_by_role("dialog").count() == 0


async def test_a_finished_dialog_leaves_the_focus_on_the_page(console: Console) -> None:
    asha = await console.sign_up()
    await asha.session()
    tab = await console.open(asha)
    page = tab.page

    async def filled(name: str, value: str, label: str) -> None:
        if name:
            await to(page, name)
        await page.keyboard.press("Enter")
        await page.locator("dialog[open]").wait_for()
        await page.locator("dialog[open]").get_by_label(label).first.focus()
        await page.keyboard.press("Control+A")
        await page.keyboard.type(value)
        await page.keyboard.press("Enter")

    await to(page, "More for")
    await page.keyboard.press("Enter")
    await filled("", "Goa in May", "Title")
    await page.get_by_role("link", name="Goa in May").wait_for()
    await at(page, "h1", "Conversations")
    await tab.at("settings/people")
    await filled("Invite somebody", "ravi@example.com", "E-mail address")
    await page.get_by_role("dialog", name="Invite sent").wait_for()
    await at(page, "button", "Close")
    await page.keyboard.press("Escape")
    await page.get_by_role("row").filter(has_text="ravi@example.com").wait_for()
    await at(page, "button", "Invite somebody")
    await tab.at("settings/api_keys")
    await filled("Create key", "Website", "Name")
    await page.get_by_role("dialog", name="Your new key").wait_for()
    await at(page, "button", "Close")
    await page.keyboard.press("Escape")
    await page.get_by_role("row").filter(has_text="Website").wait_for()
    await at(page, "button", "Create key")
    await to(page, "Revoke")
    await page.keyboard.press("Enter")
    await to(page, "Revoke")
    await page.keyboard.press("Enter")
    await page.get_by_role("row").get_by_text("Revoked").wait_for()
    await at(page, "h1", "Settings")


async def test_a_booking_is_denied_with_a_reason_by_keyboard_alone(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    await write(page, f"{SEARCH} and book it")
    await button(page, "Deny").wait_for()
    await at_rest(page)
    await to(page, "Reason")
    await page.keyboard.type("too late")
    await page.keyboard.press("Enter")
    assert await button(page, "Grant").is_visible(), "neither answer is the one of Enter"
    await page.keyboard.press("Tab")
    await at(page, "button", "Grant")
    await page.keyboard.press("Tab")
    await at(page, "button", "Deny")
    await page.keyboard.press("Enter")
    await page.locator(".approval[data-status=rejected]").get_by_text("too late").wait_for()
    assert await page.locator(".approval p:focus").count() == 1
    await said(page, "The booking was denied").wait_for()
    await at_rest(page)
    await to(page, "Message")
    await page.keyboard.type("thank you")
    await page.keyboard.press("Tab")
    await at(page, "button", "Send")
    await page.keyboard.press("Enter")
    assert await page.locator("textarea:focus").count() == 1
    await page.keyboard.type("and goodbye")
    await said(page, "thank you").wait_for()
    assert await page.locator("textarea:focus").input_value() == "and goodbye"
