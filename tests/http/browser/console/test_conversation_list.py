"""The list of conversations, and those that are deleted or long."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.http.browser.console.conftest import Console
from tests.http.browser.console.conversing import at_rest, button, id_of, said, texts, transcript, write
from tests.rehearsal import Rehearsal, Turn

pytestmark = pytest.mark.browser


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


async def test_a_message_of_another_day_says_of_which(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    player.play(Turn("one"))
    await asha.say(session, "start")
    page = (await console.open(asha, f"conversations/{session}")).page
    written = page.locator(".byline time")
    assert re.fullmatch(r"\d?\d:\d\d [ap]m", await written.inner_text())
    await page.clock.install(time=datetime.now(UTC) + timedelta(days=2))
    await page.reload()
    await written.wait_for()
    assert re.search(r"\d{4}, \d?\d:\d\d [ap]m$", await written.inner_text())


async def test_somebody_who_has_joined_since_is_named(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    session = await asha.session()
    page = (await console.open(asha, f"conversations/{session}")).page
    for name in ("Ravi Menon", "Meera Iyer"):
        player.play(Turn("one"))
        await (await console.member(asha, "agent", name)).say(session, f"start, says {name}")
        await page.locator(".author", has_text=name).wait_for()
