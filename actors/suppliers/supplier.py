"""The actor of one supplier of one agency: it runs the driver's requests within limits.

A write belongs to this actor by its key, the id of its tool call: it goes on when its caller has stopped, and
a repeated request with the same key gets the result of the one under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, assert_never, cast

from ..domain.bsp import Report, StatementQuestion
from ..domain.errors import Unavailable
from ..domain.hotels import HotelOffer, HotelOrder, HotelQuestion
from ..domain.travel import CancelQuote, FlightOffer, FlightOrder, FlightQuestion, Passenger
from ..foundation import log
from ..foundation.clock import Clock, Timer
from ..runtime.actor import Actor, Message, NoReply
from .limits import Limits
from .protocols import (
    READ_SECONDS,
    Cancellation,
    FlightSupplier,
    FlightTicketing,
    HotelSupplier,
    Statements,
    SupplierError,
)
from .write_outcomes import ConfirmedCancels, IssuedOrders, O_co, Orders, WriteOutcome

R = TypeVar("R")
_log = log.get(__name__)

Kind = Literal["flight", "hotel"]

IDLE_SECONDS = 900.0
"""Seconds without requests after which a supplier's actor is passivated, unless its breaker is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSupplier(Message[R]):
    """Routes a message to one supplier of one agency."""

    tenant_id: str
    supplier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(ToSupplier[Sequence[FlightOffer]]):
    """Search flights."""

    question: FlightQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(ToSupplier[FlightOffer]):
    """Re-price an offer."""

    offer: FlightOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(ToSupplier[FlightOrder]):
    """Read an order; a write under way with ``key`` is awaited."""

    supplier_ref: str
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(ToSupplier[FlightOrder | None]):
    """Look up the outcome of a write; one still under way is awaited."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(ToSupplier[FlightOrder]):
    """Hold seats without payment."""

    offer: FlightOffer
    passengers: tuple[Passenger, ...]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Book(ToSupplier[FlightOrder]):
    """Book a flight; ``held`` is the hold on its seats."""

    offer: FlightOffer
    passengers: tuple[Passenger, ...]
    key: str
    held: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteCancel(ToSupplier[CancelQuote]):
    """Ask what cancelling an order would bring."""

    supplier_ref: str
    of: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCancel(ToSupplier[CancelQuote]):
    """Read a quote; a confirmation under way with ``key`` is awaited."""

    ref: str
    of: Kind
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmCancel(ToSupplier[CancelQuote]):
    """Cancel an order as quoted."""

    ref: str
    of: Kind
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue(ToSupplier[FlightOrder]):
    """Issue the tickets of an order."""

    supplier_ref: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHotels(ToSupplier[Sequence[HotelOffer]]):
    """Search rooms."""

    question: HotelQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRate(ToSupplier[HotelOffer]):
    """Re-price a hotel rate."""

    offer: HotelOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStay(ToSupplier[HotelOrder]):
    """Read an order of rooms."""

    supplier_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindStay(ToSupplier[HotelOrder | None]):
    """Look up the outcome of a room's booking; one still under way is awaited."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookStay(ToSupplier[HotelOrder]):
    """Book a room."""

    offer: HotelOffer
    guests: tuple[Passenger, ...]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch(ToSupplier[Report]):
    """Fetch a statement."""

    question: StatementQuestion


class WriteCut(Unavailable):
    """503 ``agent_runtime_unavailable``: the supplier's actor stopped while a write was under way.

    The calling pass ends; resumed, it looks the write up by its key.
    """

    def __init__(self) -> None:
        super().__init__("agent_runtime_unavailable")


Flights = Search | Price | Read | Find | Hold | Book
Cancellations = QuoteCancel | ReadCancel | ConfirmCancel
Protocol = Flights | Cancellations | Issue | SearchHotels | CheckRate | ReadStay | FindStay | BookStay | Fetch


class SupplierActor(Actor[Protocol]):
    """Breaker, rate limit, time limits and retries around one supplier's drivers, of what it has."""

    shutdown_timeout: ClassVar[float] = 10.0
    """Seconds a write under way gets at shutdown; a longer one is looked up after the next start."""

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        flights: FlightSupplier | None = None,
        hotels: HotelSupplier | None = None,
        statements: Statements | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
        tenant_id: str | None = None,
    ) -> None:
        """``close`` releases what the drivers hold, once their writes have ended. ``tenant_id`` is for the log."""
        super().__init__()
        self.log_scope = log.Scope(tenant=tenant_id)
        self.name = name
        self.flights = flights
        self.hotels = hotels
        self.statements = statements
        self.close = close
        self.clock = clock
        self.limits = Limits(name, clock)
        self.writes: dict[str, asyncio.Task[Any]] = {}
        self.asked_at = clock.monotonic()
        self.idle_timer: Timer | None = None

    async def initialise(self) -> None:
        self._check_idle_later()

    async def receive(self, message: Protocol) -> Any:  # noqa: C901 -- one match, one line a case
        self.asked_at = self.clock.monotonic()
        match message:
            case Search(question=flights):
                return self.reply_later(self._reading(lambda: self._flights().search(flights)))
            case Price(offer=fare):
                return self.reply_later(self._reading(lambda: self._flights().price(fare)))
            case Read(supplier_ref=ref, key=awaited):
                return self._after(awaited, lambda: self._flights().read(ref))
            case Find(key=key):
                return self._after(key, lambda: self._flights().find(key))
            case Hold(offer=fare, passengers=persons, key=key):
                return self._writing(self._flights(), key, lambda: self._flights().hold(fare, persons, key))
            case Book(offer=fare, passengers=persons, key=key, held=held):
                return self._writing(self._flights(), key, lambda: self._flights().book(fare, persons, key, held))
            case QuoteCancel() | ReadCancel() | ConfirmCancel():
                return self._cancelling(message)
            case Issue(supplier_ref=ref, key=key):
                return self._issuing(ref, key)
            case SearchHotels(question=stays):
                rooms = self._rooms()
                return self.reply_later(self._reading(lambda: rooms.search(stays)))
            case CheckRate(offer=rate):
                rooms = self._rooms()
                return self.reply_later(self._reading(lambda: rooms.check_rate(rate)))
            case ReadStay(supplier_ref=ref):
                rooms = self._rooms()
                return self.reply_later(self._reading(lambda: rooms.read(ref)))
            case FindStay(key=key):
                rooms = self._rooms()
                return self._after(key, lambda: rooms.find(key))
            case BookStay(offer=rate, guests=guests, key=key):
                rooms = self._rooms()
                return self._writing(rooms, key, lambda: rooms.book(rate, guests, key))
            case Fetch(question=asked):
                statements = self._statements()
                return self.reply_later(self._reading(lambda: statements.fetch(asked)))
            case _:
                assert_never(message)

    def _cancelling(self, message: Cancellations) -> NoReply:
        seller = self._flights() if message.of == "flight" else self._rooms()
        if "confirm_cancel" not in seller.capabilities.methods:
            raise SupplierError("capability_not_supported", "this supplier cancels nothing by itself")
        driver = cast("Cancellation", seller)
        match message:
            case QuoteCancel(supplier_ref=ref):
                return self.reply_later(self._reading(lambda: driver.quote_cancel(ref)))
            case ReadCancel(ref=ref, key=awaited):
                return self._after(awaited, lambda: driver.read_cancel(ref))
            case ConfirmCancel(ref=ref, key=key):
                confirmed = ConfirmedCancels(driver, ref)
                return self._writing(confirmed, key, lambda: driver.confirm_cancel(ref, key))
            case _:
                assert_never(message)

    def _issuing(self, ref: str, key: str) -> NoReply:
        flights = self._flights()
        if "issue" not in flights.capabilities.methods:
            raise SupplierError("capability_not_supported", "this supplier issues no tickets by request")
        driver = cast("FlightTicketing", flights)
        return self._writing(IssuedOrders(driver, ref), key, lambda: driver.issue(ref, key))

    def _flights(self) -> FlightSupplier:
        if self.flights is None:
            raise SupplierError("capability_not_supported", "this supplier sells no flights")
        return self.flights

    def _rooms(self) -> HotelSupplier:
        if self.hotels is None:
            raise SupplierError("capability_not_supported", "this supplier sells no rooms")
        return self.hotels

    def _statements(self) -> Statements:
        if self.statements is None:
            raise SupplierError("capability_not_supported", "this supplier has no statements")
        return self.statements

    async def terminate(self, _failure: BaseException | None) -> None:
        """Wait for writes under way; those that take longer outlive the actor."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        self.limits.breaker.close()
        if self.writes:
            await asyncio.wait(self.writes.values())
        if self.close is not None:
            await self.close()

    async def _reading(self, work: Callable[[], Awaitable[R]]) -> R:
        return await self.limits.attempts(work, READ_SECONDS, repeat=True)

    def _after(self, key: str | None, work: Callable[[], Awaitable[R]]) -> NoReply:
        """Read; with the key of a write look its outcome up, once it is no longer under way."""
        if key is None:
            return self.reply_later(self._reading(work))
        return self.reply_later(self._looking_up(self.writes.get(key), work))

    async def _looking_up(self, writing: asyncio.Task[Any] | None, work: Callable[[], Awaitable[R]]) -> R:
        if writing is not None:
            await asyncio.wait({writing})
        return await self._look_up(work)

    async def _look_up(self, work: Callable[[], Awaitable[R]]) -> R:
        return await self.limits.attempts(work, READ_SECONDS, repeat=True, exempt=True)

    def _writing(self, driver: Orders[O_co], key: str, work: Callable[[], Awaitable[O_co]]) -> NoReply:
        """Begin a write, or join the one under way with this key. It goes on when its callers have stopped."""
        writing: asyncio.Task[O_co] | None = self.writes.get(key)
        if writing is None:
            writing = self.writes[key] = asyncio.get_running_loop().create_task(
                self._write(driver, key, work), name=f"{driver.name}.write"
            )
            writing.add_done_callback(lambda done: self._written(key, done))
        return self.reply_later(_shielded(writing))

    def _written(self, key: str, done: asyncio.Task[Any]) -> None:
        failure = None if done.cancelled() else done.exception()
        if failure is not None:
            _log.warning("supplier_write_failed", supplier=self.name, key=key, exc_info=failure)
        self.run_soon(lambda: self._forget_write(key))

    def _forget_write(self, key: str) -> None:
        del self.writes[key]

    async def _write(self, driver: Orders[O_co], key: str, work: Callable[[], Awaitable[O_co]]) -> O_co:
        """Write once. A missing answer is no refusal: the outcome is looked up where the driver supports it.

        Once an attempt had no definite answer, no later one gives it: each result but success is looked up, and a
        write that is not found may still be executed.
        """
        can, doubt, sent_at = driver.capabilities, WriteOutcome(), self.clock.monotonic()
        try:
            return await self.limits.attempts(lambda: doubt.during(work), can.write_seconds, repeat=can.honours_keys)
        except SupplierError as failure:
            if not doubt.is_open:
                raise
            unclear = SupplierError(failure.supplier_code, failure.text, unclear=True)
            cause: Exception = failure
        except Exception as defect:  # noqa: BLE001  # whatever failed, the supplier may have acted
            _log.error("supplier_driver_failed", supplier=driver.name, key=key, exc_info=defect)
            unclear = SupplierError("transient", "the supplier's driver failed", unclear=True)
            cause = defect
        if not can.looks_up:
            raise unclear from cause
        for at in can.look_up_times:
            await self.clock.sleep(sent_at + at - self.clock.monotonic())
            try:
                found = await self._look_up(lambda: driver.find(key))
            except Exception as failure:  # noqa: BLE001  # the write's outcome stays open, whatever failed
                cause = failure
                continue
            if found is not None:
                return found
        raise unclear from cause

    def _check_idle_later(self) -> None:
        self.idle_timer = self.clock.call_later(IDLE_SECONDS, lambda: self.run_soon(self._check_idle))

    def _check_idle(self) -> None:
        """Passivate after a quiet time, unless a write is under way or the breaker would forget that it is open."""
        self._check_idle_later()
        is_idle = self.clock.monotonic() - self.asked_at >= IDLE_SECONDS
        if is_idle and not self.writes and not self.limits.breaker.is_open:
            self.request_passivation()


async def _shielded(writing: asyncio.Task[R]) -> R:
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError:
        raise WriteCut from None  # only the actor's stop cancels this task
