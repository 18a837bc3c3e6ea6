"""One supplier of one agency: what keeps its driver within limits, and the way to it for everybody else.

A write belongs to this actor by its key, the id of a row in the ledger of side effects: it goes on when its asker is
gone, and whoever asks again with the same key is answered by the one under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, assert_never

from ..domain.errors import Unavailable
from ..domain.hotels import HotelOffer, HotelOrder, HotelQuestion
from ..domain.travel import FlightOffer, FlightOrder, FlightQuestion, Passenger
from ..foundation import log
from ..foundation.clock import Clock, Timer
from ..runtime.actor import Actor, Message, Recipient
from ..runtime.supervisor import Child, Restart
from .house.driver import EmbeddedInventory
from .house.stays import HouseHotels
from .limits import Limits
from .protocols import NO_ANSWER, Driver, FlightSupplier, HotelSupplier, SupplierError

R = TypeVar("R")
O_co = TypeVar("O_co", FlightOrder, HotelOrder, covariant=True)
_log = log.get(__name__)

DRIVERS: Mapping[str, type[EmbeddedInventory]] = {EmbeddedInventory.name: EmbeddedInventory}
"""Every supplier there is a driver for."""
HOTELS: Mapping[str, type[HouseHotels]] = {HouseHotels.name: HouseHotels}
"""Those of them that sell rooms."""

READ_SECONDS = 30.0
WRITE_SECONDS = 60.0
IDLE_SECONDS = 900.0
"""A supplier nobody has asked for so long is put to sleep, unless its breaker is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSupplier(Message[R]):
    """A message on its way to one supplier of one agency."""

    tenant_id: str
    supplier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(ToSupplier[Sequence[FlightOffer]]):
    """Find flights."""

    question: FlightQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(ToSupplier[FlightOffer]):
    """Read an offer again as it stands now."""

    offer: FlightOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(ToSupplier[FlightOrder]):
    """Read an order."""

    supplier_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(ToSupplier[FlightOrder | None]):
    """Look up what became of a write; one still under way is waited for."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(ToSupplier[FlightOrder]):
    """Keep seats unpaid for a while."""

    offer: FlightOffer
    passengers: tuple[Passenger, ...]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Book(ToSupplier[FlightOrder]):
    """Buy; ``held`` is the hold whose seats these are."""

    offer: FlightOffer
    passengers: tuple[Passenger, ...]
    key: str
    held: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHotels(ToSupplier[Sequence[HotelOffer]]):
    """Find rooms."""

    question: HotelQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRate(ToSupplier[HotelOffer]):
    """Read a rate again as it stands now."""

    offer: HotelOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStay(ToSupplier[HotelOrder]):
    """Read an order of a room."""

    supplier_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindStay(ToSupplier[HotelOrder | None]):
    """Look up what became of a room's booking; one still under way is waited for."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookStay(ToSupplier[HotelOrder]):
    """Book a room."""

    offer: HotelOffer
    guests: tuple[Passenger, ...]
    key: str


class WriteCut(Unavailable):
    """503 ``agent_runtime_unavailable``: the way to the supplier ended while a write was under way.

    Whoever waits for it gives up its pass: carried on, it looks the write up by its key.
    """

    def __init__(self) -> None:
        super().__init__("agent_runtime_unavailable")


Flights = Search | Price | Read | Find | Hold | Book
Stays = SearchHotels | CheckRate | ReadStay | FindStay | BookStay


class _Doubt:
    """Whether a write may have been carried out: known of the whole write, not of its last attempt."""

    def __init__(self) -> None:
        self.is_open = False

    async def during(self, work: Callable[[], Awaitable[R]]) -> R:
        """One attempt. Only an answer of the supplier says what it did: a success, or a definite no."""
        before, self.is_open = self.is_open, True
        try:
            done = await work()
        except SupplierError as no:
            self.is_open = before or no.unclear or no.supplier_code in NO_ANSWER
            raise
        return done


class Orders(Driver, Protocol[O_co]):
    """Where a write can be looked up."""

    async def find(self, key: str) -> O_co | None: ...


class SupplierActor(Actor):
    """Breaker, rate limit, time limits and retries around one supplier's drivers, of flights and perhaps of rooms."""

    shutdown_timeout: ClassVar[float] = 10.0
    """A write under way at the end of the process gets this long; a longer one is looked up after the start."""

    def __init__(self, *, driver: FlightSupplier, clock: Clock, hotels: HotelSupplier | None = None) -> None:
        super().__init__()
        self.driver = driver
        self.hotels = hotels
        self.clock = clock
        self.limits = Limits(driver.name, clock)
        self.writes: dict[str, asyncio.Task[Any]] = {}
        self.asked_at = clock.monotonic()
        self.idle_timer: Timer | None = None

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        self._look_later()

    async def receive(self, message: Flights | Stays) -> Any:
        self.asked_at = self.clock.monotonic()
        if isinstance(message, Flights):
            return self.reply_later(self._flights(self.driver, message))
        if self.hotels is None:
            raise SupplierError("capability_not_supported", "this supplier sells no rooms")
        return self.reply_later(self._stays(self.hotels, message))

    async def _flights(self, driver: FlightSupplier, message: Flights) -> Any:
        match message:
            case Search(question=question):
                return await self._reading(lambda: driver.search(question))
            case Price(offer=offer):
                return await self._reading(lambda: driver.price(offer))
            case Read(supplier_ref=ref):
                return await self._reading(lambda: driver.read(ref))
            case Find(key=key):
                return await self._finding(driver, key)
            case Hold(offer=offer, passengers=persons, key=key):
                return await self._writing(driver, key, lambda: driver.hold(offer, persons, key))
            case Book(offer=offer, passengers=persons, key=key, held=held):
                return await self._writing(driver, key, lambda: driver.book(offer, persons, key, held))
            case _:
                assert_never(message)

    async def _stays(self, driver: HotelSupplier, message: Stays) -> Any:
        match message:
            case SearchHotels(question=question):
                return await self._reading(lambda: driver.search(question))
            case CheckRate(offer=offer):
                return await self._reading(lambda: driver.check_rate(offer))
            case ReadStay(supplier_ref=ref):
                return await self._reading(lambda: driver.read(ref))
            case FindStay(key=key):
                return await self._finding(driver, key)
            case BookStay(offer=offer, guests=guests, key=key):
                return await self._writing(driver, key, lambda: driver.book(offer, guests, key))
            case _:
                assert_never(message)

    async def terminate(self, failure: BaseException | None) -> None:  # noqa: ARG002  # writes are awaited in any case
        """Writes outlive the actor if need be; here they are given time to come to their end."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        self.limits.breaker.close()
        if self.writes:
            await asyncio.wait(self.writes.values())

    async def _reading(self, work: Callable[[], Awaitable[R]]) -> R:
        return await self.limits.attempts(work, READ_SECONDS, repeat=True)

    async def _finding(self, driver: Orders[O_co], key: str) -> O_co | None:
        writing = self.writes.get(key)
        if writing is not None:
            await asyncio.wait({writing})
        return await self._look_up(driver, key)

    async def _look_up(self, driver: Orders[O_co], key: str) -> O_co | None:
        return await self.limits.attempts(lambda: driver.find(key), READ_SECONDS, repeat=True, owed=True)

    async def _writing(self, driver: Orders[O_co], key: str, work: Callable[[], Awaitable[O_co]]) -> O_co:
        writing: asyncio.Task[O_co] | None = self.writes.get(key)
        if writing is None:
            writing = asyncio.get_running_loop().create_task(
                self._write(driver, key, work), name=f"{driver.name}.write"
            )
            self.writes[key] = writing
            writing.add_done_callback(lambda done: self._written(key, done))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            raise WriteCut from None  # only the end of this actor cancels who waits here

    def _written(self, key: str, done: asyncio.Task[Any]) -> None:
        del self.writes[key]
        failure = None if done.cancelled() else done.exception()
        if failure is not None:
            _log.warning("supplier_write_failed", supplier=self.driver.name, key=key, exc_info=failure)

    async def _write(self, driver: Orders[O_co], key: str, work: Callable[[], Awaitable[O_co]]) -> O_co:
        """Write once. No answer is not a no: what became of it is looked up where that can be done.

        Once an attempt had no definite answer, no later one gives it: each end but success is looked up, and a write
        that is not found may still come.
        """
        can, doubt = driver.capabilities, _Doubt()
        try:
            return await self.limits.attempts(lambda: doubt.during(work), WRITE_SECONDS, repeat=can.honours_keys)
        except SupplierError as failure:
            if not doubt.is_open:
                raise
            unclear = SupplierError(failure.supplier_code, failure.text, unclear=True)
            cause: Exception = failure
        except Exception as defect:  # noqa: BLE001  # whatever broke, the supplier may have acted
            _log.error("supplier_driver_failed", supplier=driver.name, key=key, exc_info=defect)
            unclear = SupplierError("transient", "the supplier's driver failed", unclear=True)
            cause = defect
        if not can.looks_up:
            raise unclear from cause
        try:
            found = await self._look_up(driver, key)
        except Exception as failure:
            raise unclear from failure
        if found is None:
            raise unclear from cause
        return found

    def _look_later(self) -> None:
        self.idle_timer = self.clock.call_later(IDLE_SECONDS, self._maybe_sleep)

    def _maybe_sleep(self) -> None:
        if self.actor_stopped.is_set():
            return
        self._look_later()
        is_idle = self.clock.monotonic() - self.asked_at >= IDLE_SECONDS
        if is_idle and not self.writes and not self.limits.breaker.is_open:
            self.request_passivation()


def child(tenant_id: str, name: str, store: Recipient, clock: Clock) -> Child:
    """A supplier as its agency's child; KeyError if there is no driver for it."""
    driver, rooms = DRIVERS[name], HOTELS.get(name)
    return Child(
        name=f"supplier:{name}",
        factory=lambda: SupplierActor.start(
            driver=driver(tenant_id, store, clock),
            hotels=None if rooms is None else rooms(tenant_id, store, clock),
            clock=clock,
        ),
        restart=Restart.TRANSIENT,
        shutdown=SupplierActor.shutdown_timeout + 1,
        serves=True,
    )


def without_driver(names: Sequence[str]) -> list[str]:
    """Those of ``names`` nobody has written a driver for; a start refuses them."""
    return [name for name in names if name not in DRIVERS]
