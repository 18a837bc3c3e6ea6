"""Slow and failing networks: nothing is done twice, a newer question's answer stays, and every failure says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.http.browser.console.conftest import PASSWORD, Console
from tests.http.browser.console.conversing import button, said, write
from tests.http.browser.console.held import held
from tests.rehearsal import Gate, Rehearsal, Turn
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

pytestmark = pytest.mark.browser
READING = (
    "conversations",
    "conversations/{session}",
    "enquiries?view=board",
    "enquiries?view=list",
    "enquiries/{enquiry}",
    "enquiries/{enquiry}/edit",
    "approvals",
    "approvals?status=all",
    "itinerary",
    "itinerary/{session}",
    "reports/receivables",
    "reports/payables/documents",
    "reports/trial-balance",
    "reports/usage",
    "audit",
    "settings/security",
    "settings/api_keys",
    "settings/agency",
    "settings/tax_rates",
    "settings/people",
)
"""Views that read before they show."""
COUNTED = """
window.listening = 0;
const listen = window.addEventListener.bind(window);
window.addEventListener = (...how) => { window.listening += 1; listen(...how); };
"""
INVOICE = "Draft an invoice for Mehta Exports over INR 45200.00"


async def sign_up(page: Page, address: str) -> None:
    """Sign up by the form, as people do."""
    for label, value in (
        ("Agency", "Rao Travels"),
        ("Your name", "Asha Rao"),
        ("E-mail", address),
        ("Password", PASSWORD),
    ):
        await page.get_by_label(label).fill(value)
    await button(page, "Sign up").click()


async def test_load_more_pressed_twice_brings_the_page_once(console: Console) -> None:
    asha = await console.sign_up()
    for _ in range(53):
        await asha.session()
    page = (await console.open(asha)).page
    await page.get_by_text("50 of 53").wait_for()
    async with held(page, r"/chat/sessions\?.*offset=50"):
        await button(page, "Load more").dblclick()
    await page.get_by_text("50 of 53").wait_for(state="detached")
    assert await page.locator(".conversation-row").count() == 53
    await page.wait_for_load_state("networkidle")
    assert await page.locator(".conversation-row").count() == 53


async def test_the_answer_to_an_earlier_question_does_not_replace_a_newer_one(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "settings/tax_rates")).page
    await page.get_by_role("cell", name="GST, India").first.wait_for()
    async with held(page, r"/tax-rates\?on=1972") as gate:
        await page.get_by_label("In force on").fill("1972-01-01")
        await gate.first()
        await page.get_by_label("In force on").fill("2026-01-01")
        await page.get_by_role("cell", name="GST, Singapore").first.wait_for()
    await page.wait_for_load_state("networkidle")
    assert await page.get_by_role("cell", name="GST, Singapore").count() > 0


@pytest.mark.parametrize(
    ("view", "label"), [("conversations", "Search titles"), ("enquiries?view=list", "Search name")]
)
async def test_what_was_typed_into_a_list_does_not_follow_to_another_view(
    console: Console, view: str, label: str
) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    page = (await console.open(asha, view)).page
    await page.get_by_label(label).wait_for()
    await page.clock.install()
    await page.get_by_label(label).fill("Dubai")
    await page.evaluate("to => { location.hash = to; }", f"#/conversations/{session}")
    await page.get_by_role("heading", name="Untitled conversation").wait_for()
    await page.clock.run_for(1_000)
    assert page.url.endswith(f"#/conversations/{session}")


async def test_a_repetition_while_the_first_attempt_still_runs_has_its_key(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "settings/api_keys")
    keys: list[str] = []

    async def runs(route: Route) -> None:
        if route.request.method != "POST":
            return await route.continue_()
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 4:
            return await route.continue_()
        return await route.fulfill(status=409, json={"detail": "idempotency_key_in_flight"})

    await tab.page.route("**/auth/api-keys", runs)
    await button(tab.page, "Create key").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Website form")
    await dialog.get_by_role("button", name="Create key").click()
    await dialog.get_by_text("The first attempt is still running.").wait_for()
    await dialog.get_by_role("button", name="Create key").click()
    await tab.page.get_by_text("Copy the key now.").wait_for()
    assert len(keys) > 1
    assert len(set(keys)) == 1


@pytest.mark.parametrize("where", ["approvals", "conversations"])
async def test_a_decision_under_way_takes_no_second_one(console: Console, where: str) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    await asha.say(session, INVOICE)
    page = (await console.open(asha, f"conversations/{session}" if where == "conversations" else where)).page
    async with held(page, "/resolve$", "POST") as gate:
        await page.get_by_role("button", name="Grant").click()
        await gate.first()
        assert await page.get_by_role("button", name="Deny").is_disabled()
    await page.get_by_text("Granted", exact=True).first.wait_for()
    assert len(gate.requests) == 1


async def test_a_card_that_is_being_moved_is_not_moved_again(console: Console) -> None:
    asha = await console.sign_up()
    await asha.call("POST", "/enquiries", json={"customer_name": "Meera Iyer"})
    page = (await console.open(asha, "enquiries?view=board")).page
    column = {name: page.locator(f".column[data-status={name}]") for name in ("new", "quoted", "booked")}
    async with held(page, "/enquiries/", "PATCH") as gate:
        for to in ("Quoted", "Booked"):
            await column["new"].get_by_role("button", name=re.compile("Move to")).click()
            await column["new"].get_by_role("button", name=to, exact=True).click()
            await gate.first()
    await column["quoted"].locator(".enquiry-card").wait_for()
    await page.wait_for_load_state("networkidle")
    assert len(gate.requests) == 1
    counts = {name: await each.locator("h2 span").inner_text() for name, each in column.items()}
    assert counts == {"new": "0", "quoted": "1", "booked": "0"}
    assert await page.locator(".enquiry-card").count() == 1


async def test_a_second_factor_that_cannot_be_set_up_says_why(console: Console) -> None:
    tab = await console.open(await console.sign_up(), "settings/security")
    await tab.page.route("**/auth/totp/setup", lambda route: route.abort())
    await button(tab.page, "Set up").click()
    await tab.page.get_by_text("The service cannot be reached.").wait_for()
    await tab.page.unroute_all()
    await button(tab.page, "Set up").click()
    await tab.page.get_by_role("img", name="QR code").wait_for()
    tab.complaints.clear()


async def test_whoever_leaves_what_is_still_read_is_told_of_no_failure(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "audit")).page
    async with held(page, "/audit/verify") as gate:
        await button(page, "Verify the trail").click()
        await gate.first()
        await page.get_by_role("link", name="Enquiries").click()
        await page.get_by_role("heading", name="Enquiries").wait_for()
    await page.wait_for_load_state("networkidle")
    assert await page.locator(".toast").count() == 0


async def test_whoever_left_a_slow_form_stays_where_they_went(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "enquiries/new")).page
    async with held(page, "/enquiries$", "POST") as gate:
        await page.get_by_label("Customer's name").fill("Meera Iyer")
        await button(page, "Create enquiry").click()
        await gate.first()
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_role("heading", name="Settings").wait_for()
    await page.get_by_text("The enquiry was created.").wait_for()
    assert page.url.endswith("#/settings")


async def test_a_first_message_on_a_slow_network_is_shown_and_kept(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    async with held(page, "/chat/sessions$", "POST") as gate:
        await write(page, "Find me a flight")
        await gate.first()
        await page.get_by_text("Sending…").wait_for()
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_role("heading", name="Settings").wait_for()
    await page.wait_for_load_state("networkidle")
    assert page.url.endswith("#/settings")
    await page.evaluate("location.hash = '#/conversations/new'")
    await page.get_by_label("Message", exact=True).wait_for()
    assert await page.get_by_label("Message", exact=True).input_value() == "Find me a flight"


async def test_a_message_whose_answer_is_slow_to_begin_is_not_called_queued(
    console: Console, player: Rehearsal
) -> None:
    page = (await console.open(await console.sign_up(), "conversations/new")).page
    gate = Gate()
    player.play(Turn("one", gate=gate))
    await write(page, "start")
    await page.get_by_text("Sent. The answer is about to begin.").wait_for()
    await gate.open()
    await said(page, "one").wait_for()
    await page.locator(".message-state").wait_for(state="detached")


async def test_a_view_that_is_slow_to_load_says_so(console: Console) -> None:
    page = (await console.open(await console.sign_up())).page
    async with held(page, "/views/reports.js"):
        await page.get_by_role("link", name="Reports").click()
        await page.locator("main .waiting").wait_for()
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_role("heading", name="Settings").wait_for()
    await page.wait_for_load_state("networkidle")
    assert await page.get_by_role("heading", level=1).inner_text() == "Settings"


async def test_a_sign_up_whose_answer_is_followed_by_a_failure_is_gone_on_with(console: Console) -> None:
    tab = await console.open(at="sign-up")
    page = tab.page
    await page.route("**/auth/me", lambda route: route.abort())
    await sign_up(page, "slow@example.com")
    await button(page, "Try again").wait_for()
    await page.unroute_all()
    await button(page, "Try again").click()
    await page.get_by_role("heading", name="Conversations").wait_for()
    tab.complaints.clear()


async def test_a_conversation_that_does_not_exist_has_nothing_to_write_in(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "conversations/01a22aff-d92f-759e-b54d-e1fdd32b2000")).page
    await page.get_by_text("Your agency has no such conversation.").wait_for()
    assert await page.get_by_label("Message", exact=True).count() == 0
    assert await page.get_by_role("button", name=re.compile("More")).count() == 0
    await page.get_by_role("link", name="All conversations").click()
    await page.get_by_role("heading", name="Conversations").wait_for()


async def test_every_view_says_what_it_cannot_read_and_reads_it_again(console: Console) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    status, enquiry = await asha.call("POST", "/enquiries", json={"customer_name": "Meera Iyer"})
    assert status == 201
    tab = await console.open(asha, "settings/profile")
    failures, waiting = (tab.page.locator(f"main .{name}") for name in ("failure", "waiting"))

    async def mended() -> bool:
        await failures.get_by_role("button").evaluate_all("all => all.forEach((each) => each.click())")
        return await failures.count() + await waiting.count() == 0

    for view in READING:
        await tab.page.route(re.compile(rf"{console.service.url}/(?!app/)"), lambda route: route.abort())
        address = f"#/{view.format(session=session, enquiry=enquiry['id'])}"
        await tab.page.evaluate("hash => { location.hash = hash; }", address)
        await failures.get_by_text("The service cannot be reached.").first.wait_for()
        await tab.page.unroute_all()
        await until(mended, 0.2)
    tab.complaints.clear()


async def test_failures_that_follow_one_another_leave_nothing_behind(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha)
    await tab.page.add_init_script(COUNTED)
    await tab.page.reload()
    await tab.page.route(
        "**/reports/usage*", lambda route: route.fulfill(status=500, json={"detail": "internal_error"})
    )
    await tab.page.evaluate("location.hash = '#/reports/usage'")
    again = button(tab.page, "Try again")
    await again.wait_for()
    before = await tab.page.evaluate("listening")
    for _ in range(3):
        async with tab.page.expect_response("**/reports/usage*"):
            await again.click()
        await again.wait_for()
    assert await tab.page.evaluate("listening") == before


async def test_a_dialog_is_not_dismissed_while_it_sends(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "settings/api_keys")).page
    await button(page, "Create key").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Website form")
    async with held(page, "/auth/api-keys$", "POST") as gate:
        await dialog.get_by_role("button", name="Create key").click()
        await gate.first()
        assert await dialog.get_by_role("button", name="Cancel").is_disabled()
        await dialog.get_by_role("button", name="Close").click()
        await page.keyboard.press("Escape")
        assert await dialog.is_visible()
    await page.get_by_text("Copy the key now.").wait_for()


async def test_a_language_that_does_not_come_leaves_a_button_to_try_again(console: Console) -> None:
    tab = await console.open(await console.sign_up())
    await tab.page.evaluate("localStorage.setItem('voyagent.locale', 'hi')")
    await tab.page.route("**/texts/hi.js", lambda route: route.abort())
    await tab.page.reload()
    await button(tab.page, "Try again").wait_for()
    await tab.page.unroute_all()
    await button(tab.page, "Try again").click()
    await tab.page.get_by_role("heading", name="Conversations").wait_for()
    tab.complaints.clear()


class TestUnverified:
    """Who has not verified the address yet."""

    @pytest.fixture
    def required(self) -> dict[str, str]:
        return {"VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION": "false"}

    async def test_a_button_pressed_twice_does_once_what_it_does(self, console: Console) -> None:
        page = (await console.open(at="sign-up")).page
        await sign_up(page, "twice@example.com")
        async with held(page, "/auth/send-verification-email", "POST") as gate:
            await button(page, "Send it again").dblclick()
            await gate.first()
        await page.get_by_text("A new e-mail is on its way.").wait_for()
        await page.wait_for_load_state("networkidle")
        assert len(gate.requests) == 1
