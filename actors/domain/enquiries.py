"""Enquiries: what a customer asked for, the rules of its fields and of its status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal, NamedTuple, get_args

from .errors import BadRequest, Unprocessable
from .ids import parse_uuid
from .money import Money

Status = Literal["new", "quoted", "booked", "cancelled"]
STATUSES: Final[tuple[str, ...]] = get_args(Status)
TERMINAL: Final = frozenset({"booked", "cancelled"})
"""Statuses that no enquiry leaves for ``new`` or ``quoted``."""

MAX_NAME, MAX_EMAIL, MAX_PHONE, MAX_PLACE, MAX_NOTES = 255, 255, 64, 128, 10_000
MAX_PAX = 2**31 - 1
MAX_BUDGET = Decimal("999999999999.99")

MOST_DUPLICATES = 5
FEWEST_DIGITS = 7
"""Shorter numbers are extensions or no numbers at all: E.164 has seven digits at least."""

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_CENT = Decimal("0.01")


class Enquiry(NamedTuple):
    """An enquiry as it is stored and answered (business 7.1).

    A tuple, since lists make hundreds of them: a frozen dataclass takes ten times as long.
    """

    id: str
    tenant_id: str
    created_by_user_id: str
    customer_name: str
    customer_email: str | None
    customer_phone: str | None
    origin: str | None
    destination: str | None
    depart_date: date | None
    return_date: date | None
    pax_count: int
    budget_amount: Decimal | None
    budget_currency: str | None
    status: str
    notes: str | None
    session_id: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EnquiryBooking:
    """What was booked in a conversation of the enquiry."""

    id: str
    kind: Literal["flight", "hotel"]
    supplier: str
    locator: str | None
    status: str
    cost: Money
    session_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """An enquiry and its bookings, in the order they were made."""

    enquiry: Enquiry
    bookings: tuple[EnquiryBooking, ...]


COLUMNS: Final = Enquiry._fields
WRITABLE: Final = tuple(
    name for name in COLUMNS if name not in {"id", "tenant_id", "created_by_user_id", "created_at", "updated_at"}
)
"""The fields a client writes."""


def opened(given: Mapping[str, Any], *, enquiry_id: str, tenant_id: str, by: str, now: datetime) -> Enquiry:
    """A new enquiry. Refusals, in this order: those of ``_check_trip``, then ``invalid_session_id``."""
    _check_trip(given)
    session_id = _session_id(given.get("session_id"))
    return Enquiry(
        **{**given, "session_id": session_id},
        id=enquiry_id,
        tenant_id=tenant_id,
        created_by_user_id=by,
        created_at=now,
        updated_at=now,
    )


def differences(enquiry: Enquiry, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a change alters, with their new values.

    Refusals, judged on the merged result and in the contract's order (business 7.5): those of ``_check_trip``,
    ``status_cannot_be_null``, ``invalid_status_transition``, ``customer_name_cannot_be_null``,
    ``pax_count_cannot_be_null``, ``invalid_session_id``.
    """
    merged = {name: getattr(enquiry, name) for name in WRITABLE} | dict(given)
    _check_trip(merged)
    if merged["status"] is None:
        raise Unprocessable("status_cannot_be_null")
    if not may_become(enquiry.status, merged["status"]):
        raise BadRequest("invalid_status_transition")
    for name in ("customer_name", "pax_count"):
        if merged[name] is None:
            raise Unprocessable(f"{name}_cannot_be_null")
    merged["session_id"] = _session_id(merged["session_id"])
    return {name: value for name, value in merged.items() if value != getattr(enquiry, name)}


def may_become(status: str, other: str) -> bool:
    """Whether an enquiry of ``status`` may be given the ``other`` one."""
    return status not in TERMINAL or other in TERMINAL


def rounded(budget: Decimal) -> Decimal:
    """Two decimals, halves away from zero; never minus zero."""
    return abs(budget.quantize(_CENT, ROUND_HALF_UP))


def _check_trip(given: Mapping[str, Any]) -> None:
    """Refusals: ``invalid_currency``, ``invalid_date_range``, ``invalid_pax_count``."""
    currency, depart, back = given.get("budget_currency"), given.get("depart_date"), given.get("return_date")
    if currency is not None and not _CURRENCY.fullmatch(currency):
        raise BadRequest("invalid_currency")
    if depart is not None and back is not None and back < depart:
        raise BadRequest("invalid_date_range")
    pax = given.get("pax_count")
    if pax is not None and pax < 1:
        raise BadRequest("invalid_pax_count")


def _session_id(given: str | None) -> str | None:
    if given is None:
        return None
    found = parse_uuid(given)
    if found is None:
        raise Unprocessable("invalid_session_id")
    return found
