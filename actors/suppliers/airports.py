"""Time zones and countries of airports, from public data (package airportsdata)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import airportsdata


@cache
def _places() -> Mapping[str, tuple[str, str]]:
    return {code: (place["tz"], place["country"]) for code, place in airportsdata.load("IATA").items()}


def zone_of(airport: str) -> str | None:
    """The IANA zone of an airport by its IATA code; None for codes of cities and unknown ones."""
    known = _places().get(airport)
    return None if known is None else known[0]


def country_of(airport: str) -> str | None:
    """The country of an airport by its IATA code (ISO 3166); None for codes of cities and unknown ones."""
    known = _places().get(airport)
    return None if known is None else known[1]


def crosses_borders(airports: Iterable[str]) -> bool:
    """Whether a journey over these airports may lead abroad: it does not if all are known to be in one country."""
    countries = {country_of(each) for each in airports}
    return len(countries) > 1 or None in countries
