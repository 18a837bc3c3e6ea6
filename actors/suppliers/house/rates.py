"""Hotel rates of the embedded inventory: a function of property, nights, guests, room and board, in whole cents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, Self

from ...domain.hotels import Board, HotelQuestion, Stay
from ...domain.money import Money, minor_digits
from .places import Hotel, hotels, per_usd
from .timetable import draw

ROOM_SLEEPS = 2
EXTRA_BEDS = 2
"""Beds for children beside a room's own."""
FREE_BELOW = 6
"""Years: a younger child's extra bed is free."""
EXTRA_BED = 250
"""Thousandths of a room's price for an older child's."""
BOARD_FACTOR: Mapping[Board, int] = {"RO": 1000, "BB": 1120, "HB": 1380, "FB": 1600, "AI": 1950}
MONTH_FACTOR = (1050, 980, 990, 1000, 1010, 1000, 1060, 1060, 970, 1010, 1030, 1180)
WEEKDAY_FACTOR = (960, 950, 960, 980, 1100, 1140, 1020)
"""All in thousandths; months from January, days from Monday."""


RoomKind = Literal["double", "suite"]


@dataclass(frozen=True, slots=True)
class Room:
    """A room as it is sold: its kind, board, and whether the rate is refundable."""

    code: str
    name: str
    board: Board
    refundable: bool
    factor: int
    stars: int = 1
    """The least number of stars of a property that offers it."""
    kind: RoomKind = "double"


ROOMS = (
    Room("saver", "Double room", "RO", refundable=False, factor=920),
    Room("flexible", "Double room", "RO", refundable=True, factor=1000),
    Room("breakfast", "Double room with breakfast", "BB", refundable=True, factor=1000),
    Room("half-board", "Double room with half board", "HB", refundable=True, factor=1000, stars=4),
    Room("suite", "Suite with breakfast", "BB", refundable=True, factor=1850, stars=5, kind="suite"),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """A room of a property for one stay. ``ref`` encodes all of it."""

    hotel: Hotel
    room: Room
    stay: Stay
    price: Money

    @property
    def ref(self) -> str:
        stay = self.stay
        parts = (self.hotel.id, stay.check_in, stay.check_out, _party(stay), self.price.currency, self.room.code)
        return "/".join(map(str, parts))

    @classmethod
    def of(cls, hotel: Hotel, room: Room, stay: Stay, currency: str) -> Self:
        """A priced rate; in US dollars if ``currency`` is not supported."""
        known = currency if currency in per_usd() else "USD"
        thousandths = 1000 * rooms_of(stay) + EXTRA_BED * _paid_beds(stay)
        cents = sum(_cents(hotel, room, night) for night in _nights(stay)) * thousandths // 1000
        amount = Decimal(cents) / 100 * per_usd()[known]
        return cls(
            hotel, room, stay, Money.of(amount.quantize(Decimal(1).scaleb(-minor_digits(known)), ROUND_HALF_UP), known)
        )


def rooms_of(stay: Stay) -> int:
    """The rooms asked for, else the fewest that are large enough."""
    fewest = max(-(-stay.adults // ROOM_SLEEPS), -(-stay.guests // (ROOM_SLEEPS + EXTRA_BEDS)))
    return fewest if stay.rooms is None else stay.rooms


def fits(stay: Stay) -> bool:
    """Whether everybody has a bed: adults one of a room's own, the youngest children the extra ones."""
    rooms = rooms_of(stay)
    return stay.adults <= rooms * ROOM_SLEEPS and stay.guests <= rooms * (ROOM_SLEEPS + EXTRA_BEDS)


def _paid_beds(stay: Stay) -> int:
    extra = max(0, stay.guests - rooms_of(stay) * ROOM_SLEEPS)
    return sum(age >= FREE_BELOW for age in sorted(stay.children_ages)[:extra])


def _party(stay: Stay) -> str:
    """``"2"``, or ``"4;2;5,8"`` with rooms and ages."""
    if stay.rooms is None and not stay.children_ages:
        return str(stay.guests)
    return f"{stay.guests};{stay.rooms or ''};{','.join(map(str, stay.children_ages))}"


def rates(question: HotelQuestion) -> list[Rate]:
    """All rooms of all properties of the city, in the file's order; none where there is no hotel."""
    return [
        Rate.of(hotel, room, question.stay, question.currency)
        for hotel in hotels()
        if hotel.country == question.country and _plain(hotel.city) == _plain(question.city)
        for room in _rooms(hotel)
    ]


def again(ref: str) -> Rate | None:
    """The rate of a reference, priced again; None if it is not offered."""
    try:
        hotel_id, check_in, check_out, party, currency, code = ref.split("/")
        guests, rooms, ages = party.split(";") if ";" in party else (party, "", "")
        stay = Stay(
            check_in=date.fromisoformat(check_in),
            check_out=date.fromisoformat(check_out),
            guests=int(guests),
            rooms=int(rooms) if rooms else None,
            children_ages=tuple(int(age) for age in ages.split(",")) if ages else (),
        )
    except ValueError:
        return None
    hotel = next((each for each in hotels() if each.id == hotel_id), None)
    if hotel is None:
        return None
    found = (Rate.of(hotel, room, stay, currency) for room in _rooms(hotel) if room.code == code)
    return next((rate for rate in found if rate.ref == ref), None)


def _rooms(hotel: Hotel) -> Iterator[Room]:
    return (room for room in ROOMS if hotel.stars >= room.stars)


def _nights(stay: Stay) -> Iterator[date]:
    return (stay.check_in + timedelta(days=night) for night in range(stay.nights))


def _cents(hotel: Hotel, room: Room, night: date) -> int:
    cents = hotel.usd * 100
    drawn = 900 + draw("rate", hotel.id, night) % 200
    for factor in (
        drawn,
        MONTH_FACTOR[night.month - 1],
        WEEKDAY_FACTOR[night.weekday()],
        room.factor,
        BOARD_FACTOR[room.board],
    ):
        cents = cents * factor // 1000
    return cents


def _plain(city: str) -> str:
    """A name without case and accents, as people type it."""
    letters = unicodedata.normalize("NFKD", city.casefold())
    return " ".join("".join(sign for sign in letters if not unicodedata.combining(sign)).split())
