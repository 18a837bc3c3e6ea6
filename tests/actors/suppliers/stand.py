"""A supplier's actor for tests, with a driver that does what its script says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.figures import gauged
from tests.manual_clock import ManualClock
from tests.waiting import Event
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.travel import FlightOffer, FlightOrder, FlightQuestion, Party, Passenger, Segment
from voyagent.actors.foundation import metrics
from voyagent.actors.runtime.ref import Ref
from voyagent.actors.suppliers.clients import FlightClient
from voyagent.actors.suppliers.protocols import Capabilities, SupplierError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
QUESTION = FlightQuestion(
    origin="BOM", destination="DXB", outbound_date=date(2026, 12, 5), party=Party(adult=1), currency="INR"
)
ASHA = Passenger(id="p-1", full_name="Asha Rao", given_name="Asha", family_name="Rao")
OFFER = FlightOffer(
    id="o-1",
    supplier="fake",
    supplier_ref="r-1",
    segments=(
        Segment(
            marketing_carrier="EK",
            flight_number="501",
            origin="BOM",
            destination="DXB",
            departs_at=NOW,
            arrives_at=NOW + timedelta(hours=3),
            origin_zone="Asia/Kolkata",
            destination_zone="Asia/Dubai",
            cabin="economy",
        ),
    ),
    price=Money.of(100, "INR"),
    expires_at=NOW + timedelta(minutes=20),
    hold_possible=True,
    party=Party(adult=1),
    cabin="economy",
)
ORDER = FlightOrder(supplier="fake", supplier_ref="x-1", status="confirmed", price=OFFER.price)


@dataclass
class Fake:
    """A driver that does what its script says, one entry a call; past its end it succeeds."""

    name: str = "fake"
    script: list[Any] = field(default_factory=list)
    honours_keys: bool = True
    looks_up: bool = True
    made: dict[str, FlightOrder] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=Event)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    @property
    def capabilities(self) -> Capabilities:
        methods = frozenset({"search", "price", "hold", "book", "read", "find"})
        return Capabilities(methods=methods, honours_keys=self.honours_keys, looks_up=self.looks_up)  # type: ignore[arg-type]

    async def _play(self, call: str) -> None:
        self.calls.append(call)
        self.arrived.release()
        entry = self.script.pop(0) if self.script else None
        if entry == "wait":
            await self.gate.wait()
        elif callable(entry):
            entry()
        elif isinstance(entry, BaseException):
            raise entry

    async def search(self, _question: FlightQuestion) -> list[FlightOffer]:
        await self._play("search")
        return [OFFER]

    async def price(self, offer: FlightOffer) -> FlightOffer:
        await self._play("price")
        return offer

    async def hold(self, _offer: FlightOffer, _passengers: Any, key: str) -> FlightOrder:
        await self._play("hold")
        return self.made.setdefault(key, ORDER)

    async def book(self, _offer: FlightOffer, _passengers: Any, key: str, _held: str | None = None) -> FlightOrder:
        await self._play("book")
        return self.made.setdefault(key, ORDER)

    async def read(self, _supplier_ref: str) -> FlightOrder:
        await self._play("read")
        return ORDER

    async def find(self, key: str) -> FlightOrder | None:
        await self._play("find")
        return self.made.get(key)


@dataclass
class Stand:
    """A supplier actor with its driver and the way to it."""

    driver: Fake
    ref: Ref
    counter: FlightClient
    clock: ManualClock

    async def settle(self, work: Awaitable[Any]) -> Any:
        """The outcome, time moving on whenever everybody waits for it."""
        task = asyncio.ensure_future(work)
        for _ in range(40):
            if task.done():
                break
            await self.clock.advance(1.0)
        return await asyncio.wait_for(task, 10)

    async def code(self, work: Awaitable[Any]) -> str:
        """The code it is refused with."""
        with pytest.raises(SupplierError) as caught:
            await self.settle(work)
        return str(caught.value)


Make = Callable[..., Stand]


def trouble(code: Any = "transient", **parts: Any) -> SupplierError:
    return SupplierError(code, "it did not work", **parts)


def breaker_gauge() -> float:
    return gauged(metrics.SUPPLIER_BREAKER_OPEN, "fake")


async def open_breaker(stand: Stand) -> None:
    for _ in range(2):
        await stand.code(stand.counter.search(QUESTION))
    assert await stand.code(stand.counter.search(QUESTION)) == "breaker_open"
