"""Parses dates, persons, counts and requests from plain English, as far as a rehearsal needs them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TypeVar

from .places import BY_NAME

R = TypeVar("R")

MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}
ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3}

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_MONTH = rf"(?P<month>{_MONTHS})[a-z]*\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(?P<year>\d{4}))?"


def newest(read: Callable[[str], R | None], texts: Sequence[str]) -> R | None:
    """The result of ``read`` for the first of ``texts`` that has one."""
    return next((found for text in texts if (found := read(text)) is not None), None)


def dates(text: str, today: date) -> list[date]:
    """The dates in ``text``, in its order, but for those of birth and of a passport's end.

    Without a year it is the next such day; numeric dates are day first.
    """
    text = _EXPIRES.sub("", _BORN.sub("", text))
    found: dict[int, tuple[int, list[date]]] = {}
    for pattern, read in _DATES:
        for match in pattern.finditer(text):
            if not any(start < match.end() and match.start() < end for start, (end, _) in found.items()):
                found[match.start()] = (match.end(), read(match, today))
    return [day for start in sorted(found) for day in found[start][1]]


def _days(match: re.Match[str], today: date) -> list[date]:
    """One or two days of a named month."""
    named = match.groupdict()
    month = next(at for at, name in enumerate(MONTHS, start=1) if name.startswith(named["month"].lower()))
    year = int(named["year"]) if named["year"] else None
    days = [int(named[key]) for key in ("first", "day") if named.get(key)]
    return [day for number in days for day in _valid(year, month, number, today)]


def _valid(year: int | None, month: int, day: int, today: date) -> list[date]:
    """The date, or none if it is invalid."""
    for candidate in [year] if year else [today.year, today.year + 1]:
        try:
            found = date(candidate, month, day)
        except ValueError:
            continue
        if year or found >= today:
            return [found]
    return []


def _numeric(match: re.Match[str], today: date) -> list[date]:
    return _valid(int(match["year"]), int(match["month"]), int(match["day"]), today)


def _ahead(match: re.Match[str], today: date) -> list[date]:
    count = int(match["count"]) if match["count"].isdigit() else NUMBERS[match["count"].lower()]
    return [today + timedelta(days=count * (7 if match["unit"].lower().startswith("week") else 1))]


def _relative(match: re.Match[str], today: date) -> list[date]:
    word = " ".join(match[0].lower().split())
    return [today + timedelta(days={"today": 0, "tonight": 0, "tomorrow": 1, "next week": 7}.get(word, 2))]


def _weekday(match: re.Match[str], today: date) -> list[date]:
    ahead = (WEEKDAYS.index(match["weekday"].lower()) - today.weekday() - 1) % 7 + 1
    return [today + timedelta(days=ahead)]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_DATES: list[tuple[re.Pattern[str], Callable[[re.Match[str], date], list[date]]]] = [
    (_pattern(r"\b(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})\b"), _numeric),
    (_pattern(r"\b(?P<day>\d{1,2})[/.](?P<month>\d{1,2})[/.](?P<year>\d{4})\b"), _numeric),
    (
        _pattern(
            rf"\b(?P<first>\d{{1,2}})(?:st|nd|rd|th)?\s*(?:-|\u2013|to|until)\s*{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}"
        ),
        _days,
    ),
    (_pattern(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}(?!\w)"), _days),
    (_pattern(rf"\b{_MONTH}\s+{_DAY}(?!\d){_YEAR}"), _days),
    (_pattern(rf"\bin\s+(?P<count>\d{{1,3}}|{'|'.join(NUMBERS)})\s+(?P<unit>days?|weeks?)\b"), _ahead),
    (_pattern(r"\b(?:day\s+after\s+tomorrow|tomorrow|today|tonight|next\s+week)\b"), _relative),
    (_pattern(rf"\b(?P<weekday>{'|'.join(WEEKDAYS)})\b"), _weekday),
]

_BORN = _pattern(r"\bborn\s+(?:on\s+)?(\d{4}-\d{2}-\d{2})\b")
_EXPIRES = _pattern(r"\bexpir(?:es|ing)\s+(?:on\s+)?(\d{4}-\d{2}-\d{2})\b")
_PASSPORT = {
    "passport_number": _pattern(r"\bpassport\s+(?:number\s+)?([A-Z]\d{6,8})\b"),
    "passport_expiry": _EXPIRES,
    "passport_country": re.compile(r"\bissued\s+by\s+([A-Z]{2})\b"),
}
_DETAILS = {
    "date_of_birth": _BORN,
    "email": _pattern(r"\b([\w.+-]+@[\w-]+(?:\.[\w-]+)+)\b"),
    "phone": _pattern(r"(\+[1-9]\d{6,14})\b"),
    "gender": _pattern(r"\b(female|male)\b"),
}

_NO_DAY = rf"(?!\d|\s+(?:{_MONTHS}))"
_AGES = _pattern(rf"\bage[ds]?\s+(\d{{1,2}}{_NO_DAY}(?:\s*(?:,|and|&)\s*(?:and\s+)?\d{{1,2}}{_NO_DAY})*)")
_YEARS_OLD = _pattern(r"\b(\d{1,2})[ -](year|month)s?[ -]old\b")

_UPPER = "[A-ZÀ-ÖØ-Þ]"
_NAME_WORD = rf"{_UPPER}[\w'\u2019-]*(?:\.(?=\s))?"
_NAME = rf"{_NAME_WORD}(?:[ \t]+{_NAME_WORD}){{0,3}}"
_PERSONS = re.compile(
    rf"\b(?:[Ff]or|[Nn]amed|[Pp]assengers?|[Tt]ravell?ers?|[Nn]ame is|[Gg]uests?)[ \t:]+"
    rf"(?P<names>{_NAME}(?:(?:,?[ \t]+(?:and|&)[ \t]+|,[ \t]*){_NAME})*)"
)
_BETWEEN = re.compile(r",?\s+(?:and|&)\s+|,\s*")
_TITLE = re.compile(r"(?P<title>Mr|Ms|Mrs|Miss|Dr)\.?\s+(?P<name>.+)")
_NO_NAMES = {*BY_NAME, *MONTHS, *WEEKDAYS, "me", "us", "the", "approval", "today", "tomorrow", "christmas", "diwali"}


def persons(text: str) -> list[dict[str, str]]:
    """The persons a booking is for: ``full_name`` and, if given, ``title``."""
    found: list[dict[str, str]] = []
    for match in _PERSONS.finditer(text):
        for name in _BETWEEN.split(match["names"]):
            words = name.strip(" .").split()
            if not words or words[0].lower() in _NO_NAMES or name.lower() in _NO_NAMES or name.isupper():
                continue
            titled = _TITLE.match(" ".join(words))
            person = {"full_name": titled["name"], "title": titled["title"].lower()} if titled else None
            person = person or {"full_name": " ".join(words)}
            if person not in found:
                found.append(person)
    return found


def details(text: str) -> dict[str, str]:
    """What ``text`` says of one traveller beside the name: birth, e-mail address, phone number, gender."""
    found = {name: match[1] for name, pattern in _DETAILS.items() if (match := pattern.search(text))}
    if "gender" in found:
        found["gender"] = "F" if found["gender"].lower() == "female" else "M"
    return found


def passport(text: str) -> dict[str, str]:
    """A passport with its number: ``passport Z1234567 issued by IN expires 2031-01-01``; empty without one."""
    found = {name: match[1] for name, pattern in _PASSPORT.items() if (match := pattern.search(text))}
    return found if "passport_number" in found else {}


def born(text: str, today: date) -> list[date]:
    """The dates of birth in ``text``, in its order: ``born 2018-03-02``, ``born on 2 March 2018``."""
    after = re.split(r"\bborn\b", text, flags=re.IGNORECASE)[1:]
    return [found[0] for part in after if (found := dates(part, today))]


def ages(text: str) -> list[int]:
    """The ages in ``text``: ``aged 5 and 10``, ``8 years old``, in its order; below a year it is 0."""
    listed = [int(age) for match in _AGES.finditer(text) for age in re.findall(r"\d+", match[1])]
    told = [int(match[1]) if match[2].lower() == "year" else 0 for match in _YEARS_OLD.finditer(text)]
    return listed or told


_DATED = re.compile(r"\b(?:dated|issued on)\b", re.IGNORECASE)


def dated(text: str, today: date) -> date | None:
    """The date of a document: ``dated 2026-08-21``."""
    parts = _DATED.split(text, maxsplit=1)
    return next(iter(dates(parts[1], today)), None) if len(parts) > 1 else None


def counted(text: str, noun: str) -> int | None:
    """How many of ``noun`` (a pattern) are mentioned: ``2 adults``, ``two adults``."""
    match = re.search(rf"\b(?P<count>\d{{1,2}}|{'|'.join(NUMBERS)})\s+(?:{noun})\b", text, re.IGNORECASE)
    if match is None:
        return None
    return int(match["count"]) if match["count"].isdigit() else NUMBERS[match["count"].lower()]


def chosen(text: str) -> int | None:
    """The number in a list that is meant, from 1: ``the second``, ``option 3``."""
    if match := re.search(r"\b(?:option|number|no\.?|#)\s*(\d)\b", text, re.IGNORECASE):
        return int(match[1])
    words = re.findall(r"\w+", re.sub(r"\bfirst class\b", "", text.lower()))
    return next((ORDINALS[word] for word in words if word in ORDINALS), None)


_BOOK = _pattern(r"\b(?:book|reserve|buy)\b|बुक")
_NOT_BOOK = _pattern(
    r"(?:\b(?:do not|don['\u2019]?t|not|never|without)\s+(?:yet\s+)?book)|\b(?:just|only)\s+(?:look|search)"
)
_YES = _pattern(r"^\W*(?:yes|yep|ok|okay|sure|go ahead|please do|do it|confirm(?:ed)?)\b")


def wants_booking(texts: Sequence[str]) -> bool:
    """Whether the newest of ``texts`` that mentions booking asks for it."""
    request = newest(lambda text: None if not (_BOOK.search(text) or _NOT_BOOK.search(text)) else text, texts)
    return request is not None and not _NOT_BOOK.search(request)


def agrees(text: str) -> bool:
    """Whether ``text`` is a plain yes."""
    return bool(_YES.search(text))


def has(text: str, *stems: str) -> bool:
    """Whether a word of ``text`` begins with one of ``stems``."""
    return bool(re.search(rf"\b(?:{'|'.join(stems)})", text, re.IGNORECASE))


_MONEY = re.compile(r"\b(?P<currency>[A-Z]{3})\s*(?P<amount>\d[\d,]*(?:\.\d{1,4})?)")
_MONEY_AFTER = re.compile(r"(?P<amount>\d[\d,]*(?:\.\d{1,4})?)\s*(?P<currency>[A-Z]{3})\b")


_DISCOUNT = re.compile(
    r"\s*\b(?i:less|minus|with\s+an?\s+(?:discount|commission)\s+of)\s+(?P<currency>[A-Z]{3})\s*"
    r"(?P<amount>\d[\d,]*(?:\.\d{1,4})?)(?:\s+(?P<reason>commission))?"
)


def discount(text: str) -> tuple[str, str, str | None] | None:
    """Currency, amount and reason of what is deducted: ``less INR 873.34 commission``."""
    found = _DISCOUNT.search(text)
    return (found["currency"], found["amount"].replace(",", ""), found["reason"]) if found else None


def price(text: str) -> tuple[str, str] | None:
    """Currency and amount before what is deducted."""
    return money(_DISCOUNT.sub("", text))


def money(text: str) -> tuple[str, str] | None:
    """Currency and amount: ``INR 45,200.00`` or ``45200 INR``."""
    found = _MONEY.search(text) or _MONEY_AFTER.search(text)
    return (found["currency"], found["amount"].replace(",", "")) if found else None
