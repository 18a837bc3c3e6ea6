"""A supplier passivates when it is idle, and never while anything is under way or remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.actors.suppliers.stand import (
    ASHA,
    OFFER,
    ORDER,
    QUESTION,
    Fake,
    Make,
    Stand,
    open_breaker,
    trouble,
)
from tests.manual_clock import ManualClock
from tests.running import actor_of
from voyagent.actors.runtime.ref import Ref
from voyagent.actors.runtime.supervisor import Child, Restart, Supervisor
from voyagent.actors.suppliers import supplier
from voyagent.actors.suppliers.clients import FlightClient


async def test_a_supplier_nobody_asks_passivates(make: Make) -> None:
    stand = make()
    tired: list[int] = []
    stand.ref.life.on_idle = tired.append
    await stand.counter.search(QUESTION)
    await stand.clock.advance(899)
    assert tired == []
    await stand.clock.advance(1800)
    assert tired


async def nothing(stand: Stand) -> None:
    await stand.counter.search(QUESTION)


async def a_read(stand: Stand) -> None:
    stand.driver.script = ["wait"]
    begin(stand, stand.counter.search(QUESTION))
    await stand.driver.arrived.acquire()


async def a_write(stand: Stand) -> None:
    stand.driver.script = ["wait"]
    begin(stand, stand.counter.book(OFFER, [ASHA], "k-1"))
    await stand.driver.arrived.acquire()


async def a_write_without_its_caller(stand: Stand) -> None:
    await a_write(stand)
    UNDER_WAY.pop().cancel()


async def a_look_up_after_a_write(stand: Stand) -> None:
    stand.driver.script = [trouble("timeout"), *[trouble("timeout")] * 2, "wait"]
    begin(stand, stand.counter.book(OFFER, [ASHA], "k-1"))
    while stand.driver.calls[-1:] != ["find"]:
        await stand.clock.advance(1)


async def a_look_up_waiting_for_a_write(stand: Stand) -> None:
    await a_write(stand)
    begin(stand, stand.counter.find("k-1"))


async def an_open_breaker(stand: Stand) -> None:
    stand.driver.script = [trouble()] * 5
    await open_breaker(stand)


async def a_breaker_that_closed_again(stand: Stand) -> None:
    await an_open_breaker(stand)
    await stand.clock.advance(30)
    await stand.counter.search(QUESTION)


async def a_write_that_is_done(stand: Stand) -> None:
    await stand.counter.book(OFFER, [ASHA], "k-1")


async def a_request_that_waits_for_its_turn(stand: Stand) -> None:
    for _ in range(41):
        begin(stand, stand.counter.search(QUESTION))
    await stand.clock.advance(0)
    assert len(stand.driver.calls) == 40


UNDER_WAY: list[asyncio.Future[Any]] = []


def begin(stand: Stand, work: Awaitable[Any]) -> None:
    UNDER_WAY.append(asyncio.ensure_future(work))
    assert stand.ref.is_alive()


@pytest.mark.parametrize("asked", [0.0, 901.0])
@pytest.mark.parametrize(
    ("state", "may"),
    [
        (nothing, True),
        (a_write_that_is_done, True),
        (a_breaker_that_closed_again, True),
        (a_read, False),
        (a_request_that_waits_for_its_turn, False),
        (a_write, False),
        (a_write_without_its_caller, False),
        (a_look_up_after_a_write, False),
        (a_look_up_waiting_for_a_write, False),
        (an_open_breaker, False),
    ],
)
async def test_only_an_idle_supplier_passivates(
    make: Make, state: Callable[[Stand], Awaitable[None]], asked: float, *, may: bool
) -> None:
    stand = make()
    idle: list[int] = []
    stand.ref.life.on_idle = idle.append
    await state(stand)
    actor = actor_of(stand.ref, supplier.SupplierActor)
    actor.asked_at = stand.clock.monotonic() - asked
    actor.run_soon(actor._check_idle)
    await stand.clock.advance(0)
    assert bool(idle) is (may and asked > 900)
    stand.driver.gate.set()
    for work in UNDER_WAY:
        await stand.settle(asyncio.wait({work}))
    UNDER_WAY.clear()


async def test_what_comes_while_a_supplier_passivates_is_done_by_the_next(make: Make) -> None:
    started: list[Stand] = []

    class Agency(Supervisor[supplier.Protocol]):
        async def receive(self, message: supplier.Protocol) -> Any:
            return self.route(Child("supplier", start, Restart.TRANSIENT), message)

    def start() -> Ref:
        started.append(make())
        return started[-1].ref

    agency = Agency.start(clock=ManualClock())
    client = FlightClient("t-1", "fake", Fake().capabilities, agency)
    assert await client.book(OFFER, [ASHA], "k-1") == ORDER
    parent = actor_of(agency, Agency)
    parent.run_soon(lambda: parent.passivate("supplier"))
    assert await client.book(OFFER, [ASHA], "k-2") == ORDER
    assert [stand.driver.calls for stand in started] == [["book"], ["book"]]
    await agency.stop_and_wait(5.0)
