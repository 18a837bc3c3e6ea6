"""The supplier's actor towards its callers: reads tried again, time limits, circuit breaker and pace."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import pytest

from tests.actors.suppliers.stand import (
    ASHA,
    OFFER,
    ORDER,
    QUESTION,
    Make,
    breaker_gauge,
    open_breaker,
    trouble,
)
from tests.figures import counted
from tests.manual_clock import ManualClock
from voyagent.actors.domain.bsp import StatementQuestion
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.hotels import HotelQuestion, Stay
from voyagent.actors.foundation import metrics
from voyagent.actors.foundation.config import Settings
from voyagent.actors.suppliers import drivers
from voyagent.actors.suppliers.clients import AgencySuppliers, FlightClient, HotelClient, StatementsClient
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.actors.suppliers.supplier import SupplierActor


def requests(outcome: str) -> float:
    return float(counted(metrics.SUPPLIER_REQUESTS_TOTAL, "fake", outcome))


async def test_every_method_reaches_the_driver(make: Make) -> None:
    stand = make()
    assert await stand.counter.search(QUESTION) == [OFFER]
    assert await stand.counter.price(OFFER) == OFFER
    assert await stand.counter.read("x-1") == ORDER
    assert await stand.counter.hold(OFFER, [ASHA], "k-1") == ORDER
    assert await stand.counter.book(OFFER, [ASHA], "k-2", held="x-1") == ORDER
    assert await stand.counter.find("k-2") == ORDER
    assert stand.driver.calls == ["search", "price", "read", "hold", "book", "find"]


@pytest.mark.parametrize("code", ["transient", "rate_limited"])
async def test_a_read_is_tried_three_times_in_all(make: Make, code: str) -> None:
    stand = make(trouble(code), trouble(code))
    assert await stand.settle(stand.counter.search(QUESTION)) == [OFFER]
    other = make(*[trouble(code)] * 3)
    assert await other.code(other.counter.search(QUESTION)) == code
    assert other.driver.calls == ["search"] * 3


@pytest.mark.parametrize(
    "code", ["authentication", "authorization", "permanent", "validation_failed", "not_found", "conflict"]
)
async def test_an_answer_is_not_asked_for_again(make: Make, code: str) -> None:
    stand = make(trouble(code))
    assert await stand.code(stand.counter.search(QUESTION)) == code
    assert stand.driver.calls == ["search"]


async def test_a_read_ends_after_thirty_seconds_and_a_write_after_sixty(make: Make) -> None:
    stand = make("wait", "wait")
    reading = asyncio.ensure_future(stand.counter.search(QUESTION))
    writing = asyncio.ensure_future(stand.counter.book(OFFER, [ASHA], "k-1"))
    await stand.driver.arrived.acquire()
    await stand.driver.arrived.acquire()
    await stand.clock.advance(29)
    assert not reading.done()
    await stand.clock.advance(1)
    with pytest.raises(SupplierError, match="timeout"):
        await reading
    await stand.clock.advance(29)
    assert not writing.done()
    await stand.clock.advance(1)
    with pytest.raises(SupplierError, match="timeout") as caught:
        await writing
    assert caught.value.unclear, "it was looked up and not found: it may still come"


async def test_five_failures_in_thirty_seconds_open_the_breaker_for_thirty(make: Make) -> None:
    stand = make(*[trouble("authentication")] * 5, *[trouble()] * 6)
    for _ in range(5):
        assert await stand.code(stand.counter.search(QUESTION)) == "authentication"
    assert breaker_gauge() == 0, "a no is an answer"
    assert await stand.code(stand.counter.search(QUESTION)) == "transient"
    assert await stand.code(stand.counter.search(QUESTION)) == "breaker_open"
    assert breaker_gauge() == 1
    asked = len(stand.driver.calls)
    assert await stand.code(stand.counter.book(OFFER, [ASHA], "k-1")) == "breaker_open"
    assert len(stand.driver.calls) == asked, "nobody was bothered"


async def test_after_a_pause_one_request_tries_and_its_success_closes(make: Make) -> None:
    stand = make(*[trouble()] * 5, "wait")
    await open_breaker(stand)
    await stand.clock.advance(30)
    asked = len(stand.driver.calls)
    trial = asyncio.ensure_future(stand.counter.search(QUESTION))
    async with asyncio.timeout(5):
        while len(stand.driver.calls) == asked:
            await stand.driver.arrived.acquire()
    assert await stand.code(stand.counter.price(OFFER)) == "breaker_open", "one at a time"
    stand.driver.gate.set()
    assert await trial == [OFFER]
    assert await stand.counter.price(OFFER) == OFFER
    assert breaker_gauge() == 0


async def test_a_trial_that_fails_opens_it_again(make: Make) -> None:
    stand = make(*[trouble()] * 6)
    await open_breaker(stand)
    await stand.clock.advance(30)
    assert await stand.code(stand.counter.search(QUESTION)) == "breaker_open"
    assert stand.driver.calls == ["search"] * 6
    assert await stand.code(stand.counter.search(QUESTION)) == "breaker_open"
    await stand.clock.advance(30)
    assert await stand.settle(stand.counter.search(QUESTION)) == [OFFER]


async def test_failures_far_apart_open_nothing(make: Make) -> None:
    stand = make(*[trouble(), None] * 8)
    for _ in range(8):
        assert await stand.settle(stand.counter.search(QUESTION)) == [OFFER]
        await stand.clock.advance(8)
    assert breaker_gauge() == 0


async def test_b27_a_request_to_wait_is_followed_for_ten_seconds_at_most(make: Make) -> None:
    stand = make(trouble("rate_limited", retry_after=3600))
    searching = asyncio.ensure_future(stand.counter.search(QUESTION))
    await stand.driver.arrived.acquire()
    await stand.clock.advance(9.9)
    assert not searching.done()
    await stand.clock.advance(0.2)
    assert await searching == [OFFER]


async def test_requests_come_in_a_burst_and_then_at_a_pace(make: Make) -> None:
    stand = make()
    searching = [asyncio.ensure_future(stand.counter.search(QUESTION)) for _ in range(50)]
    await stand.clock.advance(0)
    assert len(stand.driver.calls) == 40
    await stand.clock.advance(0.25)
    assert len(stand.driver.calls) == 45
    await stand.clock.advance(5)
    assert all(found == [OFFER] for found in await asyncio.gather(*searching))


async def test_storage_that_is_unavailable_is_no_fault_of_the_supplier(make: Make) -> None:
    stand = make(*[Unavailable("storage_unavailable")] * 9)
    for _ in range(3):
        assert await stand.code(stand.counter.search(QUESTION)) == "transient"
    assert breaker_gauge() == 0
    assert await stand.counter.search(QUESTION) == [OFFER]


async def test_requests_are_counted_by_outcome(make: Make) -> None:
    before = {outcome: requests(outcome) for outcome in ("ok", "transient", "conflict")}
    stand = make(trouble(), None, trouble("conflict"))
    await stand.settle(stand.counter.search(QUESTION))
    await stand.code(stand.counter.search(QUESTION))
    assert {outcome: requests(outcome) - before[outcome] for outcome in before} == {
        "ok": 1,
        "transient": 1,
        "conflict": 1,
    }


async def test_b45_an_agency_has_the_suppliers_that_are_on_for_it(make: Make) -> None:
    stand = make()
    on = AgencySuppliers("t-1", ["house"], stand.ref)
    assert [each.name for each in on.flights] == ["house"]
    assert on.named("house") is not None
    assert on.named("fake") is None
    assert AgencySuppliers("t-1", [], stand.ref).flights == ()
    assert drivers.without_driver(["house", "amadeus"]) == ["amadeus"]


async def test_a_supplier_without_rooms_says_so(make: Make) -> None:
    stand = make()
    desk = HotelClient("t-1", "fake", stand.driver.capabilities, stand.ref)
    stay = Stay(check_in=date(2026, 12, 5), check_out=date(2026, 12, 6), guests=1)
    question = HotelQuestion(country="AE", city="Dubai", stay=stay, currency="INR")
    assert await stand.code(desk.search(question)) == "capability_not_supported"
    assert stand.driver.calls == []
    on = AgencySuppliers("t-1", ["house"], stand.ref)
    assert [each.name for each in on.hotels] == ["house"]
    assert on.hotel("fake") is None


async def test_a_supplier_of_one_kind_refuses_the_others(make: Make, clock: ManualClock) -> None:
    stand = make()
    asked = StatementQuestion("IN", date(2026, 11, 16), date(2026, 11, 22))
    of_flights = StatementsClient("t-1", "fake", stand.driver.capabilities, stand.ref)
    assert await stand.code(of_flights.fetch(asked)) == "capability_not_supported"
    ref = SupplierActor.start(name="bsp", clock=clock)
    of_none = FlightClient("t-1", "bsp", stand.driver.capabilities, ref)
    for refused in (of_none.search(QUESTION), of_none.hold(OFFER, [ASHA], "k"), of_none.issue("x", "k")):
        assert await stand.code(refused) == "capability_not_supported"
    await ref.stop_and_wait(5.0)


@pytest.mark.parametrize(
    ("folder", "listed", "on"),
    [
        (None, ("house",), ("house",)),
        (None, ("house", "bsp"), ("house",)),
        (Path("/srv/bsp"), ("house",), ("house", "bsp")),
        (Path("/srv/bsp"), (), ("bsp",)),
        (Path("/srv/bsp"), ("bsp", "duffel"), ("duffel", "bsp")),
    ],
)
async def test_b55_statements_are_on_where_there_is_a_folder_of_them(
    folder: Path | None, listed: tuple[str, ...], on: tuple[str, ...], make: Make
) -> None:
    stand = make()
    settings = Settings(env="development", bsp_dir=folder, suppliers=listed)
    assert drivers.enabled(settings) == on
    suppliers = AgencySuppliers("t-1", on, stand.ref)
    assert (suppliers.statements is not None) == ("bsp" in on)
    assert [each.name for each in suppliers.flights] == [name for name in on if name != "bsp"]
    assert suppliers.named("bsp") is None
