"""Conversations in a browser: the main job, several viewers, decisions elsewhere, kills, and what nobody may plant."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.http.browser.console.conftest import NARROW, WIDE, Console, Tab
from tests.rehearsal import Gate, Rehearsal, Text, ToolUse, Turn
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.service.conftest import Person

pytestmark = pytest.mark.browser

DAY = datetime.now(UTC).date() + timedelta(days=60)
SEARCH = f"Find me a flight from Mumbai to Dubai on {DAY} for Asha Rao"
PLANTED = '<img src=x onerror="document.title=`owned`"><b>bold</b>'
WORDS = int(os.environ.get("WORDS", "1000"))
PART = WORDS // 5
BUSY = ("LayoutDuration", "RecalcStyleDuration", "ScriptDuration")
MARKUP = "document.querySelectorAll('main img, main b, dialog img, dialog b').length"


async def write(page: Page, text: str) -> None:
    """Write a message and send it as people do."""
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


def said(page: Page, text: str | re.Pattern[str]) -> Locator:
    """What was said in the transcript, by the agent or a person."""
    return page.locator("vy-conversation .said", has_text=text)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def at_rest(page: Page) -> None:
    """No answer is being written."""
    await page.locator(".working").wait_for(state="hidden")


async def texts(page: Page) -> list[str]:
    """All that was said, in the order of the page."""
    return [text.strip() for text in await page.locator("vy-conversation .said").all_text_contents()]


async def transcript(who: Person, session: str) -> list[str]:
    """All that was said, as the service has it."""
    page = await who.get(f"/chat/sessions/{session}/messages?limit=200")
    blocks = [block for item in page["items"] for block in item["content"]]
    return [block["text"].strip() for block in blocks if block["type"] == "text"]


def id_of(page: Page) -> str:
    return page.url.rpartition("/")[2]


async def again(console: Console) -> None:
    """Start the service where it was."""
    console.service.environ["VOYAGENT_PORT"] = console.service.url.rpartition(":")[2]
    await console.service.start()


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
    assert await booked.get_by_text(re.compile("^You, ")).is_visible()
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
    await button(two, "Deny").click()
    await two.get_by_label("Reason for the denial").fill(PLANTED)
    await two.keyboard.press("Enter")
    for page in (one, two):
        denied = page.locator(".approval[data-status=rejected]")
        await denied.get_by_text(PLANTED).wait_for()
        assert await page.get_by_role("article", name="Book a flight").get_by_text("Not done").is_visible()
        assert await page.evaluate(MARKUP) == 0
    await said(two, "The booking was denied").wait_for()
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
    await said(first.page, "Booked: locator").wait_for()
    await said(second.page, "Booked: locator").wait_for()
    assert await texts(first.page) == await texts(second.page)
    await context.close()


async def test_the_service_is_killed_in_mid_answer_and_no_word_is_lost_or_doubled(
    console: Console, player: Rehearsal
) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    words = [f"word{number} " for number in range(60)]
    gate = Gate()
    player.play(Turn("First I look. ", Text.split(*words), gate=gate), Turn(Text.split(*words, "and the end.")))
    await write(page, "tell me")
    await gate.release(30)
    await said(page, "word20 ").wait_for()
    console.tabs[0].complaints.clear()
    await console.service.kill()
    await page.get_by_text("Reconnecting").wait_for()
    assert "word20 " in (await texts(page))[-1]
    await again(console)
    await said(page, "and the end.").wait_for(timeout=60_000)
    await at_rest(page)
    assert await texts(page) == ["tell me", "".join(words) + "and the end."]
    assert await texts(page) == await transcript(asha, id_of(page))
    assert await page.get_by_text("Reconnecting").is_hidden()
    cut_off(console.tabs[0])


def cut_off(tab: Tab) -> None:
    """A killed service is complained of by the browser itself: nothing else may be."""
    tab.complaints[:] = [each for each in tab.complaints if "ERR_" not in each and not each.startswith("failed: ")]


async def test_missed_events_that_are_not_kept_are_read_from_the_transcript(
    console: Console, player: Rehearsal, database: Any
) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    player.play(Turn("one answer"), Turn("another answer"))
    await write(page, "one")
    await said(page, "one answer").wait_for()
    await at_rest(page)
    session = id_of(page)
    await console.service.kill()
    here = console.service.url
    await console.service.start()
    asha.url = console.service.url
    await asha.say(session, "two")
    db = await asyncpg.connect(database.admin_url)
    await db.execute("DELETE FROM session_events WHERE kind = 'text_delta'")
    await db.execute("UPDATE sessions SET pruned_through = (SELECT max(seq) - 1 FROM session_events)")
    await db.close()
    await console.service.kill()
    console.service.url = here
    await again(console)
    await said(page, "another answer").wait_for(timeout=60_000)
    assert await texts(page) == ["one", "one answer", "two", "another answer"]
    player.play(Turn("a third"))
    await write(page, "three")
    await said(page, "a third").wait_for()
    await at_rest(page)
    assert await texts(page) == ["one", "one answer", "two", "another answer", "three", "a third"]
    cut_off(console.tabs[0])


async def test_a_page_opened_in_mid_answer_has_each_word_once(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    gate = Gate()
    player.play(Turn(Text.split("one ", "two ", "three ", "four"), gate=gate))
    await write(page, "count")
    await gate.release(2)
    await said(page, "one two").wait_for()
    await page.reload()
    await said(page, "one two").wait_for()
    await gate.open()
    await said(page, "one two three four").wait_for()
    await at_rest(page)
    assert await texts(page) == ["count", "one two three four"]


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


async def test_conversations_are_searched_paged_renamed_and_deleted(console: Console) -> None:
    asha = await console.sign_up()
    made = [await asha.session() for _ in range(53)]
    for number, session in enumerate(made[:3]):
        await asha.call("PATCH", f"/chat/sessions/{session}", json={"title": f"Dubai trip {number}"})
    page = (await console.open(asha)).page
    rows = page.locator(".conversation-row")
    await page.get_by_text("50 of 53").wait_for()
    await button(page, "Load more").click()
    await page.get_by_text("50 of 53").wait_for(state="detached")
    assert await rows.count() == 53
    await page.get_by_label("Search titles").fill("DUBAI")
    await page.get_by_text("Untitled").first.wait_for(state="detached")
    await page.get_by_role("link", name="Dubai trip 2").wait_for()
    assert await rows.count() == 3
    await page.reload()
    await page.get_by_role("link", name="Dubai trip 2").wait_for()
    assert await rows.count() == 3

    await button(page, "More for Dubai trip 1").click()
    await button(page, "Rename").click()
    await page.get_by_role("textbox", name="Title").fill("Dubai in spring")
    await button(page, "Save").click()
    await page.get_by_role("link", name="Dubai in spring").wait_for()
    await button(page, "More for Dubai trip 2").click()
    await button(page, "Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await page.get_by_role("link", name="Dubai trip 2").wait_for(state="detached")
    assert (await asha.get("/chat/sessions"))["total"] == 52
    await page.get_by_label("Search titles").fill("nowhere")
    await page.get_by_text("No title contains “nowhere”").wait_for()


async def test_a_conversation_deleted_elsewhere_says_so(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    player.play(Turn("one"))
    await write(page, "start")
    await said(page, "one").wait_for()
    await at_rest(page)
    assert (await asha.call("DELETE", f"/chat/sessions/{id_of(page)}"))[0] == 204
    await page.get_by_text("This conversation was deleted.").wait_for()
    assert await page.get_by_label("Message", exact=True).count() == 0


async def test_older_messages_are_read_a_page_at_a_time(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    for number in range(30):
        player.play(Turn(f"answer {number}."))
        await asha.say(session, f"question {number}")
    page = (await console.open(asha, f"conversations/{session}")).page
    await said(page, "answer 29.").wait_for()
    assert len(await texts(page)) == 50
    await button(page, "Earlier messages").click()
    await said(page, "question 0").wait_for()
    assert await texts(page) == await transcript(asha, session)
    assert await button(page, "Earlier messages").count() == 0


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
    await button(page, "Deny").click()
    await page.get_by_label("Reason for the denial").fill("too dear")
    await sound(tab)
    await page.get_by_label("Reason for the denial").press("Enter")
    await said(page, "The booking was denied").wait_for()
    await at_rest(page)
    await write(page, f"Find a hotel in Dubai from {DAY} to {DAY + timedelta(days=3)} for Asha Rao and book it")
    await page.get_by_role("table", name=re.compile("hotels")).wait_for()
    await button(page, "Grant").click()
    await at_rest(page)
    await write(page, "Draft an invoice for Asha Rao for 12000 INR")
    await button(page, "Grant").click()
    await said(page, "Drafted").wait_for()
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


LENGTH = """words => document.querySelector(".turn:last-child .answer .said").textContent.length >= words * 9 - 1"""
"""Whether so many words are on the page; looked at seldom, since a look costs time, too."""
WATCH = """() => {
  const seen = window.seen = { frames: 0, worst_ms: 0, over_50_ms: 0 };
  let last = performance.now();
  const frame = (now) => {
    seen.worst_ms = Math.max(seen.worst_ms, now - last);
    seen.over_50_ms += now - last > 50;
    seen.frames++;
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
"""The gaps between frames by the clock: of this page, and of whatever else the machine does."""


def longest_task(trace: bytes) -> float:
    """Milliseconds of processor time that the longest task of a page's main thread took, layout included."""
    events = json.loads(trace)["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e.get("args", {}).get("name") == "CrRendererMain"}
    tasks = [e["tdur"] for e in events if e["name"] == "RunTask" and (e["pid"], e["tid"]) in mains and "tdur" in e]
    assert len(tasks) > PART
    return max(tasks) / 1_000


@pytest.mark.timeout(480)
async def test_words_at_fifty_a_second_cost_no_more_at_the_end_than_at_the_start(
    console: Console, player: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (await console.open(await console.sign_up(), "conversations/new")).page
    player.play(Turn("ready"))
    await write(page, "hello")
    await said(page, "ready").wait_for()
    await at_rest(page)
    words = [f"word{number:04} " if number % 40 else f"word{number:04}.\n" for number in range(1, WORDS + 1)]
    player.play(Turn(Text.split(*words), delay=0.02))
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    async def metrics() -> dict[str, float]:
        await devtools.send("HeapProfiler.collectGarbage")
        found = (await devtools.send("Performance.getMetrics"))["metrics"]
        return {each["name"]: each["value"] for each in found}

    async def come(word: int) -> dict[str, float]:
        for number in [*range(100, word, 250), word]:
            await until(lambda at=number: page.evaluate(LENGTH, at), pause=0.5)
        return await metrics()

    def busy(since: dict[str, float], to: dict[str, float]) -> float:
        return round(1_000 * sum(to[name] - since[name] for name in BUSY), 1)

    await write(page, "go")
    first = await come(100)
    await page.evaluate(WATCH)
    early = await come(100 + PART)
    late = await come(WORDS - PART)
    await console.browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline"])
    last = await come(WORDS)
    trace = await console.browser.stop_tracing()
    seen = await page.evaluate("window.seen")
    await at_rest(page)
    seen |= {
        "longest_task_ms": longest_task(trace),
        "heap_grown_bytes": int(last["JSHeapUsedSize"] - first["JSHeapUsedSize"]),
        "busy_ms_early": busy(first, early),
        "busy_ms_late": busy(late, last),
        "words": PART,
    }
    with capsys.disabled():
        sys.stdout.write(json.dumps({"console_stream": seen}) + "\n")
    assert "".join(words).strip() == (await texts(page))[-1]
    assert seen["heap_grown_bytes"] < 1_000_000
    assert seen["busy_ms_late"] < 1.5 * seen["busy_ms_early"]
    assert seen["longest_task_ms"] < 50
