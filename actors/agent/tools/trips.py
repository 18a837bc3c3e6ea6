"""Shared by booking and holding a flight: the current offer, the passengers, and the booking's record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ....storage.travel import bookings, offers, passengers
from ....storage.travel.tickets import IssuedTicket
from ...domain import ids
from ...domain.audit import canonical, wire_time
from ...domain.money import Money
from ...domain.persons import Misfit, ends_too_soon, typed
from ...domain.travel import FlightOffer, FlightOrder, Passenger, Segment
from ...suppliers.airports import crosses_borders
from ...suppliers.protocols import FlightDesk, FlightSupplier, Method, SupplierError
from .summary import NAME_SHOWN, code, listed, shown
from .tool import Objection, ToolContext

NAMES_SHOWN, BAGGAGE_SHOWN, CONDITIONS_SHOWN = 300, 60, 140
"""Characters of all names together, of the baggage and of the conditions: with them a summary fits its 1,024."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """An order to be placed: supplier, passengers, price and expiry."""

    supplier: FlightSupplier
    offer: FlightOffer
    persons: tuple[Passenger, ...]
    price: Money
    expires_at: datetime
    hold: bookings.Booking | None = None

    def bound(self, buyer_reference: str | None) -> dict[str, Any]:
        """All that the approver is shown, and a hash of all data sent to the supplier on each passenger."""
        return {
            "supplier": self.offer.supplier,
            "supplier_ref": self.offer.supplier_ref if self.hold is None else self.hold.supplier_ref,
            "offer_id": self.offer.id,
            "booking_id": None if self.hold is None else self.hold.id,
            "price": priced(self.price),
            "expires_at": wire_time(self.expires_at),
            "cabin": self.offer.cabin,
            "baggage": self.offer.baggage,
            "refundable": self.offer.refundable,
            "changeable": self.offer.changeable,
            "conditions": self.offer.conditions,
            "warnings": expiring(self.persons, self.offer.segments),
            "segments": [_shown(segment) for segment in self.offer.segments],
            "persons": [
                {"passenger_id": each.id, "name": each.full_name, "type": each.type, "details": details(each)}
                for each in self.persons
            ],
            "buyer_reference": buyer_reference,
        }

    def summary(self, buyer_reference: str | None) -> str:
        """One line for the approver, with the airports' local times."""
        back = "" if not self.offer.inbound else f"; back {legs(self.offer.inbound)}"
        space = min(NAME_SHOWN, NAMES_SHOWN // len(self.persons))
        parts = [
            f"Book {legs(self.offer.outbound)}{back}",
            self.offer.cabin.replace("_", " "),
            self.price.text,
            f"supplier {code(self.offer.supplier)}",
            f"{'offer' if self.hold is None else f'hold {self._locator}'} ends {clock(self.expires_at)} UTC",
            f"baggage {_stated(self.offer.baggage, BAGGAGE_SHOWN)}",
            f"conditions {_stated(self.offer.conditions, CONDITIONS_SHOWN)}",
            *_passports(self.persons, self.offer.segments),
            f"{self.offer.party.text}: {listed((person.full_name for person in self.persons), space)}",
        ]
        return "; ".join(parts if buyer_reference is None else [*parts, f"reference {code(buyer_reference)}"])

    @property
    def _locator(self) -> str:
        return "" if self.hold is None or self.hold.locator is None else code(self.hold.locator)


def expiring(persons: Sequence[Passenger], segments: Sequence[Segment]) -> list[str]:
    """Warnings, in sentences, of passports that may be refused at a border of this journey."""
    last = segments[-1].arrives_local.date()
    return [
        f"The passport of {each.full_name} ({each.id}) ends on {each.passport_expiry}: many countries want it valid "
        f"for six months after {last}."
        for each in _expiring(persons, segments)
    ]


def _expiring(persons: Sequence[Passenger], segments: Sequence[Segment]) -> list[Passenger]:
    if not crosses_borders(place for each in segments for place in (each.origin, each.destination)):
        return []
    last = segments[-1].arrives_local.date()
    return [each for each in persons if ends_too_soon(each.passport_expiry, last)]


def _passports(persons: Sequence[Passenger], segments: Sequence[Segment]) -> list[str]:
    """The part of a summary that warns of passports: the first that ends, and how many more do too soon."""
    soon = sorted(_expiring(persons, segments), key=lambda each: str(each.passport_expiry))
    if not soon:
        return []
    more = f" and {len(soon) - 1} more" if len(soon) > 1 else ""
    return [f"passport ends {soon[0].passport_expiry} of {shown(soon[0].full_name, NAMES_SHOWN // 9)}{more}"]


def _stated(text: str | None, space: int) -> str:
    return "unknown" if text is None else shown(text, space)


def aboard(bound: Mapping[str, Any]) -> frozenset[tuple[str, str, str]]:
    """Passengers by flight and date, from the bound values; a passenger stored twice is matched by name."""
    return frozenset(
        (known, segment["flight"], segment["departs_at"])
        for person in bound.get("persons", ())
        for known in (person["passenger_id"], " ".join(person["name"].casefold().split()))
        for segment in bound.get("segments", ())
    )


def seller(context: ToolContext, name: str, method: Method) -> FlightDesk:
    """The supplier called ``name``, if the agency has it and it supports ``method``."""
    supplier = context.suppliers.named(name)
    if supplier is None or method not in supplier.capabilities.methods:
        raise SupplierError("capability_not_supported", f"supplier {name} cannot {method} for this agency")
    return supplier


async def remembered(context: ToolContext, fare_id: str) -> FlightOffer | None:
    """The offer as found, from the cache or the stored copy; it may have expired."""
    return await context.offers.find(context.tenant_id, fare_id) or await context.store.ask(
        offers.Load(tenant_id=context.tenant_id, id=fare_id)
    )


async def current_offer(context: ToolContext, fare_id: str, *, unchanged: bool = False) -> FlightOffer:
    """The offer at the supplier's current price; with ``unchanged`` that has to be the price found."""
    found = await remembered(context, fare_id)
    if found is None:
        raise Objection("offer_not_found", "No fare with this fare_id is known; search again.")
    if not found.alive(context.now):
        raise Objection("offer_expired", "The fare has expired; search again.")
    try:
        offer = await seller(context, found.supplier, "price").price(found)
    except SupplierError as failure:
        if failure.reason == "offer_expired":
            raise Objection("offer_expired", "The supplier no longer sells this fare; search again.") from failure
        if failure.reason == "sold_out":
            raise Objection("sold_out", sentence(failure.text)) from failure
        if failure.supplier_code != "not_found":
            raise
        raise Objection("offer_not_found", "The supplier no longer offers this fare; search again.") from failure
    if unchanged and offer.price != found.price:
        raise Objection("price_changed", f"The price is now {offer.price.text}; search again.")
    payable(offer.price)
    return offer


def sentence(text: str) -> str:
    """A supplier's words as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def payable(price: Money, reason: str = "supplier_refused") -> None:
    """Refuse a price that cannot be stored, before anything is booked at it."""
    if not price.is_price:
        raise Objection(reason, f"The supplier's price of {price.text} is none that can be paid.")


async def travellers(
    context: ToolContext, passenger_ids: Sequence[str], offer: FlightOffer, supplier: FlightSupplier
) -> tuple[Passenger, ...]:
    """The passengers with these ids, if each has what the supplier needs and together they match the fare.

    Each has the passenger type that follows from the age on the days of the flights.
    """
    parsed = [ids.parse_uuid(each) for each in passenger_ids]
    known = [each for each in parsed if each is not None]
    persons = await context.store.ask(passengers.Load(tenant_id=context.tenant_id, ids=tuple(known)))
    if len(persons) != len(set(passenger_ids)):
        raise Objection("passenger_not_found", "A passenger_id is not that of anybody on file.")
    lacking = [f"{each.full_name} ({each.id}) lacks: {_lacks(each)}." for each in persons if each.missing]
    flaws = [*lacking, *supplier.capabilities.flaws(offer, persons)]
    if flaws:
        raise Objection("passenger_incomplete", " ".join(flaws))
    try:
        return typed(persons, offer.segments, offer.party, offer.ages)
    except Misfit as misfit:
        raise Objection("passenger_incomplete", str(misfit)) from misfit


def _lacks(person: Passenger) -> str:
    fields = ", ".join(person.missing)
    if "given_name" not in person.missing:
        return fields
    return f"{fields} (for a single name airlines take FNU or the name itself: save it as given_name)"


async def keep(context: ToolContext, offer: FlightOffer) -> None:
    """Store an offer that an approval or a hold depends on, so that it outlives the cache."""
    kept = offers.Keep(tenant_id=context.tenant_id, session_id=context.session_id, offer=offer, now=context.now)
    await context.store.ask(kept)


def issued(order: FlightOrder) -> tuple[IssuedTicket, ...]:
    """The order's tickets that can be stored, with whom each is for."""
    return tuple(
        IssuedTicket(id=ids.uuid7(), number=ticket.number, passenger_id=ticket.passenger_ids[0])
        for ticket in order.tickets
        if ticket.is_storable and ticket.passenger_ids
    )


def recorded(
    context: ToolContext,
    order: FlightOrder,
    key: str,
    offer_id: str,
    passenger_ids: Sequence[str],
    buyer_reference: str | None,
) -> bookings.Record:
    """The command that records an order as a booking of the agency."""
    return bookings.Record(
        tenant_id=context.tenant_id,
        id=ids.uuid7(),
        session_id=context.session_id,
        tool_call_id=key,
        kind="flight",
        supplier=order.supplier,
        supplier_ref=order.supplier_ref,
        locator=order.locator,
        status=order.status,
        offer_id=offer_id,
        cost=order.price.amount,
        currency=order.price.currency,
        hold_expires_at=order.hold_expires_at,
        data=data_of(order, buyer_reference),
        passengers=passenger_ids,
        tickets=issued(order),
        now=context.now,
    )


def data_of(order: FlightOrder, buyer_reference: str | None) -> dict[str, Any]:
    """The booking's data beside its columns."""
    segments = [segment.model_dump(mode="json") for segment in order.segments]
    data: dict[str, Any] = {"segments": segments, "buyer_reference": buyer_reference}
    if order.tickets:
        data["tickets"] = [ticket.model_dump(mode="json") for ticket in order.tickets]
    return data


def priced(price: Money) -> dict[str, str]:
    """A price among bound values."""
    return {"amount": f"{price.amount.normalize():f}", "currency": price.currency}


def details(person: Passenger) -> str:
    """A hash that reveals nothing to readers of the approval and changes with any data sent to the supplier."""
    return hashlib.sha256(canonical({"person": person.id, "fingerprint": person.fingerprint})).hexdigest()


def _shown(segment: Segment) -> dict[str, str]:
    return {
        "flight": segment.flight,
        "origin": segment.origin,
        "destination": segment.destination,
        "departs_at": wire_time(segment.departs_at),
        "arrives_at": wire_time(segment.arrives_at),
    }


def legs(segments: Sequence[Segment]) -> str:
    """``"EK 500 BOM-DXB 2026-12-05 08:30"``, one after the other."""
    return ", ".join(f"{each.flight} {each.origin}-{each.destination} {clock(each.departs_local)}" for each in segments)


def clock(moment: datetime) -> str:
    """``"2026-12-05 08:30"``, in the time zone of ``moment``."""
    return f"{moment:%Y-%m-%d %H:%M}"
