"""Duffel's searches and offers, as our questions and offers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast, get_args

from pydantic import ValidationError

from ...domain import ids
from ...domain.money import Money
from ...domain.travel import MAJORITY, Cabin, FareConditions, FlightOffer, FlightQuestion, Segment
from ...foundation import log, metrics
from ..protocols import SupplierError
from . import wire
from .times import Unplaced, flown

NAME = "duffel"
AT_ONCE = 20
"""Offers read before other work gets its turn: some 10 ms."""
LARGEST_PARTY = 9

_log = log.get(__name__)


def request(question: FlightQuestion) -> dict[str, Any]:
    """The offer request for a question. ``validation_failed`` for a party that cannot be asked for."""
    party = question.party
    young = party.child + party.infant
    if party.total > LARGEST_PARTY:
        raise SupplierError("validation_failed", f"at most {LARGEST_PARTY} persons travel on one booking")
    if young and not question.ages:
        raise SupplierError(
            "validation_failed", "this supplier prices by age: ages of all children and infants are needed"
        )
    if party.infant > party.adult + party.senior:
        raise SupplierError("validation_failed", "each infant travels with an adult of their own")
    ways = [(question.origin, question.destination, question.outbound_date)]
    if question.return_date is not None:
        ways.append((question.destination, question.origin, question.return_date))
    asked: dict[str, Any] = {
        "slices": [
            {"origin": origin, "destination": destination, "departure_date": day.isoformat()}
            for origin, destination, day in ways
        ],
        "passengers": [
            *({"type": "adult"} for _ in range(party.adult + party.senior)),
            *({"age": age} for age in question.ages),
        ],
        "cabin_class": question.cabin,
    }
    if question.direct_only:
        asked["max_connections"] = 0
    return asked


async def read_all(items: Sequence[Any], question: FlightQuestion, now: datetime) -> list[FlightOffer]:
    """The offers that can be read and sold; others are counted."""
    found: list[FlightOffer] = []
    skipped: dict[str, int] = {}
    for place, item in enumerate(items):
        if place % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        try:
            found.append(_searched(item, question, now))
        except _Unsellable as why:
            skipped[why.reason] = skipped.get(why.reason, 0) + 1
    for reason, count in skipped.items():
        metrics.SUPPLIER_ITEMS_SKIPPED_TOTAL.labels(NAME, reason).inc(count)
    if skipped:
        _log.info("supplier_items_skipped", supplier=NAME, **skipped)
    return found


def reread(item: Any, offer: FlightOffer, now: datetime) -> FlightOffer:
    """The offer as it stands now. ``not_found`` if it cannot be had any more."""
    try:
        fresh = _offer(item, now, cabin=offer.cabin, ways=1 if offer.back_from is None else 2)
    except _Unsellable as why:
        gone = why.reason in ("expired", "departed")
        text = "the offer is no longer available" if gone else "the supplier's offer cannot be read"
        raise SupplierError("not_found", text, reason="offer_expired" if gone else None) from why
    if fresh["supplier_ref"] != offer.supplier_ref or _ages(fresh) != offer.ages:
        raise SupplierError("not_found", "the supplier's offer is not the one that was found")
    try:
        return FlightOffer(id=offer.id, party=offer.party, ages=offer.ages, **fresh)
    except ValidationError as invalid:
        raise SupplierError("not_found", "the supplier's offer cannot be read") from invalid


class _Unsellable(Exception):
    """Why an offer is left out, as a label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _searched(item: Any, question: FlightQuestion, now: datetime) -> FlightOffer:
    ways = 1 if question.return_date is None else 2
    read = _offer(item, now, cabin=question.cabin, ways=ways)
    if _ages(read) != tuple(sorted(question.ages)) or len(read["supplier_data"]["passengers"]) != question.party.total:
        raise _Unsellable("other_party")
    try:
        return FlightOffer(id=ids.uuid7(), party=question.party, ages=tuple(sorted(question.ages)), **read)
    except ValidationError as invalid:
        raise _Unsellable("unreadable") from invalid


def _ages(read: Mapping[str, Any]) -> tuple[int, ...]:
    travellers = read["supplier_data"]["passengers"]
    return tuple(sorted(each["age"] for each in travellers if each["age"] is not None))


def _offer(item: Any, now: datetime, *, cabin: Cabin, ways: int) -> dict[str, Any]:
    """The fields of an offer, but for its id and whom it is for."""
    try:
        offer = wire.Offer.model_validate(item)
        segments = [_segments(each.segments, cabin) for each in offer.slices]
        price = offer.price
    except Unplaced as unplaced:
        raise _Unsellable("no_time_zone") from unplaced
    except ValidationError as invalid:
        raise _Unsellable("unreadable") from invalid
    if offer.partial:
        raise _Unsellable("partial")
    if offer.expires_at <= now:
        raise _Unsellable("expired")
    if segments[0][0].departs_at <= now:
        raise _Unsellable("departed")
    if len(segments) != ways:
        raise _Unsellable("other_ways")
    hold_until = offer.hold_until
    hold_possible = hold_until is not None and hold_until > now
    terms = conditions(offer.conditions)
    minors = {each.id: each.age for each in offer.passengers if each.age is not None and each.age < MAJORITY}
    return {
        "supplier": NAME,
        "supplier_ref": offer.id,
        "segments": tuple(segment for way in segments for segment in way),
        "back_from": len(segments[0]) if ways > 1 else None,
        "price": price,
        "expires_at": offer.expires_at,
        "hold_possible": hold_possible,
        "hold_until": hold_until if hold_possible else None,
        "cabin": cabin,
        "baggage": baggage(offer),
        "refundable": terms.refundable,
        "changeable": terms.changeable,
        "conditions": terms.text,
        "supplier_data": {
            "passengers": [{"id": each.id, "age": minors.get(each.id)} for each in offer.passengers],
            "documents_required": offer.passenger_identity_documents_required,
            "takes_passports": offer.takes_passports,
        },
    }


def baggage(offer: wire.Offer) -> str | None:
    """What all passengers may take along on all flights; None where it differs or is not stated."""
    seats = [seat for way in offer.slices for flight in way.segments for seat in flight.passengers or ()]
    allowed = {
        None if seat.baggages is None else tuple((bag.type, bag.quantity) for bag in seat.baggages if bag.quantity)
        for seat in seats
    }
    if len(allowed) != 1 or (bags := allowed.pop()) is None:
        return None
    kinds = {"carry_on": "cabin bag", "checked": "checked bag"}
    told = [f"{count} {kinds.get(kind, kind)}{'' if count == 1 else 's'}" for kind, count in bags]
    return ", ".join(told) or "no bags"


def conditions(stated: wire.Conditions | None) -> FareConditions:
    """The terms of a refund and of a change before departure. A penalty may be in another currency than the price."""
    if stated is None:
        return FareConditions()
    refund, change = stated.refund_before_departure, stated.change_before_departure
    told = [
        *([] if refund is None else [_term(refund, "refundable", "is kept")]),
        *([] if change is None else [_term(change, "changeable", "is charged")]),
    ]
    return FareConditions(
        refundable=None if refund is None else refund.allowed,
        changeable=None if change is None else change.allowed,
        text="; ".join(told) or None,
    )


def _term(terms: wire.Terms, what: str, taken: str) -> str:
    if not terms.allowed:
        return f"not {what}"
    if terms.penalty_amount is None or terms.penalty_currency is None:
        return f"{what} before departure, what {taken} is not stated"
    return f"{what} before departure, {Money.of(terms.penalty_amount, terms.penalty_currency).text} {taken}"


def _segments(flights: Sequence[wire.Flight], cabin: Cabin) -> list[Segment]:
    return [segment(flight, cabin) for flight in flights]


def segment(flight: wire.Flight, cabin: Cabin) -> Segment:
    """One flight. ``Unplaced`` or pydantic's error if it cannot be read."""
    when = flown(flight)
    flown_in = next((seat.cabin_class for seat in flight.passengers or ()), None)
    operating = None if flight.operating_carrier is None else flight.operating_carrier.iata_code
    return Segment(
        marketing_carrier=flight.marketing_carrier.iata_code or "",
        operating_carrier=operating,
        flight_number=flight.marketing_carrier_flight_number,
        origin=flight.origin.iata_code,
        destination=flight.destination.iata_code,
        departs_at=when.departs_at,
        arrives_at=when.arrives_at,
        origin_zone=when.origin_zone,
        destination_zone=when.destination_zone,
        cabin=cast("Cabin", flown_in) if flown_in in get_args(Cabin) else cabin,
    )
