"""Requests of a page that wait until a test lets them go: a slow network, without waiting."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.waiting import Event, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page, Request, Route


@dataclass
class Held:
    """Requests with a method to addresses that match. Those beyond ``most`` are not held."""

    method: str
    most: int
    requests: list[Request] = field(default_factory=list)
    opened: Event = field(default_factory=Event)

    async def __call__(self, route: Route) -> None:
        if route.request.method == self.method:
            self.requests.append(route.request)
            if len(self.requests) <= self.most:
                await self.opened.wait()
        await route.continue_()

    async def first(self) -> Request:
        """The first one that has come."""
        await until(lambda: self.requests)
        return self.requests[0]


@asynccontextmanager
async def held(page: Page, address: str, method: str = "GET", most: int = 99) -> AsyncIterator[Held]:
    """Hold what the page asks for until the end of the block, or until ``opened`` is set."""
    gate = Held(method, most)
    await page.route(re.compile(address), gate)
    try:
        yield gate
    finally:
        gate.opened.set()
