"""Static data of the embedded inventory: airports, airlines, hotels and currency factors, read once from CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from math import asin, cos, radians, sin, sqrt
from pathlib import Path

EARTH_KM = 6371


@dataclass(frozen=True, slots=True)
class Airport:
    """An airport and its IANA time zone. ``metro`` is the IATA code of its city if that has several."""

    code: str
    metro: str
    city: str
    country: str
    zone: str
    latitude: float
    longitude: float

    @property
    def city_code(self) -> str:
        """The code of its city, which is its own where it is alone."""
        return self.metro or self.code


@dataclass(frozen=True, slots=True)
class Airline:
    """An airline and the airports it flies from and to.

    ``accounting`` is the airline's three digits in ticket numbers, ``000`` where it is not known here.
    """

    code: str
    name: str
    hubs: frozenset[str]
    low_cost: bool
    accounting: str


@dataclass(frozen=True, slots=True)
class Hotel:
    """A property, with the price of a double room on an ordinary night, in USD."""

    id: str
    name: str
    city: str
    country: str
    stars: int
    usd: int

    @property
    def zone(self) -> str:
        """The IANA time zone, which is that of its city's airports."""
        return _city_zones()[self.country, self.city]


@cache
def _city_zones() -> Mapping[tuple[str, str], str]:
    return {(airport.country, airport.city): airport.zone for airport in airports().values()}


@cache
def airports() -> Mapping[str, Airport]:
    """By IATA code, in the file's order."""
    return {
        row["code"]: Airport(
            code=row["code"],
            metro=row["metro"],
            city=row["city"],
            country=row["country"],
            zone=row["zone"],
            latitude=float(row["latitude"]),
            longitude=float(row["longitude"]),
        )
        for row in _rows("airports")
    }


@cache
def airlines() -> tuple[Airline, ...]:
    """In the file's order."""
    return tuple(
        Airline(row["code"], row["name"], frozenset(row["hubs"].split()), row["low_cost"] == "yes", row["accounting"])
        for row in _rows("airlines")
    )


@cache
def airline(code: str) -> Airline:
    """By its IATA code; KeyError for an unknown one."""
    return {each.code: each for each in airlines()}[code]


@cache
def hotels() -> tuple[Hotel, ...]:
    """In the file's order."""
    return tuple(
        Hotel(row["id"], row["name"], row["city"], row["country"], int(row["stars"]), int(row["usd"]))
        for row in _rows("hotels")
    )


def hotel_zone(hotel_id: str) -> str:
    """The time zone of a property; StopIteration for an unknown one."""
    return next(hotel.zone for hotel in hotels() if hotel.id == hotel_id)


@cache
def per_usd() -> Mapping[str, Decimal]:
    """Units of each currency per US dollar. Fixed, so that fares do not depend on the day of the search."""
    return {row["currency"]: Decimal(row["per_usd"]) for row in _rows("currencies")}


def served(code: str) -> tuple[Airport, ...]:
    """The airports behind an airport's or a city's code; none if both are unknown."""
    known = airports()
    if code in known:
        return (known[code],)
    return tuple(airport for airport in known.values() if airport.metro == code)


@cache
def distance(one: str, other: str) -> int:
    """Kilometres between two airports along the great circle, to the nearest ten: the same on every machine."""
    here, there = airports()[one], airports()[other]
    north, east = radians(there.latitude - here.latitude), radians(there.longitude - here.longitude)
    across = sin(north / 2) ** 2 + cos(radians(here.latitude)) * cos(radians(there.latitude)) * sin(east / 2) ** 2
    return round(2 * EARTH_KM * asin(sqrt(across)) / 10) * 10


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (Path(__file__).parent / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, strict=True)
