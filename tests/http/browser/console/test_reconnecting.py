"""What a page shows after kills, missed events and a reload in mid-answer."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from tests.http.browser.console.conftest import Console
from tests.http.browser.console.conversing import at_rest, cut_off, id_of, said, texts, transcript, write
from tests.rehearsal import Failure, Gate, Rehearsal, Text, Turn

pytestmark = pytest.mark.browser


async def again(console: Console) -> None:
    """Start the service where it was."""
    console.service.environ["VOYAGENT_PORT"] = console.service.url.rpartition(":")[2]
    await console.service.start()


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


async def test_a_failed_turn_says_so_after_a_reload_too(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "conversations/new")).page
    refused = page.locator(".transcript").get_by_text("The model refused the request.")
    stopped = page.locator(".transcript").get_by_text("Stopped. What was done already stays.")
    player.play(Failure(400), Turn(Text.split("half an ", "answer"), gate=(gate := Gate())), Turn("a whole one"))
    await write(page, "first")
    await refused.wait_for()
    await at_rest(page)
    await write(page, "second")
    await gate.release()
    await said(page, "half an").wait_for()
    await page.get_by_role("button", name="Stop").click()
    await stopped.wait_for()
    await at_rest(page)
    await write(page, "third")
    await said(page, "a whole one").wait_for()
    await at_rest(page)
    before = await page.locator(".transcript").inner_text()
    assert await refused.count() == await stopped.count() == 1
    await page.reload()
    await said(page, "a whole one").wait_for()
    assert await page.locator(".transcript").inner_text() == before


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
