"""Into the console and out of it: sign-up, second factor, forgotten password, verification, invites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyotp
import pytest

from tests.http.browser.console.conftest import NUMBERS, PASSWORD, READY, Console

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.browser


async def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def sign_out(page: Page) -> None:
    menu = page.locator(".side .menu")
    await menu.get_by_role("button", name="Asha Rao").click()
    await menu.get_by_role("button", name="Sign out").click()
    await page.get_by_role("heading", name="Sign in").wait_for()


async def test_an_agency_signs_up_and_is_in_the_console(console: Console) -> None:
    page = (await console.open()).page
    assert await page.evaluate("document.activeElement.name") == "email"
    await page.get_by_role("link", name="New here? Sign up your agency").click()
    await page.get_by_label("Agency").fill("Rao <b>Travels</b>")
    await page.get_by_label("Your name").fill("Asha Rao")
    await page.get_by_label("E-mail address").fill(f"asha-{next(NUMBERS)}@example.com")
    await page.get_by_label("Password").fill("short 1")
    await page.get_by_role("button", name="Sign up").click()
    field = page.get_by_label("Password")
    assert await field.get_attribute("aria-invalid") == "true"
    await field.fill("onlyletterslong")
    await page.get_by_role("button", name="Sign up").click()
    await page.get_by_text("Use at least one letter and one digit.").wait_for()
    await field.fill("password1234")
    await page.get_by_role("button", name="Sign up").click()
    await page.get_by_role("alert").get_by_text("This password is too common.").wait_for()
    await field.fill(PASSWORD)
    await page.get_by_role("button", name="Sign up").click()

    await page.get_by_role("heading", name="Conversations", level=1).wait_for()
    assert await page.title() == "Conversations · Voyagent"
    assert await page.locator(".brand strong").inner_text() == "Rao <b>Travels</b>"
    await page.reload()
    await page.get_by_role("heading", name="Conversations", level=1).wait_for()


async def test_a_wrong_password_is_said_and_the_way_leads_where_one_was_going(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(at="settings/people")).page
    await sign_in(page, asha.user["email"], "not the password 1")
    await page.get_by_role("alert").get_by_text("E-mail address or password is wrong.").wait_for()
    await sign_in(page, asha.user["email"])
    await page.get_by_role("heading", name="Members").wait_for()
    await sign_out(page)
    assert await page.evaluate("localStorage.getItem('voyagent.refresh_token')") is None


async def test_a_second_factor_is_set_up_asked_for_and_turned_off(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "settings/security")
    page = tab.page
    await page.get_by_role("button", name="Set up").click()
    await page.get_by_role("img", name="QR code for the authenticator app").wait_for()
    assert await tab.violations() == []
    secret = (await page.locator(".secret").inner_text()).replace(" ", "")
    device = pyotp.TOTP(secret)
    await page.get_by_label("Code", exact=True).fill("000000")
    await page.get_by_role("button", name="Turn on").click()
    await page.get_by_role("alert").get_by_text("The code is wrong").wait_for()
    await page.get_by_label("Code", exact=True).fill(device.now())
    await page.get_by_role("button", name="Turn on").click()
    await page.get_by_role("button", name="I have kept them").wait_for()
    codes = await page.locator(".codes li").all_inner_texts()
    assert len(codes) == 10
    assert await tab.violations() == []
    await page.get_by_role("button", name="I have kept them").click()
    await page.get_by_role("button", name="Turn off").wait_for()
    await sign_out(page)

    await sign_in(page, asha.user["email"])
    await page.get_by_role("heading", name="Second factor").wait_for()
    assert await page.evaluate("document.activeElement.name") == "totp_code"
    await page.get_by_label("Code", exact=True).fill(device.now())
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", name="Login sessions").wait_for()
    await sign_out(page)

    await sign_in(page, asha.user["email"])
    await page.get_by_label("Code", exact=True).fill(codes[0].lower())
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_text("A recovery code was used. 9 are left.").wait_for()
    await page.get_by_role("button", name="Turn off").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Password").fill(PASSWORD)
    await dialog.get_by_label("Code", exact=True).fill(codes[1])
    await dialog.get_by_role("button", name="Turn off").click()
    await page.get_by_role("button", name="Set up").wait_for()


async def test_a_forgotten_password_is_set_by_the_link_of_an_e_mail(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open()).page
    await page.get_by_role("link", name="Forgot your password?").click()
    await page.get_by_label("E-mail address").fill(asha.user["email"])
    await page.get_by_role("button", name="Send the link").click()
    await page.get_by_text(f"If {asha.user['email']} has an account").wait_for()

    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    link = await console.link(asha.user["email"])
    await page.goto(link)
    await page.get_by_role("heading", name="Set a new password").wait_for()
    assert [request for request in sent if "/auth/" in request] == []
    assert "?" not in page.url.partition("#")[0]
    await page.get_by_label("New password").fill("another password 2")
    await page.get_by_role("button", name="Set password").click()
    await page.get_by_text("Your new password is set.").wait_for()
    await sign_in(page, asha.user["email"], "another password 2")
    await page.get_by_role("heading", name="Conversations", level=1).wait_for()

    await page.goto(link)
    await page.get_by_label("New password").fill("another password 3")
    await page.get_by_role("button", name="Set password").click()
    await page.get_by_role("alert").get_by_text("This link is no longer valid.").wait_for()


async def test_an_invite_is_shown_and_accepted_also_by_somebody_signed_in_as_another(console: Console) -> None:
    asha = await console.sign_up("Rao Travels")
    await asha.call("POST", "/auth/invites", json={"email": "ravi@example.com", "role": "viewer"})
    tab = await console.open(asha)
    await tab.page.goto(await console.link("ravi@example.com"))
    page = tab.page
    await page.get_by_text("invites you to join Rao Travels. Your role: Viewer.").wait_for()
    await page.get_by_text(f"You are signed in as {asha.user['email']}.").wait_for()
    assert await tab.violations() == []
    await page.get_by_label("Your name").fill("<img src=x onerror=alert(1)>")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Accept").click()
    await page.get_by_role("button", name="<img src=x onerror=alert(1)>").wait_for()
    assert await page.get_by_role("link", name="Audit").count() == 0
    assert await page.locator("img").count() == 0

    await page.goto(await console.link("ravi@example.com"))
    await page.get_by_role("alert").get_by_text("was accepted or revoked already").wait_for()


class TestWithVerification:
    """Where addresses have to be verified."""

    @pytest.fixture
    def required(self) -> dict[str, str]:
        return {"VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION": "false"}

    async def test_the_account_alone_is_open_until_another_tab_verifies_it(self, console: Console) -> None:
        context = await console.context()
        page = (await console.tab(context, "sign-up")).page
        address = f"asha-{next(NUMBERS)}@example.com"
        await page.get_by_label("Agency").fill("Rao Travels")
        await page.get_by_label("Your name").fill("Asha Rao")
        await page.get_by_label("E-mail address").fill(address)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign up").click()
        await page.get_by_text(f"Open the link we sent to {address}").wait_for()
        assert await page.locator(".subject").all_inner_texts() == ["Settings"]

        other = await context.new_page()
        await other.goto(await console.link(address))
        await other.wait_for_selector(READY)
        await other.get_by_role("button", name="Confirm").click()
        await other.get_by_text("Your e-mail address is verified.").wait_for()
        await other.get_by_role("link", name="Go to the console").click()
        await other.get_by_role("heading", name="Conversations", level=1).wait_for()
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.get_by_role("link", name="Conversations").wait_for()
        assert await page.locator(".notice").is_hidden()
