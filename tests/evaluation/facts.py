"""Facts in what an agent said: amounts, references, flights, dates, times and names of the inventory."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from voyagent.actors.domain.settings import currencies

INVENTORY = Path(__file__).parents[2] / "actors/suppliers/house"
MONTHS = [f"{date(2000, month, 1):%B}".lower() for month in range(1, 13)]
SIGNS = {"₹": "INR", "$": "USD", "€": "EUR", "£": "GBP", "Rs.": "INR", "Rs": "INR"}

_AMOUNT = r"\d(?:[\d,]*\d)?(?:\.\d+)?"
_MONEY = re.compile(
    rf"(?:\b(?P<before>[A-Z]{{3}})|(?P<sign>₹|\$|€|£|\bRs\.?))\s?(?P<amount>-?{_AMOUNT})"
    rf"|(?<![\w.,])(?P<amount_before>{_AMOUNT})\s?(?P<after>[A-Z]{{3}})\b"
)
_REFERENCE = re.compile(r"\b(?=[A-Z0-9]*\d)(?=[A-Z0-9]*[A-Z])[A-Z0-9]{6}\b|\b[A-Z]{2,}-[\w/-]*\d\b")
_NAMED_REFERENCE = re.compile(r"\b(?:locator|PNR|reference|ref)\b\W{0,3}(?:is\W+)?(?P<code>[A-Z0-9]{5,8})\b")
_FLIGHT = re.compile(r"\b(?P<airline>[A-Z]{2}|[A-Z]\d|\d[A-Z])[ -]?(?P<number>\d{3,4})\b")
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})(?!\d)")
_MONTH = "|".join(name[:3] for name in MONTHS)
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({_MONTH})[a-z]*\.?,? (\d{{4}})\b", re.IGNORECASE)
_MONTH_FIRST = re.compile(rf"\b({_MONTH})[a-z]*\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})\b", re.IGNORECASE)
_TIME = re.compile(r"(?<![\d:.+-])([01]?\d|2[0-3]):([0-5]\d)(?!\d|\.\d)\s?(?P<half>[ap]\.?m\b)?", re.IGNORECASE)
_MOMENT = re.compile(r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})")


@dataclass(slots=True)
class Facts:
    """The facts of a text, each in one spelling: ``INR 45200``, ``AB12CD``, ``EK 500``, ``2027-01-28``, ``08:05``."""

    amounts: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    flights: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    times: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, text: str) -> Self:
        flights = {f"{match['airline']} {int(match['number'])}" for match in _FLIGHT.finditer(text)}
        references = {match[0] for match in _REFERENCE.finditer(text) if not _FLIGHT.fullmatch(match[0])}
        return cls(
            amounts={amount for match in _MONEY.finditer(text) if (amount := _amount(match))},
            references=references | {match["code"] for match in _NAMED_REFERENCE.finditer(text)},
            flights={flight for flight in flights if flight.split()[0] in airlines()},
            dates={day.isoformat() for day in dates(text)},
            times=set(_times(text)),
            names={name for name in names() if name in text},
        )

    def add(self, other: Facts) -> None:
        """Take the facts of ``other``, too."""
        for name in self.__slots__:
            getattr(self, name).update(getattr(other, name))

    def beyond(self, known: Facts) -> list[str]:
        """What ``known`` has not."""
        return [
            f"{name.removesuffix('s')} {fact}"
            for name in self.__slots__
            for fact in sorted(getattr(self, name) - getattr(known, name))
        ]


def of_source(text: str, zones: Iterable[str]) -> Facts:
    """The facts of a source: an exact moment is also known as its date and time in each of ``zones``."""
    facts = Facts.of(text)
    words = set(re.findall(r"\b[A-Z0-9]{5,8}\b", text))
    facts.references |= words
    for match in _MOMENT.finditer(text):
        moment = datetime.fromisoformat(match[0])
        for local in (moment, *(moment.astimezone(ZoneInfo(name)) for name in zones)):
            facts.dates.add(local.date().isoformat())
            facts.times.add(f"{local:%H:%M}")
    return facts


def split_amounts(data: object) -> set[str]:
    """The amounts that stand beside their currency in a result: ``{"currency": "INR", "amount_due": "10.00"}``."""
    if isinstance(data, list):
        return {amount for each in data for amount in split_amounts(each)}
    if not isinstance(data, dict):
        return set()
    found = {amount for value in data.values() for amount in split_amounts(value)}
    if data.get("currency") in currencies():
        plain = [value for value in data.values() if isinstance(value, str) and re.fullmatch(r"\d+(?:\.\d+)?", value)]
        found |= {f"{data['currency']} {Decimal(value).normalize():f}" for value in plain}
    return found


def _amount(match: re.Match[str]) -> str:
    currency = match["before"] or match["after"] or SIGNS[match["sign"]]
    if currency not in currencies():
        return ""
    amount = Decimal((match["amount"] or match["amount_before"]).replace(",", ""))
    return f"{currency} {amount.normalize():f}"


def dates(text: str) -> Iterator[date]:
    """The dates of a text that name their year."""
    found = [(year, month, day) for year, month, day in _ISO.findall(text)]
    found += [(year, _month(month), day) for day, month, year in _DAY_FIRST.findall(text)]
    found += [(year, _month(month), day) for month, day, year in _MONTH_FIRST.findall(text)]
    for year, month, day in found:
        try:
            yield date(int(year), int(month), int(day))
        except ValueError:
            continue


def around(today: date) -> set[str]:
    """The dates a user may mean by ``yesterday``, ``today`` and ``tomorrow``."""
    return {(today + timedelta(days=offset)).isoformat() for offset in (-1, 0, 1)}


def _month(name: str) -> int:
    return next(at for at, month in enumerate(MONTHS, 1) if month.startswith(name[:3].lower()))


def _times(text: str) -> Iterator[str]:
    for match in _TIME.finditer(_MOMENT.sub(_time_of, text)):
        hour, half = int(match[1]), (match["half"] or "")[:1].lower()
        if half:
            hour = hour % 12 + (12 if half == "p" else 0)
        yield f"{hour:02}:{match[2]}"


def _time_of(match: re.Match[str]) -> str:
    moment = datetime.fromisoformat(match[0])
    return f" {moment.astimezone(UTC):%H:%M} {moment:%H:%M} "


@cache
def airlines() -> frozenset[str]:
    """The codes of the inventory's airlines."""
    return frozenset(row["code"] for row in _rows("airlines"))


@cache
def names() -> frozenset[str]:
    """The names of the inventory's airlines and hotels that are more than one word."""
    every = {row["name"] for kind in ("airlines", "hotels") for row in _rows(kind)}
    return frozenset(name for name in every if " " in name)


def _rows(name: str) -> list[dict[str, str]]:
    with (INVENTORY / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
