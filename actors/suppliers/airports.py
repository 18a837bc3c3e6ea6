"""Time zones of airports, from public data (package airportsdata), for suppliers that leave them out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import airportsdata


@cache
def _zones() -> Mapping[str, str]:
    return {code: place["tz"] for code, place in airportsdata.load("IATA").items()}


def zone_of(airport: str) -> str | None:
    """The IANA zone of an airport by its IATA code; None for codes of cities and unknown ones."""
    return _zones().get(airport)
