"""The frame around the views: by keyboard, at phone width, in Hindi, for axe, and when the service does not answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.http.browser.console.conftest import NARROW, PASSWORD, WIDE, Console, Tab

pytestmark = pytest.mark.browser
GUESTS = ("sign-in", "sign-up", "forgot-password", "reset-password?token=x", "verify-email?token=x")
PARTS = ("profile", "security", "api_keys", "agency", "tax_rates", "people")
FRAMES = [(width, scheme) for width in (WIDE, NARROW) for scheme in ("light", "dark")]
FIRST_VIEW_MS = 1_000
FIRST_VIEW_BYTES = 150_000


async def sound(tab: Tab, hash_: str) -> None:
    """The view passes axe and is no wider than its window."""
    await tab.at(hash_)
    await tab.page.wait_for_load_state("networkidle")
    assert (hash_, await tab.violations()) == (hash_, [])
    assert (hash_, await tab.overflow()) == (hash_, 0)


@pytest.mark.parametrize(("width", "scheme"), FRAMES)
async def test_views_of_guests_pass_axe_at_any_width(console: Console, width: int, scheme: Any) -> None:
    tab = await console.open(width=width, scheme=scheme)
    for view in GUESTS:
        await tab.at(view)
        await tab.page.hover("button.primary")
        await sound(tab, view)


@pytest.mark.parametrize(("width", "scheme"), FRAMES)
async def test_settings_pass_axe_at_any_width(console: Console, width: int, scheme: Any) -> None:
    asha = await console.sign_up()
    await console.member(asha, "viewer")
    await asha.call("POST", "/auth/invites", json={"email": f"{'a' * 60}@example.com"})
    await asha.call("POST", "/auth/api-keys", json={"name": "W" * 120})
    tab = await console.open(asha, width=width, scheme=scheme)
    for part in PARTS:
        await sound(tab, f"settings/{part}")


async def test_all_is_done_by_keyboard_alone(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open()).page
    await page.keyboard.type(asha.user["email"])
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Conversations", level=1).wait_for()

    async def focused() -> str:
        return str(await page.evaluate("document.activeElement.textContent.trim()"))

    await page.reload()  # the keyboard starts at the top
    await page.get_by_role("heading", name="Conversations", level=1).wait_for()
    await page.keyboard.press("Tab")
    assert await focused() == "Skip to content"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await page.reload()
    await page.get_by_role("heading", name="Conversations", level=1).wait_for()
    while await focused() != "Settings":
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Settings", level=1).wait_for()
    assert await focused() == "Settings"
    assert await page.evaluate("document.activeElement.localName") == "h1"

    opener = page.get_by_role("button", name="Asha Rao")
    await opener.focus()
    await page.keyboard.press("Enter")
    assert await opener.get_attribute("aria-expanded") == "true"
    assert await focused() == "Profile and password"
    await page.keyboard.press("Escape")
    assert await opener.get_attribute("aria-expanded") == "false"
    assert "Asha Rao" in await focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Sign in").wait_for()


async def test_a_phone_has_its_navigation_behind_a_button(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, width=NARROW)
    page = tab.page
    assert not await page.get_by_role("link", name="Reports").is_visible()
    await page.get_by_role("button", name="Menu").click()
    assert await tab.violations() == []
    await page.get_by_role("link", name="Reports").click()
    await page.get_by_role("heading", name="Reports", level=1).wait_for()
    await page.locator(".side").wait_for(state="hidden")
    await page.get_by_role("button", name="Menu").click()
    await page.keyboard.press("Escape")
    await page.locator(".side").wait_for(state="hidden")


@pytest.mark.parametrize("width", [WIDE, NARROW])
async def test_hindi_fits_too(console: Console, width: int) -> None:
    asha = await console.sign_up()
    await asha.call("PATCH", "/tenant-settings", json={"locale": "hi", "timezone": "Asia/Kolkata"})
    tab = await console.open(asha, width=width)
    assert await tab.page.evaluate("document.documentElement.lang") == "hi"
    for part in PARTS:
        await sound(tab, f"settings/{part}")
        assert re.findall(r"\b[a-z]+(?:\.[a-z]+)?_[a-z_]+\b", await tab.page.locator("main").inner_text()) == []


async def test_a_view_without_network_offers_to_try_again_and_does_so_itself_when_it_is_back(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "settings/security")
    page = tab.page
    await page.get_by_role("table", name="Login sessions").wait_for()
    await page.context.set_offline(offline=True)
    await page.get_by_role("link", name="API keys").click()
    await page.get_by_role("alert").get_by_text("The service cannot be reached.").wait_for()
    await page.get_by_role("button", name="Try again").click()
    await page.get_by_role("alert").get_by_text("The service cannot be reached.").wait_for()
    await page.context.set_offline(offline=False)
    await page.get_by_text("No keys yet").wait_for()
    tab.complaints.clear()


async def test_the_first_view_is_there_within_a_second_and_small(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha)
    shown: list[float] = []
    for _ in range(5):
        await tab.page.reload()
        await tab.page.wait_for_selector("h1")
        shown.append(await tab.page.evaluate("performance.now()"))
    context = await console.context()
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    sizes: list[int] = []
    await session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
    await page.goto(console.url)
    await page.wait_for_selector("h1")
    await page.wait_for_load_state("networkidle")
    assert min(shown) < FIRST_VIEW_MS  # the best of some: others may use the machine
    assert 0 < sum(sizes) < FIRST_VIEW_BYTES
