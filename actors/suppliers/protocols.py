"""The protocols of travel suppliers and their errors. Vendors' types stay in the drivers' folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..domain.bsp import Report, StatementQuestion
from ..domain.errors import Refusal
from ..domain.hotels import HotelOffer, HotelOrder, HotelQuestion
from ..domain.travel import CancelQuote, FlightOffer, FlightOrder, FlightQuestion, Passenger

Code = Literal[
    "capability_not_supported",
    "authentication",
    "authorization",
    "rate_limited",
    "transient",
    "permanent",
    "validation_failed",
    "not_found",
    "conflict",
    "timeout",
    "breaker_open",
]
Method = Literal[
    "search",
    "price",
    "hold",
    "book",
    "read",
    "find",
    "quote_cancel",
    "read_cancel",
    "confirm_cancel",
    "issue",
    "check_rate",
    "fetch",
]

FAILURES: frozenset[Code] = frozenset({"rate_limited", "transient", "timeout"})
"""Codes of failures rather than answers: they count towards the breaker, and may be retried."""
NO_ANSWER: frozenset[Code] = frozenset({"transient", "timeout"})
"""Codes that leave open whether the supplier has acted."""


class SupplierError(Refusal):
    """A supplier's refusal or failure, by one of our codes. ``text`` is for humans, without internals of the supplier.

    ``unclear``: a write may have been executed although no answer came. ``sent``: false if the supplier has not got
    the request. ``repeatable``: false if a read must not be tried again. ``reason``: a tool's own reason for this
    refusal, where the code alone is too coarse.
    """

    def __init__(
        self,
        code: Code,
        text: str,
        *,
        retry_after: float | None = None,
        unclear: bool = False,
        sent: bool = True,
        repeatable: bool = True,
        reason: str | None = None,
    ) -> None:
        super().__init__(code, retry_after=retry_after)
        self.supplier_code: Code = code
        self.text = text
        self.unclear = unclear
        self.sent = sent
        self.repeatable = repeatable
        self.reason = reason

    @property
    def line(self) -> str:
        """``"<code>: <text>"``, as in the output of tools."""
        return f"{self.supplier_code}: {self.text}"


READ_SECONDS = 30.0
"""The time limit of a read."""
WRITE_SECONDS = 60.0
"""The time limit of a write whose driver has no other."""


def _accepts_anybody(offer: FlightOffer, persons: Sequence[Passenger]) -> Sequence[str]:
    del offer, persons
    return ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver supports. Callers depend on this, never on its name."""

    methods: frozenset[Method]
    honours_keys: bool
    """A write sent twice with one key is executed once."""
    looks_up: bool
    """``find`` returns the outcome of a write."""
    write_seconds: float = WRITE_SECONDS
    look_up_times: tuple[float, ...] = (0.0,)
    """When a write without a definite answer is looked up, in seconds after it was sent; not before it has failed."""
    tickets_follow: bool = False
    """The supplier issues tickets by itself, perhaps a while after the booking: ``issue`` reads them."""
    flaws: Callable[[FlightOffer, Sequence[Passenger]], Sequence[str]] = _accepts_anybody
    """What keeps these persons from being sent with an order, in sentences; all at once, before anybody is asked.

    Raises ``SupplierError`` for a party that the supplier would refuse.
    """

    @property
    def longest_write(self) -> float:
        """Seconds from a write's start to the end of its last look-up."""
        if not self.looks_up:
            return self.write_seconds
        return max(self.write_seconds, *self.look_up_times) + len(self.look_up_times) * READ_SECONDS


class Driver(Protocol):
    """A supplier's driver: its name and capabilities."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...


class FlightSearch(Driver, Protocol):
    """Searches flights."""

    async def search(self, question: FlightQuestion) -> Sequence[FlightOffer]:
        """All offers; an empty result is valid."""


class FlightOrders(Driver, Protocol):
    """Prices, holds and books flights. Each write carries an idempotency key: the id of its tool call."""

    async def price(self, offer: FlightOffer) -> FlightOffer:
        """The offer at its current price. ``not_found`` if the supplier no longer knows or sells it."""

    async def hold(self, offer: FlightOffer, passengers: Sequence[Passenger], key: str) -> FlightOrder:
        """Hold seats without payment until ``hold_expires_at``."""

    async def book(
        self, offer: FlightOffer, passengers: Sequence[Passenger], key: str, held: str | None = None
    ) -> FlightOrder:
        """Book at the offer's price; ``held`` is the ``supplier_ref`` of the hold on these seats."""

    async def read(self, supplier_ref: str) -> FlightOrder:
        """The current state of an order."""

    async def find(self, key: str) -> FlightOrder | None:
        """The order that a write with ``key`` created or paid, if any."""


class FlightSupplier(FlightSearch, FlightOrders, Protocol):
    """A supplier with both search and booking of flights."""


class Cancellation(Driver, Protocol):
    """Cancels orders by two calls, so that a human can decide on what the first one brought."""

    async def quote_cancel(self, supplier_ref: str) -> CancelQuote:
        """What cancelling an order would bring. A later quote of the same order replaces this one."""

    async def read_cancel(self, ref: str) -> CancelQuote:
        """The quote as it stands, and whether it has been confirmed."""

    async def confirm_cancel(self, ref: str, key: str) -> CancelQuote:
        """Cancel the order as quoted."""


class FlightTicketing(Driver, Protocol):
    """Issues tickets of booked flights."""

    async def read(self, supplier_ref: str) -> FlightOrder:
        """The current state of an order."""

    async def issue(self, supplier_ref: str, key: str) -> FlightOrder:
        """Issue an order's tickets, or return those there are. ``tickets_not_ready`` if they follow later."""


class CancellationDesk(Cancellation, Protocol):
    """Cancellation as tools see it."""

    async def read_cancel(self, ref: str, key: str | None = None) -> CancelQuote:
        """The quote as it stands; with ``key`` after that confirmation has ended, if it is under way."""


class FlightDesk(FlightSupplier, CancellationDesk, FlightTicketing, Protocol):
    """A supplier of flights as tools see it. What it does not support is refused."""

    async def read(self, supplier_ref: str, key: str | None = None) -> FlightOrder:
        """The current state of an order; with ``key`` after that write has ended, if it is under way."""


class HotelSearch(Driver, Protocol):
    """Searches rooms."""

    async def search(self, question: HotelQuestion) -> Sequence[HotelOffer]:
        """All offers; an empty result is valid."""

    async def check_rate(self, offer: HotelOffer) -> HotelOffer:
        """The offer at its current price. ``not_found`` if the supplier no longer knows or sells it."""


class HotelOrders(Driver, Protocol):
    """Books rooms. Each write carries an idempotency key: the id of its tool call."""

    async def book(self, offer: HotelOffer, guests: Sequence[Passenger], key: str) -> HotelOrder:
        """Book the offer's stay at its price for these guests."""

    async def read(self, supplier_ref: str) -> HotelOrder:
        """The current state of an order."""

    async def find(self, key: str) -> HotelOrder | None:
        """The order that a write with ``key`` created, if any."""


class HotelSupplier(HotelSearch, HotelOrders, Protocol):
    """A supplier with both search and booking of rooms."""


class HotelDesk(HotelSupplier, CancellationDesk, Protocol):
    """A supplier of rooms as tools see it. What it does not support is refused."""


class Statements(Driver, Protocol):
    """Fetches statements of a settlement plan."""

    async def fetch(self, question: StatementQuestion) -> Report:
        """The statement of exactly this country and period, for the agency's own numbers, verified."""


class Suppliers(Protocol):
    """An agency's suppliers."""

    @property
    def flights(self) -> Sequence[FlightSupplier]:
        """All suppliers of flights, in the order of the configuration."""

    def named(self, name: str) -> FlightDesk | None:
        """The supplier of flights called ``name``, if it is enabled for this agency."""

    @property
    def hotels(self) -> Sequence[HotelSupplier]:
        """All suppliers of rooms, in the order of the configuration."""

    def hotel(self, name: str) -> HotelDesk | None:
        """The supplier of rooms called ``name``, if it is enabled for this agency."""

    @property
    def statements(self) -> Statements | None:
        """Where the agency's statements come from, if that is set up."""
