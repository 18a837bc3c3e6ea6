"""The audit trail in the browser: its filters, its verification, its download."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.http.browser.console.conftest import Console
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.service.conftest import Person

pytestmark = pytest.mark.browser


@pytest.fixture
async def asha(console: Console) -> Person:
    """Somebody whose agency has done a few things."""
    person = await console.sign_up()
    for number in range(60):
        status, _ = await person.call("POST", "/enquiries", json={"customer_name": f"C{number}"})
        assert status == 201
    await console.member(person, "viewer")
    return person


async def kinds(page: Page, expected: set[str]) -> None:
    async def shown() -> bool:
        return set(await page.locator(".event").evaluate_all("all => all.map(each => each.dataset.kind)")) == expected

    await until(shown, 0.1)


async def test_events_are_filtered_and_page(console: Console, asha: Person) -> None:
    page = (await console.open(asha, "audit")).page
    await page.get_by_role("button", name="Load more").click()
    await page.locator(".event").nth(55).wait_for()
    await page.get_by_label("Kind, or several").fill("auth.sign_up, invite.accepted")
    await kinds(page, {each["kind"] for each in (await asha.get("/audit?kind=auth.sign_up,invite.accepted"))["items"]})
    assert "kind=auth.sign_up" in page.url
    await page.reload()
    await page.get_by_role("button", name="Clear filters").click()
    await page.get_by_label("Person").select_option(asha.user["id"])
    theirs = await asha.get(f"/audit?actor_id={asha.user['id']}&limit=200")
    await page.get_by_text(f"{theirs['total']} events").wait_for()
    await page.get_by_label("From", exact=True).fill("2020-01-01")
    await page.get_by_label("To", exact=True).fill("2020-01-02")
    await page.get_by_text("No event matches").wait_for()


async def test_an_event_opens_to_all_that_is_recorded_of_it(console: Console, asha: Person) -> None:
    page = (await console.open(asha, "audit?kind=enquiry.created")).page
    newest = (await asha.get("/audit?kind=enquiry.created&limit=1"))["items"][0]
    await page.locator(".event summary").first.get_by_text("Enquiry created").wait_for()
    await page.locator(".event summary").first.get_by_text("enquiry.created · done").wait_for()
    await page.locator(".event summary").first.press("Enter")
    body = page.locator(".event").first
    await body.get_by_text(newest["hash"]).wait_for()
    await body.get_by_text(newest["id"], exact=True).wait_for()


async def test_the_trail_is_verified_with_a_clear_answer(console: Console, asha: Person, database: Any) -> None:
    page = (await console.open(asha, "audit")).page
    checked = (await asha.get("/audit/verify"))["checked"]
    await page.get_by_role("button", name="Verify the trail").click()
    await page.get_by_role("heading", name="The audit trail is whole").wait_for()
    await page.get_by_text(f"All {checked} events were recomputed.").wait_for()

    seq = (await asha.get("/audit?kind=enquiry.created&limit=1"))["items"][0]["seq"]
    db = await asyncpg.connect(database.admin_url)
    await db.execute("SET session_replication_role = replica")  # past the trigger that keeps the trail as it is
    await db.execute("UPDATE audit_events SET kind = 'enquiry.changed' WHERE seq = $1", seq)
    await db.close()
    await page.get_by_role("button", name="Verify the trail").click()
    await page.get_by_role("heading", name="The audit trail was tampered with").wait_for()
    await page.get_by_text(f"Event {seq} is not what was written.").wait_for()
    await page.get_by_text("Do not change anything.").wait_for()


async def test_what_is_filtered_is_downloaded(console: Console, asha: Person) -> None:
    page = (await console.open(asha, "audit?kind=enquiry.created")).page
    await page.get_by_text("60 events").wait_for()
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="Download CSV").click()
    file = await waiting.value
    assert file.suggested_filename == f"audit-{datetime.now(UTC).date()}.csv"
    text = (await file.path()).read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert ({row["kind"] for row in rows}, len(rows)) == ({"enquiry.created"}, 60)
    assert (await asha.get("/audit?kind=audit.exported"))["total"] == 1


async def test_the_trail_is_offered_to_admins_alone(console: Console, asha: Person) -> None:
    lead = await console.member(asha, "accounting_lead")
    page = (await console.open(lead, "audit")).page
    await page.get_by_text("This is for agency admins. Ask one if you need it.", exact=True).wait_for()
    assert await page.get_by_role("link", name="Audit").count() == 0
    assert await page.get_by_role("row").count() == 0
