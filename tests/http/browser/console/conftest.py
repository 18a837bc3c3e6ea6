"""The console in a browser, against a whole service in another process that a test may kill and start again."""

from __future__ import annotations

import email
import email.policy
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.http.browser.conftest import Opened
from tests.http.browser.console.wire import Wire
from tests.service.conftest import Person, http, player, service
from tests.service.process import Service
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Request

__all__ = ["http", "player", "service"]
"""Fixtures of the service's own tests."""

NUMBERS = itertools.count(1)
WIDE, NARROW = 1280, 390
PASSWORD = "a long password 1"
REFUSED = "Failed to load resource: the server responded with a status of"
"""Chromium's own line for every answer from 400 on; the console shows them where they belong."""
LINK = re.compile(r"(\S+/app/[\w-]+\?token=[\w-]{43})\s")
KEEP = "token => localStorage.setItem('voyagent.refresh_token', token)"
READY = "h1, form, .empty, .failure"


class Tab(Opened):
    """A tab of the console: what it complains of, but for refusals of the API and requests of a view that was left."""

    def _said(self, kind: str, text: str) -> None:
        if not text.startswith(REFUSED):
            super()._said(kind, text)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":
            super()._failed(request)

    async def at(self, hash_: str) -> Page:
        """Open a view by its address and wait until it has taken the former's place, and has read what it shows."""
        former = await self.page.query_selector("main h1")
        await self.page.evaluate("hash => { location.hash = hash; }", f"#/{hash_}")
        for _ in range(20):  # a view that stays while its address changes keeps its heading
            if former is None or not await former.evaluate("each => each.isConnected"):
                break
            await self.page.wait_for_timeout(25)
        await self.page.wait_for_selector("h1")
        await self.page.wait_for_load_state("networkidle")
        await until(self._has_read)
        return self.page

    async def _has_read(self) -> bool:
        return await self.page.locator("main :is(.waiting, [aria-busy]):visible").count() == 0

    async def overflow(self) -> int:
        """By how much the page is wider than its window."""
        root = "document.documentElement"
        return max(0, int(await self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")))


@dataclass(slots=True)
class Console:
    """A served console, its people, and the tabs that a test opens."""

    service: Service
    http: aiohttp.ClientSession
    browser: Browser
    stack: AsyncExitStack
    mail: Path
    tabs: list[Tab] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.service.url}/app/"

    async def sign_up(self, agency: str = "Rao Travels") -> Person:
        """A new agency with its admin, Asha Rao."""
        number = next(NUMBERS)
        body = {
            "email": f"asha-{number}@example.com",
            "password": PASSWORD,
            "full_name": "Asha Rao",
            "agency_name": agency,
        }
        return await self._person("/auth/sign-up", body)

    async def member(self, of: Person, role: str, name: str = "Ravi Menon") -> Person:
        """Somebody of any role in a person's agency, invited and accepted."""
        status, made = await of.call(
            "POST", "/auth/invites", json={"email": f"{role}-{next(NUMBERS)}@example.com", "role": role}
        )
        assert status == 201, made
        token = made["invite_link"].partition("token=")[2]
        return await self._person("/auth/accept-invite", {"token": token, "password": PASSWORD, "full_name": name})

    async def _person(self, path: str, body: dict[str, Any]) -> Person:
        async with self.http.post(self.service.url + path, json=body) as response:
            answer = await response.json()
            assert response.status == 201, answer
        return Person(self.http, self.service.url, answer["access_token"], answer["user"])

    async def context(self, width: int = WIDE, scheme: Any = "light", **more: Any) -> BrowserContext:
        """A browser of its own, without any tokens."""
        height = 900 if width == WIDE else 844
        context = await self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **more
        )
        self.stack.push_async_callback(context.close)
        return context

    async def tab(self, context: BrowserContext, at: str = "") -> Tab:
        """Another tab of a browser, at a view (``reports/payables``) or without one."""
        tab = Tab(await context.new_page(), self.service.url)
        self.tabs.append(tab)
        await tab.page.goto(f"{self.url}#/{at}" if at else self.url)
        await tab.page.wait_for_selector(READY)
        return tab

    async def open(self, who: Person | None = None, at: str = "", width: int = WIDE, scheme: Any = "light") -> Tab:
        """A tab of a browser of its own, with a login session of ``who``; nobody is signed in without."""
        context = await self.context(width, scheme)
        if who is None:
            return await self.tab(context, at)
        body = {"email": who.user["email"], "password": PASSWORD}
        async with self.http.post(f"{self.service.url}/auth/sign-in", json=body) as response:
            tokens = await response.json()
            assert response.status == 200, tokens
        tab = Tab(await context.new_page(), self.service.url)
        self.tabs.append(tab)
        await tab.page.goto(f"{self.service.url}/health")  # of the same origin, and nothing of the console
        await tab.page.evaluate(KEEP, tokens["refresh_token"])
        await tab.page.goto(f"{self.url}#/{at}" if at else self.url)
        await tab.page.wait_for_selector(".subject", state="attached")
        await tab.page.wait_for_selector("h1")
        return tab

    async def link(self, to: str) -> str:
        """The link of the newest e-mail to an address, on the port that is served."""

        def newest() -> str | None:
            for path in sorted(self.mail.glob("*.eml"), key=lambda each: each.stat().st_mtime_ns, reverse=True):
                message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                plain = message.get_body(("plain",))
                if message["To"] == to and plain is not None and (link := LINK.search(plain.get_content())):
                    return link[1]
            return None

        found: str = await until(newest)
        return self.url + found.partition("/app/")[2]


@pytest.fixture
def required() -> dict[str, str]:
    """Settings in which a module's service differs; override it."""
    return {}


@pytest.fixture
async def console(
    service: Service,
    http: aiohttp.ClientSession,
    browser: Browser,
    required: dict[str, str],
    tmp_path: Path,
) -> AsyncIterator[Console]:
    """The console; at the end no tab has printed an error or asked another host for anything."""
    service.environ |= required
    await service.start()
    async with AsyncExitStack() as stack:
        made = Console(service, http, browser, stack, tmp_path / "mail")
        yield made
    assert [tab.complaints for tab in made.tabs if tab.complaints] == []
    assert [tab.foreign for tab in made.tabs if tab.foreign] == []


@pytest.fixture
async def wire(console: Console) -> Wire:
    """The network between the service and all tabs; it ends after them."""
    wire = Wire(console.service.url)
    await wire.start()
    console.stack.push_async_callback(wire.end)
    return wire
