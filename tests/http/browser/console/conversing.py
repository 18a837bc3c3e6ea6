"""What the tests of conversations do and read on the page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.http.browser.console.conftest import Tab
    from tests.service.conftest import Person


async def write(page: Page, text: str) -> None:
    """Write a message and send it as people do."""
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


async def begin(page: Page) -> str:
    """Say ``start`` and have it answered with ``one``; the conversation's id."""
    await write(page, "start")
    await said(page, "one").wait_for()
    await at_rest(page)
    return id_of(page)


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


def cut_off(tab: Tab) -> None:
    """The browser itself complains of a network or a service that is gone: nothing else may be complained of."""
    tab.complaints[:] = [each for each in tab.complaints if "ERR_" not in each and not each.startswith("failed: ")]
