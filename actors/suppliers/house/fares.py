"""Fares of the embedded inventory: a function of route, date, cabin and party, in whole cents until the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Self

from ...domain.money import Money, minor_digits
from ...domain.persons import ADULT_FROM
from ...domain.travel import Cabin, FlightQuestion, Party, PassengerType
from .places import Airport, per_usd, served
from .timetable import LAYOVER, Way, draw, ways

CABIN_FACTOR: Mapping[Cabin, int] = {"economy": 1000, "premium_economy": 1600, "business": 3200, "first": 4800}
PERSON_FACTOR: Mapping[PassengerType, int] = {"adult": 1000, "child": 750, "infant": 100, "senior": 920}
MONTH_FACTOR = (1020, 920, 960, 1010, 1060, 1080, 1120, 1060, 940, 980, 960, 1180)
WEEKDAY_FACTOR = (970, 940, 950, 1000, 1080, 1020, 1060)
"""All in thousandths; months from January, days from Monday."""

FIRST_FROM_KM = 3_000
"""Shorter flights have no first class."""


@dataclass(frozen=True, slots=True)
class Itinerary:
    """A way out, optionally a way back, and the party's fare. ``ref`` encodes the question and the choice."""

    ref: str
    out: Way
    back: Way | None
    price: Money


@dataclass(frozen=True, slots=True)
class Choice:
    """A decoded reference of the embedded inventory."""

    question: FlightQuestion
    flights: str

    @classmethod
    def read(cls, ref: str) -> Self:
        """Decode a reference. ValueError if it is not valid."""
        origin, destination, there, back, cabin, party, currency, kind, flights = ref.split("/")
        numbers, _, years = party.partition(":")
        adult, child, infant, senior = (int(count) for count in numbers.split("."))
        question = FlightQuestion(
            origin=origin,
            destination=destination,
            outbound_date=date.fromisoformat(there),
            return_date=None if back == "-" else date.fromisoformat(back),
            party=Party(adult=adult, child=child, infant=infant, senior=senior),
            ages=tuple(int(age) for age in years.split(".")) if years else (),
            cabin=cabin,  # type: ignore[arg-type]  # pydantic looks at it
            direct_only=kind == "direct",
            currency=currency,
        )
        return cls(question, flights)

    @property
    def ref(self) -> str:
        asked = self.question
        back = "-" if asked.return_date is None else asked.return_date.isoformat()
        counts = (asked.party.adult, asked.party.child, asked.party.infant, asked.party.senior)
        ages = f":{'.'.join(map(str, sorted(asked.ages)))}" if asked.ages else ""
        return "/".join(
            (
                asked.origin,
                asked.destination,
                asked.outbound_date.isoformat(),
                back,
                asked.cabin,
                ".".join(map(str, counts)) + ages,
                asked.currency,
                "direct" if asked.direct_only else "any",
                self.flights,
            )
        )


def itineraries(question: FlightQuestion) -> list[Itinerary]:
    """All itineraries for a question, cheapest first."""
    found = [
        _priced(question, out, back)
        for origin, destination in _pairs(question.origin, question.destination)
        for out, back in _trips(question, origin.code, destination.code)
    ]
    return sorted(found, key=lambda itinerary: (itinerary.price.amount, itinerary.ref))


def again(ref: str) -> Itinerary | None:
    """The itinerary of a reference, priced again; None if it is not offered."""
    try:
        choice = Choice.read(ref)
    except ValueError:
        return None
    return next((found for found in itineraries(choice.question) if found.ref == ref), None)


def _pairs(origin: str, destination: str) -> Iterator[tuple[Airport, Airport]]:
    return ((start, end) for start in served(origin) for end in served(destination) if start != end)


def _trips(question: FlightQuestion, origin: str, destination: str) -> Iterator[tuple[Way, Way | None]]:
    out = _with_cabin(
        ways(origin, destination, question.outbound_date, direct_only=question.direct_only), question.cabin
    )
    if question.return_date is None:
        yield from ((way, None) for way in out)
        return
    back = _with_cabin(
        ways(destination, origin, question.return_date, direct_only=question.direct_only), question.cabin
    )
    for way in out:
        landed = way.flights[-1].arrives_at
        reachable = [home for home in back if home.flights[0].departs_at >= landed + LAYOVER]
        if reachable:
            yield way, min(reachable, key=lambda home: _likeness(way, home))


def _likeness(out: Way, back: Way) -> tuple[bool, int, str]:
    """Sort key of the way back: the same airline first, then fewest changes, then a stable order."""
    return back.airline != out.airline, len(back.flights), back.name


def _with_cabin(offered: Iterable[Way], cabin: Cabin) -> list[Way]:
    if cabin == "economy":
        return list(offered)
    full = [way for way in offered if not way.airline.low_cost]
    return full if cabin != "first" else [way for way in full if way.kilometres >= FIRST_FROM_KM]


def _priced(question: FlightQuestion, out: Way, back: Way | None) -> Itinerary:
    names = out.name if back is None else f"{out.name}~{back.name}"
    cents = _cents(out, question.outbound_date, question.cabin)
    if back is not None and question.return_date is not None:
        cents = (cents + _cents(back, question.return_date, question.cabin)) * 95 // 100
    currency = question.currency if question.currency in per_usd() else "USD"
    price = Money.of(0, currency)
    for kind, count in charged(question).counts.items():
        price += _converted(cents * PERSON_FACTOR[kind] // 1000, currency).times(count)
    return Itinerary(Choice(question, names).ref, out, back, price)


def charged(question: FlightQuestion) -> Party:
    """The party as it is priced: who is twelve or older pays as an adult, whatever they are called."""
    party, grown = question.party, sum(age >= ADULT_FROM for age in question.ages)
    return party.model_copy(update={"adult": party.adult + grown, "child": party.child - grown})


def _cents(way: Way, day: date, cabin: Cabin) -> int:
    """One adult's fare for one way, in US cents: a fixed part, a part by distance that flattens, and the factors."""
    kilometres = way.kilometres
    cents = 4000 + 7 * min(kilometres, 3000) + 5 * max(kilometres - 3000, 0)
    airline = 800 if way.airline.low_cost else 950 + draw("airline", way.airline.code) % 200
    drawn = 880 + draw("fare", way.name, way.flights[0].origin, way.flights[-1].destination, day, cabin) % 240
    factors = (airline, drawn, CABIN_FACTOR[cabin], MONTH_FACTOR[day.month - 1], WEEKDAY_FACTOR[day.weekday()])
    for factor in (*factors, 1000 if len(way.flights) == 1 else 850):
        cents = cents * factor // 1000
    return cents


def _converted(cents: int, currency: str) -> Money:
    amount = Decimal(cents) / 100 * per_usd()[currency]
    return Money.of(amount.quantize(Decimal(1).scaleb(-minor_digits(currency)), ROUND_HALF_UP), currency)
