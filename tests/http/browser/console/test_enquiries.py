"""Enquiries by clicks: the board, the list with its filters, the form, one enquiry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.console.conftest import Console
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.service.conftest import Person

pytestmark = pytest.mark.browser


async def enquiry(who: Person, name: str = "Ravi Menon", **more: Any) -> dict[str, Any]:
    status, made = await who.call("POST", "/enquiries", json={"customer_name": name, **more})
    assert status == 201, made
    return dict(made)


def column(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


async def names(of: Locator) -> list[str]:
    return [text.strip() for text in await of.locator("h3").all_inner_texts()]


async def test_an_enquiry_is_created_shown_and_changed(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "enquiries")).page
    await page.get_by_text("No enquiries yet").wait_for()
    await page.get_by_role("link", name="New enquiry").first.click()
    for name, value in {
        "customer_name": "Ravi Menon",
        "customer_email": "ravi@example.com",
        "customer_phone": "+91 98200 12345",
        "origin": "Mumbai",
        "destination": "Dubai",
        "depart_date": "2027-02-01",
        "return_date": "2027-02-09",
        "pax_count": "2",
        "budget_amount": "1,50,000",
        "notes": "Window seats\nBack before Sunday",
    }.items():
        await page.locator(f"[name={name}]").fill(value)
    await page.get_by_role("button", name="Create enquiry").click()
    await page.get_by_role("heading", name="Ravi Menon", level=1).wait_for()
    assert await page.title() == "Ravi Menon · Voyagent"
    (stored,) = (await asha.get("/enquiries"))["items"]
    assert (stored["budget_amount"], stored["budget_currency"], stored["pax_count"]) == ("150000.00", "INR", 2)
    assert (stored["notes"], stored["return_date"]) == ("Window seats\nBack before Sunday", "2027-02-09")
    await page.get_by_text("INR 1,50,000.00").wait_for()

    await page.get_by_role("link", name="Edit").click()
    await asha.call("PATCH", f"/enquiries/{stored['id']}", json={"origin": "Pune"})
    await page.get_by_label("Notes").fill("Aisle seats")
    await page.get_by_label("Return").fill("")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Aisle seats").wait_for()
    after = await asha.get(f"/enquiries/{stored['id']}")
    assert (after["notes"], after["return_date"]) == ("Aisle seats", None)
    assert after["origin"] == "Pune", "what a colleague has changed meanwhile stays"


async def test_what_is_refused_is_said_at_its_field_and_nothing_that_was_typed_is_lost(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "enquiries/new")).page
    await page.get_by_role("button", name="Create enquiry").click()
    await page.get_by_text("Fill in this field.").wait_for()
    await page.get_by_label("Customer's name").fill("Ravi")
    await page.get_by_label("Departure").fill("2027-02-09")
    await page.get_by_label("Return").fill("2027-02-01")
    await page.get_by_role("button", name="Create enquiry").click()
    await page.get_by_text("The return is before the departure.").wait_for()
    assert await page.evaluate("document.activeElement.name") == "return_date"
    await page.get_by_label("Return").fill("2027-02-10")
    await page.get_by_role("textbox", name="Budget (optional)").fill("much")
    await page.get_by_role("button", name="Create enquiry").click()
    await page.get_by_text("Enter an amount such as 1250.00.").wait_for()
    await page.get_by_role("textbox", name="Budget (optional)").fill("12")
    await page.get_by_label("Currency of the budget").fill("x1")
    await page.get_by_role("button", name="Create enquiry").click()
    await page.get_by_text("Enter a currency code such as INR").wait_for()
    assert await page.get_by_label("Customer's name").input_value() == "Ravi"
    assert (await asha.get("/enquiries"))["total"] == 0


async def test_a_new_enquiry_names_earlier_ones_of_the_same_customer(console: Console) -> None:
    asha = await console.sign_up()
    await enquiry(asha, "R. Menon", customer_email="Ravi@Example.com")
    page = (await console.open(asha, "enquiries/new")).page
    await page.get_by_label("Customer's name").fill("Ravi Menon")
    await page.get_by_label("E-mail address").fill("ravi@example.com")
    await page.get_by_role("button", name="Create enquiry").click()
    alike = page.get_by_role("status").filter(has_text="may be the same customer")
    await alike.get_by_text("same e-mail address").wait_for()
    await alike.get_by_role("link", name="R. Menon").click()
    await page.get_by_role("heading", name="R. Menon", level=1).wait_for()


async def test_a_card_is_moved_by_its_menu_which_offers_what_is_allowed(console: Console) -> None:
    asha = await console.sign_up()
    one = await enquiry(asha)
    page = (await console.open(asha, "enquiries?view=board")).page
    card = page.locator(".enquiry-card")
    await card.get_by_role("button", name="Move to").click()
    assert await card.locator(".menu-items button").all_inner_texts() == ["Quoted", "Booked", "Cancelled"]
    await card.get_by_role("button", name="Booked").click()
    await column(page, "Booked").get_by_role("link", name="Ravi Menon").wait_for()
    assert await names(column(page, "New")) == []
    assert [await column(page, name).locator("h2").inner_text() for name in ("New", "Booked")] == ["New 0", "Booked 1"]
    assert (await asha.get(f"/enquiries/{one['id']}"))["status"] == "booked"
    await card.get_by_role("button", name="Move to").click()
    assert await card.locator(".menu-items button").all_inner_texts() == ["Cancelled"]


async def test_a_card_is_dragged_only_where_it_may_go(console: Console) -> None:
    asha = await console.sign_up()
    one = await enquiry(asha)
    page = (await console.open(asha, "enquiries?view=board")).page
    card = page.locator(".enquiry-card")
    await card.drag_to(column(page, "Cancelled"))
    await column(page, "Cancelled").get_by_role("link", name="Ravi Menon").wait_for()
    await card.drag_to(column(page, "New"))
    assert await names(column(page, "New")) == []
    assert (await asha.get(f"/enquiries/{one['id']}"))["status"] == "cancelled"


async def test_a_column_pages_and_repeats_nothing_after_a_move(console: Console) -> None:
    asha = await console.sign_up()
    for number in range(45):
        await enquiry(asha, f"C{number:02}")
    page = (await console.open(asha, "enquiries?view=board")).page
    new = column(page, "New")
    await new.get_by_text("20 of 45").wait_for()
    await new.locator(".enquiry-card").first.get_by_role("button", name="Move to").click()
    await new.locator(".enquiry-card").first.get_by_role("button", name="Quoted").click()
    await column(page, "Quoted").get_by_role("link", name="C44").wait_for()
    await new.get_by_role("button", name="Load more").click()
    await new.get_by_role("link", name="C10").wait_for()
    await new.get_by_role("button", name="Load more").click()
    await new.get_by_role("link", name="C00").wait_for()
    assert await names(new) == [f"C{number:02}" for number in reversed(range(44))]


FILTERS = [
    ("Search name, contact or place", "sing", ["B"]),
    ("From contains", "pun", ["C"]),
    ("To contains", "%", ["D"]),
    ("E-mail address contains", "ravi@", ["A"]),
    ("Departs on or after", "2027-03-01", ["B"]),
    ("Departs on or before", "2027-02-01", ["A"]),
    ("Created on or before", "2020-01-01", []),
    ("Created on or after", "2020-01-01", ["D", "C", "B", "A"]),
]


async def test_the_list_has_every_filter_and_keeps_it_in_the_address(console: Console) -> None:
    asha = await console.sign_up()
    await enquiry(asha, "A", customer_email="ravi@example.com", depart_date="2027-01-01")
    await enquiry(asha, "B", destination="Singapore", depart_date="2027-04-01", status="quoted")
    await enquiry(asha, "C", origin="Pune")
    await enquiry(asha, "D", destination="100% Goa")
    page = (await console.open(asha, "enquiries?view=list")).page

    async def listed(expected: list[str]) -> None:
        async def shown() -> bool:
            return [text.strip() for text in await page.locator("tbody th").all_inner_texts()] == expected

        await until(shown, 0.05)

    await listed(["D", "C", "B", "A"])
    for label, value, expected in FILTERS:
        if not await page.get_by_label(label).is_visible():
            await page.get_by_text("More filters").click()
        await page.get_by_label(label).fill(value)
        await listed(expected)
        if expected == []:
            await page.get_by_text("Nothing matches these filters").wait_for()
        await page.reload()
        await listed(expected)
        assert await page.get_by_label(label).input_value() == value
        await page.get_by_role("button", name="Clear filters").click()
        await listed(["D", "C", "B", "A"])
    await page.get_by_label("Status").select_option("quoted")
    await listed(["B"])
    await page.get_by_text("1 enquiry").wait_for()
    assert "status=quoted" in page.url
    await page.get_by_role("link", name="B", exact=True).click()
    await page.get_by_role("heading", name="B", level=1).wait_for()
    await page.go_back()
    await listed(["B"])


async def test_days_that_contradict_each_other_say_what_to_do(console: Console) -> None:
    asha = await console.sign_up()
    await enquiry(asha)
    page = (await console.open(asha, "enquiries?view=list&depart_from=2027-02-02&depart_to=2027-02-01")).page
    await page.get_by_role("alert").get_by_text("The first departure is after the last.").wait_for()


async def test_the_list_loads_more_than_a_page(console: Console) -> None:
    asha = await console.sign_up()
    for number in range(53):
        await enquiry(asha, f"C{number:02}")
    page = (await console.open(asha, "enquiries?view=list")).page
    await page.get_by_text("50 of 53").wait_for()
    await page.get_by_role("button", name="Load more").click()
    await page.get_by_role("link", name="C00").wait_for()
    found = await page.locator("tbody th").all_inner_texts()
    assert [text.strip() for text in found] == [f"C{number:02}" for number in reversed(range(53))]


async def test_an_enquiry_is_promoted_once_and_its_conversation_opened_again(console: Console) -> None:
    asha = await console.sign_up()
    one = await enquiry(asha)
    page = (await console.open(asha, f"enquiries/{one['id']}")).page
    await page.get_by_role("button", name="Begin a conversation").click()
    await page.wait_for_url(re.compile("#/conversations/"))
    session = (await asha.get(f"/enquiries/{one['id']}"))["session_id"]
    assert page.url.endswith(session)
    await page.go_back()
    await page.get_by_role("button", name="Open the conversation").click()
    await page.wait_for_url(re.compile(session))
    assert (await asha.get("/chat/sessions"))["total"] == 1


async def test_a_viewer_reads_and_is_offered_nothing_else(console: Console) -> None:
    asha = await console.sign_up()
    one = await enquiry(asha)
    viewer = await console.member(asha, "viewer")
    page = (await console.open(viewer, "enquiries?view=board")).page
    await page.get_by_role("link", name="Ravi Menon").wait_for()
    assert await page.get_by_role("button", name="Move to").count() == 0
    assert await page.get_by_role("link", name="New enquiry").count() == 0
    await page.evaluate("id => { location.hash = '#/enquiries/' + id; }", one["id"])
    await page.get_by_role("heading", name="Ravi Menon", level=1).wait_for()
    assert await page.get_by_role("button", name="Begin a conversation").count() == 0
    assert await page.get_by_role("link", name="Edit").count() == 0


async def test_an_unknown_enquiry_says_so(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha)
    await tab.page.evaluate("location.hash = '#/enquiries/gone'")
    await tab.page.locator("h1:focus").get_by_text("Enquiry not found").wait_for()
    await tab.page.get_by_role("alert").get_by_text("Your agency has no such enquiry.").wait_for()
