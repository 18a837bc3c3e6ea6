"""Several tabs of one person are one login session: one refresh for all, one end for all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.http.browser.console.conftest import Console, Tab
from tests.http.browser.console.held import held
from tests.service.conftest import Person

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Route

pytestmark = pytest.mark.browser
SIGN_IN = "Sign in"
STORED = "localStorage.getItem('voyagent.refresh_token')"
MORE_THAN_A_VIEW_ASKS = 8
"""Refreshes that two requests of a view cause, which repeat themselves, and one more."""


async def two(console: Console, asha: Person, at: str = "settings/profile") -> tuple[BrowserContext, Tab, Tab]:
    first = await console.open(asha, at)
    context = first.page.context
    return context, first, await console.tab(context, at)


async def test_an_access_token_that_expires_in_two_tabs_is_refreshed_once(console: Console) -> None:
    context, first, second = await two(console, await console.sign_up())
    await asyncio.gather(*(tab.page.get_by_role("heading", name="You").wait_for() for tab in (first, second)))
    refreshes: list[str] = []
    context.on("request", lambda request: refreshes.append(request.url) if "/auth/refresh" in request.url else None)

    later = datetime.now(UTC) + timedelta(minutes=59, seconds=30)
    await asyncio.gather(*(tab.page.clock.set_system_time(later) for tab in (first, second)))
    await asyncio.gather(*(tab.at("settings/security") for tab in (first, second)))
    for tab in (first, second):
        await tab.page.get_by_role("table", name="Login sessions").wait_for()
    assert len(refreshes) == 1

    await asyncio.gather(*(tab.at("settings/api_keys") for tab in (first, second)))
    for tab in (first, second):
        await tab.page.get_by_text("No keys yet").wait_for()


async def test_signing_out_in_one_tab_signs_out_the_other(console: Console) -> None:
    _, first, second = await two(console, await console.sign_up())
    await second.page.evaluate("localStorage.setItem('voyagent.draft.of a conversation', 'text')")
    await first.page.get_by_role("button", name="Asha Rao").click()
    await first.page.get_by_role("button", name="Sign out").click()
    for tab in (first, second):
        await tab.page.get_by_role("heading", name=SIGN_IN).wait_for()
    await second.page.get_by_text("Your login session has ended.").wait_for()
    assert await second.page.evaluate("Object.keys(localStorage)") == ["voyagent.locale"]


async def test_a_session_ended_elsewhere_is_noticed_at_the_next_request(console: Console) -> None:
    asha = await console.sign_up()
    _, first, second = await two(console, asha)
    for session in (await asha.get("/auth/sessions"))["items"]:
        if not session["current"]:
            await asha.call("POST", f"/auth/sessions/{session['id']}/revoke")
    await first.at("settings/security")
    for tab in (first, second):
        await tab.page.get_by_role("heading", name=SIGN_IN).wait_for()


async def test_a_changed_password_keeps_this_browser_and_ends_the_others(console: Console) -> None:
    asha = await console.sign_up()
    elsewhere = await console.open(asha, "settings/profile")
    _, first, second = await two(console, asha)
    page = first.page
    await page.get_by_label("Current password").fill("not the password 1")
    await page.get_by_label("New password").fill("another password 2")
    await page.get_by_role("button", name="Change password").click()
    await page.get_by_role("alert").get_by_text("The current password is wrong.").wait_for()
    await page.get_by_label("Current password").fill("a long password 1")
    await page.get_by_role("button", name="Change password").click()
    await page.get_by_text("Your password is changed.").wait_for()

    await second.at("settings/security")
    await second.page.get_by_role("table", name="Login sessions").wait_for()
    await elsewhere.page.evaluate("location.hash = '#/settings/security'")
    await elsewhere.page.get_by_role("heading", name=SIGN_IN).wait_for()


async def test_a_refresh_whose_answers_are_lost_is_repeated_until_one_comes(console: Console) -> None:
    tab = await console.open(await console.sign_up(), "settings/profile")
    page, lost = tab.page, 0
    before = await page.evaluate(STORED)

    async def lose(route: Route) -> None:
        nonlocal lost
        if lost == MORE_THAN_A_VIEW_ASKS:
            return await route.continue_()
        lost += 1
        await route.fetch()
        return await route.abort("aborted")

    await page.route("**/auth/refresh", lose)
    await page.clock.set_system_time(datetime.now(UTC) + timedelta(minutes=59, seconds=30))
    await page.evaluate("location.hash = '#/settings/security'")
    await page.wait_for_function(f"before => {STORED} !== before", arg=before)
    assert lost == MORE_THAN_A_VIEW_ASKS
    await page.get_by_role("table", name="Login sessions").wait_for()
    await page.get_by_role("button", name="Set up").wait_for()


async def test_a_sign_out_that_is_not_answered_leaves_nobody_signed_in(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "settings/profile")).page
    async with held(page, "/auth/sign-out", "POST"):
        await page.get_by_role("button", name="Asha Rao").click()
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("heading", name=SIGN_IN).wait_for()
        assert await page.evaluate(STORED) is None


async def test_what_was_read_before_a_sign_out_brings_nobody_back(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "settings/profile")).page
    own = "import(document.querySelector('script[type=module]').src.replace(/app[.]js$/, 'account.js'))"
    async with held(page, "/auth/me", answers=True) as gate:
        await page.evaluate(f"{own}.then(({{ account }}) => {{ window.restored = account.restore(); }})")
        await gate.first()
        await page.evaluate(f"{own}.then(({{ account }}) => account.forget())")
        await page.get_by_role("heading", name=SIGN_IN).wait_for()
    await page.evaluate("window.restored")
    assert await page.evaluate(f"{own}.then(({{ account }}) => account.user)") is None
