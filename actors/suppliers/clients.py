"""Suppliers as tools see them: a protocol's methods, each a message to the supplier's actor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ..domain.bsp import Report, StatementQuestion
from ..domain.errors import Unavailable
from ..domain.hotels import HotelOffer, HotelOrder, HotelQuestion
from ..domain.travel import CancelQuote, FlightOffer, FlightOrder, FlightQuestion, Passenger
from ..foundation import log
from ..runtime.actor import ActorFailed, DeadlineExceeded, Recipient
from .drivers import SUPPLIERS
from .protocols import READ_SECONDS, Capabilities, FlightSupplier, HotelSupplier, SupplierError
from .supplier import (
    Book,
    BookStay,
    CheckRate,
    ConfirmCancel,
    Fetch,
    Find,
    FindStay,
    Hold,
    Issue,
    Kind,
    Price,
    QuoteCancel,
    Read,
    ReadCancel,
    ReadStay,
    Search,
    SearchHotels,
    ToSupplier,
    WriteCut,
)

R = TypeVar("R")
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _SupplierClient:
    """Client of one supplier of one agency."""

    tenant_id: str
    name: str
    capabilities: Capabilities
    to: Recipient
    """The recipient that routes ``ToSupplier``: the root actor, the agency's, or the supplier's own."""

    async def _read(self, message: ToSupplier[R]) -> R:
        return await self._ask(message, READ_SECONDS, writes=False)

    async def _find(self, message: ToSupplier[R]) -> R:
        return await self._ask(message, self.capabilities.longest_write + READ_SECONDS, writes=False)

    async def _write(self, message: ToSupplier[R]) -> R:
        return await self._ask(message, self.capabilities.longest_write, writes=True)

    async def _ask(self, message: ToSupplier[R], within: float, *, writes: bool) -> R:
        """Ask the supplier's actor, with its deadline and some slack. Failures become ``SupplierError``."""
        try:
            return await self.to.ask(message, within=within + 5)
        except WriteCut:
            raise  # the pass ends here; resumed, it looks the write up
        except DeadlineExceeded as late:
            raise SupplierError("timeout", "no answer in time", unclear=writes) from late
        except Unavailable as unavailable:
            if unavailable.code == "not_ready":  # another process may serve this agency: this pass reports nothing
                raise
            raise SupplierError("transient", "the supplier cannot be asked now") from unavailable
        except ActorFailed as failed:
            _log.error("supplier_failed", supplier=self.name, exc_info=failed)
            raise SupplierError("transient", "the supplier's driver failed", unclear=writes) from failed


class _CancellationClient(_SupplierClient):
    """Cancels orders of one kind."""

    __slots__ = ()
    kind: ClassVar[Kind]

    async def quote_cancel(self, supplier_ref: str) -> CancelQuote:
        return await self._read(
            QuoteCancel(tenant_id=self.tenant_id, supplier=self.name, supplier_ref=supplier_ref, of=self.kind)
        )

    async def read_cancel(self, ref: str, key: str | None = None) -> CancelQuote:
        """The quote; with ``key`` after that confirmation has ended, if it is under way."""
        return await self._find(
            ReadCancel(tenant_id=self.tenant_id, supplier=self.name, ref=ref, key=key, of=self.kind)
        )

    async def confirm_cancel(self, ref: str, key: str) -> CancelQuote:
        return await self._write(
            ConfirmCancel(tenant_id=self.tenant_id, supplier=self.name, ref=ref, key=key, of=self.kind)
        )


class FlightClient(_CancellationClient):
    """Searches, holds, books, issues and cancels flights."""

    __slots__ = ()
    kind = "flight"

    async def search(self, question: FlightQuestion) -> Sequence[FlightOffer]:
        return await self._read(Search(tenant_id=self.tenant_id, supplier=self.name, question=question))

    async def price(self, offer: FlightOffer) -> FlightOffer:
        return await self._read(Price(tenant_id=self.tenant_id, supplier=self.name, offer=offer))

    async def read(self, supplier_ref: str, key: str | None = None) -> FlightOrder:
        """The order; with ``key`` after that write has ended, if it is under way."""
        return await self._find(Read(tenant_id=self.tenant_id, supplier=self.name, supplier_ref=supplier_ref, key=key))

    async def find(self, key: str) -> FlightOrder | None:
        return await self._find(Find(tenant_id=self.tenant_id, supplier=self.name, key=key))

    async def hold(self, offer: FlightOffer, passengers: Sequence[Passenger], key: str) -> FlightOrder:
        return await self._write(
            Hold(tenant_id=self.tenant_id, supplier=self.name, offer=offer, passengers=tuple(passengers), key=key)
        )

    async def book(
        self, offer: FlightOffer, passengers: Sequence[Passenger], key: str, held: str | None = None
    ) -> FlightOrder:
        return await self._write(
            Book(
                tenant_id=self.tenant_id,
                supplier=self.name,
                offer=offer,
                passengers=tuple(passengers),
                key=key,
                held=held,
            )
        )

    async def issue(self, supplier_ref: str, key: str) -> FlightOrder:
        return await self._write(
            Issue(tenant_id=self.tenant_id, supplier=self.name, supplier_ref=supplier_ref, key=key)
        )


class HotelClient(_CancellationClient):
    """Searches, books and cancels rooms."""

    __slots__ = ()
    kind = "hotel"

    async def search(self, question: HotelQuestion) -> Sequence[HotelOffer]:
        return await self._read(SearchHotels(tenant_id=self.tenant_id, supplier=self.name, question=question))

    async def check_rate(self, offer: HotelOffer) -> HotelOffer:
        return await self._read(CheckRate(tenant_id=self.tenant_id, supplier=self.name, offer=offer))

    async def read(self, supplier_ref: str) -> HotelOrder:
        return await self._read(ReadStay(tenant_id=self.tenant_id, supplier=self.name, supplier_ref=supplier_ref))

    async def find(self, key: str) -> HotelOrder | None:
        return await self._find(FindStay(tenant_id=self.tenant_id, supplier=self.name, key=key))

    async def book(self, offer: HotelOffer, guests: Sequence[Passenger], key: str) -> HotelOrder:
        return await self._write(
            BookStay(tenant_id=self.tenant_id, supplier=self.name, offer=offer, guests=tuple(guests), key=key)
        )


class StatementsClient(_SupplierClient):
    """Fetches statements."""

    __slots__ = ()

    async def fetch(self, question: StatementQuestion) -> Report:
        return await self._read(Fetch(tenant_id=self.tenant_id, supplier=self.name, question=question))


class AgencySuppliers:
    """The suppliers enabled for one agency."""

    def __init__(self, tenant_id: str, names: Sequence[str], to: Recipient) -> None:
        known = {name: SUPPLIERS[name] for name in names}
        self._flights = {
            name: FlightClient(tenant_id, name, can, to)
            for name, supplier in known.items()
            if (can := supplier.flights) is not None
        }
        self._hotels = {
            name: HotelClient(tenant_id, name, can, to)
            for name, supplier in known.items()
            if (can := supplier.hotels) is not None
        }
        self._statements = [
            StatementsClient(tenant_id, name, can, to)
            for name, supplier in known.items()
            if (can := supplier.statements) is not None
        ]

    @property
    def flights(self) -> Sequence[FlightSupplier]:
        return tuple(self._flights.values())

    def named(self, name: str) -> FlightClient | None:
        return self._flights.get(name)

    @property
    def hotels(self) -> Sequence[HotelSupplier]:
        return tuple(self._hotels.values())

    def hotel(self, name: str) -> HotelClient | None:
        return self._hotels.get(name)

    @property
    def statements(self) -> StatementsClient | None:
        return self._statements[0] if self._statements else None
