"""search_hotels: properties and their rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from ...domain.audit import wire_time
from ...domain.hotels import Board, HotelOffer, HotelQuestion, Stay
from ...domain.money import Money
from ...domain.outcomes import Outcome
from ...domain.travel import MAJORITY
from ...suppliers.protocols import SupplierError
from .schema import MOST_PERSONS, Amount, CountryCode, Currency, Day, Moment, Price, Said
from .searching import offers_of
from .tool import ReadTool, ToolContext, ToolInput, ToolOutput

SHOWN = 20
"""Properties returned to the model."""
RATES_SHOWN = 5
"""Rates per property, the cheapest; they are cached so that they can be booked."""


class HotelsInput(ToolInput):
    """Input of the tool."""

    country: CountryCode
    city: Annotated[Said, Field(max_length=120)]
    check_in: Day
    check_out: Day
    guests: Annotated[int, Field(ge=1, le=1000, description="All who stay, children included")]
    rooms: Annotated[int | None, Field(ge=1, le=1000, description="Else as many as are needed")] = None
    children_ages: Annotated[
        list[Annotated[int, Field(ge=0, lt=MAJORITY)]],
        Field(default_factory=list, max_length=MOST_PERSONS, description="Ages of all children at check-in"),
    ]
    currency: Annotated[Currency | None, Field(description="Else the agency's")] = None
    budget_max: Annotated[Amount | None, Field(description="For the whole stay, in currency")] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.check_out <= self.check_in:
            raise ValueError("check_out is not after check_in")
        adults = self.guests - len(self.children_ages)
        if adults < 1:
            raise ValueError("guests counts everybody, and children stay with an adult")
        if self.rooms is not None and self.rooms > adults:
            raise ValueError("each room needs an adult")
        if self.budget_max is not None and self.currency is None:
            raise ValueError("budget_max needs currency")
        if self.budget_max == 0:
            raise ValueError("budget_max is above zero")
        return self

    def question(self, currency: str) -> HotelQuestion:
        """The input as a question to suppliers."""
        return HotelQuestion(
            country=self.country,
            city=self.city,
            stay=Stay(
                check_in=self.check_in,
                check_out=self.check_out,
                guests=self.guests,
                rooms=self.rooms,
                children_ages=tuple(self.children_ages),
            ),
            currency=self.currency or currency,
        )

    def affords(self, price: Money) -> bool:
        """Whether the price is within the budget. A price in another currency cannot be compared and passes."""
        return self.budget_max is None or (price.currency == self.currency and price.amount <= self.budget_max)


class FoundRate(ToolOutput):
    """A rate; on what terms it is cancelled is told when it is checked."""

    rate_key: str
    room: str
    board_basis: Board
    price: Price
    is_refundable: bool
    rooms_left: int | None

    @classmethod
    def of(cls, rate: HotelOffer) -> Self:
        return cls(
            rate_key=rate.id,
            room=rate.room,
            board_basis=rate.board,
            price=rate.price.text,
            is_refundable=rate.is_refundable,
            rooms_left=rate.rooms_left,
        )


class Place(ToolOutput):
    """One property with its cheapest rates; ``rate_count`` is the number of all."""

    property_id: str
    name: str
    city: str
    country: str
    star_rating: int | None
    rate_count: int
    from_price: Price | None
    rate_keys: Annotated[list[str], Field(max_length=RATES_SHOWN)]
    valid_until: Moment
    rates: Annotated[list[FoundRate], Field(max_length=RATES_SHOWN)]

    @classmethod
    def of(cls, rates: Sequence[HotelOffer]) -> Self:
        house, shown = rates[0].property, rates[:RATES_SHOWN]
        return cls(
            property_id=house.id,
            name=house.name,
            city=house.city,
            country=house.country,
            star_rating=house.star_rating,
            rate_count=len(rates),
            from_price=rates[0].price.text,
            rate_keys=[rate.id for rate in shown],
            rates=[FoundRate.of(rate) for rate in shown],
            valid_until=wire_time(min(rate.expires_at for rate in shown)),
        )


class Places(ToolOutput):
    """The cheapest properties; ``count`` is the number of all found."""

    count: int
    results: Annotated[list[Place], Field(max_length=SHOWN)]


class SearchHotels(ReadTool[HotelsInput]):
    """Asks all suppliers of rooms concurrently."""

    name = "search_hotels"
    description = (
        "Search hotels of a city. Answers at most 20 properties, cheapest first, each with up to five rate_keys, "
        "cheapest first too; a rate_key can be booked until valid_until. Prices are for the whole stay and everybody."
    )
    Input = HotelsInput
    Output = Places
    desks = frozenset({"hotels_holidays"})

    async def look(self, given: HotelsInput, context: ToolContext) -> Outcome:
        question = given.question(context.settings.default_currency)
        found = await offers_of(context.suppliers.hotels, question, "hotels")
        asked_in = {offer.price.currency for offer in found}
        if given.budget_max is not None and found and given.currency not in asked_in:
            mismatch = f"rates are in {', '.join(sorted(asked_in))}, the budget in {given.currency}: not comparable"
            raise SupplierError("validation_failed", mismatch)
        places = _by_property(offer for offer in found if given.affords(offer.price))
        shown = places[:SHOWN]
        await context.offers.keep(context.tenant_id, [rate for rates in shown for rate in rates[:RATES_SHOWN]])
        return self.succeed(count=len(places), results=[Place.of(rates) for rates in shown])


def _by_property(offers: Iterable[HotelOffer]) -> list[list[HotelOffer]]:
    """The rates by property, both sorted by price. Equal rates are sorted by room."""
    places: dict[tuple[str, str], list[HotelOffer]] = {}
    for offer in sorted(offers, key=lambda each: (each.price.currency, each.price.amount, each.supplier_ref)):
        places.setdefault((offer.supplier, offer.property.id), []).append(offer)
    return list(places.values())
