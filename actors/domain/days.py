"""Calendar days of a time zone, as instants."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_DAY: Final = timedelta(days=1)


def start_of(day: date, zone: tzinfo) -> datetime:
    """The first instant of ``day`` in ``zone``, in UTC.

    Where clocks are put forward at midnight, it is the one at which they are. At either end of the calendar it is the
    nearest instant that a ``datetime`` holds.
    """
    try:
        return datetime.combine(day, time.min, zone).astimezone(UTC)
    except OverflowError:
        return FIRST if day.year == 1 else LAST


def end_of(day: date, zone: tzinfo) -> datetime | None:
    """The first instant after ``day`` in ``zone``, in UTC; None for the last day of the calendar."""
    return None if day == date.max else start_of(day + _DAY, zone)
