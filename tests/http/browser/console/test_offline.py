"""A laptop without network, or asleep: what the page says meanwhile, and that it is whole when it is back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.http.browser.console.conftest import Console
from tests.http.browser.console.conversing import at_rest, begin, cut_off, id_of, said, texts, transcript, write
from tests.http.browser.console.wire import Wire
from tests.rehearsal import Gate, Rehearsal, Text, Turn
from tests.waiting import Event

if TYPE_CHECKING:
    from playwright.async_api import Route

pytestmark = pytest.mark.browser
WORDS = [f"word{number} " for number in range(40)]


async def test_a_page_without_network_says_so_and_has_every_word_once_when_it_is_back(
    console: Console, player: Rehearsal, wire: Wire
) -> None:
    asha = await console.sign_up()
    console.service.url = wire.url
    tab = await console.open(asha, "conversations/new")
    page = tab.page
    gate = Gate()
    player.play(Turn(Text.split(*WORDS), gate=gate))
    await write(page, "tell me")
    await gate.release(20)
    await said(page, "word19 ").wait_for()
    wire.fall_silent()
    await page.context.set_offline(offline=True)
    await page.get_by_text("You are offline.").wait_for()
    await gate.release(10)
    await gate.waiting(31)
    assert "word20" not in (await texts(page))[-1]
    wire.heal()
    await page.context.set_offline(offline=False)
    await said(page, "word29 ").wait_for()
    await page.get_by_text("You are offline.").wait_for(state="hidden")
    await gate.open()
    await said(page, "word39").wait_for()
    await at_rest(page)
    assert await texts(page) == ["tell me", "".join(WORDS).strip()] == await transcript(asha, id_of(page))
    cut_off(tab)


async def test_a_message_of_another_and_its_answer_are_there_after_sleep(
    console: Console, player: Rehearsal, wire: Wire
) -> None:
    asha = await console.sign_up()
    console.service.url = wire.url
    tab = await console.open(asha, "conversations/new")
    page = tab.page
    player.play(Turn("one"))
    session = await begin(page)
    frozen = await page.context.new_cdp_session(page)
    await frozen.send("Page.setWebLifecycleState", {"state": "frozen"})
    wire.fall_silent()
    player.play(Turn("said meanwhile"))
    await asha.say(session, "from elsewhere")
    wire.heal()
    await frozen.send("Page.setWebLifecycleState", {"state": "active"})
    await page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=9))
    await said(page, "said meanwhile").wait_for(timeout=20_000)
    await said(page, "from elsewhere").wait_for()
    await at_rest(page)
    assert await texts(page) == ["start", "one", "from elsewhere", "said meanwhile"]
    player.play(Turn("and on"))
    await write(page, "once more")
    await said(page, "and on").wait_for()
    await at_rest(page)
    assert await texts(page) == await transcript(asha, session)
    cut_off(tab)


async def test_what_is_written_offline_is_sent_once_and_in_order_when_there_is_a_network(
    console: Console, player: Rehearsal
) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "conversations/new")
    page = tab.page
    player.play(Turn("one"), Turn("two"), Turn("three"))
    session = await begin(page)
    await page.context.set_offline(offline=True)
    await write(page, "second")
    await write(page, "third")
    unsent = page.get_by_text("This is sent as soon as there is a network.")
    await unsent.nth(1).wait_for()
    await tab.page.get_by_role("link", name="Enquiries").click()
    await page.get_by_text("The service cannot be reached.").first.wait_for()
    await page.context.set_offline(offline=False)
    await page.get_by_text("No enquiries yet").wait_for()
    assert await transcript(asha, session) == ["start", "one"]
    await page.go_back()
    await said(page, "three").wait_for()
    await at_rest(page)
    assert await texts(page) == await transcript(asha, session) == ["start", "one", "second", "two", "third", "three"]
    cut_off(tab)


async def test_a_message_that_a_reload_overtakes_is_sent_once(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "conversations/new")
    page = tab.page
    player.play(Turn("one"), Turn("two"), Turn("three"))
    session = await begin(page)
    await page.route(re.compile(r"/messages$"), lambda route: route.abort("connectionreset"))
    await write(page, "never arrives")
    await page.get_by_text("The service cannot be reached.").wait_for()
    await page.unroute(re.compile(r"/messages$"))
    await page.reload()
    await said(page, "two").wait_for()

    async def unanswered(route: Route) -> None:
        await route.fetch()
        await route.abort("connectionreset")
        cut.set()

    cut = Event()
    await page.route(re.compile(r"/messages$"), unanswered, times=1)
    await write(page, "arrives without an answer")
    await said(page, "three").wait_for()
    await cut.wait()
    await page.reload()
    await said(page, "three").wait_for()
    await at_rest(page)
    expected = ["start", "one", "never arrives", "two", "arrives without an answer", "three"]
    assert await texts(page) == await transcript(asha, session) == expected
    assert await page.evaluate("Object.keys(localStorage).filter(key => key.includes('unsent'))") == []
    cut_off(tab)


async def test_a_message_that_was_refused_is_proposed_after_a_reload_and_not_sent(
    console: Console, player: Rehearsal
) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "conversations/new")
    page = tab.page
    player.play(Turn("one"))
    session = await begin(page)
    refusal = {"detail": "llm_daily_budget_exceeded"}
    await page.route(re.compile(r"/messages$"), lambda route: route.fulfill(status=429, json=refusal), times=1)
    await write(page, "book it")
    await page.locator(".message.failed").wait_for()
    await page.reload()
    await said(page, "one").wait_for()
    assert await page.get_by_label("Message", exact=True).input_value() == "book it"
    assert await page.locator(".message.failed").count() == 0
    await page.reload()
    await said(page, "one").wait_for()
    assert await page.get_by_label("Message", exact=True).input_value() == "book it", "once"
    assert await transcript(asha, session) == ["start", "one"]
