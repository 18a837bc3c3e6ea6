"""The settings, by clicks: agency, tax rates, people, keys, login sessions."""

from __future__ import annotations

import aiohttp
import pytest

from tests.http.browser.console.conftest import PASSWORD, Console

pytestmark = pytest.mark.browser
MARKUP = "<img src=x onerror=alert(1)>"


async def test_a_change_of_language_translates_the_page_at_once(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "settings/agency")).page
    await page.get_by_label("Language").select_option("hi")
    await page.get_by_label("Time zone").fill("Asia/Kolkata")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("heading", name="सेटिंग").wait_for()
    assert await page.evaluate("document.documentElement.lang") == "hi"
    assert await page.title() == "सेटिंग · Voyagent"
    settings = await asha.get("/tenant-settings")
    assert (settings["locale"], settings["timezone"], settings["rate_limit_per_minute"]) == ("hi", "Asia/Kolkata", 60)
    await page.reload()
    await page.get_by_role("link", name="बातचीत").wait_for()


async def test_a_setting_that_is_refused_says_so_at_its_field(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "settings/agency")).page
    zone = page.get_by_label("Time zone")
    await zone.fill("Mars/Olympus")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Enter a time zone such as Asia/Kolkata.").wait_for()
    assert await zone.get_attribute("aria-invalid") == "true"
    assert await page.evaluate("document.activeElement.name") == "timezone"
    await zone.fill("Asia/Dubai")
    await page.get_by_label("Messages a minute").fill("5000")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("alert").get_by_text("may not be below the one per minute").wait_for()
    await page.get_by_label("Messages a minute").fill("50")
    await page.get_by_label("House rules").fill(MARKUP)
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Saved.").wait_for()
    assert (await asha.get("/tenant-settings"))["system_prompt_suffix"] == MARKUP
    assert await page.get_by_label("House rules").input_value() == MARKUP


async def test_a_tax_rate_is_set_in_percent(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "settings/tax_rates")).page
    await page.get_by_role("button", name="Set a rate").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Regime").select_option("vat_eu")
    await dialog.get_by_label("Tax").fill("VAT")
    await dialog.get_by_label("Place").fill("de")
    await dialog.get_by_label("From").fill("2026-01-01")
    await dialog.get_by_label("Rate in percent").fill("19,5")
    await dialog.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="VAT, European Union")
    await row.get_by_text("19.5 %").wait_for()
    (rate,) = [rate for rate in (await asha.get("/tax-rates"))["items"] if rate["regime"] == "vat_eu"]
    assert (rate["jurisdiction"], rate["rate_bps"], rate["holds_from"]) == ("DE", 1950, "2026-01-01")


async def test_a_person_is_invited_given_another_role_and_deactivated(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "settings/people")
    page = tab.page
    await page.get_by_role("button", name="Invite somebody").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("E-mail address").fill("no address")
    await dialog.get_by_role("button", name="Invite somebody").click()
    assert await dialog.get_by_label("E-mail address").get_attribute("aria-invalid") == "true"
    await dialog.get_by_label("E-mail address").fill("leela@example.com")
    await dialog.get_by_label("Role").select_option("agent")
    await dialog.get_by_role("button", name="Invite somebody").click()
    link = await page.get_by_role("dialog", name="Invite sent").locator("code").inner_text()
    assert await tab.violations() == []
    await page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    await page.get_by_role("row").filter(has_text="leela@example.com").get_by_text("Open").wait_for()

    token = link.partition("token=")[2]
    body = {"token": token, "password": PASSWORD, "full_name": MARKUP}
    async with aiohttp.ClientSession() as http, http.post(f"{asha.url}/auth/accept-invite", json=body) as answer:
        assert answer.status == 201
    await page.reload()
    member = page.get_by_role("region", name="Members").get_by_role("row").filter(has_text="leela@example.com")
    await member.get_by_text(MARKUP).wait_for()
    await member.get_by_role("button", name="Change role").click()
    await page.get_by_role("dialog").get_by_label("Role").select_option("ticketing_lead")
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await member.get_by_text("Ticketing lead").wait_for()
    await member.get_by_role("button", name="Deactivate").click()
    await page.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
    await member.get_by_text("Deactivated").wait_for()

    own = page.get_by_role("region", name="Members").get_by_role("row").filter(has_text=asha.user["email"])
    await own.get_by_role("button", name="Deactivate").click()
    await page.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
    await page.get_by_role("dialog").get_by_text("The agency needs at least one active admin.").wait_for()
    await page.keyboard.press("Escape")
    assert await page.get_by_role("dialog").count() == 0


async def test_an_api_key_is_shown_once_works_and_is_revoked(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "settings/api_keys")).page
    await page.get_by_text("No keys yet").wait_for()
    await page.get_by_role("button", name="Create key").click()
    await page.get_by_role("dialog").get_by_label("Name").fill(MARKUP)
    await page.get_by_role("dialog").get_by_role("button", name="Create key").click()
    key = await page.get_by_role("dialog", name="Your new key").locator("code").inner_text()
    asked = {"Authorization": f"Bearer {key}"}
    async with console.http.get(f"{asha.url}/auth/me", headers=asked) as answer:
        assert (await answer.json())["email"] == asha.user["email"]
    await page.get_by_role("button", name="I have kept it").click()
    row = page.get_by_role("row").filter(has_text=MARKUP)
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await row.get_by_text("Revoked").wait_for()
    assert key not in await page.content()
    async with console.http.get(f"{asha.url}/auth/me", headers=asked) as answer:
        assert answer.status == 401


async def test_a_login_session_elsewhere_is_ended(console: Console) -> None:
    asha = await console.sign_up()
    elsewhere = await console.open(asha, "settings/profile")
    page = (await console.open(asha, "settings/security")).page
    table = page.get_by_role("table", name="Login sessions")
    await table.get_by_text("This one").wait_for()
    others = table.locator("tbody tr").filter(has_not_text="This one")
    await others.first.get_by_role("button", name="Sign out").click()
    await page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    await page.get_by_text("Signed out.").wait_for()
    await elsewhere.page.evaluate("location.hash = '#/settings/security'")
    await elsewhere.page.get_by_role("heading", name="Sign in").wait_for()


async def test_a_new_name_shows_in_the_navigation_and_a_taken_address_is_refused(console: Console) -> None:
    asha, other = await console.sign_up(), await console.sign_up("Other Travels")
    page = (await console.open(asha, "settings/profile")).page
    await page.get_by_label("Your name").fill("Asha Iyer-Rao")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("button", name="Asha Iyer-Rao").wait_for()
    await page.get_by_label("E-mail address").fill(other.user["email"])
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("alert").get_by_text("An account with this e-mail address exists already.").wait_for()


@pytest.mark.parametrize(("role", "parts"), [("viewer", 3), ("agent", 3), ("ticketing_lead", 3), ("agency_admin", 6)])
async def test_each_role_sees_the_parts_that_concern_it(console: Console, role: str, parts: int) -> None:
    asha = await console.sign_up()
    tab = await console.open(await console.member(asha, role), "settings/people")
    assert await tab.page.locator(".tabs a").count() == parts
    await tab.at("settings/api_keys")
    await tab.page.get_by_role("heading", name="API keys").wait_for()
    assert await tab.page.get_by_role("button", name="Create key").count() == (0 if role == "viewer" else 1)
    assert await tab.page.locator(".subject", has_text="Audit").count() == (1 if role == "agency_admin" else 0)
