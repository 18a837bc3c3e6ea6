"""Recovery codes are shown once: no way leads away from them unasked before they are kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pyotp
import pytest

from tests.http.browser.console.conftest import NARROW, Console

if TYPE_CHECKING:
    from playwright.async_api import Dialog, Page, Route

    from tests.http.browser.console.conftest import Tab

pytestmark = pytest.mark.browser
LEAVE = "Leave without the recovery codes?"


@pytest.fixture
async def tab(console: Console) -> Tab:
    """A tab that came to the security settings from the enquiries, and shows new recovery codes."""
    tab = await console.open(await console.sign_up(), "enquiries")
    await shows_codes(tab)
    return tab


async def shows_codes(tab: Tab) -> None:
    page = await tab.at("settings/security")
    await page.locator("main button.primary").click()
    secret = (await page.locator(".secret").inner_text()).replace(" ", "")
    await page.locator("[name=code]").fill(pyotp.TOTP(secret).now())
    await page.keyboard.press("Enter")
    await page.locator(".codes").wait_for()


async def stay(page: Page) -> None:
    """Refuse to leave: address and codes are still there."""
    dialog = page.get_by_role("dialog", name=LEAVE)
    await dialog.get_by_text("They are not shown again.").wait_for()
    await dialog.get_by_role("button", name="Cancel").click()
    await dialog.wait_for(state="detached")
    assert page.url.endswith("#/settings/security")
    assert await page.locator(".codes li").count() == 10


async def leave(page: Page) -> None:
    await page.get_by_role("dialog", name=LEAVE).get_by_role("button", name="Leave").click()


async def is_released(page: Page) -> bool:
    """Whether the page lets itself be unloaded."""
    return bool(await page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))"))


async def test_a_link_asks_first_and_then_leads_on(tab: Tab) -> None:
    page = tab.page
    link = page.get_by_role("link", name="Audit")
    await link.click()
    await page.get_by_role("dialog", name=LEAVE).wait_for()
    assert await tab.violations() == []
    await stay(page)
    assert await link.evaluate("each => each === document.activeElement")
    await link.click()
    await leave(page)
    await page.locator("h1:focus").get_by_text("Audit").wait_for()
    assert page.url.endswith("#/audit")
    await page.evaluate("history.back()")
    await page.get_by_role("button", name="Turn off").wait_for()
    await page.evaluate("history.back()")
    await page.locator("h1:focus").get_by_text("Enquiries").wait_for()


async def test_the_back_button_asks_first_and_then_leads_back(tab: Tab) -> None:
    page = tab.page
    for _ in range(2):
        await page.evaluate("history.back()")
        await stay(page)
    await page.evaluate("history.back()")
    await page.get_by_role("dialog", name=LEAVE).wait_for()
    await page.evaluate("history.back()")  # out of patience: it is asked again, in one dialog
    await stay(page)
    await page.evaluate("history.back()")
    await leave(page)
    await page.locator("h1:focus").get_by_text("Enquiries").wait_for()
    assert "#/enquiries" in page.url
    await page.evaluate("history.forward()")
    await page.get_by_role("button", name="Turn off").wait_for()
    assert await page.get_by_role("dialog").count() == 0


async def test_a_sign_out_asks_first(tab: Tab) -> None:
    page = tab.page
    await page.get_by_role("row").filter(has_text="This one").get_by_role("button", name="Sign out").click()
    await stay(page)
    await page.get_by_role("button", name="Asha Rao").click()
    await page.get_by_role("navigation", name="Subjects").get_by_role("button", name="Sign out").click()
    await stay(page)
    await page.get_by_role("button", name="Asha Rao").click()
    await page.get_by_role("navigation", name="Subjects").get_by_role("button", name="Sign out").click()
    await leave(page)
    await page.get_by_role("heading", name="Sign in").wait_for()
    assert await is_released(page)


async def test_it_is_asked_from_the_moment_the_second_factor_is_turned_on(console: Console) -> None:
    tab = await console.open(await console.sign_up())
    page = tab.page
    sent, answered = asyncio.Event(), asyncio.Event()

    async def slow(route: Route) -> None:
        sent.set()
        await answered.wait()
        await route.continue_()

    await page.route("**/auth/totp/verify", slow)
    showing = asyncio.ensure_future(shows_codes(tab))
    await sent.wait()
    await page.evaluate("history.back()")
    await page.get_by_role("dialog", name=LEAVE).wait_for()
    answered.set()
    await showing
    await stay(page)


async def test_a_code_that_was_refused_leaves_nothing_to_ask_about(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "settings/security")).page
    await page.get_by_role("button", name="Set up").click()
    await page.get_by_label("Code", exact=True).fill("000000")
    await page.keyboard.press("Enter")
    await page.get_by_role("alert").get_by_text("The code is wrong").wait_for()
    assert await is_released(page)
    await page.get_by_role("link", name="Audit").click()
    await page.locator("h1:focus").get_by_text("Audit").wait_for()


async def test_a_reload_and_the_end_of_the_tab_are_asked_about_by_the_browser(tab: Tab) -> None:
    page = tab.page
    asked: list[str] = []

    async def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    page.on("dialog", answer)
    async with page.expect_event("dialog"):
        await page.evaluate("setTimeout(() => location.reload())")
    async with page.expect_event("dialog"):
        await page.close(run_before_unload=True)
    assert asked == ["beforeunload", "beforeunload"]
    assert await page.locator(".codes li").count() == 10
    await page.get_by_role("button", name="I have kept them").click()
    await page.get_by_role("button", name="Turn off").wait_for()
    await page.reload()
    await page.get_by_role("button", name="Turn off").wait_for()
    assert asked == ["beforeunload", "beforeunload"]


@pytest.mark.parametrize("kept", ["copied", "printed", "said"])
async def test_nothing_is_asked_once_they_are_kept(kept: str, tab: Tab) -> None:
    page = tab.page
    assert not await is_released(page)
    match kept:
        case "copied":
            copy = page.get_by_role("button", name="Copy codes")
            await page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
            await copy.click()
            await page.get_by_text("The browser did not allow copying.").wait_for()
            assert not await is_released(page)
            await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            await page.evaluate("delete navigator.clipboard.writeText")
            await copy.click()
            await page.get_by_text("Copied.").wait_for()
        case "printed":
            await page.evaluate("dispatchEvent(new Event('afterprint'))")
        case _:
            await page.get_by_role("button", name="I have kept them").click()
    assert await is_released(page)
    await page.get_by_role("link", name="Audit").click()
    await page.locator("h1:focus").get_by_text("Audit").wait_for()
    assert await page.get_by_role("dialog").count() == 0


async def test_it_is_asked_in_hindi_and_on_a_phone_too(console: Console) -> None:
    asha = await console.sign_up()
    assert (await asha.call("PATCH", "/tenant-settings", json={"locale": "hi"}))[0] == 200
    tab = await console.open(asha, "settings/security", NARROW, "dark")
    page = tab.page
    await shows_codes(tab)
    await page.evaluate("location.hash = '#/enquiries'")
    dialog = page.get_by_role("dialog", name="रिकवरी कोड रखे बिना जाएँ?")
    await dialog.get_by_text("ये दोबारा नहीं दिखाए जाएँगे।").wait_for()
    assert (await tab.violations(), await tab.overflow()) == ([], 0)
    await dialog.get_by_role("button", name="छोड़कर जाएँ").click()
    await page.locator("h1:focus").get_by_text("पूछताछ").wait_for()
