"""The inbox of approvals: what will happen, how long there is, two answers, and what colleagues decided meanwhile."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.http.browser.console.conftest import Console
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.service.conftest import Person

pytestmark = pytest.mark.browser
TODAY = datetime.now(UTC).date()
INVOICE = f"Draft an invoice for Mehta Exports over INR 45200.00 dated {TODAY} due {TODAY + timedelta(days=30)}"
FLIGHT = f"Book the cheapest flight from Mumbai to Dubai on {TODAY + timedelta(days=60)} for Asha Rao"


async def asked(who: Person, words: str = INVOICE) -> dict[str, Any]:
    """An approval that waits."""
    session = await who.session()
    await who.say(session, words)
    (found,) = (await who.get(f"/approvals?session_id={session}"))["items"]
    return dict(found)


def card(page: Page, of: dict[str, Any]) -> Locator:
    return page.locator(f".approval[data-approval='{of['id']}']")


async def verdict(who: Person, of: dict[str, Any]) -> tuple[str, str | None]:
    found = await who.get(f"/approvals/{of['id']}")
    return found["status"], found["reason"]


async def count(page: Page, expected: str) -> None:
    """The number in the navigation."""
    shown = page.locator(".count-badge")

    async def reads() -> bool:
        return (await shown.inner_text() if await shown.is_visible() else "") == expected

    await until(reads, 0.1)


async def test_an_approval_says_what_will_happen_and_is_granted_with_a_reason(console: Console) -> None:
    asha = await console.sign_up()
    one = await asked(asha)
    page = (await console.open(asha, "approvals")).page
    shown = card(page, one)
    await shown.get_by_text(one["summary"]).wait_for()
    assert re.fullmatch(r"1[45]:\d\d left", await shown.locator(".countdown").inner_text())
    await count(page, "1")
    await shown.get_by_text("Exactly what will run").click()
    assert "45200.00" in await shown.locator("dl").first.inner_text()
    await shown.get_by_label("Reason").fill("As agreed by telephone")
    await shown.get_by_role("button", name="Grant").click()
    await shown.get_by_text("Granted. The agent goes on at once.").wait_for()
    assert await verdict(asha, one) == ("granted", "As agreed by telephone")
    assert "Granted." in await page.evaluate("document.activeElement.textContent")
    await count(page, "")
    await page.get_by_role("link", name="Granted", exact=True).click()
    row = page.locator("tbody tr")
    await row.get_by_text("As agreed by telephone").wait_for()
    await row.get_by_text("You").wait_for()


async def test_a_denial_keeps_its_reason_and_nothing_is_done(console: Console) -> None:
    asha = await console.sign_up()
    one = await asked(asha, FLIGHT)
    page = (await console.open(asha, "approvals")).page
    await card(page, one).get_by_label("Reason").fill("Too expensive")
    await card(page, one).get_by_role("button", name="Deny").click()
    await card(page, one).get_by_text("Denied. The agent is told, and does not do it.").wait_for()
    assert await verdict(asha, one) == ("rejected", "Too expensive")
    report = await asha.get("/reports/itinerary", params={"session_id": one["session_id"]})
    assert report["flights"] == []


async def test_a_decision_in_one_tab_shows_in_the_other_and_in_its_navigation(console: Console) -> None:
    asha = await console.sign_up()
    context = (first := await console.open(asha, "approvals")).page.context
    await first.page.get_by_text("Nothing waits for a decision").wait_for()
    second = await console.tab(context, "approvals")
    one, other = await asked(asha), await asked(asha, FLIGHT)
    for tab in (first, second):
        await card(tab.page, one).wait_for()
        await card(tab.page, other).wait_for()
        await count(tab.page, "2")
    writing = card(second.page, other).get_by_label("Reason")
    await writing.fill("I am writing")
    await card(first.page, one).get_by_role("button", name="Grant").click()
    await card(second.page, one).get_by_text("You granted this on").wait_for()
    assert await card(second.page, one).get_by_role("button").count() == 0
    assert await writing.input_value() == "I am writing", "what somebody writes stays"
    await count(second.page, "1")


async def test_of_two_who_decide_at_once_one_wins_and_the_other_is_told(console: Console) -> None:
    asha = await console.sign_up()
    lead = await console.member(asha, "accounting_lead")
    one = await asked(asha)
    page = (await console.open(asha, "approvals")).page
    await card(page, one).wait_for()
    await page.route(re.compile(r"/approvals\?"), lambda route: route.abort())  # the list is not read meanwhile
    status, _ = await lead.call(
        "POST", f"/approvals/{one['id']}/resolve", json={"granted": False, "reason": "Not this month"}
    )
    assert status == 200
    await card(page, one).get_by_role("button", name="Grant").click()
    await card(page, one).get_by_text("Ravi Menon denied this on").wait_for()
    await card(page, one).get_by_text("Reason: Not this month").wait_for()
    assert await verdict(asha, one) == ("rejected", "Not this month")
    console.tabs[0].complaints.clear()


async def test_who_may_not_decide_is_told_who_may(console: Console) -> None:
    asha = await console.sign_up()
    books, travel = await asked(asha), await asked(asha, FLIGHT)
    for role, others, said in (
        ("ticketing_lead", books, "Waits for an accounting lead or an agency admin."),
        ("accounting_lead", travel, "Waits for a ticketing lead or an agency admin."),
        ("agent", books, "Waits for an accounting lead or an agency admin."),
        ("viewer", travel, "Waits for a ticketing lead or an agency admin."),
    ):
        page = (await console.open(await console.member(asha, role), "approvals")).page
        await card(page, others).get_by_text(said).wait_for()
        assert await card(page, others).get_by_role("button").count() == 0
        own = travel if others is books else books
        assert await card(page, own).get_by_role("button").count() == (2 if role.endswith("lead") else 0)


async def test_what_expires_cannot_be_decided(console: Console, database: Any) -> None:
    asha = await console.sign_up()
    one = await asked(asha)
    tab = await console.open(asha, "approvals")
    await card(tab.page, one).locator(".countdown").wait_for()
    db = await asyncpg.connect(database.admin_url)
    await db.execute("UPDATE pending_approvals SET requested_at = now() - interval '1 hour', expires_at = now()")
    await db.close()
    await card(tab.page, one).get_by_text("Nobody decided in time").wait_for()
    assert await card(tab.page, one).get_by_role("button").count() == 0


async def test_a_computer_whose_clock_is_fast_lets_nobody_down(console: Console) -> None:
    asha = await console.sign_up()
    one = await asked(asha)
    tab = await console.open(asha, "approvals")
    await card(tab.page, one).wait_for()
    await tab.page.clock.install(time=datetime.now(UTC) + timedelta(minutes=14, seconds=50))
    await tab.page.reload()
    await card(tab.page, one).locator(".countdown.soon").wait_for()
    async with tab.page.expect_response(f"**/approvals/{one['id']}"):
        await tab.page.clock.fast_forward(20_000)
    await card(tab.page, one).get_by_text("0:00").wait_for()
    await card(tab.page, one).get_by_role("button", name="Grant").click()
    await card(tab.page, one).get_by_text("Granted", exact=True).wait_for()


async def test_the_inbox_survives_a_service_that_does_not_answer(console: Console) -> None:
    asha = await console.sign_up()
    one = await asked(asha)
    tab = await console.open(asha, "approvals")
    await card(tab.page, one).get_by_label("Reason").fill("I am writing")
    await tab.page.route(re.compile(r"/approvals\?"), lambda route: route.abort())
    await tab.page.get_by_role("alert").get_by_text("cannot be reached").wait_for()
    assert await card(tab.page, one).get_by_label("Reason").input_value() == "I am writing"
    await tab.page.unroute_all()
    await tab.page.get_by_role("alert").wait_for(state="detached")
    tab.complaints.clear()


async def test_decided_ones_of_a_conversation_are_listed_by_status(console: Console) -> None:
    asha = await console.sign_up()
    one, other = await asked(asha), await asked(asha)
    await asha.call("POST", f"/approvals/{one['id']}/resolve", json={"granted": True})
    await asha.call("POST", f"/approvals/{other['id']}/resolve", json={"granted": False, "reason": "No"})
    page = (await console.open(asha, f"approvals?status=all&session={other['session_id']}")).page
    assert await page.locator("tbody tr").count() == 1
    await page.get_by_role("link", name="Show all").click()
    await page.locator("tbody tr").nth(1).wait_for()
    await page.get_by_role("link", name="Denied").click()
    await page.locator("tbody").get_by_text("No", exact=True).wait_for()
    assert await page.locator("tbody tr").count() == 1
