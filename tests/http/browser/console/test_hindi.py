"""An agency that works in Hindi: no English text of the console is left; dates and amounts are the locale's."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.console.conftest import Console
from tests.http.browser.console.conversing import at_rest, button, id_of, said
from tests.http.browser.console.test_conversations import SEARCH
from tests.http.browser.console.test_work import VIEWS, worked
from tests.http.console.tables import ENGLISH, HINDI

if TYPE_CHECKING:
    from playwright.async_api import Page, Response

pytestmark = pytest.mark.browser

PARTS = ("profile", "security", "api_keys", "agency", "tax_rates", "people")
ALL = ("conversations", "conversations/new", "conversations/{session}", *VIEWS, *(f"settings/{part}" for part in PARTS))
GUESTS = ("sign-in", "sign-up", "forgot-password", "reset-password?token=x", "verify-email?token=x")
TEXTS = """() => {
  const found = new Set([document.title]);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) found.add(walker.currentNode.data.trim());
  const names = ["aria-label", "title", "placeholder", "alt", "data-label"];
  for (const each of document.querySelectorAll(names.map((name) => `[${name}]`).join()))
    for (const name of names) if (each.hasAttribute(name)) found.add(each.getAttribute(name).trim());
  return [...found].filter((text) => /[A-Za-z]{2}/.test(text));
}"""
"""All texts and names of a page with a Latin word in it, hidden ones too."""
WORD = re.compile(r"[A-Za-z][A-Za-z']+")
GIVEN = re.compile(r"\\\{\w+\\\}")
HIDDEN_DATA = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}")
FOREIGN_DATE = re.compile(r"\b\d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)[a-z]* \d{4}\b")
OWN = {"Voyagent", "am", "pm", "English", "USD"}
"""Latin on purpose: the product, the locale's halves of a day, a language's name in itself, the currency of models."""


def patterns() -> list[re.Pattern[str]]:
    """Each text of the English table that reads otherwise in Hindi, with anything where a value is filled in."""
    texts = [json.loads(text) for key, text in ENGLISH.items() if text != HINDI[key]]
    worded = [text for text in texts if WORD.search(re.sub(r"\{\w+\}", "", text))]
    return [re.compile(GIVEN.sub(".+", re.escape(text)), re.DOTALL) for text in worded]


@dataclass
class Sent:
    """What the service has sent to a page as data, and its words; what people and the model wrote is among them."""

    page: Page
    values: set[str] = field(default_factory=set)
    _reading: list[asyncio.Future[None]] = field(default_factory=list)
    words: set[str] = field(default_factory=lambda: {*OWN, *WORD.findall(" ".join(HINDI.values()))})

    def __post_init__(self) -> None:
        self.page.on("response", lambda response: self._reading.append(asyncio.ensure_future(self._take(response))))

    async def settled(self) -> None:
        """All that has come by now is read."""
        await asyncio.gather(*self._reading)
        self._reading.clear()

    async def _take(self, response: Response) -> None:
        if "application/json" in response.headers.get("content-type", ""):
            self.add(await response.json())

    def add(self, value: Any) -> None:
        if isinstance(value, dict):
            for each in value.values():
                self.add(each)
        elif isinstance(value, list):
            for each in value:
                self.add(each)
        elif isinstance(value, str):
            self.values.add(value.strip())
            self.words.update(WORD.findall(value))

    def has(self, text: str) -> bool:
        """Whether a text was sent as it is: whole, or some words of it."""
        return text in self.values or (text.count(" ") > 1 and any(text in value for value in self.values))


ENGLISH_TEXTS = patterns()


async def english(page: Page, sent: Sent) -> list[str]:
    """What is left in English on a page."""
    shown: list[str] = await page.evaluate(TEXTS)
    await sent.settled()
    texts = [text for text in shown if not sent.has(text)]
    found = [text for text in texts if any(pattern.fullmatch(text) for pattern in ENGLISH_TEXTS)]
    found += [text for text in texts if not sent.words.issuperset(WORD.findall(HIDDEN_DATA.sub("", text)))]
    return found + [text for text in texts if FOREIGN_DATE.search(text)]


async def listened(console: Console, page: Page, view: str = "") -> Sent:
    """The page again, with all that it is sent from its start."""
    await page.goto(f"{console.service.url}/health")
    sent = Sent(page)
    await page.goto(f"{console.url}#/{view}")
    await page.wait_for_selector("h1")
    return sent


async def test_no_english_text_of_the_console_is_left_in_any_view(console: Console) -> None:
    asha = await console.sign_up()
    status, _ = await asha.call("PATCH", "/tenant-settings", json={"locale": "hi", "timezone": "Asia/Kolkata"})
    assert status == 200
    ids = await worked(asha)
    tab = await console.open(asha)
    sent = await listened(console, tab.page)
    left = {}
    for view in ALL:
        page = await tab.at(view.format(**ids))
        if found := await english(page, sent):
            left[view] = found
    assert left == {}


async def test_a_conversation_in_hindi_dates_and_amounts_too(console: Console) -> None:
    asha = await console.sign_up()
    status, _ = await asha.call("PATCH", "/tenant-settings", json={"locale": "hi", "timezone": "Asia/Kolkata"})
    assert status == 200
    page = (await console.open(asha)).page
    sent = await listened(console, page, "conversations/new")

    async def check() -> None:
        """As the service has it by now, the answers to the page's own reading included."""
        for path in (f"/chat/sessions/{id_of(page)}/messages?limit=200", "/approvals?status=all"):
            sent.add(await asha.get(path))
        assert await english(page, sent) == []

    await page.get_by_label(hindi("conversations.message"), exact=True).fill(f"{SEARCH} and book it")
    await page.keyboard.press("Enter")
    await button(page, hindi("approvals.grant")).wait_for()
    await at_rest(page)
    await check()
    await page.locator("details[open]").get_by_text(hindi("approvals.exactly")).wait_for()
    await button(page, hindi("approvals.grant")).click()
    await said(page, "Booked: locator").wait_for()
    await at_rest(page)
    await check()
    await page.get_by_label(hindi("conversations.message"), exact=True).fill(
        "Draft an invoice for Asha Rao over INR 1234567.50 dated 2026-10-11 due 2026-10-16"
    )
    await page.keyboard.press("Enter")
    await button(page, hindi("approvals.grant")).click()
    await page.get_by_text("INR 12,34,567.50").first.wait_for()
    await at_rest(page)
    assert "16 अक्टू॰ 2026" in await page.locator(".transcript").inner_text()
    await check()
    await page.get_by_role("button", name=hindi("conversations.more_for").partition("}")[2]).click()
    await button(page, hindi("conversations.rename")).click()
    await page.locator("dialog[open]").wait_for()
    await check()
    await page.keyboard.press("Escape")
    await page.reload()
    await said(page, "Booked: locator").wait_for()
    await check()


def hindi(key: str) -> str:
    return str(json.loads(HINDI[key]))
