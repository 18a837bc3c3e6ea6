"""The reference page in a browser: readable by everybody, without a request to anybody, at any width."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.conftest import Opened
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.http.conftest import Client

pytestmark = pytest.mark.browser

WIDE, NARROW = 1280, 390
Open = Callable[..., Awaitable[Opened]]


@pytest.fixture
async def opened(client: Client, browser: Browser) -> AsyncIterator[Open]:
    """Open the page at a width, in light or dark colours."""
    async with AsyncExitStack() as stack:

        async def start(width: int = WIDE, scheme: Any = "light", place: str = "") -> Opened:
            context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            stack.push_async_callback(context.close)
            origin = f"http://{client.host}:{client.port}"
            one = Opened(await context.new_page(), origin)
            await one.page.goto(f"{origin}/docs{place}")
            return one

        yield start


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_passes_axe_and_the_console_stays_empty(opened: Open, width: int, scheme: str) -> None:
    one = await opened(width, scheme)
    assert await one.violations() == []
    assert one.complaints == one.foreign == []


@pytest.mark.parametrize("width", [WIDE, NARROW])
async def test_the_page_is_no_wider_than_its_window(opened: Open, width: int) -> None:
    one = await opened(width)
    assert await one.page.evaluate("document.documentElement.scrollWidth") == width


async def test_dark_and_light_differ_and_both_are_followed(opened: Open) -> None:
    colours = [
        await (await opened(scheme=scheme)).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert colours == ["rgb(255, 255, 255)", "rgb(18, 22, 29)"]


async def test_a_search_leaves_the_operations_that_have_all_its_words(opened: Open) -> None:
    one = await opened()
    await one.page.keyboard.press("/")
    await one.page.keyboard.type("approval resolve")
    shown = await one.page.eval_on_selector_all(
        "article:not([hidden])", "all => all.filter(each => each.offsetParent).map(each => each.id)"
    )
    assert "resolve_approval_endpoint_approvals__approval_id__resolve_post" in shown
    assert len(shown) < 10
    assert (await one.page.text_content("#found")) == f"{len(shown)} of {len(ROUTES)} operations"
    assert not await one.page.is_visible("#errors")
    await one.page.keyboard.press("Escape")
    assert await one.page.locator("article:visible").count() == len(ROUTES)
    assert await one.page.is_visible("#errors")


async def test_the_fields_fill_every_command_in_and_nothing_ends_a_quoted_word(opened: Open) -> None:
    one = await opened()
    await one.page.fill("#base", "https://agency.example.com/api/")
    await one.page.fill("#token", "vy_abc'; rm -rf ~ #")
    text = await one.page.text_content("#me_auth_me_get .line code")
    assert text == "curl -s 'https://agency.example.com/api/auth/me' -H 'Authorization: Bearer vy_abcrm-rf~'"
    await one.page.fill("#token", "")
    assert "Bearer TOKEN'" in (await one.page.text_content("#me_auth_me_get .line code") or "")


async def test_the_commands_begin_with_where_the_page_was_loaded_from(opened: Open) -> None:
    one = await opened()
    assert await one.page.input_value("#base") == one.origin
    assert f"'{one.origin}/auth/me'" in (await one.page.text_content("#me_auth_me_get .line code") or "")


async def test_a_command_is_copied_as_it_stands(opened: Open) -> None:
    one = await opened()
    await one.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await one.page.click("#me_auth_me_get .copy")
    await one.page.wait_for_selector("#me_auth_me_get .copy:text('Copied')")
    copied = await one.page.evaluate("navigator.clipboard.readText()")
    assert copied == await one.page.text_content("#me_auth_me_get .line code")


async def test_a_link_to_an_operation_opens_the_page_there(opened: Open) -> None:
    one = await opened(place="#verify_audit_chain_audit_verify_get")
    top = await one.page.evaluate(
        "document.getElementById('verify_audit_chain_audit_verify_get').getBoundingClientRect().top"
    )
    assert 0 <= top < 450


async def test_a_link_to_what_a_search_has_hidden_shows_it_again(opened: Open) -> None:
    one = await opened()
    await one.page.fill("#search", "audit")
    await one.page.evaluate("location.hash = '#errors'")
    await one.page.wait_for_function("document.getElementById('search').value === ''")
    assert await one.page.is_visible("#errors")


async def test_the_keyboard_alone_reaches_the_reference(opened: Open) -> None:
    one = await opened()
    await one.page.keyboard.press("Tab")
    assert await one.page.evaluate("document.activeElement.textContent") == "Skip to the reference"
    await one.page.keyboard.press("Enter")
    assert await one.page.evaluate("document.activeElement.id") == "top"
    await one.page.keyboard.press("Tab")
    assert await one.page.evaluate("document.activeElement.getAttribute('href')") == "openapi.json"
