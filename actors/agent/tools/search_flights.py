"""search_flights: flights and their fares."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ...domain.audit import wire_time
from ...domain.outcomes import Outcome
from ...domain.travel import CHILD_FROM, DATE_LINE, MAJORITY, Cabin, FlightOffer, FlightQuestion, Party, Segment
from ...suppliers.protocols import SupplierError
from .schema import MOST_PERSONS, AirportCode, Day, Moment, Price
from .searching import offers_of
from .tool import ReadTool, ToolContext, ToolInput, ToolOutput

SHOWN = 20
"""Fares returned to the model, and cached so that they can be booked."""

Count = Annotated[int, Field(ge=0, le=999)]


class Travellers(ToolInput):
    """The number of travellers by type."""

    adult: Count = 0
    child: Count = 0
    infant: Count = 0
    senior: Count = 0


class SearchInput(ToolInput):
    """Input of the tool."""

    origin: AirportCode
    destination: AirportCode
    outbound_date: Day
    return_date: Day | None = None
    passengers: Annotated[Travellers, Field(description="Counts by type; nobody named means one adult")] = Travellers()
    ages: Annotated[
        list[Annotated[int, Field(ge=0, lt=MAJORITY)]],
        Field(
            default_factory=list,
            max_length=MOST_PERSONS,
            description="Ages of all children and infants on the day of the last flight",
        ),
    ]
    cabin: Cabin = "economy"
    direct_only: bool = False

    @model_validator(mode="after")
    def _back_after_out(self) -> Self:
        if self.return_date is not None and self.outbound_date - self.return_date > DATE_LINE:
            raise ValueError("return_date is before outbound_date")
        infants = sum(age < CHILD_FROM for age in self.ages)
        party = self.passengers
        if self.ages and (infants, len(self.ages) - infants) != (party.infant, party.child):
            raise ValueError(f"ages are needed for all infants (under {CHILD_FROM}) and children, and for nobody else")
        return self

    def question(self, currency: str) -> FlightQuestion:
        """The input as a question to suppliers."""
        party = Party(**self.passengers.model_dump())
        return FlightQuestion(
            origin=self.origin,
            destination=self.destination,
            outbound_date=self.outbound_date,
            return_date=self.return_date,
            party=party if party.total else Party(adult=1),
            ages=tuple(self.ages),
            cabin=self.cabin,
            direct_only=self.direct_only,
            currency=currency,
        )


class Flight(ToolOutput):
    """One flight, with the local times of its two airports, their UTC offsets and their time zones."""

    way: Literal["out", "back"]
    flight: str
    origin: str
    destination: str
    departs_local: str
    arrives_local: str

    @classmethod
    def of(cls, segment: Segment, way: Literal["out", "back"]) -> Self:
        return cls(
            way=way,
            flight=segment.flight,
            origin=segment.origin,
            destination=segment.destination,
            departs_local=segment.departs_there,
            arrives_local=segment.arrives_there,
        )


class Fare(ToolOutput):
    """One offer, with departure and arrival of the way out. Null is what the supplier does not state."""

    fare_id: str
    source: str
    source_ref: str
    price: Price
    valid_until: Moment
    carrier: str
    stops: int
    departs_at: Moment
    arrives_at: Moment
    cabin: Cabin
    hold_possible: bool
    baggage: str | None
    refundable: bool | None
    changeable: bool | None
    conditions: str | None
    seats_left: int | None
    segments: list[Flight]

    @classmethod
    def of(cls, offer: FlightOffer) -> Self:
        return cls(
            fare_id=offer.id,
            source=offer.supplier,
            source_ref=offer.supplier_ref,
            price=offer.price.text,
            valid_until=wire_time(offer.expires_at),
            carrier=offer.segments[0].marketing_carrier,
            stops=offer.stops,
            departs_at=wire_time(offer.segments[0].departs_at),
            arrives_at=wire_time(offer.outbound[-1].arrives_at),
            cabin=offer.cabin,
            hold_possible=offer.hold_possible,
            baggage=offer.baggage,
            refundable=offer.refundable,
            changeable=offer.changeable,
            conditions=offer.conditions,
            seats_left=offer.seats_left,
            segments=[
                *(Flight.of(segment, "out") for segment in offer.outbound),
                *(Flight.of(segment, "back") for segment in offer.inbound),
            ],
        )


class Fares(ToolOutput):
    """The cheapest fares; ``count`` is the number of all found."""

    count: int
    fares: Annotated[list[Fare], Field(max_length=SHOWN)]


class SearchFlights(ReadTool[SearchInput]):
    """Asks all suppliers of flights concurrently."""

    name = "search_flights"
    description = (
        "Search flights. Answers at most 20 fares, cheapest first; each fare_id can be booked until its valid_until. "
        "The price is for the whole party. departs_at and arrives_at are UTC; segments tell each flight with its "
        "airports and the local times there, which are the ones to tell people. A null of baggage, refundable, "
        "changeable, conditions or seats_left is not known."
    )
    Input = SearchInput
    Output = Fares
    desks = frozenset({"ticketing_visa"})

    async def look(self, given: SearchInput, context: ToolContext) -> Outcome:
        if given.origin == given.destination:
            raise SupplierError("validation_failed", "origin and destination are the same")
        question = given.question(context.settings.default_currency)
        found = await offers_of(context.suppliers.flights, question, "flights")
        found.sort(key=lambda offer: (offer.price.currency, offer.price.amount, offer.segments[0].departs_at))
        shown = found[:SHOWN]
        await context.offers.keep(context.tenant_id, shown)
        return self.succeed(count=len(found), fares=[Fare.of(offer) for offer in shown])
