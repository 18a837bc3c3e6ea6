"""How the outcome of a write is looked up: by its key, or by what it was to change."""

from __future__ import annotations

from typing import Protocol, TypeVar

from ..domain.hotels import HotelOrder
from ..domain.travel import CancelQuote, FlightOrder
from .protocols import Driver, FlightCancellation

O_co = TypeVar("O_co", FlightOrder, HotelOrder, CancelQuote, covariant=True)


class Orders(Driver, Protocol[O_co]):
    """A driver that can look up a write by its key."""

    async def find(self, key: str) -> O_co | None: ...


class ConfirmedCancels:
    """Looks up whether a quote has been confirmed, as the outcome of its confirmation."""

    def __init__(self, driver: FlightCancellation, ref: str) -> None:
        self._driver = driver
        self._ref = ref
        self.name = driver.name
        self.capabilities = driver.capabilities

    async def find(self, _key: str) -> CancelQuote | None:
        """The quote, if it has been confirmed."""
        quote = await self._driver.read_cancel(self._ref)
        return quote if quote.confirmed else None
