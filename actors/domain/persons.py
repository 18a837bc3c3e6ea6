"""Passenger types by age, and matching of names regardless of spelling."""

from __future__ import annotations

import unicodedata
from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from .hotels import Stay
from .travel import CHILD_FROM, MAJORITY, Party, Passenger, PassengerType, Segment

ADULT_FROM, SENIOR_FROM = 12, 60
"""Years: an infant is under two and a child under twelve on the day of a flight (IATA resolution 735d, and every
airline's conditions of carriage); senior fares begin at sixty with the airlines that have any."""
EARLIEST_BIRTH = date(1900, 1, 1)
FURTHEST_EAST = timedelta(hours=14)
"""UTC+14, where a calendar day begins first: a date of birth after today there is in the future everywhere."""

PASSPORT_MONTHS = 6
"""Most countries admit only who has a passport that is valid so long after the journey (Schengen: three)."""


def age_on(day: date, birth: date) -> int:
    """Whole years; who was born on 29 February is a year older on 1 March of other years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def could_be_born(birth: date, now: datetime) -> bool:
    """Whether somebody alive may have been born on that day."""
    return EARLIEST_BIRTH <= birth <= (now + FURTHEST_EAST).date()


def ends_too_soon(expiry: date | None, last: date) -> bool:
    """Whether a passport may be refused at a border: it is not valid for six months after the ``last`` day abroad."""
    if expiry is None:
        return False
    years, month = divmod(last.month - 1 + PASSPORT_MONTHS, 12)
    year, month = last.year + years, month + 1
    return (expiry.year, expiry.month, expiry.day) < (year, month, min(last.day, monthrange(year, month)[1]))


def type_on(day: date, person: Passenger) -> PassengerType:
    """The passenger type on a day: by age if the date of birth is known, else as on file."""
    if person.date_of_birth is None:
        return person.type
    age = age_on(day, person.date_of_birth)
    if age < CHILD_FROM:
        return "infant"
    if age < ADULT_FROM:
        return "child"
    return "senior" if person.type == "senior" and age >= SENIOR_FROM else "adult"


def typed(
    persons: Sequence[Passenger], segments: Sequence[Segment], party: Party, ages: Sequence[int] = ()
) -> tuple[Passenger, ...]:
    """The persons as what they travel as on each flight's local day, if together they are who the fare is for.

    A fare priced for ``ages`` counts everybody under 18 by the age on the day of the last flight.
    ``Misfit`` names everybody who is in the way of that.
    """
    if ages:
        return _aged(persons, segments[-1].departs_local.date(), party, ages)
    days = sorted({segment.departs_local.date() for segment in segments})
    faults = [fault for person in persons if (fault := _fault(person, days)) is not None]
    if faults:
        raise Misfit(" ".join(faults))
    named = tuple(person.model_copy(update={"type": type_on(days[0], person)}) for person in persons)
    found = Party.of(named)
    if found != party:
        told = [f"{_told(person)} is {_a(person.type)} on {days[0]}." for person in named if _is_dated(person)]
        raise Misfit(" ".join([f"The fare is for {party.text}; those named are {found.text}.", *told]))
    if not found.adult + found.senior:
        raise Misfit("Children and infants travel with an adult; nobody named is one.")
    return named


def _aged(persons: Sequence[Passenger], day: date, party: Party, ages: Sequence[int]) -> tuple[Passenger, ...]:
    born = {person.id: person.date_of_birth for person in persons}
    years = {each: age_on(day, birth) for each, birth in born.items() if birth is not None}
    minors = sorted(age for age in years.values() if age < MAJORITY)
    faults = [
        f"{_told(each)} is {_a(each.type)} without a date of birth."
        for each in persons
        if each.date_of_birth is None and each.type in ("child", "infant")
    ]
    if faults or minors != sorted(ages) or len(persons) != party.total or any(age < 0 for age in minors):
        priced = ", ".join(map(str, sorted(ages)))
        told = [f"The fare is for {party.text}, ages {priced} on {day}.", *faults]
        told += [f"{_told(person)} is {years[person.id]} on {day}." for person in persons if person.id in years]
        raise Misfit(" ".join(told))
    named = tuple(person.model_copy(update={"type": _type_of_age(years.get(person.id), person)}) for person in persons)
    found = Party.of(named)
    if found != party:
        raise Misfit(f"The fare is for {party.text}; those named are {found.text}.")
    if max(years.get(person.id, MAJORITY) for person in persons) < ADULT_FROM:
        raise Misfit("Children and infants travel with an adult; nobody named is one.")
    return named


def _type_of_age(age: int | None, person: Passenger) -> PassengerType:
    if age is None:
        return person.type
    if age < MAJORITY:
        return "infant" if age < CHILD_FROM else "child"
    return "senior" if person.type == "senior" and age >= SENIOR_FROM else "adult"


def fit(persons: Sequence[Passenger], stay: Stay) -> None:
    """Check that these persons are among those a stay was priced for: each child by the age at check-in.

    ``Misfit`` names everybody who is not.
    """
    left, adults, faults = list(stay.children_ages), 0, []
    for person in persons:
        if person.date_of_birth is None:
            if person.type in ("child", "infant"):
                faults.append(f"{_told(person)} is {_a(person.type)} without a date of birth.")
            adults += 1
            continue
        age = age_on(stay.check_in, person.date_of_birth)
        if age >= MAJORITY:
            adults += 1
        elif age in left:
            left.remove(age)
        else:
            faults.append(f"{_told(person)} is {age} on {stay.check_in}.")
    if not faults and adults > stay.adults:
        faults.append(f"{adults} adults are named.")
    if faults:
        raise Misfit(" ".join([f"The rate is for {stay.text}.", *faults, "Search again with children_ages."]))


class Misfit(Exception):
    """Why these persons cannot travel on this fare, or stay at this rate, in sentences that name them."""


def _fault(person: Passenger, days: Sequence[date]) -> str | None:
    birth = person.date_of_birth
    if birth is not None and (birth > days[0] or birth < EARLIEST_BIRTH):
        return f"{_told(person)} cannot have been born on {birth} and travel on {days[0]}."
    first, last = type_on(days[0], person), type_on(days[-1], person)
    if first != last:
        return f"{_told(person)} is {_a(first)} on {days[0]} and {_a(last)} on {days[-1]}: book each way by itself."
    return None


def _is_dated(person: Passenger) -> bool:
    return person.date_of_birth is not None


def _told(person: Passenger) -> str:
    return f"{person.full_name} ({person.id})"


def _a(kind: PassengerType) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
"""Letters of the Latin script that no normalisation takes apart."""
_ABOVE_AND_BELOW = range(200, 256)
"""Combining classes of accents; vowel signs and viramas of other scripts make other names and are no accents."""


def match_key(name: str) -> str:
    """A name by which it is found again: without case, accents, apostrophes, hyphens and blanks.

    Empty if there is neither letter nor digit in it.
    """
    taken_apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold()).translate(_LETTERS)
    return "".join(sign for sign in taken_apart if _counts(sign))


def match_words(text: str) -> list[str]:
    """What all has to be in a name's key for the name to be meant by ``text``."""
    return [key for word in text.split() if (key := match_key(word))]


def _counts(sign: str) -> bool:
    if unicodedata.category(sign)[0] == "M":
        return unicodedata.combining(sign) not in _ABOVE_AND_BELOW
    return unicodedata.category(sign)[0] in "LN"
