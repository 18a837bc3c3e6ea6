"""Hotel stays: searches, offers and bookings, independent of any supplier."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from .money import Money
from .travel import COUNTRY, Shape, UtcTime, Words, is_storable

Board = Literal["RO", "BB", "HB", "FB", "AI"]
"""Room only, breakfast, half board, full board, all inclusive."""
HotelStatus = Literal["pending", "requested", "confirmed", "cancelled", "failed"]


class Stay(Shape):
    """From when to when, for how many."""

    check_in: date
    check_out: date
    guests: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.check_out <= self.check_in:
            raise ValueError("check_out is not after check_in")
        return self

    @property
    def nights(self) -> int:
        return (self.check_out - self.check_in).days


class HotelQuestion(Shape):
    """What a hotel search is asked. ``currency`` is preferred; a supplier may answer in another."""

    country: str = Field(pattern=COUNTRY)
    city: str = Field(min_length=1)
    stay: Stay
    currency: str = Field(pattern="^[A-Z]{3}$")


class Property(Shape):
    """A hotel, as its supplier names it."""

    id: str
    name: Words
    address: Words | None = None
    city: Words
    country: str = Field(pattern=COUNTRY)
    star_rating: int | None = Field(default=None, ge=1, le=5)


class HotelOffer(Shape):
    """A rate that can be booked until it expires; ``id`` is its rate key and ``price`` that of the whole stay."""

    id: str
    supplier: str
    supplier_ref: str
    property: Property
    room: Words
    board: Board
    price: Money
    is_refundable: bool
    cancellation: Words | None = None
    stay: Stay
    expires_at: UtcTime

    def alive(self, now: datetime) -> bool:
        """Whether it can still be had; at its expiry it cannot."""
        return now < self.expires_at

    def can_be_kept(self) -> bool:
        """Whether what would be booked can be written down."""
        kept = (self.id, self.supplier_ref, self.property.id)
        return self.price.is_price and all(is_storable(text) for text in kept)


class HotelOrder(Shape):
    """A supplier's record of a room: booked or cancelled."""

    supplier: str
    supplier_ref: Words
    status: HotelStatus
    price: Money
