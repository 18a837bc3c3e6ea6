"""Conversations in a browser: the main job, several viewers, decisions elsewhere, and what nobody may plant."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.browser.console.conftest import NARROW, PASSWORD, WIDE, Console, Tab
from tests.http.browser.console.conversing import at_rest, button, id_of, said, texts, transcript, write
from tests.rehearsal import Gate, Rehearsal, Text, ToolUse, Turn

pytestmark = pytest.mark.browser

DAY = datetime.now(UTC).date() + timedelta(days=60)
SEARCH = f"Find me a flight from Mumbai to Dubai on {DAY} for Asha Rao"
PLANTED = '<img src=x onerror="document.title=`owned`"><b>bold</b>'
MARKUP = "document.querySelectorAll('main img, main b, dialog img, dialog b').length"


async def test_the_main_job_by_clicks(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha)).page
    await page.get_by_role("link", name="New conversation").first.click()
    await page.get_by_role("radio", name=re.compile("Ticketing")).check()
    await page.get_by_role("button", name=re.compile("^Find a flight from Mumbai to Dubai")).click()
    await button(page, "Send").click()

    fares = page.get_by_role("table", name=re.compile("fares BOM . DXB"))
    await fares.wait_for()
    columns = "Flight Departs Arrives Duration Stops Baggage Refundable Price Choice"
    assert (await fares.locator("thead").inner_text()).split() == columns.split()
    held = page.get_by_role("article", name="Hold a flight")
    locator = await held.locator(".locator").inner_text()
    assert await held.get_by_text("On hold", exact=True).is_visible()

    await at_rest(page)
    await write(page, "Book the hold")
    approval = page.locator(".approval[data-status=pending]")
    await approval.get_by_text(re.compile(r"\d+:\d\d left")).wait_for()
    words = (await asha.get("/approvals"))["items"][0]["summary"]
    assert await approval.locator(".approval-summary").inner_text() == words
    await page.get_by_role("link", name="Approvals 1 waiting").wait_for()
    await button(page, "Grant").click()
    booked = page.get_by_role("article", name="Book a flight")
    await booked.get_by_text("Confirmed").wait_for()
    assert await booked.locator(".locator").inner_text() == locator
    assert await booked.get_by_text("Granted. The agent goes on at once.").is_visible()
    await said(page, f"Booked: locator {locator}").wait_for()
    await at_rest(page)

    before = await texts(page)
    assert before == await transcript(asha, id_of(page))
    await page.reload()
    await said(page, f"Booked: locator {locator}").wait_for()
    assert await texts(page) == before
    assert await page.locator(".approval[data-status=granted]").count() == 1


async def test_a_fare_is_chosen_into_the_field(console: Console, player: Rehearsal) -> None:
    page = (await console.open(await console.sign_up(), "conversations/new")).page
    await write(page, SEARCH)
    fares = page.get_by_role("table", name=re.compile("fares"))
    await fares.wait_for()
    await at_rest(page)
    assert await fares.locator("tbody tr").count() == 6
    await page.get_by_role("button", name=re.compile("Show all")).click()
    assert await fares.locator("tbody tr").count() > 6
    assert re.search(r"\+1", await fares.inner_text()), "some flight lands the next day"
    await page.get_by_role("button", name=re.compile("^Choose ")).nth(1).click()
    chosen = await page.get_by_label("Message", exact=True).input_value()
    assert re.match(r"(Hold|Book) option 2: .+, INR [\d.]+$", chosen)


async def test_who_may_not_decide_sees_at_once_what_was_decided_elsewhere(console: Console) -> None:
    asha = await console.sign_up()
    ravi = await console.member(asha, "agent")
    one = (await console.open(ravi, "conversations/new")).page
    await write(one, f"{SEARCH} and book it")
    await one.locator(".approval[data-status=pending]").wait_for()
    assert await one.get_by_text("Waits for a ticketing lead or an agency admin.").is_visible()
    assert await button(one, "Grant").count() == 0

    two = (await console.open(asha, f"conversations/{id_of(one)}")).page
    await said(two, "and book it").wait_for()
    await two.get_by_text("Ravi Menon").first.wait_for()
    await two.get_by_label("Reason").fill(PLANTED)
    await button(two, "Deny").click()
    for page in (one, two):
        denied = page.locator(".approval[data-status=rejected]")
        await denied.get_by_text(PLANTED).wait_for()
        assert await page.get_by_role("article", name="Book a flight").get_by_text("Not done").is_visible()
        assert await page.evaluate(MARKUP) == 0
    for page in (one, two):
        await said(page, "so nothing was done.").wait_for()
    assert await texts(one) == await texts(two)


async def test_an_approval_is_granted_in_a_second_tab(console: Console) -> None:
    asha = await console.sign_up()
    context = await console.context()
    first = await console.open(asha, "conversations/new")
    await write(first.page, f"{SEARCH} and book it")
    await first.page.locator(".approval[data-status=pending]").wait_for()
    second = await console.tab(first.page.context, f"conversations/{id_of(first.page)}")
    await button(second.page, "Grant").click()
    await first.page.locator(".approval[data-status=granted]").wait_for()
    for page in (first.page, second.page):
        await said(page, re.compile("Booked: locator .*confirmed")).wait_for()
    assert await texts(first.page) == await texts(second.page)
    await context.close()


async def test_a_message_waits_behind_an_answer_another_interrupts_it_and_a_stop_ends_it(
    console: Console, player: Rehearsal
) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    gates = [Gate(), Gate(), Gate()]
    for number, gate in enumerate(gates):
        player.play(Turn(Text.split(f"answer {number}", " goes on"), gate=gate))
    player.play(Turn("the last answer"))
    await write(page, "first")
    await gates[0].release()
    await said(page, "answer 0").wait_for()
    await write(page, "queued one")
    await page.get_by_text("Queued: it is answered after the present answer.").wait_for()
    await gates[0].open()
    await gates[1].release()
    await said(page, "answer 1").wait_for()
    await page.locator(".message.own").wait_for(state="detached")

    await page.get_by_label("Message", exact=True).fill("interrupting")
    await button(page, "Interrupt and send").click()
    await page.locator(".note", has_text="Interrupted by a newer message.").wait_for()
    await gates[2].release()
    await said(page, "answer 2").wait_for()
    running = (await asha.get(f"/chat/sessions/{id_of(page)}"))["running_turn_id"]
    async with page.expect_request("**/cancel") as asked:
        await button(page, "Stop").click()
    assert (await asked.value).post_data_json == {"turn_id": running}
    await page.locator(".note", has_text="Stopped. What was done already stays.").wait_for()
    await at_rest(page)
    await write(page, "last")
    await said(page, "the last answer").wait_for()
    await at_rest(page)
    assert await texts(page) == await transcript(asha, id_of(page))
    assert (await texts(page))[:3] == ["first", "answer 0 goes on", "queued one"]


async def test_several_people_see_the_same_words(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    ravi = await console.member(asha, "viewer")
    one = (await console.open(asha, "conversations/new")).page
    player.play(Turn("hello all"))
    await write(one, "hello")
    await said(one, "hello all").wait_for()
    two = (await console.open(ravi, f"conversations/{id_of(one)}")).page
    await said(two, "hello all").wait_for()
    assert await two.get_by_text("Your role may read conversations, not write in them.").is_visible()
    assert await two.get_by_label("Message", exact=True).count() == 0
    gate = Gate()
    player.play(Turn(Text.split("again ", "and on"), gate=gate))
    await write(one, "once more")
    await gate.release()
    await said(two, "once more").wait_for()
    await said(two, "again").wait_for()
    await gate.open()
    await said(two, "again and on").wait_for()
    await said(one, "again and on").wait_for()
    assert await texts(one) == await texts(two) == ["hello", "hello all", "once more", "again and on"]


async def test_markup_is_text_wherever_somebody_can_write_it(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up(f"Rao {PLANTED}")
    page = (await console.open(asha, "conversations/new")).page
    invoice = {
        "customer_name": PLANTED,
        "issue_date": str(datetime.now(UTC).date()),
        "due_date": str(DAY),
        "line_items": [{"description": PLANTED, "quantity": 1, "unit_price": "5", "currency": "INR"}],
    }
    player.play(
        Turn(f"I {PLANTED}", ToolUse("handoff", {"domain": "accounting", "goal": PLANTED})),
        Turn(f"say {PLANTED}", ToolUse("draft_invoice", invoice), ToolUse(f"tool{PLANTED}"[:60], {PLANTED: PLANTED})),
        Turn(f"done {PLANTED}"),
    )
    await write(page, f"hello {PLANTED}")
    await button(page, "Grant").click()
    await said(page, f"done {PLANTED}").wait_for()
    summary = (await asha.get("/approvals?status=all"))["items"][0]["summary"]
    assert "<img src=x" in summary
    assert await page.locator(".approval-summary").inner_text() == summary
    assert await said(page, f"hello {PLANTED}").is_visible()
    await page.get_by_role("button", name=re.compile("^More for hello <img src=x")).click()
    await button(page, "Rename").click()
    await page.get_by_role("textbox", name="Title").fill(PLANTED)
    await button(page, "Save").click()
    await page.get_by_role("heading", name=PLANTED, level=1).wait_for()
    assert await page.evaluate(MARKUP) == 0
    await page.reload()
    await said(page, f"done {PLANTED}").wait_for()
    assert await page.evaluate(MARKUP) == 0
    await page.get_by_role("link", name="All conversations").click()
    await page.get_by_role("link", name=PLANTED).wait_for()
    assert await page.evaluate(MARKUP) == 0
    assert "owned" not in (await page.title()).replace(PLANTED, "")


async def test_an_unknown_outcome_stands_out(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    await write(page, f"{SEARCH} and hold it")
    await page.get_by_role("article", name="Hold a flight").locator(".locator").wait_for()
    await at_rest(page)

    async def unclear(route: Any) -> None:
        answer = await route.fetch()
        body = await answer.json()
        for block in (block for item in body["items"] for block in item["content"]):
            if block["type"] == "tool_result" and block["name"] == "hold_flight":
                block["output"] = {"error": "outcome_unknown: the supplier did not answer"}
        await route.fulfill(response=answer, json=body)

    await page.route(re.compile(r"/messages\?"), unclear)
    await page.reload()
    card = page.locator('.tool[data-outcome="unknown"]')
    await card.get_by_text("Outcome unknown").wait_for()
    assert await card.get_by_text(re.compile("Do not repeat it")).is_visible()


async def test_a_draft_outlives_a_reload_and_enter_sends(console: Console, player: Rehearsal) -> None:
    page = (await console.open(await console.sign_up(), "conversations/new")).page
    player.play(Turn("one"))
    await write(page, "start")
    await said(page, "one").wait_for()
    field = page.get_by_label("Message", exact=True)
    await field.fill("first line")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("second line")
    await page.reload()
    await said(page, "one").wait_for()
    assert await field.input_value() == "first line\nsecond line"
    player.play(Turn("two"))
    await field.press("Enter")
    await said(page, "two").wait_for()
    assert (await texts(page))[2] == "first line\nsecond line"
    await page.reload()
    await said(page, "two").wait_for()
    assert await field.input_value() == ""


async def test_on_a_screen_keyboard_enter_makes_a_line_and_the_button_sends(
    console: Console, player: Rehearsal
) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    context = await console.context(NARROW, is_mobile=True, has_touch=True)
    page = (await console.tab(context, f"conversations/{session}")).page
    await page.get_by_label("E-mail address").fill(asha.user["email"])
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").tap()
    field = page.get_by_label("Message", exact=True)
    await field.wait_for()
    assert not await page.get_by_text("Enter sends").is_visible()
    await field.press_sequentially("first line")
    await field.press("Enter")
    await field.press_sequentially("second line")
    assert await field.input_value() == "first line\nsecond line"
    player.play(Turn("one"))
    await page.get_by_role("button", name="Send").tap()
    await said(page, "one").wait_for()
    assert (await texts(page))[0] == "first line\nsecond line"


async def test_a_message_that_is_not_taken_is_kept_and_sent_again_once(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    player.play(Turn("one"), Turn("two"))
    await write(page, "start")
    await said(page, "one").wait_for()
    await at_rest(page)
    refused = {"status": 409, "json": {"detail": "queue_full"}}
    await page.route(re.compile(r"/messages$"), lambda route: route.fulfill(**refused))
    await write(page, "later")
    await page.get_by_text("Too many messages are waiting.").wait_for()
    await page.unroute(re.compile(r"/messages$"))
    await button(page, "Try again").click()
    await said(page, "two").wait_for()
    await at_rest(page)
    assert await texts(page) == ["start", "one", "later", "two"] == await transcript(asha, id_of(page))


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_conversations_pass_axe_and_fit_their_window(console: Console, scheme: str, width: int) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, width=width, scheme=scheme)
    page = tab.page
    await page.get_by_text("No conversations yet").wait_for()
    await sound(tab)
    await page.get_by_role("link", name="New conversation").first.click()
    await page.get_by_role("radio").first.wait_for()
    await sound(tab)
    await write(page, f"{SEARCH} and book it")
    await button(page, "Grant").wait_for()
    await at_rest(page)
    await sound(tab)
    await page.get_by_text("Exactly what will run").click()
    await page.get_by_label("Reason").fill("too dear")
    await sound(tab)
    await button(page, "Deny").click()
    await said(page, "The booking was denied").wait_for()
    await at_rest(page)
    await write(page, f"Find a hotel in Dubai from {DAY} to {DAY + timedelta(days=3)} for Asha Rao and book it")
    await page.get_by_role("table", name=re.compile("hotels")).wait_for()
    await button(page, "Grant").click()
    await said(page, "Booked: ").wait_for()
    await at_rest(page)
    await write(page, "Draft an invoice for Asha Rao for 12000 INR less INR 500 commission")
    await button(page, "Grant").click()
    await said(page, "Drafted").wait_for()
    lines = page.get_by_role("table", name="Lines")
    assert await lines.get_by_text("-INR 500.00").is_visible()
    assert await lines.get_by_text("commission").is_visible()
    await at_rest(page)
    for details in await page.locator(".tool-details summary").all():
        await details.click()
    await sound(tab)
    await page.get_by_role("link", name="All conversations").click()
    await page.locator(".conversation-row").wait_for()
    await sound(tab)


async def sound(tab: Tab) -> None:
    assert await tab.violations() == []
    assert await tab.overflow() <= 0


async def test_screen_readers_are_told_the_end_of_an_answer_and_not_its_words(
    console: Console, player: Rehearsal
) -> None:
    page = (await console.open(await console.sign_up(), "conversations/new")).page
    gate = Gate()
    player.play(Turn(Text.split("some ", "words ", "more"), gate=gate))
    await write(page, "hello")
    await gate.release(2)
    await said(page, "some words").wait_for()
    live = page.locator("vy-conversation > [aria-live]")
    assert await live.inner_text() == ""
    await gate.open()
    await page.get_by_role("status").get_by_text("Agent: some words more").wait_for()
