"""Links of e-mails that are cut off, used or expired, wrong codes, and waits: what to do next is said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.console.conftest import NARROW, PASSWORD, Console

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

pytestmark = pytest.mark.browser
UNKNOWN = "x" * 43
CUT_OFF = "This link is incomplete. Open it again from the e-mail."


def refusing(status: int, code: str, wait: int | None = None) -> Any:
    """Answers a request as the service refuses one."""

    async def answer(route: Route) -> None:
        headers = {} if wait is None else {"Retry-After": str(wait)}
        await route.fulfill(status=status, json={"detail": code}, headers=headers)

    return answer


async def sign_in(page: Page) -> None:
    await page.get_by_label("E-mail address").fill("asha@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("token", ["", "?token="])
async def test_a_link_that_was_cut_off_says_so(token: str, console: Console) -> None:
    tab = await console.open(width=NARROW, scheme="dark")
    page = await tab.at(f"verify-email{token}")
    await page.get_by_role("button", name="Confirm").click()
    await page.get_by_role("alert").get_by_text(CUT_OFF, exact=True).wait_for()
    await tab.at(f"reset-password{token}")
    await page.get_by_label("New password").fill("another password 2")
    await page.get_by_role("button", name="Set password").click()
    await page.get_by_role("alert").get_by_text(CUT_OFF, exact=True).wait_for()
    await tab.at(f"accept-invite{token}")
    await page.get_by_role("alert").get_by_text(CUT_OFF, exact=True).wait_for()
    assert await tab.violations() == []


async def test_a_link_that_was_used_says_whether_the_address_is_verified(console: Console) -> None:
    asha = await console.sign_up()
    guest = await console.open()
    page = await guest.at(f"verify-email?token={UNKNOWN}")
    await page.get_by_role("button", name="Confirm").click()
    await page.get_by_role("alert").get_by_text("If your address is not verified yet, sign in").wait_for()
    await page.get_by_role("link", name="Sign in").click()
    await page.get_by_role("heading", name="Sign in").wait_for()

    tab = await console.open(asha)
    page = await tab.at(f"verify-email?token={UNKNOWN}")
    await page.get_by_role("button", name="Confirm").click()
    said = f"This link was used before or has expired. {asha.user['email']} is verified."
    await page.get_by_role("alert").get_by_text(said, exact=True).wait_for()
    assert await tab.violations() == []


async def test_somebody_signed_in_can_ask_for_a_new_link_to_reset_the_password(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha)
    page = await tab.at(f"reset-password?token={UNKNOWN}")
    await page.get_by_role("link", name="Send me a new link").click()
    await page.get_by_role("heading", name="Forgotten password").wait_for()
    assert await page.get_by_role("link", name="Back to sign-in").count() == 0
    await page.get_by_label("E-mail address").fill(asha.user["email"])
    await page.get_by_role("button", name="Send the link").click()
    await page.get_by_text(f"If {asha.user['email']} has an account").wait_for()
    assert await tab.violations() == []


@pytest.mark.parametrize(
    ("wait", "words"),
    [(1, "1 second."), (90, "90 seconds."), (121, "3 minutes."), (900, "15 minutes.")],
)
async def test_a_wait_is_told_in_seconds_or_minutes(wait: int, words: str, console: Console) -> None:
    page = (await console.open()).page
    await page.route("**/auth/sign-in", refusing(429, "too_many_attempts", wait))
    await sign_in(page)
    await page.get_by_role("alert").get_by_text(re.compile(rf"Try again in {re.escape(words)}$")).wait_for()


async def test_it_is_said_when_a_wait_is_over(console: Console) -> None:
    page = (await console.open()).page
    await page.clock.install()
    await page.route("**/auth/sign-in", refusing(429, "too_many_attempts", 90))
    await sign_in(page)
    await page.get_by_role("alert").get_by_text("Try again in 90 seconds.").wait_for()
    await page.clock.fast_forward(89_000)
    assert await page.get_by_role("alert").inner_text() == "Too many attempts. Try again in 90 seconds."
    await page.clock.fast_forward(2_000)
    await page.get_by_role("alert").get_by_text("You can try again now.", exact=True).wait_for()


async def test_a_wrong_recovery_code_is_not_told_to_wait_for_the_next_code(console: Console) -> None:
    page = (await console.open()).page
    await page.route("**/auth/sign-in", refusing(401, "totp_required"))
    await page.route("**/auth/sign-in-totp", refusing(401, "totp_invalid"))
    await sign_in(page)
    code = page.get_by_label("Code", exact=True)
    await code.fill("123456")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("alert").get_by_text("Wait for the next one.").wait_for()
    await code.fill("AB12CD34")
    await page.get_by_role("button", name="Sign in").click()
    await (
        page.get_by_role("alert")
        .get_by_text("This recovery code is wrong or was used before. Check it, or use another one.", exact=True)
        .wait_for()
    )
