"""Numbers of documents: short and gapless, in series that fit tax law (RULINGS: at most 16 plain characters)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

NUMBER = r"^[A-Za-z0-9/-]{1,16}$"
LONGEST = 16
LARGEST_COUNT = 2**31 - 1
"""What a counter's column holds."""
MOST_PLACES = 12
MAX_SERIES = 32

_NUMBER = re.compile(NUMBER, re.ASCII)
_PART = re.compile(r"\{(fy|yy|n(?::0(\d{1,2}))?)\}|([A-Za-z0-9/-]+)", re.ASCII)


class InvalidSeries(ValueError):
    """A pattern that makes no numbers of documents."""


def is_number(text: str) -> bool:
    """Whether a document may carry this number. Unicode's other digits are none."""
    return _NUMBER.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Series:
    """A pattern of numbers, such as ``{fy}/{n:04}``, for an agency whose financial year starts in ``first_month``.

    ``{n}`` is the place in the series, ``{n:04}`` with zeros in front; ``{fy}`` the financial year, ``26-27``, with
    which the series begins again; ``{yy}`` the calendar year. Raises ``InvalidSeries``.
    """

    pattern: str
    first_month: int = 4

    def __post_init__(self) -> None:
        parts = [match.group(0) for match in _PART.finditer(self.pattern)]
        if "".join(parts) != self.pattern or sum(part.startswith("{n") for part in parts) != 1:
            raise InvalidSeries("invalid_series")
        if not is_number(self.number(1, date(2026, 12, 31))):
            raise InvalidSeries("invalid_series")

    def period(self, day: date) -> str:
        """What is counted by itself: the financial year of ``day`` if the pattern has it, else everything."""
        return self._year(day) if "{fy}" in self.pattern else ""

    def number(self, count: int, day: date) -> str:
        """The document's number at this place of the series."""

        def written(match: re.Match[str]) -> str:
            match match.group(1):
                case None:
                    return match.group(0)
                case "fy":
                    return self._year(day)
                case "yy":
                    return f"{day.year % 100:02}"
            places = int(match.group(2) or 0)
            if places > MOST_PLACES:
                raise InvalidSeries("invalid_series")
            return f"{count:0{places}}" if places else str(count)

        return _PART.sub(written, self.pattern)

    def _year(self, day: date) -> str:
        start = day.year if day.month >= self.first_month else day.year - 1
        if self.first_month == 1:
            return f"{start % 100:02}"
        return f"{start % 100:02}-{(start + 1) % 100:02}"


def check_series(pattern: str) -> str:
    """``pattern`` if it makes numbers of documents; ValueError ``invalid_series`` otherwise."""
    return Series(pattern).pattern
