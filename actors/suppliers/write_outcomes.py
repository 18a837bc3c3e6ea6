"""The outcome of a write: whether it is known, and how it is looked up, by its key or by what it was to change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from ..domain.hotels import HotelOrder
from ..domain.travel import CancelQuote, FlightOrder
from .protocols import NO_ANSWER, Cancellation, Driver, FlightTicketing, SupplierError

R = TypeVar("R")
O_co = TypeVar("O_co", FlightOrder, HotelOrder, CancelQuote, covariant=True)


class Orders(Driver, Protocol[O_co]):
    """A driver that can look up a write by its key."""

    async def find(self, key: str) -> O_co | None: ...


class ConfirmedCancels:
    """Looks up whether a quote has been confirmed, as the outcome of its confirmation."""

    def __init__(self, driver: Cancellation, ref: str) -> None:
        self._driver = driver
        self._ref = ref
        self.name = driver.name
        self.capabilities = driver.capabilities

    async def find(self, _key: str) -> CancelQuote | None:
        """The quote, if it has been confirmed."""
        quote = await self._driver.read_cancel(self._ref)
        return quote if quote.confirmed else None


class IssuedOrders:
    """Looks up whether an order has tickets, as the outcome of their issuing."""

    def __init__(self, driver: FlightTicketing, supplier_ref: str) -> None:
        self._driver = driver
        self._supplier_ref = supplier_ref
        self.name = driver.name
        self.capabilities = driver.capabilities

    async def find(self, _key: str) -> FlightOrder | None:
        """The order, if its tickets have been issued."""
        order = await self._driver.read(self._supplier_ref)
        return order if order.tickets else None


class WriteOutcome:
    """Whether a write may have been executed, over all its attempts and not only the last one."""

    def __init__(self) -> None:
        self.is_open = False

    async def during(self, work: Callable[[], Awaitable[R]]) -> R:
        """Track one attempt. Only a success or a definite refusal of the supplier settles its outcome."""
        before, self.is_open = self.is_open, True
        try:
            done = await work()
        except SupplierError as no:
            self.is_open = before or no.unclear or (no.sent and no.supplier_code in NO_ANSWER)
            raise
        return done
