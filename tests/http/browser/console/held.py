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
    """Requests with a method to addresses that match; those beyond ``most`` are not held.

    They wait before the service gets them; with ``answers`` it is its answers that wait.
    """

    method: str
    most: int
    answers: bool
    requests: list[Request] = field(default_factory=list)
    opened: Event = field(default_factory=Event)

    async def __call__(self, route: Route) -> None:
        if route.request.method == self.method:
            number = len(self.requests)
            answer = await route.fetch() if self.answers else None
            self.requests.append(route.request)
            if number < self.most:
                await self.opened.wait()
            if answer is not None:
                return await route.fulfill(response=answer)
        return await route.continue_()

    async def first(self) -> Request:
        """The first one that has come."""
        await until(lambda: self.requests)
        return self.requests[0]


@asynccontextmanager
async def held(
    page: Page, address: str, method: str = "GET", *, most: int = 99, answers: bool = False
) -> AsyncIterator[Held]:
    """Hold what the page asks for until the end of the block, or until ``opened`` is set."""
    gate = Held(method, most, answers)
    await page.route(re.compile(address), gate)
    try:
        yield gate
    finally:
        gate.opened.set()
