"""What forms say of a value before it is sent, and how they read what people type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.http.browser.console.conftest import Console
from tests.http.console.tables import ENGLISH, HINDI

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.browser
AMOUNT = "Enter an amount such as 1250.00."
READ = {"1,50,000": "150000.00", "150,000.5": "150000.50", "1 50 000": "150000.00", "१२५०": "1250.00"}
"""An amount as it is typed, and as it is stored."""


async def errors(page: Page) -> list[str]:
    """What stands at the fields of the form."""
    return await page.locator(".field .error:visible").all_inner_texts()


async def test_what_a_browser_finds_wrong_is_said_in_the_language_of_the_page(console: Console) -> None:
    page = (await console.open(at="sign-up")).page
    for locale, table in {"en": ENGLISH, "hi": HINDI}.items():
        await page.evaluate("locale => localStorage.setItem('voyagent.locale', locale)", locale)
        await page.reload()
        await page.locator("[name=email]").fill("asha")
        await page.locator("[name=password]").press_sequentially("short")
        await page.locator("form button").click()
        said = [table[f"fields.{code}"] for code in ("missing", "missing", "invalid_email", "string_too_short.other")]
        assert await errors(page) == [text.strip('"').replace("{min_length}", "12") for text in said]


async def test_a_number_out_of_its_bounds_says_which_are_allowed(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "enquiries/new")).page
    await page.get_by_label("Customer's name").fill("Ravi Menon")
    for typed, said in {"0": "Enter 1 or more.", "1.5": "Enter a whole number.", "": "Fill in this field."}.items():
        await page.get_by_label("Travellers").fill(typed)
        await page.get_by_role("button", name="Create enquiry").click()
        assert await errors(page) == [said]


async def test_a_value_of_the_wrong_form_says_which_form(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "settings/tax_rates")).page
    await page.get_by_role("button", name="Set a rate").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Tax").fill("a tax")
    await dialog.get_by_label("Rate in percent").fill("much")
    await dialog.get_by_role("button", name="Save").click()
    assert await errors(page) == ["In capitals, such as IGST or VAT.", "Such as 18 or 2.5. Empty: it ends."]
    await dialog.get_by_label("Tax").fill("VAT")
    await dialog.get_by_label("Rate in percent").fill("19")
    await dialog.get_by_label("Place").fill("Köln")
    await dialog.get_by_label("From").fill("1969-12-31")
    await dialog.get_by_role("button", name="Save").click()
    await dialog.get_by_text("Enter a day of 1970 or later.").wait_for()
    assert await errors(page) == ["This value is not accepted.", "Enter a day of 1970 or later."]
    assert await page.evaluate("document.activeElement.name") == "jurisdiction"


async def test_an_amount_is_read_with_separators_and_a_comma_for_decimals_is_refused(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "enquiries/new")
    budget = tab.page.get_by_role("textbox", name="Budget (optional)")
    for typed in ("12,50", "1.250,00", "1,5", ",500"):
        await tab.page.get_by_label("Customer's name").fill(typed)
        await budget.fill(typed)
        await tab.page.get_by_role("button", name="Create enquiry").click()
        await tab.page.get_by_text(AMOUNT).wait_for()
        await budget.fill("")
    for typed in READ:
        await tab.at("enquiries")
        await tab.at("enquiries/new")
        await tab.page.get_by_label("Customer's name").fill(typed)
        await budget.fill(typed)
        await tab.page.get_by_role("button", name="Create enquiry").click()
        await tab.page.get_by_role("heading", name=typed, level=1).wait_for()
    stored = {each["customer_name"]: each["budget_amount"] for each in (await asha.get("/enquiries"))["items"]}
    assert stored == READ
