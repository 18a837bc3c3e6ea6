"""The supplier's actor: limits, circuit breaker, retries where they are safe, and writes that outlive their callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.figures import counted
from tests.manual_clock import ManualClock
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.hotels import HotelQuestion, Stay
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.travel import FlightOffer, FlightOrder, FlightQuestion, Party, Passenger, Segment
from voyagent.actors.foundation import metrics
from voyagent.actors.runtime.ref import Ref
from voyagent.actors.runtime.supervisor import Child, Restart, Supervisor
from voyagent.actors.suppliers import drivers, supplier
from voyagent.actors.suppliers.clients import AgencySuppliers, FlightClient, HotelClient
from voyagent.actors.suppliers.protocols import Capabilities, SupplierError
from voyagent.actors.suppliers.supplier import SupplierActor, WriteCut

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
    gate: asyncio.Event = field(default_factory=asyncio.Event)
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


@pytest.fixture
async def make(clock: ManualClock) -> AsyncIterator[Make]:
    started: list[Ref] = []

    def starting(*script: Any, **parts: Any) -> Stand:
        driver = Fake(script=list(script), **parts)
        ref = SupplierActor.start(driver=driver, clock=clock)  # type: ignore[arg-type]
        started.append(ref)
        return Stand(driver, ref, FlightClient("t-1", "fake", driver.capabilities, ref), clock)

    yield starting
    for ref in started:
        await ref.stop_and_wait(5.0)


def trouble(code: Any = "transient", **parts: Any) -> SupplierError:
    return SupplierError(code, "it did not work", **parts)


def requests(outcome: str) -> float:
    return float(counted(metrics.SUPPLIER_REQUESTS_TOTAL, "fake", outcome))


def breaker_gauge() -> float:
    return float(metrics.SUPPLIER_BREAKER_OPEN.labels("fake")._value.get())


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


async def open_breaker(stand: Stand) -> None:
    for _ in range(2):
        await stand.code(stand.counter.search(QUESTION))
    assert await stand.code(stand.counter.search(QUESTION)) == "breaker_open"


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
    actor = stand.ref._actor_weakref()
    assert isinstance(actor, supplier.SupplierActor)
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
    parent = agency._actor_weakref()
    assert isinstance(parent, Agency)
    parent.run_soon(lambda: parent.passivate("supplier"))
    assert await client.book(OFFER, [ASHA], "k-2") == ORDER
    assert [stand.driver.calls for stand in started] == [["book"], ["book"]]
    await agency.stop_and_wait(5.0)
