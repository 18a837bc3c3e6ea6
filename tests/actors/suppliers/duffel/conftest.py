"""A supplier's actor with the real driver and client, against the stand-in over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar

import pytest

from tests.actors.suppliers.duffel.standin import Standin
from tests.actors.suppliers.duffel.world import Account
from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.actors.domain.travel import FlightOffer, FlightQuestion, Party, Passenger
from voyagent.actors.suppliers.clients import FlightClient
from voyagent.actors.suppliers.duffel.driver import Duffel
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.actors.suppliers.supplier import SupplierActor
from voyagent.storage.engine.sealing import Sealing

R = TypeVar("R")
RING = Sealing({"one": bytes(range(32))})
PASSPORT = "Z1234567"
TOKEN = "duffel_test_one"
STEP = 1.0
IO_SECONDS = 0.004
"""Real seconds for sockets, for each second of the clock."""


@dataclass
class Counter:
    """The supplier as tools see it, and the stand-in behind it."""

    client: FlightClient
    standin: Standin
    clock: ManualClock
    driver: Duffel

    @property
    def account(self) -> Account:
        return self.standin.account(TOKEN)

    @property
    def orders(self) -> int:
        return len(self.account.orders)

    def sent(self, method: str, path: str) -> int:
        """How many such requests the stand-in has got."""
        return sum(each == (method, path) for each in self.standin.log)

    async def done(self, work: Awaitable[R]) -> R:
        """The outcome, time moving on while everybody waits."""
        task = asyncio.ensure_future(work)
        for _ in range(600):
            await asyncio.sleep(IO_SECONDS)
            if task.done():
                break
            await self.clock.advance(STEP)
        return await asyncio.wait_for(task, 5)

    async def refused(self, work: Awaitable[Any]) -> SupplierError:
        with pytest.raises(SupplierError) as caught:
            await self.done(work)
        return caught.value

    async def found(self, destination: str = "DXB", origin: str = "BOM", **parts: Any) -> list[FlightOffer]:
        return list(await self.done(self.client.search(self.question(destination, origin, **parts))))

    def question(self, destination: str = "DXB", origin: str = "BOM", **parts: Any) -> FlightQuestion:
        usual: dict[str, Any] = {"outbound_date": date(2026, 12, 5), "party": Party(adult=1), "currency": "INR"}
        return FlightQuestion(origin=origin, destination=destination, **usual | parts)

    async def fare(self, destination: str = "DXB", **parts: Any) -> FlightOffer:
        """The cheapest fare, as it stands before an order."""
        return await self.done(self.client.price((await self.found(destination, **parts))[0]))

    async def booked(self, destination: str = "DXB", key: str | None = None) -> Any:
        return await self.done(self.client.book(await self.fare(destination), (person(),), key or ids.uuid7()))

    async def held(self, destination: str = "DXB", key: str | None = None) -> tuple[FlightOffer, Any]:
        offer = await self.fare(destination)
        return offer, await self.done(self.client.hold(offer, (person(),), key or ids.uuid7()))


def person(full_name: str = "Asha Rao", **parts: Any) -> Passenger:
    given, _, family = full_name.rpartition(" ")
    usual: dict[str, Any] = {
        "id": ids.uuid7(),
        "title": "ms",
        "gender": "F",
        "email": "asha@example.com",
        "phone": "+919820012345",
        "date_of_birth": date(1990, 4, 2),
    }
    return Passenger(**{"full_name": full_name, "given_name": given, "family_name": family} | usual | parts)


def with_passport(who: Passenger, **parts: Any) -> Passenger:
    """The same person with a passport on file."""
    sealed = RING.seal(PASSPORT.encode(), table="passengers", column="passport_sealed", row=who.id)
    usual: dict[str, Any] = {"passport_sealed": sealed, "passport_expiry": date(2031, 1, 1), "passport_country": "IN"}
    return who.model_copy(update=usual | parts)


@pytest.fixture
async def counter(clock: ManualClock) -> AsyncIterator[Counter]:
    standin = Standin(clock)
    url = await standin.start()

    async def token() -> str:
        return TOKEN

    driver = Duffel(url, token, clock, RING)
    ref = SupplierActor.start(name=driver.name, flights=driver, clock=clock, close=driver.close)
    yield Counter(FlightClient("t-1", "duffel", Duffel.capabilities, ref), standin, clock, driver)
    await ref.stop_and_wait(5.0)
    await standin.stop()


HOURS = timedelta(hours=1)
