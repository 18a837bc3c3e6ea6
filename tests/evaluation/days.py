"""Office days as data: what is there before, what the user says, what the approver decides, what must hold at the end.

A day is a TOML file. ``{day+60}`` stands for the date in sixty days, as ISO 8601; ``{long+60}`` for the same as
``28 January 2027``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self, get_args

from voyagent.actors.domain.identity import Role

FOLDER = Path(__file__).parent / "days"

Decision = Literal["grant", "deny", "leave"]
_DATE = re.compile(r"\{(?P<form>day|long)(?P<offset>[+-]\d+)\}")


class InvalidDay(ValueError):
    """A day's file that does not say what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A message of the user, and what the approver decides about the calls that wait afterwards."""

    says: str
    decides: Decision = "leave"
    decider: str = Role.AGENCY_ADMIN.value
    minutes_before: int = 0
    """How long the user lets pass before this message."""
    only_if_asked_back: bool = False
    """The message answers a question: it is left out if the turn before led to an approval or a booking."""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        turn = cls(**_known(cls, given, "turns"))
        if turn.decides not in get_args(Decision):
            raise InvalidDay(f"turns.decides: {turn.decides}")
        if turn.decider not in tuple(Role):
            raise InvalidDay(f"turns.decider: {turn.decider}")
        return turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """A journal that is posted before the day: account code -> ``INR 500.00``, negative for a credit."""

    entry_date: str
    narration: str
    lines: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The state the day begins with."""

    settings: Mapping[str, Any]
    enquiry: Mapping[str, Any] | None
    journals: tuple[Journal, ...]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        known = _known(cls, given, "before")
        journals = tuple(Journal(**each) for each in known.get("journals", ()))
        return cls(settings=known.get("settings", {}), enquiry=known.get("enquiry"), journals=journals)

    @property
    def told(self) -> str:
        """What the agent is told of it without asking: the enquiry."""
        return "" if self.enquiry is None else " ".join(str(value) for value in self.enquiry.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must hold at the end. What is not mentioned must not have happened."""

    bookings: tuple[Mapping[str, Any], ...] = ()
    """The day's bookings: each must have these fields."""
    journals: tuple[Mapping[str, Decimal], ...] = ()
    """The day's journals: ``1000 INR`` -> debits less credits."""
    documents: tuple[Mapping[str, Any], ...] = ()
    """The day's invoices and bills: each must have these fields."""
    approvals: tuple[str, ...] = ()
    """``book_flight granted``, in the order they were asked for."""
    passengers: tuple[str, ...] = ()
    """The names of all passengers on file."""
    called: tuple[str, ...] = ()
    """Tools that were called."""
    not_called: tuple[str, ...] = ()
    """Tools that were not."""
    says: tuple[str, ...] = ()
    """Patterns in the text of the last turn, in any letter case."""
    never_says: tuple[str, ...] = ()
    """Patterns that no text of the day has, in any letter case."""
    tells: tuple[str, ...] = ()
    """Columns of the bookings whose values the user is told: ``locator``, ``cost``."""
    asks: bool = False
    """Whether the last turn ends with a question to the user."""
    may_say: str = ""
    """Facts that need no source, in a text."""
    zones: tuple[str, ...] = ("UTC", "Asia/Kolkata")
    """The time zones in which a time of a tool's result may be told."""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        known = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in _known(cls, given, "expect").items()
        }
        known["journals"] = tuple(_net(each) for each in known.get("journals", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One office day."""

    name: str
    about: str
    speaker: str
    """The role of the user who talks."""
    before: Before
    turns: tuple[Turn, ...]
    expect: Expected
    rehearsal_misses: tuple[str, ...] = ()
    """The rules that the rehearsal model is known to miss, because its script cannot follow the day."""

    @classmethod
    def read(cls, name: str, text: str, today: date) -> Self:
        given = tomllib.loads(_dated(text, today))
        turns = tuple(Turn.read(each) for each in given.pop("turns", ()))
        if not turns:
            raise InvalidDay("turns: at least one")
        known = _known(cls, {"speaker": Role.AGENT.value, **given}, "day")
        before, expect = Before.read(known.pop("before", {})), Expected.read(known.pop("expect", {}))
        known["rehearsal_misses"] = tuple(known.get("rehearsal_misses", ()))
        return cls(name=name, turns=turns, before=before, expect=expect, **known)


def load(today: date, folder: Path = FOLDER) -> list[Day]:
    """All days, by name."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        try:
            found.append(Day.read(path.stem, path.read_text("utf-8"), today))
        except (TypeError, ValueError) as error:
            raise InvalidDay(f"{path.name}: {error}") from error
    return found


def money(text: str) -> tuple[str, Decimal]:
    """Currency and amount of ``INR 1,200.50``."""
    currency, amount = text.split(" ", 1)
    return currency, Decimal(amount.replace(",", ""))


def _net(lines: Mapping[str, str]) -> dict[str, Decimal]:
    """``{"1000": "INR 500"}`` as ``{"1000 INR": Decimal(500)}``."""
    read = [(code, *money(text)) for code, text in lines.items()]
    return {f"{code} {currency}": amount for code, currency, amount in read}


def _dated(text: str, today: date) -> str:
    def told(match: re.Match[str]) -> str:
        day = today + timedelta(days=int(match["offset"]))
        return day.isoformat() if match["form"] == "day" else f"{day.day} {day:%B %Y}"

    return _DATE.sub(told, text)


def _known(kind: type, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``given``, if all of it are fields of ``kind``."""
    unknown = set(given) - {field.name for field in fields(kind)}
    if unknown:
        raise InvalidDay(f"{where}: unknown {', '.join(sorted(unknown))}")
    return dict(given)
