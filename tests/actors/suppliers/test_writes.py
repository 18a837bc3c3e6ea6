"""Writes at a supplier: tried again only where that is safe, looked up where it is not, and never given up halfway."""

from __future__ import annotations

import asyncio
from typing import Any

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
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.suppliers.clients import FlightClient
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.actors.suppliers.supplier import WriteCut


async def test_a_keyed_write_is_tried_again(make: Make) -> None:
    stand = make(trouble(), trouble())
    assert await stand.settle(stand.counter.book(OFFER, [ASHA], "k-1")) == ORDER
    assert stand.driver.calls == ["book"] * 3


async def test_b53_a_write_without_key_is_never_repeated_but_looked_up(make: Make) -> None:
    stand = make(trouble(), honours_keys=False)
    stand.driver.made["k-1"] = ORDER
    assert await stand.settle(stand.counter.book(OFFER, [ASHA], "k-1")) == ORDER
    assert stand.driver.calls == ["book", "find"]


async def test_b53_a_write_nobody_can_look_up_is_unclear(make: Make) -> None:
    stand = make(trouble(), honours_keys=False, looks_up=False)
    with pytest.raises(SupplierError) as caught:
        await stand.settle(stand.counter.book(OFFER, [ASHA], "k-1"))
    assert caught.value.unclear
    assert stand.driver.calls == ["book"]


@pytest.mark.parametrize("lookup", [None, trouble("permanent")])
async def test_b53_a_write_that_is_not_found_afterwards_is_unclear(make: Make, lookup: Any) -> None:
    stand = make(trouble(), lookup, honours_keys=False)
    with pytest.raises(SupplierError) as caught:
        await stand.settle(stand.counter.book(OFFER, [ASHA], "k-1"))
    assert (str(caught.value), caught.value.unclear) == ("transient", True)


UNCLEAR = (trouble(), trouble("timeout"), trouble("transient", retry_after=0), RuntimeError("a bug"), Unavailable("x"))
LATER_NOES = (
    "capability_not_supported",
    "authentication",
    "authorization",
    "rate_limited",
    "permanent",
    "validation_failed",
    "not_found",
    "conflict",
)


@pytest.mark.parametrize("later", LATER_NOES)
@pytest.mark.parametrize("acted", [True, False])
async def test_no_later_answer_denies_what_an_earlier_attempt_may_have_done(
    later: str, acted: bool, make: Make
) -> None:
    def act() -> None:
        if acted:
            stand.driver.made["k-1"] = ORDER
        raise trouble()

    stand = make(act, *[trouble(later)] * (2 if later == "rate_limited" else 1))
    if acted:
        assert await stand.settle(stand.counter.book(OFFER, [ASHA], "k-1")) == ORDER
    else:
        with pytest.raises(SupplierError) as caught:
            await stand.settle(stand.counter.book(OFFER, [ASHA], "k-1"))
        assert caught.value.unclear
    assert stand.driver.calls[-1] == "find"


async def test_a_breaker_that_opens_between_two_attempts_denies_nothing(make: Make) -> None:
    def act() -> None:
        stand.driver.made["k-1"] = ORDER
        raise trouble()

    stand = make(*[trouble()] * 4, trouble("permanent"), act)
    for _ in range(2):  # three failures, then one more and an answer
        with pytest.raises(SupplierError):
            await stand.settle(stand.counter.search(QUESTION))
    assert breaker_gauge() == 0
    assert await stand.settle(stand.counter.book(OFFER, [ASHA], "k-1")) == ORDER
    assert breaker_gauge() == 1
    assert stand.driver.calls[-2:] == ["book", "find"], "looked up although the breaker is open"


@pytest.mark.parametrize("end", UNCLEAR, ids=str)
@pytest.mark.parametrize("keys", [True, False])
async def test_every_end_that_is_no_answer_is_looked_up(end: BaseException, keys: bool, make: Make) -> None:
    def act() -> None:
        stand.driver.made["k-1"] = ORDER
        raise end

    is_retried = keys and not isinstance(end, RuntimeError)
    stand = make(act, *[end] * (2 if is_retried else 0), honours_keys=keys)
    assert await stand.settle(stand.counter.hold(OFFER, [ASHA], "k-1")) == ORDER
    other = make(*[end] * 3, honours_keys=keys, looks_up=False)
    with pytest.raises(SupplierError) as caught:
        await other.settle(other.counter.hold(OFFER, [ASHA], "k-1"))
    assert caught.value.unclear


async def test_a_write_that_never_reached_the_supplier_is_clearly_not_made(make: Make) -> None:
    stand = make(*[trouble()] * 5)
    await open_breaker(stand)
    asked = len(stand.driver.calls)
    with pytest.raises(SupplierError) as caught:
        await stand.counter.book(OFFER, [ASHA], "k-1")
    assert (str(caught.value), caught.value.unclear, len(stand.driver.calls)) == ("breaker_open", False, asked)


async def test_a_write_its_actor_leaves_behind_is_no_outcome_but_an_interruption(make: Make) -> None:
    stand = make("wait")
    writing = asyncio.ensure_future(stand.counter.book(OFFER, [ASHA], "k-1"))
    await stand.driver.arrived.acquire()
    stand.ref.cancel()
    with pytest.raises(WriteCut):
        await asyncio.wait_for(writing, 10)
    stand.driver.gate.set()


async def test_a_no_to_a_write_is_clear(make: Make) -> None:
    stand = make(trouble("conflict"))
    with pytest.raises(SupplierError) as caught:
        await stand.counter.book(OFFER, [ASHA], "k-1")
    assert not caught.value.unclear
    assert stand.driver.calls == ["book"]


async def test_b53_a_late_answer_that_did_arrive_is_found(make: Make) -> None:
    stand = make("wait")
    writing = asyncio.ensure_future(stand.counter.book(OFFER, [ASHA], "k-1"))
    await stand.driver.arrived.acquire()
    stand.driver.made["k-1"] = ORDER
    await stand.clock.advance(60)
    assert await writing == ORDER
    assert stand.driver.calls == ["book", "find"]


async def test_a_second_write_with_the_same_key_joins_the_first(make: Make) -> None:
    stand = make("wait")
    writing = [asyncio.ensure_future(stand.counter.book(OFFER, [ASHA], "k-1")) for _ in range(16)]
    await stand.driver.arrived.acquire()
    stand.driver.gate.set()
    assert await asyncio.gather(*writing) == [ORDER] * 16
    assert stand.driver.calls == ["book"]


async def test_looking_up_waits_for_the_write_under_way(make: Make) -> None:
    stand = make("wait")
    writing = asyncio.ensure_future(stand.counter.book(OFFER, [ASHA], "k-1"))
    await stand.driver.arrived.acquire()
    finding = asyncio.ensure_future(stand.counter.find("k-1"))
    assert await stand.counter.find("k-2") is None
    assert not finding.done()
    stand.driver.gate.set()
    assert await finding == ORDER
    await writing


async def test_a_write_goes_on_when_its_asker_is_gone(make: Make) -> None:
    stand = make("wait")
    writing = asyncio.ensure_future(stand.counter.book(OFFER, [ASHA], "k-1"))
    await stand.driver.arrived.acquire()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    stand.driver.gate.set()
    assert await stand.counter.find("k-1") == ORDER


async def test_a_write_is_finished_before_the_actor_ends(make: Make) -> None:
    stand = make("wait")
    writing = asyncio.ensure_future(stand.counter.book(OFFER, [ASHA], "k-1"))
    await stand.driver.arrived.acquire()
    stopping = asyncio.ensure_future(stand.ref.stop_and_wait(5.0))
    stand.driver.gate.set()
    await stopping
    assert await writing == ORDER


async def test_a_driver_that_breaks_leaves_a_write_unclear(make: Make) -> None:
    stand = make(RuntimeError("a bug"))
    with pytest.raises(SupplierError) as caught:
        await stand.counter.book(OFFER, [ASHA], "k-1")
    assert (str(caught.value), caught.value.unclear) == ("transient", True)
    assert "bug" not in caught.value.line


async def test_an_actor_that_is_gone_has_done_nothing(make: Make) -> None:
    stand = make()
    await stand.ref.stop_and_wait(5.0)
    with pytest.raises(SupplierError) as caught:
        await stand.counter.book(OFFER, [ASHA], "k-1")
    assert (str(caught.value), caught.value.unclear) == ("transient", False)


async def test_a_process_that_may_not_serve_any_more_makes_up_no_outcome(make: Make) -> None:
    class NotReady:
        """The root, when the lock of the one process is lost."""

        async def ask(self, *_: Any, **__: Any) -> Any:
            raise Unavailable("not_ready")

    counter = FlightClient("t-1", "fake", make().driver.capabilities, NotReady())  # type: ignore[arg-type]
    for asked in (counter.book(OFFER, [ASHA], "k-1"), counter.find("k-1"), counter.price(OFFER)):
        with pytest.raises(Unavailable, match="not_ready"):
            await asked
