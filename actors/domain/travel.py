"""Persons, flights, offers and bookings, independent of any supplier.

The shapes are frozen, refuse unknown keys and are checked again whenever they are read back. No supplier's own type
gets this far.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sized
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .audit import canonical
from .money import Money

Cabin = Literal["economy", "premium_economy", "business", "first"]
PassengerType = Literal["adult", "child", "infant", "senior"]
Title = Literal["mr", "ms", "mrs", "miss", "dr"]
Gender = Literal["M", "F", "X"]
FlightStatus = Literal["tentative", "confirmed", "ticketed", "schedule_change", "cancelled", "failed"]

PASSENGER_TYPES: tuple[PassengerType, ...] = ("adult", "child", "infant", "senior")
AIRPORT = "^[A-Z0-9]{2,3}$"
CARRIER = "^[A-Z0-9]{2,3}$"
COUNTRY = "^[A-Z]{2}$"
PHONE = r"^\+[1-9][0-9]{6,14}$"
"""E.164: a plus sign and up to fifteen digits, the first of them not zero."""


def to_utc(moment: datetime) -> datetime:
    """The moment in UTC; ValueError if that is before the first or after the last day of the calendar."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no day of the calendar in UTC") from None


def tidy(text: object) -> object:
    """A supplier's words as they can be stored and shown: one line without control signs or halves of a sign.

    What is no text is left to pydantic.
    """
    if not isinstance(text, str):
        return text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return tidy_name(whole) or "\ufffd"


def is_storable(text: str) -> bool:
    """Whether a database can hold it as it is: for references that have to be given back unchanged."""
    return text.isprintable()


Words = Annotated[str, BeforeValidator(tidy)]
LOCATOR_LENGTH = 64
TICKET_NUMBER = "[0-9]{3}-?[0-9]{10}"
CHILD_FROM, MAJORITY = 2, 18
"""Years: below the first an infant, below the second somebody whose age a supplier may ask."""
DATE_LINE = timedelta(days=1)
"""Who flies east across it lands on the day before: days of two calendars are compared no closer than that."""
UtcTime = Annotated[AwareDatetime, AfterValidator(to_utc)]


def _is_empty(value: Sized) -> bool:
    return not value


def _is_none(value: object) -> bool:
    return value is None


@cache
def zone(name: str) -> ZoneInfo:
    """The IANA zone ``name`` from the packaged data, so that a wall time is the same on every machine.

    KeyError if there is none of that name.
    """
    place = files("tzdata").joinpath("zoneinfo", *name.split("/"))
    if ".." in name or not place.is_file():
        raise KeyError(name)
    with place.open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


class Shape(BaseModel):
    """Base of all travel models: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Passenger(Shape):
    """A traveller as the agency knows them.

    The passport's number is sealed: only a supplier's driver opens it, and only for an order that needs it.
    ``passport_index``, hex, changes with the number and tells nothing of it.
    """

    id: str
    full_name: str = Field(min_length=1, max_length=255)
    given_name: str = Field(max_length=255)
    family_name: str = Field(max_length=255)
    title: Title | None = None
    type: PassengerType = "adult"
    gender: Gender | None = None
    email: str | None = None
    phone: str | None = Field(default=None, pattern=PHONE)
    date_of_birth: date | None = None
    nationality: str | None = Field(default=None, pattern=COUNTRY)
    passport_expiry: date | None = None
    passport_country: str | None = Field(default=None, pattern=COUNTRY, exclude_if=_is_none)
    passport_sealed: bytes | None = Field(default=None, repr=False, exclude=True)
    passport_index: str | None = Field(default=None, exclude_if=_is_none)

    @property
    def missing(self) -> tuple[str, ...]:
        """The fields an airline requires that are missing. Children and infants need a date of birth."""
        needed = ["given_name", "family_name"]
        if self.type in ("child", "infant"):
            needed.append("date_of_birth")
        return tuple(name for name in needed if not getattr(self, name))

    @property
    def fingerprint(self) -> str:
        """SHA-256 (64 hex) over all data of the person that is sent to suppliers."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()


def split_name(full_name: str) -> tuple[str, str]:
    """Given and family name, split at the last blank. A single name is a family name, as passports have it."""
    given, _, family = full_name.rpartition(" ")
    return given, family


def tidy_name(name: str) -> str:
    """A name as it is kept: composed, single blanks, and nothing invisible that could make it read as another."""
    shown = "".join(" " if sign.isspace() else sign for sign in unicodedata.normalize("NFC", name))
    return " ".join("".join(sign for sign in shown if unicodedata.category(sign)[0] != "C").split())


class Party(Shape):
    """How many travel, by type."""

    adult: int = Field(default=0, ge=0)
    child: int = Field(default=0, ge=0)
    infant: int = Field(default=0, ge=0)
    senior: int = Field(default=0, ge=0)

    @property
    def counts(self) -> dict[PassengerType, int]:
        """By type, only those there are any of."""
        return {kind: getattr(self, kind) for kind in PASSENGER_TYPES if getattr(self, kind)}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def text(self) -> str:
        """``"2 adults, 1 child"``."""
        plural = {"child": "children"}
        return ", ".join(f"{n} {kind if n == 1 else plural.get(kind, kind + 's')}" for kind, n in self.counts.items())

    @classmethod
    def of(cls, passengers: tuple[Passenger, ...]) -> Party:
        """The party these persons make."""
        return cls(**{kind: sum(person.type == kind for person in passengers) for kind in PASSENGER_TYPES})


class FlightQuestion(Shape):
    """What a flight search is asked. ``currency`` is the agency's preference; a supplier may answer in another.

    ``ages`` are those of the children and infants on the day of the last flight, for suppliers that price by age.
    """

    origin: str = Field(pattern=AIRPORT)
    destination: str = Field(pattern=AIRPORT)
    outbound_date: date
    return_date: date | None = None
    party: Party
    ages: tuple[Annotated[int, Field(ge=0, lt=MAJORITY)], ...] = ()
    cabin: Cabin = "economy"
    direct_only: bool = False
    currency: str = Field(pattern="^[A-Z]{3}$")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.return_date is not None and self.outbound_date - self.return_date > DATE_LINE:
            raise ValueError("the return is before the outbound")
        if not self.party.total:
            raise ValueError("somebody must travel")
        if self.ages and self.party.infant != sum(age < CHILD_FROM for age in self.ages):
            raise ValueError(f"as many ages below {CHILD_FROM} as infants are needed")
        if self.ages and self.party.child + self.party.infant != len(self.ages):
            raise ValueError("as many ages as children and infants are needed")
        return self


class Segment(Shape):
    """One flight from one airport to the next. Wall times come from the zones of its airports."""

    marketing_carrier: str = Field(pattern=CARRIER)
    operating_carrier: str | None = Field(default=None, pattern=CARRIER)
    flight_number: str = Field(pattern="^[0-9]{1,4}[A-Z]?$")
    origin: str = Field(pattern=AIRPORT)
    destination: str = Field(pattern=AIRPORT)
    departs_at: UtcTime
    arrives_at: UtcTime
    origin_zone: str
    destination_zone: str
    cabin: Cabin
    booking_class: str | None = None

    @model_validator(mode="after")
    def _arrives_later(self) -> Self:
        if self.arrives_at <= self.departs_at:
            raise ValueError("a flight arrives after it departs")
        zone(self.origin_zone), zone(self.destination_zone)
        return self

    @property
    def departs_local(self) -> datetime:
        """The wall clock at the origin when it departs."""
        return self.departs_at.astimezone(zone(self.origin_zone))

    @property
    def arrives_local(self) -> datetime:
        """The wall clock at the destination when it arrives."""
        return self.arrives_at.astimezone(zone(self.destination_zone))

    @property
    def departs_there(self) -> str:
        """When it departs by the clock of its origin, with offset and zone (RFC 9557)."""
        return f"{self.departs_local.isoformat(timespec='minutes')}[{self.origin_zone}]"

    @property
    def arrives_there(self) -> str:
        """When it arrives by the clock of its destination, with offset and zone (RFC 9557)."""
        return f"{self.arrives_local.isoformat(timespec='minutes')}[{self.destination_zone}]"

    @property
    def flight(self) -> str:
        """``"EK 501"``."""
        return f"{self.marketing_carrier} {self.flight_number}"


class FlightOffer(Shape):
    """A fare that can be booked until it expires. ``back_from`` is where in ``segments`` the way back begins.

    What a supplier does not state of ``baggage``, refund, changes, other ``conditions`` and ``seats_left`` is None.

    ``ages`` are the ages it was priced for, if the supplier prices by age; ``supplier_data`` is the driver's own.
    """

    id: str
    supplier: str
    supplier_ref: str
    segments: tuple[Segment, ...] = Field(min_length=1)
    back_from: int | None = None
    price: Money
    expires_at: UtcTime
    hold_possible: bool
    hold_until: UtcTime | None = None
    party: Party
    cabin: Cabin
    baggage: Words | None = Field(default=None, exclude_if=_is_none)
    refundable: bool | None = Field(default=None, exclude_if=_is_none)
    changeable: bool | None = Field(default=None, exclude_if=_is_none)
    conditions: Words | None = Field(default=None, exclude_if=_is_none)
    seats_left: int | None = Field(default=None, exclude_if=_is_none)
    ages: tuple[int, ...] = Field(default=(), exclude_if=_is_empty)
    supplier_data: dict[str, Any] = Field(default_factory=dict, exclude_if=_is_empty)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(then.departs_at < first.arrives_at for first, then in pairwise(self.segments)):
            raise ValueError("a segment departs before the one before it has arrived")
        if self.back_from is not None and not 0 < self.back_from < len(self.segments):
            raise ValueError("the way back begins behind the first segment")
        return self

    @property
    def outbound(self) -> tuple[Segment, ...]:
        return self.segments[: self.back_from]

    @property
    def inbound(self) -> tuple[Segment, ...]:
        """The way back; empty for a one-way fare."""
        return () if self.back_from is None else self.segments[self.back_from :]

    @property
    def stops(self) -> int:
        """Changes of plane on the way that has more of them."""
        return max(len(self.outbound), len(self.inbound)) - 1

    def alive(self, now: datetime) -> bool:
        """Whether it can still be had; at its expiry it cannot."""
        return now < self.expires_at

    def can_be_kept(self) -> bool:
        """Whether what would be bought can be written down."""
        return self.price.is_price and is_storable(self.id) and is_storable(self.supplier_ref)


class FareConditions(Shape):
    """On what terms a fare is refunded and changed; what is not stated is None. ``text`` has the penalties."""

    refundable: bool | None = None
    changeable: bool | None = None
    text: Words | None = None


class FlightTicket(Shape):
    """An electronic ticket of an order: its number as the supplier writes it, and whose it is."""

    number: Words
    passenger_ids: tuple[str, ...] = ()

    @property
    def is_storable(self) -> bool:
        """Whether it is a ticket number of thirteen digits."""
        return re.fullmatch(TICKET_NUMBER, self.number) is not None


class CancelQuote(Shape):
    """What a cancellation would bring. Nullable fields are unknown, not zero. ``ref`` is the quote's own."""

    supplier: str
    ref: str
    order_ref: str
    refund: Money | None = None
    refund_to: Words | None = None
    expires_at: UtcTime | None = None
    confirmed: bool = False

    def alive(self, now: datetime) -> bool:
        """Whether it can still be confirmed."""
        return self.expires_at is None or now < self.expires_at


class FlightOrder(Shape):
    """A supplier's record: a seat on hold (``tentative``), a booking, or a cancelled one.

    ``conditions`` are those of its fare; None where the supplier tells none of an order.
    """

    supplier: str
    supplier_ref: Words
    locator: Annotated[str, BeforeValidator(tidy), AfterValidator(lambda read: read[:LOCATOR_LENGTH])] | None = None
    status: FlightStatus
    price: Money
    hold_expires_at: UtcTime | None = None
    segments: tuple[Segment, ...] = ()
    tickets: tuple[FlightTicket, ...] = ()
    conditions: FareConditions | None = None
