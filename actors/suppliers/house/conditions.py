"""Conditions of the embedded inventory: what a cancellation returns, by the time that is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from ...domain.money import Money
from ...domain.travel import Cabin, zone

NOTHING = 100
"""Percent of the price that is kept where nothing is returned."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Until ``ends_at``, which is exclusive, ``kept`` percent of the price are kept."""

    ends_at: datetime
    kept: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Tiers in their order. After the last one nothing can be cancelled any more."""

    tiers: tuple[Tier, ...]

    def at(self, now: datetime) -> Tier | None:
        """The tier that holds at ``now``."""
        return next((tier for tier in self.tiers if now < tier.ends_at), None)


def refund(paid: Money, tier: Tier) -> Money:
    """What is returned of ``paid``; the part that is kept is rounded to the minor unit."""
    kept = paid.times(tier.kept)
    return paid - Money.of(kept.amount.scaleb(-2), kept.currency).rounded()


@dataclass(frozen=True, slots=True)
class FareRule:
    """Percent kept until a week before departure, until the day before, and until departure."""

    week: int
    day: int
    last: int

    def schedule(self, departs_at: datetime) -> Schedule:
        """The tiers of a journey that begins at ``departs_at``."""
        return Schedule(
            (
                Tier(departs_at - WEEK, self.week),
                Tier(departs_at - DAY, self.day),
                Tier(departs_at, self.last),
            )
        )

    @property
    def refundable(self) -> bool:
        return self.week < NOTHING

    @property
    def text(self) -> str:
        """In a sentence."""
        if not self.refundable:
            return "not refundable"
        last = "nothing is refunded" if self.last == NOTHING else f"{self.last} % is kept"
        return (
            f"refundable: {self.week} % is kept until 7 days before departure, {self.day} % until 24 hours before it, "
            f"after that {last}"
        )

    @property
    def conditions(self) -> str:
        """The fare's conditions in a sentence: a booking is not changed here, but cancelled and made again."""
        return f"{self.text}; not changeable"


WEEK, DAY = timedelta(days=7), timedelta(hours=24)
LOW_COST = FareRule(NOTHING, NOTHING, NOTHING)
LEISURE = FareRule(25, 50, NOTHING)
FLEXIBLE = FareRule(0, 10, 25)


def fare_rule(cabin: Cabin, *, low_cost: bool) -> FareRule:
    """The rule of a fare; one flight with a low-cost airline makes the whole fare non-refundable."""
    if low_cost:
        return LOW_COST
    return FLEXIBLE if cabin in ("business", "first") else LEISURE


CHECKED: Mapping[Cabin, str] = {
    "economy": "1 checked bag of 23 kg",
    "premium_economy": "2 checked bags of 23 kg",
    "business": "2 checked bags of 32 kg",
    "first": "3 checked bags of 32 kg",
}


def baggage(cabin: Cabin, *, low_cost: bool) -> str:
    """What each person but an infant may take along."""
    return "1 cabin bag of 7 kg" if low_cost else f"1 cabin bag of 7 kg, {CHECKED[cabin]}"


FREE_UNTIL = timedelta(days=2)
"""How long before check-in a refundable rate may be cancelled without charge."""
LATE = 50
"""Percent kept between that moment and the day of check-in."""


def stay_schedule(check_in: date, check_out: date, zone_name: str, *, refundable: bool) -> Schedule:
    """The tiers of a stay, whose days begin at the hotel's own midnight."""
    free, arrival, departure = (_midnight(day, zone_name) for day in (check_in - FREE_UNTIL, check_in, check_out))
    if not refundable:
        return Schedule((Tier(departure, NOTHING),))
    return Schedule((Tier(free, 0), Tier(arrival, LATE), Tier(departure, NOTHING)))


def stay_terms(check_in: date, *, refundable: bool) -> str:
    """The conditions of a rate in a sentence, as its schedule has them."""
    if not refundable:
        return "not refundable"
    free = check_in - FREE_UNTIL
    return f"free of charge before {free.isoformat()}, {LATE} % before {check_in.isoformat()}, local time of the hotel"


def _midnight(day: date, zone_name: str) -> datetime:
    return datetime.combine(day, time(), zone(zone_name)).astimezone(UTC)
