"""Requests and responses of ``/enquiries`` (docs/contract/business.md 7)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError, to_json

from ...actors.domain.audit import wire_time
from ...actors.domain.enquiries import (
    MAX_BUDGET,
    MAX_EMAIL,
    MAX_NAME,
    MAX_NOTES,
    MAX_PAX,
    MAX_PHONE,
    MAX_PLACE,
    Enquiry,
    Followed,
    Status,
    rounded,
)
from ...actors.domain.identity import normal_email
from ...actors.domain.money import is_plain
from ...storage.enquiries import Opened, Promoted
from ...storage.enquiry_lists import Enquiries
from .aging import MoneyResponse
from .shared import ADDITION, Body, Closed, Offset, Query, QueryDate, QueryInt, UtcTime

DECIMAL = {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"}
NULL = {"type": "null"}


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _trimmed_or_null(value: Any) -> Any:
    return _trimmed(value) or None if isinstance(value, str) else value


def _address(text: str) -> str:
    normal_email(text)
    return text


def _storable_count(value: int) -> int:
    if value > MAX_PAX:
        raise PydanticCustomError("less_than_equal", "Input should be less than or equal to {le}", {"le": MAX_PAX})
    return value


def _decimal(value: Any) -> Any:
    """A number or a numeric string as ``Decimal``; ``strict_json`` has read fractions without floats."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str):
        if not is_plain(value):
            raise PydanticCustomError("decimal_parsing", "Input should be a valid decimal")
        return Decimal(value)
    if not isinstance(value, Decimal):
        raise PydanticCustomError("decimal_type", "Input should be a number or a numeric string")
    return value


def _within_budget(amount: Decimal) -> Decimal:
    if amount < 0:
        raise PydanticCustomError("greater_than_equal", "Input should be greater than or equal to {ge}", {"ge": 0})
    if amount > MAX_BUDGET:
        limit = str(MAX_BUDGET)  # pydantic's own bounds of decimals are no JSON
        raise PydanticCustomError("less_than_equal", "Input should be less than or equal to {le}", {"le": limit})
    return rounded(amount)


def _two_decimals(amount: Decimal) -> str:
    return f"{amount:.2f}"


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), BeforeValidator(_trimmed)]
Email = Annotated[
    Annotated[str, Field(max_length=MAX_EMAIL), AfterValidator(_address)] | None, BeforeValidator(_trimmed_or_null)
]
"""An e-mail address by the rules of accounts, kept as it was typed."""
Phone = Annotated[Annotated[str, Field(max_length=MAX_PHONE)] | None, BeforeValidator(_trimmed_or_null)]
Place = Annotated[Annotated[str, Field(max_length=MAX_PLACE)] | None, BeforeValidator(_trimmed_or_null)]
Notes = Annotated[str, Field(max_length=MAX_NOTES)]
Pax = Annotated[int, AfterValidator(_storable_count)]
Budget = Annotated[
    Annotated[Decimal, AfterValidator(_within_budget), BeforeValidator(_decimal)] | None,
    WithJsonSchema({"anyOf": [{"type": "number"}, DECIMAL, NULL]}),
]
Amount = Annotated[Decimal, WithJsonSchema(DECIMAL), PlainSerializer(_two_decimals, return_type=str)]


class EnquiryCreateRequest(Body):
    """A customer's enquiry."""

    customer_name: Name
    customer_email: Email = None
    customer_phone: Phone = None
    origin: Place = None
    destination: Place = None
    depart_date: QueryDate | None = None
    return_date: QueryDate | None = None
    pax_count: Pax = 1
    budget_amount: Budget = None
    budget_currency: str | None = None
    status: Status = "new"
    notes: Notes | None = None
    session_id: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The fields, defaults included."""
        return vars(self).copy()


class EnquiryPatchRequest(Body):
    """The fields to change. Omitted fields are kept, ``null`` clears a field."""

    customer_name: Name | None = None
    customer_email: Email = None
    customer_phone: Phone = None
    origin: Place = None
    destination: Place = None
    depart_date: QueryDate | None = None
    return_date: QueryDate | None = None
    pax_count: Pax | None = None
    budget_amount: Budget = None
    budget_currency: str | None = None
    status: Status | None = None
    notes: Notes | None = None
    session_id: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class EnquiryListQuery(Query):
    """Filters, which all have to match, and the page. Text is looked for in any case, wildcards stand for themselves.

    ``tz=agency`` reads ``created_from`` and ``created_to`` as days of the agency's time zone instead of UTC.
    """

    status: Literal["new", "quoted", "booked", "cancelled", "all"] = "all"
    limit: Annotated[QueryInt, Field(ge=1, le=500)] = 50
    offset: Offset = 0
    q: Annotated[str, Field(max_length=MAX_NAME)] | None = None
    customer_email: Annotated[str, Field(max_length=MAX_EMAIL)] | None = None
    destination: Annotated[str, Field(max_length=MAX_PLACE)] | None = None
    origin: Annotated[str, Field(max_length=MAX_PLACE)] | None = None
    depart_from: QueryDate | None = None
    depart_to: QueryDate | None = None
    created_from: QueryDate | None = None
    created_to: QueryDate | None = None
    tz: Annotated[Literal["utc", "agency"], ADDITION] = "utc"


class EnquiryResponse(Closed):
    """An enquiry."""

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
    budget_amount: Amount | None
    budget_currency: str | None
    status: str
    notes: str | None
    session_id: str | None
    created_at: UtcTime
    updated_at: UtcTime

    @classmethod
    def of(cls, enquiry: Enquiry) -> EnquiryResponse:
        return cls(**enquiry._asdict())


class PossibleDuplicateResponse(Closed):
    """An earlier enquiry with the same e-mail address or phone number."""

    id: str
    customer_name: str
    status: str
    created_at: UtcTime
    same: list[Literal["email", "phone"]]


class EnquiryCreatedResponse(EnquiryResponse):
    """A new enquiry, and the newest five that may be of the same customer."""

    possible_duplicates: Annotated[list[PossibleDuplicateResponse], ADDITION]

    @staticmethod
    def encoded(opened: Opened) -> bytes:
        """The JSON, without models in between, which take a tenth of the whole request."""
        enquiry = opened.enquiry
        amount = enquiry.budget_amount
        shown = {
            "budget_amount": None if amount is None else _two_decimals(amount),
            "created_at": wire_time(enquiry.created_at),
            "updated_at": wire_time(enquiry.updated_at),
        }
        return b'%b,"possible_duplicates":%b}' % (to_json(enquiry._asdict() | shown)[:-1], opened.possible_duplicates)


class EnquiryBookingResponse(Closed):
    """A booking or hold that was made in a conversation of the enquiry."""

    id: str
    kind: Literal["flight", "hotel"]
    supplier: str
    locator: str | None
    status: str
    cost: MoneyResponse
    session_id: str | None
    created_at: UtcTime


class EnquiryFollowedResponse(EnquiryResponse):
    """An enquiry with its bookings, in the order they were made."""

    bookings: Annotated[list[EnquiryBookingResponse], ADDITION]

    @classmethod
    def of(cls, followed: Followed) -> EnquiryFollowedResponse:  # type: ignore[override]  # of more than an enquiry
        made = [
            EnquiryBookingResponse(
                id=each.id,
                kind=each.kind,
                supplier=each.supplier,
                locator=each.locator,
                status=each.status,
                cost=MoneyResponse.of(each.cost.amount, each.cost.currency),
                session_id=each.session_id,
                created_at=each.created_at,
            )
            for each in followed.bookings
        ]
        return cls(**followed.enquiry._asdict(), bookings=made)


class EnquiryListResponse(Closed):
    """A page of enquiries, newest first."""

    items: list[EnquiryResponse]
    total: int
    limit: int
    offset: int

    @staticmethod
    def encoded(page: Enquiries, query: EnquiryListQuery) -> bytes:
        """The JSON of a page around that of its items, which comes from the database."""
        return b'{"items":%b,"total":%d,"limit":%d,"offset":%d}' % (page.items, page.total, query.limit, query.offset)


class PromoteResponse(Closed):
    """The enquiry, and the conversation it is linked to."""

    enquiry: EnquiryResponse
    session_id: str

    @classmethod
    def of(cls, promoted: Promoted) -> PromoteResponse:
        return cls(enquiry=EnquiryResponse.of(promoted.enquiry), session_id=promoted.session_id)
