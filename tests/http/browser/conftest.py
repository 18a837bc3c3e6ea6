"""A headless Chromium of the system, and axe-core as ``make browser`` installs it. Tests are skipped without."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome")
TOOLS = Path(__file__).parents[3] / "build" / "browser" / "node_modules"
AXE = TOOLS / "axe-core" / "axe.min.js"
REQUIRED = "VOYAGENT_BROWSER_REQUIRED"
"""Set where a missing browser is a failure, as in CI; else the tests are skipped and say why."""
STILL = """async () => {
  const ending = document.getAnimations().filter((each) => each.effect.getComputedTiming().iterations !== Infinity);
  await Promise.allSettled(ending.map((each) => each.finished));
}"""
ROOT_NEEDS = ("--no-sandbox",)
"""Chromium's own sandbox does not run for root, as which containers start it."""


@dataclass(slots=True)
class Opened:
    """A page, what it printed on the console, and what it asked other origins for."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self._failed(request))  # noqa: PLW0108 -- it marks what it is given
        self.page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def _failed(self, request: Request) -> None:
        self.complaints.append(f"failed: {request.url}")

    def _asked(self, url: str) -> None:
        if not url.startswith(self.origin):
            self.foreign.append(url)

    async def violations(self) -> list[str]:
        """What axe-core finds once nothing moves: the rule and where it is broken. It runs beside the page's policy."""
        await self.page.evaluate(STILL)
        await self.page.evaluate(AXE.read_text("utf-8"))
        found: Any = await self.page.evaluate("axe.run({ resultTypes: ['violations'], preload: false })")
        return [
            f"{each['id']}: {node['target']} {node['any'][0]['message'] if node['any'] else ''}"
            for each in found["violations"]
            for node in each["nodes"]
        ]


def absent(why: str) -> NoReturn:
    """Skip the test, or fail where a browser is required."""
    (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(why)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, started once."""
    try:
        from playwright.async_api import async_playwright  # noqa: PLC0415 -- an extra that few installations have
    except ImportError:
        absent("there is no playwright: make browser installs it")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        absent("there is no Chromium: apt-get install chromium")
    if not AXE.exists():
        absent("there is no axe-core: make browser installs it, for which it needs npm")
    async with async_playwright() as driver:
        started = await driver.chromium.launch(executable_path=path, args=ROOT_NEEDS if os.geteuid() == 0 else ())
        yield started
        await started.close()
