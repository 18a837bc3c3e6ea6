"""Duffel's objects, as far as they are used. Unknown fields and unknown values of lists are no fault."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from ...domain.money import Money
from ...domain.travel import UtcTime

Id = Annotated[str, Field(pattern=r"^[a-z]{2,8}_[A-Za-z0-9]{1,64}$")]
"""Ids stand in the paths of requests: nothing else may."""
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,14}(\.[0-9]{1,4})?$")]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


class Wire(BaseModel):
    """Base of the supplier's objects."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Place(Wire):
    """An airport, or a city, which has no time zone."""

    iata_code: str
    time_zone: str | None = None


class Carrier(Wire):
    """An airline; charters have no code."""

    iata_code: str | None = None


def _unreadable_is_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


_or_none = WrapValidator(_unreadable_is_none)
"""For what can be left out without harm: what cannot be read there is not stated."""


class Baggage(Wire):
    """So many bags of one kind."""

    type: str
    quantity: int


class Seat(Wire):
    """One passenger's place on a flight. Baggage that cannot be read is not stated."""

    cabin_class: str | None = None
    baggages: Annotated[tuple[Baggage, ...] | None, _or_none] = None


class Flight(Wire):
    """One flight, in the local times of its airports."""

    origin: Place
    destination: Place
    departing_at: datetime
    arriving_at: datetime
    duration: str | None = None
    marketing_carrier: Carrier
    marketing_carrier_flight_number: str
    operating_carrier: Carrier | None = None
    passengers: tuple[Seat, ...] | None = ()


class Slice(Wire):
    """One way."""

    segments: tuple[Flight, ...] = Field(min_length=1)


class Traveller(Wire):
    """A passenger of an offer; the type may be one nobody knows, or missing."""

    id: Id
    type: str | None = None
    age: int | None = None


class PaymentRequirements(Wire):
    """Whether an offer can be held, and until when it is paid and its price is kept."""

    requires_instant_payment: bool = True
    payment_required_by: UtcTime | None = None
    price_guarantee_expires_at: UtcTime | None = None


class Terms(Wire):
    """Whether an unused fare is refunded, or changed, and for what penalty if that is known."""

    allowed: bool
    penalty_amount: Amount | None = None
    penalty_currency: Currency | None = None


class Conditions(Wire):
    """A fare's conditions; null is what the airline does not state."""

    refund_before_departure: Annotated[Terms | None, _or_none] = None
    change_before_departure: Annotated[Terms | None, _or_none] = None


class Offer(Wire):
    """A fare."""

    id: Id
    expires_at: UtcTime
    total_amount: Amount
    total_currency: Currency
    slices: tuple[Slice, ...] = Field(min_length=1)
    passengers: tuple[Traveller, ...] = Field(min_length=1)
    partial: bool = False
    payment_requirements: PaymentRequirements | None = None
    passenger_identity_documents_required: bool = False
    supported_passenger_identity_document_types: Annotated[tuple[str, ...] | None, _or_none] = None
    conditions: Annotated[Conditions | None, _or_none] = None

    @property
    def takes_passports(self) -> bool:
        """Whether a passport is a document that is taken; where nothing is stated, it is."""
        taken = self.supported_passenger_identity_document_types
        return taken is None or "passport" in taken

    @property
    def price(self) -> Money:
        return Money.of(self.total_amount, self.total_currency)

    @property
    def hold_until(self) -> datetime | None:
        """When a hold has to be paid; None if there is none."""
        terms = self.payment_requirements
        return None if terms is None or terms.requires_instant_payment else terms.payment_required_by


class Document(Wire):
    """A ticket, or another document that is none."""

    type: str
    unique_identifier: str
    passenger_ids: tuple[str, ...] = ()


class PaymentStatus(Wire):
    """Whether an order is paid, and until when it has to be: a date nobody can read does not make it paid."""

    awaiting_payment: bool = False
    payment_required_by: Annotated[UtcTime | None, _or_none] = None


class Cancellation(Wire):
    """A quote of a cancellation, or the cancellation: at whatever moment it was confirmed, it is."""

    id: Id
    order_id: Id
    refund_amount: Annotated[Amount | None, _or_none] = None
    refund_currency: Annotated[Currency | None, _or_none] = None
    refund_to: Annotated[str | None, _or_none] = None
    expires_at: Annotated[UtcTime | None, _or_none] = None
    confirmed_at: Any = None
