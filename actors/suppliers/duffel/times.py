"""Local times without offset, as instants: by the zones of both airports and the duration that was stated."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import product
from typing import NamedTuple

from ...domain.travel import to_utc, zone
from ..airports import zone_of
from .wire import Flight, Place

_DURATION = re.compile(r"P(?:(\d{1,3})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:\d{1,6}S)?)?", re.ASCII)


class Unplaced(Exception):
    """An airport in no known time zone, or times that are none."""


class Flown(NamedTuple):
    """When and between which zones a flight goes."""

    departs_at: datetime
    arrives_at: datetime
    origin_zone: str
    destination_zone: str


def flown(flight: Flight) -> Flown:
    """The instants of a flight. A wall time that comes twice is the one that makes the stated duration."""
    origin, destination = _zone(flight.origin), _zone(flight.destination)
    departing, arriving = _wall(flight.departing_at), _wall(flight.arriving_at)
    lasts = _duration(flight.duration)
    candidates = [
        (_instant(departing, origin, first), _instant(arriving, destination, second))
        for first, second in product((0, 1), (0, 1))
    ]
    departs_at, arrives_at = next((each for each in candidates if each[1] - each[0] == lasts), candidates[0])
    return Flown(departs_at, arrives_at, origin, destination)


def _zone(place: Place) -> str:
    """The supplier's own zone first, else that of the airport's code."""
    for name in (place.time_zone, zone_of(place.iata_code)):
        try:
            if name is not None:
                zone(name)
                return name
        except (KeyError, ValueError, OSError):
            continue
    raise Unplaced("an airport without a known time zone")


def _wall(moment: datetime) -> datetime:
    if moment.tzinfo is not None:
        raise Unplaced("a local time with an offset")
    return moment


def _instant(wall: datetime, name: str, fold: int) -> datetime:
    try:
        return to_utc(wall.replace(tzinfo=zone(name), fold=fold))
    except ValueError as invalid:
        raise Unplaced("a local time outside the calendar") from invalid


def _duration(text: str | None) -> timedelta | None:
    """An ISO 8601 duration of days, hours and minutes; None for anything else."""
    match = _DURATION.fullmatch(text or "")
    if match is None:
        return None
    days, hours, minutes = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)
