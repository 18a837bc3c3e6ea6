"""What a supplier of travel can be asked, and what it answers when it cannot. Vendors' types stay in their folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..domain.errors import Refusal
from ..domain.hotels import HotelOffer, HotelOrder, HotelQuestion
from ..domain.travel import FlightOffer, FlightOrder, FlightQuestion, Passenger

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
Method = Literal["search", "price", "hold", "book", "read", "find", "check_rate"]

TROUBLE: frozenset[Code] = frozenset({"rate_limited", "transient", "timeout"})
"""Failures of the supplier rather than answers of it: they count against it, and may pass if one waits."""
NO_ANSWER: frozenset[Code] = frozenset({"transient", "timeout"})
"""Ends of a request that leave open whether the supplier has acted."""


class SupplierError(Refusal):
    """A supplier's "no" or its failure, in one of our codes. ``text`` is for humans and names nothing of its inside.

    ``unclear``: a write may have been carried out although no answer came.
    """

    def __init__(self, code: Code, text: str, *, retry_after: float | None = None, unclear: bool = False) -> None:
        super().__init__(code, retry_after=retry_after)
        self.supplier_code: Code = code
        self.text = text
        self.unclear = unclear

    @property
    def line(self) -> str:
        """``"<code>: <text>"``, as tools say it."""
        return f"{self.supplier_code}: {self.text}"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver has. Callers ask this, never its name."""

    methods: frozenset[Method]
    honours_keys: bool
    """A write sent twice with one key is carried out once."""
    looks_up: bool
    """``find`` tells what became of a write."""


class Driver(Protocol):
    """Every supplier: a name and what it can do."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...


class FlightSearch(Driver, Protocol):
    """Where flights are found."""

    async def search(self, question: FlightQuestion) -> Sequence[FlightOffer]:
        """All that is on offer; none is an answer, too."""


class FlightOrders(Driver, Protocol):
    """Where flights are bought. Each write carries our key: the id of its row in the ledger of side effects."""

    async def price(self, offer: FlightOffer) -> FlightOffer:
        """The offer as it stands now. ``not_found`` if the supplier has forgotten it or lets it go no more."""

    async def hold(self, offer: FlightOffer, passengers: Sequence[Passenger], key: str) -> FlightOrder:
        """Keep seats unpaid until ``hold_expires_at``."""

    async def book(
        self, offer: FlightOffer, passengers: Sequence[Passenger], key: str, held: str | None = None
    ) -> FlightOrder:
        """Buy at the offer's price; ``held`` is the hold's ``supplier_ref`` whose seats these are."""

    async def read(self, supplier_ref: str) -> FlightOrder:
        """An order as it stands now."""

    async def find(self, key: str) -> FlightOrder | None:
        """The order a write with ``key`` made, if any."""


class FlightSupplier(FlightSearch, FlightOrders, Protocol):
    """One that sells what it shows."""


class HotelSearch(Driver, Protocol):
    """Where rooms are found."""

    async def search(self, question: HotelQuestion) -> Sequence[HotelOffer]:
        """All that is on offer; none is an answer, too."""

    async def check_rate(self, offer: HotelOffer) -> HotelOffer:
        """The offer as it stands now. ``not_found`` if the supplier has forgotten it or lets it go no more."""


class HotelOrders(Driver, Protocol):
    """Where rooms are booked. Each write carries our key: the id of its row in the ledger of side effects."""

    async def book(self, offer: HotelOffer, guests: Sequence[Passenger], key: str) -> HotelOrder:
        """Book the offer's stay at its price for these guests."""

    async def read(self, supplier_ref: str) -> HotelOrder:
        """An order as it stands now."""

    async def find(self, key: str) -> HotelOrder | None:
        """The order a write with ``key`` made, if any."""


class HotelSupplier(HotelSearch, HotelOrders, Protocol):
    """One that sells the rooms it shows."""


class Suppliers(Protocol):
    """An agency's suppliers."""

    @property
    def flights(self) -> Sequence[FlightSupplier]:
        """All that sell flights, in the order they are set up."""

    def named(self, name: str) -> FlightSupplier | None:
        """The seller of flights called ``name``, if it is on for this agency."""

    @property
    def hotels(self) -> Sequence[HotelSupplier]:
        """All that sell rooms, in the order they are set up."""

    def hotel(self, name: str) -> HotelSupplier | None:
        """The seller of rooms called ``name``, if it is on for this agency."""
