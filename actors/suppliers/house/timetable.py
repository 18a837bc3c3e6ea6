"""Timetable of the embedded inventory: the flights between any two airports, every day of the year.

All of it is derived from stable hashes, never from a random generator or a hash that differs between runs: the same
question has the same answer on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from hashlib import sha256

from ...domain.travel import zone
from .places import Airline, airlines, airports, distance

SHORTEST_KM = 80
LONGEST_KM = 15_500
LONGEST_LOW_COST_KM = 5_500
LONGEST_DETOUR = 1.5
"""How much longer the route over a hub may be than the direct one."""
LAYOVER = timedelta(minutes=60)
LONGEST_LAYOVER = timedelta(hours=14)
HUBS = 10
"""Connections over a hub that are offered for one day."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One departure on one day."""

    airline: Airline
    number: int
    origin: str
    destination: str
    departs_at: datetime
    arrives_at: datetime

    @property
    def name(self) -> str:
        """``"BOM-EK500-DXB"``: unique among the flights of a day."""
        return f"{self.origin}-{self.airline.code}{self.number}-{self.destination}"


@dataclass(frozen=True, slots=True)
class Way:
    """One or two flights from one airport to another."""

    flights: tuple[Flight, ...]

    @property
    def airline(self) -> Airline:
        return self.flights[0].airline

    @property
    def kilometres(self) -> int:
        return sum(distance(flight.origin, flight.destination) for flight in self.flights)

    @property
    def name(self) -> str:
        return ".".join(flight.name for flight in self.flights)


def draw(*about: object) -> int:
    """A pseudo-random number, always the same for the same ``about``."""
    return int.from_bytes(sha256("|".join(map(str, about)).encode()).digest()[:8])


@lru_cache(maxsize=512)
def ways(origin: str, destination: str, day: date, *, direct_only: bool) -> tuple[Way, ...]:
    """Ways from one airport to another, leaving on ``day`` in local time: direct ones, then over hubs."""
    straight = [Way((flight,)) for airline in airlines() for flight in _flights(airline, origin, destination, day)]
    return tuple(straight if direct_only else [*straight, *_over_hubs(origin, destination, day)])


def _flies(airline: Airline, origin: str, destination: str) -> bool:
    if origin == destination or not (origin in airline.hubs or destination in airline.hubs):
        return False
    return SHORTEST_KM <= distance(origin, destination) <= (LONGEST_LOW_COST_KM if airline.low_cost else LONGEST_KM)


@lru_cache(maxsize=8192)
def _departures(airline: Airline, origin: str, destination: str) -> tuple[tuple[int, time], ...]:
    """Numbers and local times of an airline's flights between two airports; the same every day."""
    if not _flies(airline, origin, destination):
        return ()
    daily = 1 + draw("daily", airline.code, origin, destination) % 2
    first = 100 + draw("number", airline.code, origin, destination) % 900 * 2
    drawn = (draw("departure", airline.code, origin, destination, turn) for turn in range(daily))
    minutes = (30 + each % 276 * 5 for each in drawn)  # between half past midnight and half past eleven at night
    return tuple((first + turn, time(each // 60, each % 60)) for turn, each in enumerate(minutes))


def _flights(airline: Airline, origin: str, destination: str, day: date) -> Iterator[Flight]:
    for number, wall in _departures(airline, origin, destination):
        departs_at = datetime.combine(day, wall, zone(airports()[origin].zone)).astimezone(UTC)
        lasts = flying_time(distance(origin, destination))
        yield Flight(airline, number, origin, destination, departs_at, departs_at + lasts)


def flying_time(kilometres: int) -> timedelta:
    """Gate to gate, to five minutes: half an hour on the ground and some 800 km an hour."""
    return timedelta(minutes=round((30 + kilometres * 60 / 800) / 5) * 5)


def _over_hubs(origin: str, destination: str, day: date) -> list[Way]:
    joined = (_join(airline, origin, hub, destination, day) for airline, hub in _hubs(origin, destination))
    return [way for way in joined if way is not None]


@lru_cache(maxsize=1024)
def _hubs(origin: str, destination: str) -> tuple[tuple[Airline, str], ...]:
    """Airlines and those of their hubs with the shortest detour."""
    detours = [
        (distance(origin, hub) + distance(hub, destination), airline.code, hub, airline)
        for airline in airlines()
        for hub in sorted(airline.hubs)
        if _departures(airline, origin, hub) and _departures(airline, hub, destination)
    ]
    near = [found for found in detours if found[0] <= LONGEST_DETOUR * distance(origin, destination)]
    return tuple((airline, hub) for _km, _code, hub, airline in sorted(near, key=lambda found: found[:3])[:HUBS])


def _join(airline: Airline, origin: str, hub: str, destination: str, day: date) -> Way | None:
    """The first flight to the hub that day, and the first connecting flight that can be reached."""
    first = min(_flights(airline, origin, hub, day), key=lambda flight: flight.departs_at)
    landed = first.arrives_at.astimezone(zone(airports()[hub].zone)).date()
    onward = [
        flight
        for later in range(2)
        for flight in _flights(airline, hub, destination, landed + timedelta(days=later))
        if LAYOVER <= flight.departs_at - first.arrives_at <= LONGEST_LAYOVER
    ]
    return Way((first, min(onward, key=lambda flight: flight.departs_at))) if onward else None
