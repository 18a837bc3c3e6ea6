"""Hotel stays: searches, offers and bookings, independent of any supplier."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .money import Money
from .travel import COUNTRY, MAJORITY, Shape, UtcTime, Words, is_storable

Board = Literal["RO", "BB", "HB", "FB", "AI"]
"""Room only, breakfast, half board, full board, all inclusive."""
HotelStatus = Literal["pending", "requested", "confirmed", "cancelled", "failed"]


AGES_SHOWN = 9
"""Ages told in a line of text."""


def _is_none(value: object) -> bool:
    return value is None


def _is_unset(value: object) -> bool:
    return not value


class Stay(Shape):
    """From when to when, for how many. ``guests`` are all who stay, the children of ``children_ages`` among them.

    Ages are those on the day of check-in, in the order they were given. Without ``rooms`` they are as many as needed.
    """

    check_in: date
    check_out: date
    guests: int = Field(ge=1)
    rooms: int | None = Field(default=None, ge=1, exclude_if=_is_unset)
    children_ages: tuple[Annotated[int, Field(ge=0, lt=MAJORITY)], ...] = Field(default=(), exclude_if=_is_unset)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.check_out <= self.check_in:
            raise ValueError("check_out is not after check_in")
        if self.adults < 1:
            raise ValueError("children stay with an adult: guests counts everybody")
        if self.rooms is not None and self.rooms > self.adults:
            raise ValueError("each room needs an adult")
        return self

    @property
    def adults(self) -> int:
        return self.guests - len(self.children_ages)

    @property
    def text(self) -> str:
        """``"2 rooms, 4 guests, children aged 5, 8"``."""
        rooms = [] if self.rooms is None else [f"{self.rooms} room{'' if self.rooms == 1 else 's'}"]
        shown, more = self.children_ages[:AGES_SHOWN], len(self.children_ages) - AGES_SHOWN
        ages = ", ".join(map(str, shown)) + (f" and {more} more" if more > 0 else "")
        told = [f"{'child' if len(self.children_ages) == 1 else 'children'} aged {ages}"] if ages else []
        return ", ".join([*rooms, f"{self.guests} guest{'' if self.guests == 1 else 's'}", *told])

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
    rooms_left: int | None = Field(default=None, exclude_if=_is_none)

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
