"""Shared by checking and booking a rate: the current rate, the guests, and the bound values of the approval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....storage.travel import offers, passengers
from ...domain import ids
from ...domain.audit import wire_time
from ...domain.hotels import HotelOffer
from ...domain.persons import Misfit, fit
from ...domain.travel import Passenger
from ...suppliers.protocols import HotelSupplier, Method, SupplierError
from .summary import NAME_SHOWN, code, listed, shown
from .tool import Objection, ToolContext
from .trips import clock, details, priced, sentence

NAMES_SHOWN = 540
"""Characters of all names together: with the longest property and reference a summary fits its 1,024."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A stay to be booked: supplier, rate and guests."""

    supplier: HotelSupplier
    offer: HotelOffer
    guests: tuple[Passenger, ...]

    def bound(self, buyer_reference: str | None) -> dict[str, Any]:
        """All that the approver is shown, and a hash of all data sent to the supplier on each guest."""
        offer = self.offer
        return {
            "supplier": offer.supplier,
            "supplier_ref": offer.supplier_ref,
            "offer_id": offer.id,
            "property": offer.property.model_dump(mode="json"),
            "room": offer.room,
            "board": offer.board,
            "is_refundable": offer.is_refundable,
            "cancellation": offer.cancellation,
            "check_in": offer.stay.check_in.isoformat(),
            "check_out": offer.stay.check_out.isoformat(),
            "guests": offer.stay.guests,
            **offer.stay.model_dump(mode="json", include={"rooms", "children_ages"}),
            "price": priced(offer.price),
            "expires_at": wire_time(offer.expires_at),
            "persons": [
                {"passenger_id": each.id, "name": each.full_name, "details": details(each)} for each in self.guests
            ],
            "buyer_reference": buyer_reference,
        }

    def summary(self, buyer_reference: str | None) -> str:
        """One line for the approver."""
        offer, stay, house = self.offer, self.offer.stay, self.offer.property
        limit = min(NAME_SHOWN, NAMES_SHOWN // len(self.guests))
        parts = [
            f"Book a stay {stay.check_in} to {stay.check_out} ({_count(stay.nights, 'night')})",
            offer.price.text,
            f"supplier {code(offer.supplier)}",
            f"offer ends {clock(offer.expires_at)} UTC",
            f"{shown(house.name)}, {shown(house.city)} {house.country}",
            f"{shown(offer.room)}, {offer.board}, {shown(offer.cancellation or _terms(offer))}",
            f"{stay.text}: {listed((each.full_name for each in self.guests), limit)}",
        ]
        return "; ".join(parts if buyer_reference is None else [*parts, f"reference {code(buyer_reference)}"])


def seller(context: ToolContext, name: str, method: Method) -> HotelSupplier:
    """The supplier of rooms called ``name``, if the agency has it and it supports ``method``."""
    supplier = context.suppliers.hotel(name)
    if supplier is None or method not in supplier.capabilities.methods:
        raise SupplierError("capability_not_supported", f"supplier {name} cannot {method} for this agency")
    return supplier


async def current_offer(context: ToolContext, rate_key: str) -> tuple[HotelOffer, HotelOffer]:
    """The rate as found, and its current price at the supplier."""
    found = await context.offers.find_rate(context.tenant_id, rate_key) or await context.store.ask(
        offers.LoadRate(tenant_id=context.tenant_id, id=rate_key)
    )
    if found is None:
        raise Objection("offer_not_found", "No rate with this rate_key is known; search again.")
    if not found.alive(context.now):
        raise Objection("offer_expired", "The rate has expired; search again.")
    try:
        return found, await seller(context, found.supplier, "check_rate").check_rate(found)
    except SupplierError as failure:
        if failure.reason == "sold_out":
            raise Objection("sold_out", sentence(failure.text)) from failure
        if failure.supplier_code != "not_found":
            raise
        raise Objection("offer_not_found", "The supplier no longer offers this rate; search again.") from failure


async def named(context: ToolContext, passenger_ids: Sequence[str], offer: HotelOffer) -> tuple[Passenger, ...]:
    """The guests with these ids, if the room is large enough."""
    known = [each for each in map(ids.parse_uuid, passenger_ids) if each is not None]
    persons = await context.store.ask(passengers.Load(tenant_id=context.tenant_id, ids=tuple(known)))
    if len(persons) != len(set(passenger_ids)):
        raise Objection("passenger_not_found", "A passenger_id is not that of anybody on file.")
    if len(persons) > offer.stay.guests:
        persons_of_rate = _count(offer.stay.guests, "guest")
        raise Objection("supplier_refused", f"The rate is for {persons_of_rate}; {len(persons)} are named.")
    try:
        fit(persons, offer.stay)
    except Misfit as misfit:
        raise Objection("supplier_refused", str(misfit)) from misfit
    return persons


async def keep(context: ToolContext, offer: HotelOffer) -> None:
    """Store a rate that was checked or that an approval depends on, so that it outlives the cache."""
    await context.offers.keep(context.tenant_id, [offer])
    kept = offers.Keep(tenant_id=context.tenant_id, session_id=context.session_id, offer=offer, now=context.now)
    await context.store.ask(kept)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _terms(offer: HotelOffer) -> str:
    return "refundable" if offer.is_refundable else "not refundable"
