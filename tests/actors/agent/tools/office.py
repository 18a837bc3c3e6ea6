"""A ticketing desk on duffel: its tools, the supplier's actor, and the stand-in over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tests.actors.suppliers.duffel.standin import Standin
from tests.actors.suppliers.duffel.world import Account
from tests.manual_clock import ManualClock
from voyagent.actors.suppliers.clients import AgencySuppliers
from voyagent.actors.suppliers.duffel.driver import Duffel
from voyagent.actors.suppliers.supplier import SupplierActor

R = TypeVar("R")
TOKEN = "duffel_test_desk"
DETAILS: dict[str, Any] = {
    "title": "ms",
    "gender": "F",
    "email": "asha@example.com",
    "phone": "+919820012345",
    "date_of_birth": "1990-04-02",
}
DAY = {"origin": "BOM", "outbound_date": "2026-12-05"}


@dataclass
class Office:
    """A desk of the ticketing tools on duffel, and time that moves while everybody waits."""

    desk: Any
    standin: Standin
    clock: ManualClock

    @property
    def account(self) -> Account:
        return self.standin.account(TOKEN)

    async def do(self, work: Awaitable[R]) -> R:
        task = asyncio.ensure_future(work)
        for _ in range(600):
            await asyncio.sleep(0.004)
            if task.done():
                break
            await self.clock.advance(1)
        return await asyncio.wait_for(task, 5)

    async def fare(self, destination: str = "DXB", place: int = 0) -> dict[str, Any]:
        found = await self.do(self.desk.read("search_flights", destination=destination, **DAY))
        return dict(found["fares"][place])

    async def person(self, name: str = "Asha Rao", **details: Any) -> str:
        return str(await self.desk.person(name, **DETAILS | details))

    async def order(self, destination: str = "DXB") -> dict[str, Any]:
        fare = await self.fare(destination)
        return {"fare_id": fare["fare_id"], "passenger_ids": [await self.person()]}

    async def booked(self, destination: str = "DXB") -> Any:
        given = await self.order(destination)
        gate = await self.do(self.desk.gate(**given))
        return await self.do(self.desk.place(bound=gate.bound, **given))

    async def held(self, destination: str = "DXB") -> Any:
        given = await self.order(destination)
        return await self.do(self.desk.place("hold_flight", **given))

    async def check(self, name: str = "book_flight", **given: Any) -> Any:
        return await self.do(self.desk.check(name, **given))

    async def place(self, name: str = "book_flight", **given: Any) -> Any:
        return await self.do(self.desk.place(name, **given))


@asynccontextmanager
async def open_office(agency: Any, clock: ManualClock, desk: Any) -> AsyncIterator[Office]:
    """The desk's suppliers replaced by duffel, on a stand-in of its own."""
    standin = Standin(clock)
    url = await standin.start()

    async def token() -> str:
        return TOKEN

    driver = Duffel(url, token, clock, desk.context.sealing)
    ref = SupplierActor.start(name=driver.name, flights=driver, clock=clock, close=driver.close)
    desk.context = replace(desk.context, suppliers=AgencySuppliers(agency.tenant_id, ["duffel"], ref))
    yield Office(desk, standin, clock)
    await ref.stop_and_wait(5.0)
    await standin.stop()
